#include "core/state.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

using namespace drbdts::core;

namespace {

uint64_t Seed() {
  const char* given = std::getenv("DRBDTS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  MESSAGE("DRBDTS_SEED=" << seed);
  return seed;
}

State Make(Role role, Role peer, Conn conn, Disk disk, Disk pdsk) {
  State s;
  s.role = role;
  s.peer = peer;
  s.conn = conn;
  s.disk = disk;
  s.pdsk = pdsk;
  return s;
}

State Connected(Role role, Role peer) { return Make(role, peer, Conn::kConnected, Disk::kUpToDate, Disk::kUpToDate); }
State Alone(Role role, Disk disk) { return Make(role, Role::kUnknown, Conn::kWFConnection, disk, Disk::kDUnknown); }

State RandomState(std::mt19937_64& rng) {
  State s = Make(static_cast<Role>(rng() % 3), static_cast<Role>(rng() % 3), static_cast<Conn>(rng() % 24),
                 static_cast<Disk>(rng() % 9), static_cast<Disk>(rng() % 9));
  s.susp = rng() % 4 == 0;
  s.aftr_isp = rng() % 4 == 0;
  s.peer_isp = rng() % 4 == 0;
  s.user_isp = rng() % 4 == 0;
  s.susp_nod = rng() % 4 == 0;
  s.susp_fen = rng() % 4 == 0;
  return s;
}

StateContext RandomContext(std::mt19937_64& rng) {
  StateContext c;
  c.allow_two_primaries = rng() % 2 == 0;
  c.has_verify_alg = rng() % 2 == 0;
  c.has_net_config = rng() % 2 == 0;
  c.device_open = rng() % 2 == 0;
  c.other_volume_peer_primary = rng() % 2 == 0;
  c.fencing = static_cast<Fencing>(rng() % 3);
  c.no_data_suspends = rng() % 2 == 0;
  return c;
}

Verdict Try(const State& from, const State& wanted, const StateContext& context = {}) {
  State out;
  return Decide(from, wanted, context, out);
}

}  // namespace

TEST_CASE("state words of real sessions read as what they meant") {
  const struct {
    uint32_t word;
    const char* text;
  } cases[] = {
      {0x0000c882, "cs:WFConnection ro:Secondary/Unknown ds:Inconsistent/DUnknown r-----"},
      {0x000088aa, "cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent r-----"},
      {0x000090a9, "cs:Connected ro:Primary/Secondary ds:UpToDate/Inconsistent r-----"},
      {0x000108e6, "cs:WFBitMapT ro:Secondary/Primary ds:Inconsistent/UpToDate r-----"},
      {0x000110a6, "cs:Connected ro:Secondary/Primary ds:UpToDate/UpToDate r-----"},
      {0x0000d081, "cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown r-----"},
  };
  for (const auto& c : cases) {
    CHECK(DescribeState(DecodeState(c.word)) == c.text);
    CHECK(EncodeState(DecodeState(c.word)) == c.word);
  }
}

TEST_CASE("every state survives its word, and every word gives a state") {
  std::mt19937_64 rng(Seed());
  for (int i = 0; i < 20000; ++i) {
    const State s = RandomState(rng);
    CHECK(DecodeState(EncodeState(s)) == s);
    const State any = DecodeState(static_cast<uint32_t>(rng()));
    CHECK(any.role <= Role::kSecondary);
    CHECK(any.conn <= Conn::kBehind);
    CHECK(any.disk <= Disk::kUpToDate);
    CHECK(DecodeState(EncodeState(any)) == any);
  }
  const State beyond = DecodeState(0x0001fe00 | 31u << 4 | 3);
  CHECK(beyond.role == Role::kUnknown);
  CHECK(beyond.conn == Conn::kStandAlone);
  CHECK(beyond.disk == Disk::kDUnknown);
  CHECK(beyond.pdsk == Disk::kDUnknown);
}

TEST_CASE("changes are logged as the kernel logs them") {
  State from = Make(Role::kSecondary, Role::kUnknown, Conn::kWFReportParams, Disk::kUpToDate, Disk::kDUnknown);
  State to = Make(Role::kSecondary, Role::kSecondary, Conn::kConnected, Disk::kUpToDate, Disk::kInconsistent);
  CHECK(DescribeChange(from, to) == "peer( Unknown -> Secondary ) conn( WFReportParams -> Connected ) pdsk( DUnknown -> Inconsistent )");
  CHECK(DescribeChange(to, to).empty());
  from = Make(Role::kPrimary, Role::kSecondary, Conn::kSyncSource, Disk::kUpToDate, Disk::kInconsistent);
  to = from;
  to.conn = Conn::kPausedSyncS;
  to.user_isp = true;
  CHECK(DescribeChange(from, to) == "conn( SyncSource -> PausedSyncS ) user_isp( 0 -> 1 )");
}

TEST_CASE("flag characters of /proc/drbd") {
  State s;
  CHECK(StateFlags(s, false) == "r-----");
  s.susp_nod = s.aftr_isp = s.peer_isp = s.user_isp = true;
  CHECK(StateFlags(s, true) == "sapu-s");
  CHECK(DescribeState(State{}) == "cs:Unconfigured");
}

TEST_CASE("every code has a sentence of its own") {
  std::vector<std::string> seen;
  for (int code = -21; code <= 4; ++code) {
    if (code == -3) continue;  // never was one
    const std::string text = VerdictText(static_cast<Verdict>(code));
    CHECK_FALSE(text.empty());
    for (const auto& other : seen) CHECK(other != text);
    seen.push_back(text);
  }
  CHECK(std::string(VerdictText(static_cast<Verdict>(-2))) == "Need access to UpToDate data");
  CHECK(std::string(VerdictText(static_cast<Verdict>(-99))) == "Unknown error");
}

TEST_CASE("sanitising") {
  const StateContext context;
  SUBCASE("1: without a connection the peer is unknown") {
    State s = Connected(Role::kPrimary, Role::kSecondary);
    s.peer_isp = true;
    s.conn = Conn::kNetworkFailure;
    const State out = Sanitize(s, context);
    CHECK(out.peer == Role::kUnknown);
    CHECK(out.pdsk == Disk::kDUnknown);
    CHECK_FALSE(out.peer_isp);
    s.pdsk = Disk::kOutdated;
    CHECK(Sanitize(s, context).pdsk == Disk::kOutdated);
    s.pdsk = Disk::kDiskless;
    CHECK(Sanitize(s, context).pdsk == Disk::kDUnknown);
  }
  SUBCASE("2: a resync ends with the disk of either side") {
    State s = Make(Role::kSecondary, Role::kPrimary, Conn::kSyncTarget, Disk::kFailed, Disk::kUpToDate);
    CHECK(Sanitize(s, context).conn == Conn::kConnected);
    CHECK(Sanitize(s, context).disk == Disk::kFailed);
    s = Make(Role::kPrimary, Role::kSecondary, Conn::kSyncSource, Disk::kUpToDate, Disk::kDiskless);
    CHECK(Sanitize(s, context).conn == Conn::kConnected);
  }
  SUBCASE("3: connected means up to date") {
    const State out = Sanitize(Make(Role::kPrimary, Role::kSecondary, Conn::kConnected, Disk::kConsistent, Disk::kOutdated), context);
    CHECK(out.disk == Disk::kUpToDate);
    CHECK(out.pdsk == Disk::kUpToDate);
  }
  SUBCASE("4: disks fit the connection state") {
    const struct {
      Conn conn;
      Disk disk, pdsk, disk_out, pdsk_out;
    } rows[] = {
        {Conn::kWFBitMapT, Disk::kUpToDate, Disk::kInconsistent, Disk::kOutdated, Disk::kUpToDate},
        {Conn::kWFBitMapT, Disk::kNegotiating, Disk::kUpToDate, Disk::kInconsistent, Disk::kUpToDate},
        {Conn::kStartingSyncT, Disk::kUpToDate, Disk::kUpToDate, Disk::kInconsistent, Disk::kUpToDate},
        {Conn::kSyncTarget, Disk::kOutdated, Disk::kUpToDate, Disk::kInconsistent, Disk::kUpToDate},
        {Conn::kWFBitMapS, Disk::kConsistent, Disk::kUpToDate, Disk::kUpToDate, Disk::kConsistent},
        {Conn::kStartingSyncS, Disk::kUpToDate, Disk::kUpToDate, Disk::kUpToDate, Disk::kConsistent},
        {Conn::kSyncSource, Disk::kUpToDate, Disk::kConsistent, Disk::kUpToDate, Disk::kInconsistent},
        {Conn::kVerifyS, Disk::kUpToDate, Disk::kInconsistent, Disk::kUpToDate, Disk::kUpToDate},
        {Conn::kAhead, Disk::kUpToDate, Disk::kUpToDate, Disk::kUpToDate, Disk::kConsistent},
        {Conn::kBehind, Disk::kUpToDate, Disk::kUpToDate, Disk::kOutdated, Disk::kUpToDate},
    };
    for (const auto& row : rows) {
      const State out = Sanitize(Make(Role::kSecondary, Role::kSecondary, row.conn, row.disk, row.pdsk), context);
      CAPTURE(ConnName(row.conn));
      CHECK(out.conn == row.conn);
      CHECK(DiskName(out.disk) == DiskName(row.disk_out));
      CHECK(DiskName(out.pdsk) == DiskName(row.pdsk_out));
    }
  }
  SUBCASE("5: pause bits") {
    State s = Make(Role::kSecondary, Role::kPrimary, Conn::kSyncTarget, Disk::kInconsistent, Disk::kUpToDate);
    s.peer_isp = true;
    s = Sanitize(s, context);
    CHECK(s.conn == Conn::kPausedSyncT);
    s.disk = Disk::kOutdated;
    s.peer_isp = false;
    s = Sanitize(s, context);
    CHECK(s.conn == Conn::kSyncTarget);
    CHECK(s.disk == Disk::kInconsistent);
  }
  SUBCASE("a Primary that loses its peer under stonith fencing freezes") {
    StateContext fencing;
    fencing.fencing = Fencing::kResourceAndStonith;
    CHECK(Sanitize(Alone(Role::kPrimary, Disk::kUpToDate), fencing).susp_fen);
    CHECK_FALSE(Sanitize(Alone(Role::kSecondary, Disk::kUpToDate), fencing).susp_fen);
    CHECK_FALSE(Sanitize(Alone(Role::kPrimary, Disk::kUpToDate), context).susp_fen);
  }
  SUBCASE("a Primary without any data freezes if configured") {
    StateContext suspends;
    suspends.no_data_suspends = true;
    CHECK(Sanitize(Alone(Role::kPrimary, Disk::kDiskless), suspends).susp_nod);
    CHECK_FALSE(Sanitize(Alone(Role::kPrimary, Disk::kUpToDate), suspends).susp_nod);
  }
}

TEST_CASE("sanitising is idempotent and its result fits the table") {
  std::mt19937_64 rng(Seed());
  for (int i = 0; i < 200000; ++i) {
    const State wanted = RandomState(rng);
    const StateContext context = RandomContext(rng);
    const State once = Sanitize(wanted, context);
    INFO("wanted ", DescribeState(wanted), " once ", DescribeState(once));
    REQUIRE(Sanitize(once, context) == once);
    if (once.conn == Conn::kSyncSource) REQUIRE((once.disk == Disk::kUpToDate && once.pdsk == Disk::kInconsistent));
    if (once.conn == Conn::kSyncTarget) REQUIRE((once.disk == Disk::kInconsistent && once.pdsk == Disk::kUpToDate));
    if (once.conn < Conn::kConnected) REQUIRE(once.peer == Role::kUnknown);
    REQUIRE(once.role == wanted.role);
  }
}

TEST_CASE("refusals of a state") {
  StateContext context;
  context.has_verify_alg = true;
  CHECK(CheckState(Connected(Role::kPrimary, Role::kSecondary), context) == Verdict::kSuccess);
  CHECK(CheckState(Connected(Role::kPrimary, Role::kPrimary), context) == Verdict::kTwoPrimaries);
  context.allow_two_primaries = true;
  CHECK(CheckState(Connected(Role::kPrimary, Role::kPrimary), context) == Verdict::kSuccess);
  context.allow_two_primaries = false;
  context.other_volume_peer_primary = true;
  CHECK(CheckState(Connected(Role::kPrimary, Role::kSecondary), context) == Verdict::kOtherVolumePrimary);
  CHECK(CheckState(Connected(Role::kSecondary, Role::kPrimary), context) == Verdict::kSuccess);
  context.other_volume_peer_primary = false;
  context.device_open = true;
  CHECK(CheckState(Connected(Role::kSecondary, Role::kSecondary), context) == Verdict::kDeviceInUse);
  context.device_open = false;

  CHECK(CheckState(Alone(Role::kPrimary, Disk::kUpToDate), context) == Verdict::kSuccess);
  for (const Disk disk : {Disk::kDiskless, Disk::kInconsistent, Disk::kOutdated, Disk::kConsistent}) {
    CHECK(CheckState(Alone(Role::kPrimary, disk), context) == Verdict::kNoUpToDateDisk);
    CHECK(CheckState(Alone(Role::kSecondary, disk), context) == Verdict::kSuccess);
  }
  CHECK(CheckState(Make(Role::kPrimary, Role::kSecondary, Conn::kConnected, Disk::kInconsistent, Disk::kInconsistent), context) ==
        Verdict::kNoUpToDateDisk);
  CHECK(CheckState(Make(Role::kPrimary, Role::kSecondary, Conn::kConnected, Disk::kDiskless, Disk::kUpToDate), context) ==
        Verdict::kSuccess);
  CHECK(CheckState(Make(Role::kSecondary, Role::kSecondary, Conn::kWFBitMapT, Disk::kInconsistent, Disk::kConsistent), context) ==
        Verdict::kNoUpToDateDisk);
  CHECK(CheckState(Make(Role::kSecondary, Role::kSecondary, Conn::kSyncTarget, Disk::kDiskless, Disk::kUpToDate), context) ==
        Verdict::kNoLocalDisk);
  CHECK(CheckState(Make(Role::kSecondary, Role::kSecondary, Conn::kSyncSource, Disk::kUpToDate, Disk::kDiskless), context) ==
        Verdict::kNoRemoteDisk);
  CHECK(CheckState(Make(Role::kSecondary, Role::kSecondary, Conn::kConnected, Disk::kOutdated, Disk::kUpToDate), context) ==
        Verdict::kConnectedOutdates);
  CHECK(CheckState(Make(Role::kSecondary, Role::kSecondary, Conn::kConnected, Disk::kUpToDate, Disk::kDUnknown), context) ==
        Verdict::kConnectedOutdates);

  const State verify = Make(Role::kSecondary, Role::kSecondary, Conn::kVerifyS, Disk::kUpToDate, Disk::kUpToDate);
  CHECK(CheckState(verify, context) == Verdict::kSuccess);
  context.has_verify_alg = false;
  CHECK(CheckState(verify, context) == Verdict::kNoVerifyAlg);

  context.fencing = Fencing::kResourceOnly;
  State lone = Alone(Role::kPrimary, Disk::kUpToDate);
  CHECK(CheckState(lone, context) == Verdict::kPrimaryNoPeerOutdated);
  lone.pdsk = Disk::kOutdated;
  CHECK(CheckState(lone, context) == Verdict::kSuccess);
}

TEST_CASE("refusals of a step") {
  const StateContext context;
  const State connected = Connected(Role::kSecondary, Role::kSecondary);
  const auto step = [&](State from, auto change) {
    State to = from;
    change(to);
    return CheckTransition(from, to, context);
  };
  CHECK(step(Alone(Role::kSecondary, Disk::kUpToDate), [](State& s) { s.conn = Conn::kStartingSyncT; }) == Verdict::kNeedConnection);
  CHECK(step(Alone(Role::kSecondary, Disk::kUpToDate), [](State& s) { s.conn = Conn::kVerifyS; }) == Verdict::kNeedConnection);
  CHECK(step(connected, [](State& s) { s.conn = Conn::kStartingSyncT; }) == Verdict::kSuccess);
  State syncing = connected;
  syncing.conn = Conn::kSyncSource;
  syncing.pdsk = Disk::kInconsistent;
  CHECK(step(syncing, [](State& s) { s.conn = Conn::kStartingSyncS; }) == Verdict::kResyncRunning);
  CHECK(step(syncing, [](State& s) { s.conn = Conn::kVerifyS; }) == Verdict::kResyncRunning);
  State standalone = Alone(Role::kSecondary, Disk::kUpToDate);
  standalone.conn = Conn::kStandAlone;
  CHECK(step(standalone, [](State& s) { s.conn = Conn::kDisconnecting; }) == Verdict::kAlreadyStandAlone);
  CHECK(step(standalone, [](State& s) { s.conn = Conn::kWFConnection; }) == Verdict::kNoNetConfig);
  CHECK(step(standalone, [](State& s) { s.conn = Conn::kUnconnected; }) == Verdict::kSuccess);
  State diskless = connected;
  diskless.disk = Disk::kDiskless;
  CHECK(step(diskless, [](State& s) { s.disk = Disk::kFailed; }) == Verdict::kIsDiskless);
  CHECK(step(diskless, [](State& s) { s.disk = Disk::kAttaching; }) == Verdict::kSuccess);
  CHECK(step(Alone(Role::kSecondary, Disk::kInconsistent), [](State& s) { s.disk = Disk::kOutdated; }) == Verdict::kLowerThanOutdated);
  CHECK(step(Alone(Role::kSecondary, Disk::kUpToDate), [](State& s) { s.disk = Disk::kOutdated; }) == Verdict::kSuccess);
  CHECK(step(Alone(Role::kSecondary, Disk::kUpToDate), [](State& s) {
          s.conn = Conn::kDisconnecting;
          s.pdsk = Disk::kOutdated;
        }) == Verdict::kPeerOutdateNeedsConnection);
  State handshake = Alone(Role::kSecondary, Disk::kUpToDate);
  handshake.conn = Conn::kWFReportParams;
  CHECK(step(handshake, [](State& s) { s.role = Role::kPrimary; }) == Verdict::kInTransientState);
  CHECK(step(handshake, [](State& s) { s.conn = Conn::kConnected; }) == Verdict::kSuccess);
  CHECK(step(handshake, [](State& s) { s.conn = Conn::kDisconnecting; }) == Verdict::kSuccess);
  State forced = connected;  // the peer was just forced Primary; the resync towards us is about to begin
  forced.disk = Disk::kInconsistent;
  CHECK(step(forced, [](State& s) { s.role = Role::kPrimary; }) == Verdict::kInTransientState);
  forced.conn = Conn::kSyncTarget;
  CHECK(step(forced, [](State& s) { s.role = Role::kPrimary; }) == Verdict::kSuccess);
  State leaving = standalone;
  leaving.conn = Conn::kDisconnecting;
  CHECK(step(leaving, [](State& s) { s.conn = Conn::kUnconnected; }) == Verdict::kInTransientState);
  CHECK(step(leaving, [](State& s) { s.conn = Conn::kStandAlone; }) == Verdict::kSuccess);
  StateContext no_net;
  no_net.has_net_config = false;
  State unconnected = standalone;
  unconnected.conn = Conn::kUnconnected;
  CHECK(CheckTransition(standalone, unconnected, no_net) == Verdict::kNoNetConfig);
}

TEST_CASE("what an administrator hears") {
  SUBCASE("primary on a lone Inconsistent disk, then with force") {
    State from = Alone(Role::kSecondary, Disk::kInconsistent);
    State to = from;
    to.role = Role::kPrimary;
    CHECK(Try(from, to) == Verdict::kNoUpToDateDisk);
    to.disk = Disk::kUpToDate;
    CHECK(Try(from, to) == Verdict::kSuccess);
  }
  SUBCASE("outdate while connected silently does nothing") {
    State to = Connected(Role::kSecondary, Role::kPrimary);
    to.disk = Disk::kOutdated;
    CHECK(Try(Connected(Role::kSecondary, Role::kPrimary), to) == Verdict::kNothingToDo);
  }
  SUBCASE("outdate of a disconnected Primary") {
    State to = Alone(Role::kPrimary, Disk::kOutdated);
    CHECK(Try(Alone(Role::kPrimary, Disk::kUpToDate), to) == Verdict::kNoUpToDateDisk);
  }
  SUBCASE("secondary while the device is open") {
    StateContext open;
    open.device_open = true;
    CHECK(Try(Connected(Role::kPrimary, Role::kSecondary), Connected(Role::kSecondary, Role::kSecondary), open) == Verdict::kDeviceInUse);
  }
  SUBCASE("resync without a disk on either side") {
    State from = Make(Role::kPrimary, Role::kSecondary, Conn::kConnected, Disk::kUpToDate, Disk::kDiskless);
    State to = from;
    to.conn = Conn::kStartingSyncS;
    CHECK(Try(from, to) == Verdict::kNoRemoteDisk);
    from = Make(Role::kSecondary, Role::kPrimary, Conn::kConnected, Disk::kDiskless, Disk::kUpToDate);
    to = from;
    to.conn = Conn::kStartingSyncT;
    CHECK(Try(from, to) == Verdict::kNoLocalDisk);
  }
  SUBCASE("a Primary that is already without data may still change in other respects") {
    const State from = Alone(Role::kPrimary, Disk::kDiskless);
    State to = from;
    to.user_isp = true;
    CHECK(Try(from, to) == Verdict::kSuccess);
    to = Alone(Role::kSecondary, Disk::kDiskless);
    CHECK(Try(from, to) == Verdict::kSuccess);
    CHECK(Try(to, from) == Verdict::kNoUpToDateDisk);
  }
  SUBCASE("a step that is not allowed stays refused even from an illegal state") {
    const State from = Alone(Role::kPrimary, Disk::kDiskless);
    State to = from;
    to.disk = Disk::kInconsistent;
    CHECK(Try(from, to) == Verdict::kIsDiskless);
  }
}

TEST_CASE("no decision makes a second Primary or a Primary without data out of a Secondary") {
  std::mt19937_64 rng(Seed());
  for (int i = 0; i < 300000; ++i) {
    const StateContext context = RandomContext(rng);
    State from = Sanitize(RandomState(rng), context);
    from.role = Role::kSecondary;
    State wanted = RandomState(rng);
    wanted.role = Role::kPrimary;
    State out;
    if (Decide(from, wanted, context, out) < Verdict::kSuccess) continue;
    INFO(DescribeState(from), " => ", DescribeState(out));
    if (!context.allow_two_primaries) REQUIRE(out.peer != Role::kPrimary);
    REQUIRE((out.disk == Disk::kUpToDate || out.pdsk == Disk::kUpToDate));
    if (context.fencing != Fencing::kDontCare && out.conn < Conn::kConnected) REQUIRE(out.pdsk <= Disk::kOutdated);
  }
}

TEST_CASE("requests of a peer, as the kernel sends them") {
  const StateContext context;
  const State connected = Connected(Role::kSecondary, Role::kSecondary);
  const auto apply = [&](const State& old, uint32_t mask, uint32_t value) {
    return Sanitize(ApplyRequest(old, TranslateRequest({mask, value})), context);
  };
  CHECK(apply(connected, 0x00000003, 0x00000001).peer == Role::kPrimary);
  State fresh = connected;
  fresh.disk = fresh.pdsk = Disk::kInconsistent;
  const State forced = apply(fresh, 0x00001e03, 0x00001001);
  CHECK(forced.peer == Role::kPrimary);
  CHECK(forced.pdsk == Disk::kUpToDate);
  CHECK(forced.disk == Disk::kInconsistent);
  CHECK(apply(connected, 0x000001f0, 0x00000010).conn == Conn::kTearDown);
  const State outdated = apply(connected, 0x0001e1f0, 0x0000a010);
  CHECK(outdated.conn == Conn::kTearDown);
  CHECK(outdated.disk == Disk::kOutdated);
  CHECK(apply(connected, 0x00001ff0, 0x00000a10).pdsk == Disk::kOutdated);
  CHECK(apply(connected, 0x00001e00, 0x00000400).pdsk == Disk::kFailed);
  CHECK(apply(connected, 0x000001f0, 0x000000c0).conn == Conn::kStartingSyncS);
  CHECK(apply(connected, 0x000001f0, 0x000000b0).conn == Conn::kStartingSyncT);
  CHECK(apply(connected, 0x000001f0, 0x00000120).conn == Conn::kVerifyT);
  // A connection state that no peer may ask for is refused.
  State out;
  CHECK(Decide(connected, ApplyRequest(connected, TranslateRequest({0x1f0, 0x110})), context, out) < Verdict::kSuccess);
}

TEST_CASE("seen from the other side twice is seen from here") {
  std::mt19937_64 rng(Seed());
  const uint32_t conns[] = {9, 10, 11, 12};
  for (int i = 0; i < 20000; ++i) {
    // Role, peer, disk and pdsk at random; conn one of those that have a counterpart.
    const auto word = [&] { return static_cast<uint32_t>((rng() & 0x1fe0f) | conns[rng() % 4] << 4); };
    const StateRequestWord request{static_cast<uint32_t>(rng() & 0x1fe0f) | 0x1f0, word()};
    const StateRequestWord twice = TranslateRequest(TranslateRequest(request));
    REQUIRE(twice.mask == request.mask);
    REQUIRE(twice.value == request.value);
    // Nobody else suspends our I/O.
    const StateRequestWord wild = TranslateRequest({static_cast<uint32_t>(rng()), static_cast<uint32_t>(rng())});
    REQUIRE(((wild.mask | wild.value) & ~0x0009ffffu) == 0);
  }
}
