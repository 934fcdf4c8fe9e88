#include "core/connector.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <vector>

#undef CHECK  // here it is the test framework's, not the one that aborts
#include <doctest/doctest.h>

using namespace drbdts::core;

namespace {

using Kind = Connector::Output::Kind;
constexpr TimeUs kMs = 1000;
constexpr TimeUs kSec = 1000 * kMs;

Random MakeRandom(uint64_t seed) {
  std::array<uint8_t, 32> bytes{};
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(seed >> (8 * i));
  return Random(bytes);
}

// One connector, driven by hand.
struct Bench {
  Connector connector{ConnectorOptions{}};
  Random random = MakeRandom(7);
  TimeUs now = 1000 * kSec;
  Connector::Outputs out;

  std::vector<Kind> Take() {
    std::vector<Kind> kinds;
    for (uint32_t i = 0; i < out.count; ++i) kinds.push_back(out.item[i].kind);
    last = out;
    out = {};
    return kinds;
  }
  std::vector<Kind> Start() { connector.Start(now, random, out); return Take(); }
  std::vector<Kind> Connected(LinkId link) { connector.OnConnected(link, now, random, out); return Take(); }
  std::vector<Kind> Failed() { connector.OnConnectFailed(now, random, out); return Take(); }
  std::vector<Kind> Accepted(LinkId link) { connector.OnAccepted(link, now, random, out); return Take(); }
  std::vector<Kind> First(LinkId link, Connector::First first) { connector.OnFirstPacket(link, first, now, random, out); return Take(); }
  std::vector<Kind> Closed(LinkId link) { connector.OnClosed(link, now, random, out); return Take(); }
  std::vector<Kind> ToDeadline() {
    REQUIRE(connector.deadline() != kNever);
    now = std::max(now, connector.deadline());
    connector.OnTick(now, random, out);
    return Take();
  }
  Connector::Outputs last;
};

using Kinds = std::vector<Kind>;

}  // namespace

TEST_CASE("usual outcome, side that comes first: own data socket, the peer's meta socket") {
  Bench b;
  CHECK(b.Start() == Kinds{Kind::kListen, Kind::kConnect});
  CHECK(b.Connected(1) == Kinds{Kind::kSendInitialData});
  CHECK(b.last.item[0].link == 1);
  CHECK(b.Accepted(2).empty());
  CHECK(b.First(2, Connector::First::kInitialMeta).empty());
  const TimeUs checking_since = b.now;
  CHECK(b.ToDeadline() == Kinds{Kind::kStopListen, Kind::kEstablished});
  CHECK(b.now == checking_since + 500 * kMs);
  CHECK(b.last.item[1].link == 1);
  CHECK(b.last.item[1].meta == 2);
  CHECK(b.last.item[1].resolve_conflicts);
  CHECK_FALSE(b.connector.running());
  CHECK(b.connector.deadline() == kNever);
}

TEST_CASE("usual outcome, the other side: accepts data, then connects meta at once") {
  Bench b;
  b.Start();
  CHECK(b.Failed().empty());
  CHECK(b.Accepted(1).empty());
  CHECK(b.First(1, Connector::First::kInitialData) == Kinds{Kind::kConnect});
  CHECK(b.Connected(2) == Kinds{Kind::kSendInitialMeta});
  CHECK(b.ToDeadline() == Kinds{Kind::kStopListen, Kind::kEstablished});
  CHECK(b.last.item[1].link == 1);
  CHECK(b.last.item[1].meta == 2);
  CHECK_FALSE(b.last.item[1].resolve_conflicts);
}

TEST_CASE("a refused connect is not repeated before the accept wait ends, 6/7 or 8/7 of connect-int") {
  Bench b;
  b.Start();
  std::map<TimeUs, int> waits;
  for (int i = 0; i < 50; ++i) {
    const TimeUs begin = b.now;
    CHECK(b.Failed().empty());
    CHECK(b.ToDeadline() == Kinds{Kind::kConnect});
    ++waits[b.now - begin];
  }
  CHECK(waits.size() == 2);
  for (const auto& [wait, times] : waits) CHECK((wait / kMs == 8571 || wait / kMs == 11428));
}

TEST_CASE("a peer that does not listen is still served: with data alone, the second socket is tried when the wait is over") {
  Bench b;
  b.Start();
  b.Connected(1);
  CHECK(b.ToDeadline() == Kinds{Kind::kConnect});
  CHECK(b.Connected(2) == Kinds{Kind::kSendInitialMeta});
  CHECK(b.ToDeadline().back() == Kind::kEstablished);
}

TEST_CASE("a socket that dies during the check is not used") {
  Bench b;
  b.Start();
  b.Connected(1);
  b.Accepted(2);
  b.First(2, Connector::First::kInitialMeta);
  CHECK(b.Closed(1).empty());
  CHECK(b.ToDeadline() == Kinds{Kind::kConnect});
  CHECK(b.Connected(3) == Kinds{Kind::kSendInitialData});
  CHECK(b.ToDeadline().back() == Kind::kEstablished);
  CHECK(b.last.item[1].link == 3);
  CHECK(b.last.item[1].meta == 2);
}

TEST_CASE("a crossing keeps the younger socket") {
  Bench b;
  b.Start();
  b.Accepted(2);
  b.First(2, Connector::First::kInitialData);  // before our own connect ended
  const Kinds kinds = b.Connected(1);
  REQUIRE(kinds.size() >= 2);
  CHECK(kinds[0] == Kind::kSendInitialData);
  CHECK(kinds[1] == Kind::kClose);
  CHECK(b.last.item[1].link == 1);
}

TEST_CASE("strangers: silence, a wrong first packet, a closed link") {
  Bench b;
  b.Start();
  b.Failed();
  SUBCASE("silence ends after 4 x ping-timeout") {
    b.Accepted(9);
    const TimeUs begin = b.now;
    const Kinds kinds = b.ToDeadline();
    CHECK(b.now == begin + 2 * kSec);
    CHECK(kinds[0] == Kind::kClose);
    CHECK(b.last.item[0].link == 9);
  }
  SUBCASE("wrong packet") {
    b.Accepted(9);
    CHECK(b.First(9, Connector::First::kOther)[0] == Kind::kClose);
  }
  SUBCASE("closed again") {
    b.Accepted(9);
    b.Closed(9);
    CHECK(b.connector.running());
  }
  SUBCASE("more than four at a time are turned away") {
    for (LinkId link = 10; link < 14; ++link) CHECK(b.Accepted(link).empty());
    CHECK(b.Accepted(14) == Kinds{Kind::kClose});
    CHECK(b.last.item[0].link == 14);
    // And all of them are gone when their time is over.
    size_t closed = 0;
    for (const Kind kind : b.ToDeadline()) closed += kind == Kind::kClose ? 1 : 0;
    CHECK(closed == 4);
  }
  SUBCASE("an unknown link is nobody's business") {
    CHECK(b.First(77, Connector::First::kInitialData).empty());
    CHECK(b.Closed(77).empty());
    CHECK(b.Closed(kNoLink).empty());
  }
  CHECK(b.connector.running());
}

TEST_CASE("stop closes everything, and what comes later is closed at once") {
  Bench b;
  b.Start();
  b.Connected(1);
  b.Accepted(2);
  b.connector.Stop(b.out);
  CHECK(b.Take() == Kinds{Kind::kClose, Kind::kClose, Kind::kStopListen});
  CHECK(b.Connected(3) == Kinds{Kind::kClose});
  CHECK(b.Accepted(4) == Kinds{Kind::kClose});
  CHECK(b.Failed().empty());
  b.connector.OnTick(b.now + 100 * kSec, b.random, b.out);
  CHECK(b.Take().empty());
}

TEST_CASE("an attempt that nobody ends does not hold up the loop") {
  Bench b;
  b.Start();
  CHECK(b.ToDeadline().empty());                // gives up, now accepting
  CHECK(b.Connected(1) == Kinds{Kind::kClose});  // too late
  CHECK(b.ToDeadline() == Kinds{Kind::kConnect});
}

// ---- Two connectors and a small network ------------------------------------------------------------------------------------------------

namespace {

struct Link {
  int initiator = 0;
  bool open[2] = {true, false};  // this side's end exists (by node)
  Connector::First first = Connector::First::kOther;
};

class World {
 public:
  explicit World(uint64_t seed) : rng_(seed), random_{MakeRandom(seed), MakeRandom(seed ^ 0x5555)} {
    max_delay_ = rng_() % 3 == 0 ? 300 * kMs : rng_() % 2 == 0 ? 5 * kMs : 200;
    refuse_percent_ = rng_() % 3 == 0 ? 20 : 0;
    // Half of the time both start within the same moment, so that their connects cross.
    for (int n = 0; n < 2; ++n) {
      const TimeUs at = rng_() % (rng_() % 2 == 0 ? 2 * kMs : 20 * kSec) + 1;
      At(at, [this, n] { Start(n); });
    }
  }

  /// Simulated time at which both were established on the same sockets, 0 if that took longer than `limit`.
  TimeUs Run(TimeUs limit) {
    while (now_ < limit) {
      TimeUs next = events_.empty() ? kNever : events_.top().at;
      for (int n = 0; n < 2; ++n) next = std::min(next, connector_[n].deadline());
      if (next == kNever) break;
      now_ = std::max(now_, next);
      if (!events_.empty() && events_.top().at <= now_) {
        const auto action = events_.top().action;
        events_.pop();
        action();
      } else {
        for (int n = 0; n < 2; ++n) {
          if (connector_[n].deadline() <= now_) Call(n, [this, n](auto& out) { connector_[n].OnTick(now_, random_[n], out); });
        }
      }
      if (Matched()) return now_;
    }
    return 0;
  }
  bool OppositeFlags() const { return up_[0].resolve_conflicts != up_[1].resolve_conflicts; }
  bool RolesFit() const {
    // The node that accepted the meta socket resolves conflicts.
    const Link& meta = links_.at(up_[0].meta);
    return up_[meta.initiator].resolve_conflicts == false;
  }
  int restarts() const { return restarts_; }

 private:
  struct Event {
    TimeUs at;
    uint64_t order;
    std::function<void()> action;
    bool operator<(const Event& o) const { return at != o.at ? at > o.at : order > o.order; }
  };
  struct Up {
    bool is = false;
    LinkId data = kNoLink, meta = kNoLink;
    bool resolve_conflicts = false;
    uint64_t generation = 0;
  };

  void At(TimeUs at, std::function<void()> action) { events_.push({at, order_++, std::move(action)}); }
  TimeUs Delay() { return 50 + rng_() % max_delay_; }
  /// Packets of one link and direction stay in order.
  TimeUs Arrival(LinkId link, int to) {
    TimeUs& last = last_arrival_[{link, to}];
    last = std::max(last + 1, now_ + Delay());
    return last;
  }

  template <typename F>
  void Call(int n, F f) {
    Connector::Outputs out;
    f(out);
    for (uint32_t i = 0; i < out.count; ++i) Do(n, out.item[i]);
  }

  void Start(int n) {
    Call(n, [this, n](auto& out) { connector_[n].Start(now_, random_[n], out); });
  }

  void Do(int n, const Connector::Output& o) {
    switch (o.kind) {
      case Kind::kListen: listening_[n] = true; break;
      case Kind::kStopListen: listening_[n] = false; break;
      case Kind::kConnect: Connect(n); break;
      case Kind::kClose: Close(n, o.link); break;
      case Kind::kSendInitialData: SendFirst(n, o.link, Connector::First::kInitialData); break;
      case Kind::kSendInitialMeta: SendFirst(n, o.link, Connector::First::kInitialMeta); break;
      case Kind::kEstablished: Established(n, o); break;
    }
  }

  void Connect(int n) {
    const int peer = 1 - n;
    At(now_ + Delay(), [this, n, peer] {
      if (!listening_[peer] || rng_() % 100 < refuse_percent_) {
        At(now_ + Delay(), [this, n] { Call(n, [this, n](auto& out) { connector_[n].OnConnectFailed(now_, random_[n], out); }); });
        return;
      }
      const LinkId link = NewLink(n);
      links_[link].open[n] = true;
      links_[link].open[peer] = true;
      At(Arrival(link, n), [this, n, link] { Call(n, [&](auto& out) { connector_[n].OnConnected(link, now_, random_[n], out); }); });
      Call(peer, [&](auto& out) { connector_[peer].OnAccepted(link, now_, random_[peer], out); });
    });
  }

  LinkId NewLink(int initiator) {
    for (int tries = 0; tries < 255; ++tries) {
      next_link_ = static_cast<LinkId>((next_link_ + 1) % 250);
      const auto it = links_.find(next_link_);
      if (it == links_.end() || (!it->second.open[0] && !it->second.open[1])) break;
    }
    links_[next_link_] = Link{};
    links_[next_link_].initiator = initiator;
    return next_link_;
  }

  void SendFirst(int n, LinkId link, Connector::First first) {
    const int peer = 1 - n;
    At(Arrival(link, peer), [this, peer, link, first] {
      if (!links_[link].open[peer]) return;
      Call(peer, [&](auto& out) { connector_[peer].OnFirstPacket(link, first, now_, random_[peer], out); });
    });
  }

  void Close(int n, LinkId link) {
    if (!links_[link].open[n]) return;
    links_[link].open[n] = false;
    const int peer = 1 - n;
    At(Arrival(link, peer), [this, peer, link] {
      if (!links_[link].open[peer]) return;
      links_[link].open[peer] = false;
      if (up_[peer].is && (up_[peer].data == link || up_[peer].meta == link)) {
        Lost(peer);
      } else {
        Call(peer, [&](auto& out) { connector_[peer].OnClosed(link, now_, random_[peer], out); });
      }
    });
  }

  // The engine above: features have to come within 4 x ping-timeout, else it starts again after a second.
  void Established(int n, const Connector::Output& o) {
    up_[n] = {true, o.link, o.meta, o.resolve_conflicts, ++generation_};
    if (!links_[o.link].open[n] || !links_[o.meta].open[n]) return Lost(n);
    At(now_ + 2 * kSec, [this, n, generation = generation_] {
      if (up_[n].is && up_[n].generation == generation && !Matched()) Lost(n);
    });
  }

  void Lost(int n) {
    ++restarts_;
    const Up was = up_[n];
    up_[n] = {};
    Close(n, was.data);
    Close(n, was.meta);
    At(now_ + kSec, [this, n] { Start(n); });
  }

  bool Matched() const {
    return up_[0].is && up_[1].is && up_[0].data == up_[1].data && up_[0].meta == up_[1].meta && links_.at(up_[0].data).open[0] &&
           links_.at(up_[0].data).open[1] && links_.at(up_[0].meta).open[0] && links_.at(up_[0].meta).open[1];
  }

  std::mt19937_64 rng_;
  Random random_[2];
  Connector connector_[2] = {Connector{ConnectorOptions{}}, Connector{ConnectorOptions{}}};
  TimeUs now_ = 0;
  TimeUs max_delay_ = kMs;
  uint64_t refuse_percent_ = 0;
  bool listening_[2] = {false, false};
  Up up_[2];
  uint64_t generation_ = 0;
  int restarts_ = 0;
  std::map<LinkId, Link> links_;
  std::map<std::pair<LinkId, int>, TimeUs> last_arrival_;
  LinkId next_link_ = 0;
  std::priority_queue<Event> events_;
  uint64_t order_ = 0;
};

}  // namespace

TEST_CASE("two nodes always find together, on the same two sockets and with opposite flags") {
  const char* given = std::getenv("DRBDTS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::vector<TimeUs> times;
  int restarts = 0;
  for (uint64_t i = 0; i < 3000; ++i) {
    CAPTURE(seed + i);
    World world(seed + i);
    const TimeUs at = world.Run(1800 * kSec);
    REQUIRE(at != 0);
    REQUIRE(world.OppositeFlags());
    REQUIRE(world.RolesFit());
    restarts += world.restarts();
    times.push_back(at);
  }
  std::sort(times.begin(), times.end());
  const auto seconds = [&](size_t index) { return times[index] / kSec; };
  MESSAGE("simulated seconds until connected: median " << seconds(times.size() / 2) << ", 99% " << seconds(times.size() * 99 / 100)
                                                       << ", longest " << seconds(times.size() - 1) << "; restarts " << restarts);
  // Both were up after 20 s at most; then one accept wait is the usual price.
  CHECK(times[times.size() / 2] < 40 * kSec);
}
