// Sanitising and refusals of a volume's state, and its 32-bit word (drbd-protocol §5). Texts are in state_names.cc.
#include "core/state.h"

#include <algorithm>

namespace drbdts::core {

namespace {

// Bit positions of §5.1.
constexpr uint32_t kRoleShift = 0, kRoleMask = 3;
constexpr uint32_t kPeerShift = 2;
constexpr uint32_t kConnShift = 4, kConnMask = 31;
constexpr uint32_t kDiskShift = 9, kDiskMask = 15;
constexpr uint32_t kPdskShift = 13;
constexpr uint32_t kSuspBit = 1u << 17, kAftrIspBit = 1u << 18, kPeerIspBit = 1u << 19, kUserIspBit = 1u << 20;
constexpr uint32_t kSuspNodBit = 1u << 21, kSuspFenBit = 1u << 22;

constexpr uint32_t Field(uint32_t word, uint32_t shift, uint32_t mask) { return (word >> shift) & mask; }

Role DecodeRole(uint32_t value) { return value <= 2 ? static_cast<Role>(value) : Role::kUnknown; }
Disk DecodeDisk(uint32_t value) { return value <= 8 ? static_cast<Disk>(value) : Disk::kDUnknown; }

bool PausesResync(const State& s) { return s.aftr_isp || s.peer_isp || s.user_isp; }
bool IsVerify(Conn conn) { return conn == Conn::kVerifyS || conn == Conn::kVerifyT; }
bool IsStarting(Conn conn) { return conn == Conn::kStartingSyncS || conn == Conn::kStartingSyncT; }

struct DiskRange {
  Disk least;
  Disk most;
  Disk Clamp(Disk disk) const { return std::clamp(disk, least, most); }
};
constexpr DiskRange kAnyDisk{Disk::kDiskless, Disk::kUpToDate};

// Rule 4: which disk states a connection state allows, own and peer's.
void ClampDisks(State& s) {
  DiskRange own = kAnyDisk;
  DiskRange peer{Disk::kInconsistent, Disk::kDUnknown};
  switch (s.conn) {
    case Conn::kWFBitMapT:
    case Conn::kPausedSyncT:
    case Conn::kWFSyncUuid:
    case Conn::kBehind:
      own = {Disk::kInconsistent, Disk::kOutdated};
      peer = {Disk::kUpToDate, Disk::kUpToDate};
      break;
    case Conn::kStartingSyncT:  // data declared invalid stay so if the connection goes before a resync begins: the identifiers are still equal
    case Conn::kSyncTarget:
      own = {Disk::kInconsistent, Disk::kInconsistent};
      peer = {Disk::kUpToDate, Disk::kUpToDate};
      break;
    case Conn::kWFBitMapS:
    case Conn::kPausedSyncS:
    case Conn::kStartingSyncS:
    case Conn::kAhead:
      own = {Disk::kUpToDate, Disk::kUpToDate};
      peer = {Disk::kInconsistent, Disk::kConsistent};
      break;
    case Conn::kSyncSource:
      own = {Disk::kUpToDate, Disk::kUpToDate};
      peer = {Disk::kInconsistent, Disk::kInconsistent};
      break;
    case Conn::kVerifyS:
    case Conn::kVerifyT:
      own = {Disk::kUpToDate, Disk::kUpToDate};
      peer = {Disk::kUpToDate, Disk::kUpToDate};
      break;
    case Conn::kConnected:
      peer = kAnyDisk;
      break;
    default:
      break;
  }
  s.disk = own.Clamp(s.disk);
  s.pdsk = peer.Clamp(s.pdsk);
}

Disk OutdatedIsCurrent(Disk disk) { return disk == Disk::kConsistent || disk == Disk::kOutdated ? Disk::kUpToDate : disk; }

}  // namespace

uint32_t EncodeState(const State& s) {
  uint32_t word = static_cast<uint32_t>(s.role) << kRoleShift | static_cast<uint32_t>(s.peer) << kPeerShift |
                  static_cast<uint32_t>(s.conn) << kConnShift | static_cast<uint32_t>(s.disk) << kDiskShift |
                  static_cast<uint32_t>(s.pdsk) << kPdskShift;
  if (s.susp) word |= kSuspBit;
  if (s.aftr_isp) word |= kAftrIspBit;
  if (s.peer_isp) word |= kPeerIspBit;
  if (s.user_isp) word |= kUserIspBit;
  if (s.susp_nod) word |= kSuspNodBit;
  if (s.susp_fen) word |= kSuspFenBit;
  return word;
}

State DecodeState(uint32_t word) {
  State s;
  s.role = DecodeRole(Field(word, kRoleShift, kRoleMask));
  s.peer = DecodeRole(Field(word, kPeerShift, kRoleMask));
  const uint32_t conn = Field(word, kConnShift, kConnMask);
  s.conn = conn <= static_cast<uint32_t>(Conn::kBehind) ? static_cast<Conn>(conn) : Conn::kStandAlone;
  s.disk = DecodeDisk(Field(word, kDiskShift, kDiskMask));
  s.pdsk = DecodeDisk(Field(word, kPdskShift, kDiskMask));
  s.susp = (word & kSuspBit) != 0;
  s.aftr_isp = (word & kAftrIspBit) != 0;
  s.peer_isp = (word & kPeerIspBit) != 0;
  s.user_isp = (word & kUserIspBit) != 0;
  s.susp_nod = (word & kSuspNodBit) != 0;
  s.susp_fen = (word & kSuspFenBit) != 0;
  return s;
}

bool SyncsFromPeer(Conn c) {
  return c == Conn::kStartingSyncT || c == Conn::kWFBitMapT || c == Conn::kWFSyncUuid || c == Conn::kSyncTarget || c == Conn::kPausedSyncT;
}
bool SyncsToPeer(Conn c) { return c == Conn::kStartingSyncS || c == Conn::kWFBitMapS || c == Conn::kSyncSource || c == Conn::kPausedSyncS; }

State Sanitize(const State& wanted, const StateContext& context) {
  State s = wanted;
  // 1. Without a connection nothing is known of the peer, except that its disk may be known to be old.
  if (s.conn < Conn::kConnected) {
    s.peer = Role::kUnknown;
    s.peer_isp = false;
    if (s.pdsk < Disk::kInconsistent || s.pdsk > Disk::kDUnknown) s.pdsk = Disk::kDUnknown;
  }
  // 2. Resync and verify end with the disk of either side. What was to be a target does not become a good copy by that (8.4 would let it).
  if (s.conn > Conn::kConnected && (s.disk <= Disk::kFailed || s.pdsk <= Disk::kFailed)) {
    if (SyncsFromPeer(s.conn) && s.disk > Disk::kOutdated) s.disk = Disk::kOutdated;
    if (SyncsToPeer(s.conn) && s.pdsk > Disk::kOutdated) s.pdsk = Disk::kOutdated;
    s.conn = Conn::kConnected;
  }
  // 3. Connected and not being resynced means up to date; but an outdated disk was compared with nothing if the other side has none.
  if (s.conn >= Conn::kConnected && s.conn <= Conn::kPausedSyncT) {
    if (s.disk != Disk::kOutdated || s.pdsk > Disk::kFailed) s.disk = OutdatedIsCurrent(s.disk);
    if (s.pdsk != Disk::kOutdated || s.disk > Disk::kFailed) s.pdsk = OutdatedIsCurrent(s.pdsk);
  }
  ClampDisks(s);  // 4.
  // 5. A running resync that somebody pauses, a paused one that nobody does.
  const Conn before = s.conn;
  if (PausesResync(s)) {
    if (s.conn == Conn::kSyncSource) s.conn = Conn::kPausedSyncS;
    if (s.conn == Conn::kSyncTarget) s.conn = Conn::kPausedSyncT;
  } else {
    if (s.conn == Conn::kPausedSyncS) s.conn = Conn::kSyncSource;
    if (s.conn == Conn::kPausedSyncT) s.conn = Conn::kSyncTarget;
  }
  // A resumed SyncTarget has to be Inconsistent at once, not at the next state change: else a crash would find it Outdated.
  if (s.conn != before) ClampDisks(s);

  // Suspensions the configuration demands. They only set: whoever suspended also resumes.
  if (context.fencing == Fencing::kResourceAndStonith && s.role == Role::kPrimary && s.conn < Conn::kConnected &&
      s.pdsk > Disk::kOutdated) {
    s.susp_fen = true;
  }
  if (context.no_data_suspends && s.role == Role::kPrimary && s.disk < Disk::kUpToDate && s.pdsk < Disk::kUpToDate) s.susp_nod = true;
  return s;
}

Verdict CheckState(const State& s, const StateContext& context) {
  const bool primary = s.role == Role::kPrimary;
  const bool connected = s.conn >= Conn::kConnected;
  const bool syncing = s.conn > Conn::kConnected;
  if (primary && !context.allow_two_primaries) {
    if (s.peer == Role::kPrimary) return Verdict::kTwoPrimaries;
    if (context.other_volume_peer_primary) return Verdict::kOtherVolumePrimary;
  }
  if (s.role == Role::kSecondary && context.device_open) return Verdict::kDeviceInUse;
  if (primary && !connected && s.disk < Disk::kUpToDate) return Verdict::kNoUpToDateDisk;
  if (context.fencing != Fencing::kDontCare && primary && !connected && s.pdsk >= Disk::kDUnknown) return Verdict::kPrimaryNoPeerOutdated;
  if (primary && s.disk <= Disk::kInconsistent && s.pdsk <= Disk::kInconsistent) return Verdict::kNoUpToDateDisk;
  if (syncing && s.disk < Disk::kInconsistent) return Verdict::kNoLocalDisk;
  if (syncing && s.pdsk < Disk::kInconsistent) return Verdict::kNoRemoteDisk;
  if ((syncing || primary) && s.disk < Disk::kUpToDate && s.pdsk < Disk::kUpToDate) return Verdict::kNoUpToDateDisk;
  const bool keeps_data = s.conn == Conn::kConnected || s.conn == Conn::kWFBitMapS || s.conn == Conn::kSyncSource ||
                          s.conn == Conn::kPausedSyncS;
  if (keeps_data && s.disk == Disk::kOutdated) return Verdict::kConnectedOutdates;
  if (connected && s.pdsk == Disk::kDUnknown) return Verdict::kConnectedOutdates;
  if (IsVerify(s.conn) && !context.has_verify_alg) return Verdict::kNoVerifyAlg;
  return Verdict::kSuccess;
}

Verdict CheckTransition(const State& from, const State& to, const StateContext& context) {
  const bool conn_changes = from.conn != to.conn;
  const bool was_connected = from.conn >= Conn::kConnected;

  if (conn_changes && (IsStarting(to.conn) || IsVerify(to.conn))) {
    if (!was_connected) return Verdict::kNeedConnection;
    if (from.conn > Conn::kConnected) return Verdict::kResyncRunning;
  }
  if ((to.conn == Conn::kSyncSource || to.conn == Conn::kSyncTarget) && from.conn < Conn::kWFReportParams) return Verdict::kNeedConnection;

  if (to.conn == Conn::kDisconnecting && from.conn == Conn::kStandAlone) return Verdict::kAlreadyStandAlone;
  if (to.disk > Disk::kAttaching && from.disk == Disk::kDiskless) return Verdict::kIsDiskless;
  if (from.conn < Conn::kUnconnected && (to.conn == Conn::kWFConnection || (to.conn >= Conn::kUnconnected && !context.has_net_config))) {
    return Verdict::kNoNetConfig;
  }
  if (to.disk == Disk::kOutdated && from.disk < Disk::kOutdated && from.disk != Disk::kAttaching) return Verdict::kLowerThanOutdated;
  if (to.conn == Conn::kDisconnecting && to.pdsk == Disk::kOutdated && !was_connected && from.pdsk > Disk::kOutdated) {
    return Verdict::kPeerOutdateNeedsConnection;
  }

  // Steps that must wait for another one to end.
  const bool handshake = from.conn == Conn::kWFReportParams && !conn_changes;
  if (handshake && (from.role != to.role || from.disk != to.disk)) return Verdict::kInTransientState;
  const bool promotes = from.role != Role::kPrimary && to.role == Role::kPrimary;
  const bool becoming_target = to.pdsk == Disk::kUpToDate && to.disk != Disk::kUpToDate && to.disk != Disk::kDiskless;
  if (promotes && becoming_target && (to.conn <= Conn::kWFSyncUuid || conn_changes)) return Verdict::kInTransientState;
  const bool tearing_down = from.conn >= Conn::kTimeout && from.conn <= Conn::kTearDown;
  if (tearing_down && to.conn >= Conn::kWFConnection) return Verdict::kInTransientState;
  if (from.conn == Conn::kDisconnecting && to.conn > Conn::kDisconnecting) return Verdict::kInTransientState;
  // An established connection ends through Disconnecting, TearDown or a failure; nobody may just wish it away. This is also what a
  // peer gets that asks for a connection state outside the table of §5.4.
  if (was_connected && to.conn == Conn::kStandAlone) return Verdict::kInTransientState;
  return Verdict::kSuccess;
}

Verdict Decide(const State& from, const State& wanted, const StateContext& context, State& out) {
  out = Sanitize(wanted, context);
  // Rule 2 would turn a resync that lacks a disk into "nothing to do"; whoever asked for it has to hear why nothing happens.
  if (from.conn <= Conn::kConnected && wanted.conn > Conn::kConnected && out.conn == Conn::kConnected) {
    return wanted.disk <= Disk::kFailed ? Verdict::kNoLocalDisk : Verdict::kNoRemoteDisk;
  }
  if (out == from) return Verdict::kNothingToDo;
  const Verdict state_verdict = CheckState(out, context);
  // A state that is already illegal must be free to change in other respects.
  if (state_verdict != Verdict::kSuccess && CheckState(from, context) != state_verdict) return state_verdict;
  return CheckTransition(from, out, context);
}

namespace {

// The sender's connection state as the receiver's; kConnMask is a mask and stays one.
uint32_t TranslateConn(uint32_t conn) {
  if (conn == kConnMask) return kConnMask;
  if (conn > static_cast<uint32_t>(Conn::kBehind)) return 0;
  switch (static_cast<Conn>(conn)) {
    case Conn::kConnected:
    case Conn::kWFReportParams: return conn;
    case Conn::kStartingSyncS: return static_cast<uint32_t>(Conn::kStartingSyncT);
    case Conn::kStartingSyncT: return static_cast<uint32_t>(Conn::kStartingSyncS);
    case Conn::kDisconnecting: return static_cast<uint32_t>(Conn::kTearDown);
    case Conn::kVerifyS: return static_cast<uint32_t>(Conn::kVerifyT);
    default: return 0;
  }
}

// The bits that suspend our I/O and our own pause bits are nobody else's to set: they are dropped.
uint32_t TranslateWord(uint32_t word) {
  uint32_t out = Field(word, kPeerShift, kRoleMask) << kRoleShift | Field(word, kRoleShift, kRoleMask) << kPeerShift |
                 TranslateConn(Field(word, kConnShift, kConnMask)) << kConnShift |
                 Field(word, kPdskShift, kDiskMask) << kDiskShift | Field(word, kDiskShift, kDiskMask) << kPdskShift;
  if ((word & (kAftrIspBit | kUserIspBit)) != 0) out |= kPeerIspBit;
  return out;
}

}  // namespace

StateRequestWord TranslateRequest(const StateRequestWord& from_peer) {
  return {TranslateWord(from_peer.mask), TranslateWord(from_peer.value)};
}

State ApplyRequest(const State& old, const StateRequestWord& request) {
  return DecodeState((EncodeState(old) & ~request.mask) | (request.value & request.mask));
}

}  // namespace drbdts::core
