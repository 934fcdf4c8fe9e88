#include "sim/world.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/errno_text.h"

namespace drbdts::sim {

using namespace core;
using Kind = Action::Kind;

namespace {
constexpr uint32_t kStillMax = 20000;  // events without time going on that still pass for work
constexpr int kEio = 5, kEnospc = 28, kReset = 104, kRefused = 111, kTimedOut = 110;
}  // namespace

World::World(uint64_t disk_bytes, uint64_t seed, const std::function<void(ResourceConfig&, int)>& configure) : rng(seed) {
  for (int i = 0; i < 2; ++i) {
    ResourceConfig c;
    c.name = "r0";
    c.peer_name = i == 0 ? "b" : "a";
    VolumeConfig v;
    v.disk = "memory";
    v.device = "/dev/drbd0";
    v.options.c_max_rate_kib = 1u << 20;
    v.options.c_plan_ahead = 0;
    v.options.resync_rate_kib = 1u << 20;
    c.volumes.push_back(v);
    if (configure) configure(c, i);
    node_[i] = std::make_unique<Node>(*this, i, disk_bytes, c);
    node_[i]->Start(seed * 2 + static_cast<uint64_t>(i));
  }
}
World::~World() = default;

void World::Note(const std::string& what) {
  if (trace) std::fprintf(stderr, "%12.6f *: %s\n", static_cast<double>(now) / 1e6, what.c_str());
}

void World::Tell(Node& n, Input what, uint16_t volume) {
  ++events;
  for (Observer* o : observers) o->OnInput(n, what, volume);
}

// ---- time ----

void World::Push(TimeUs due, What what, int node, uint32_t slot, uint32_t incarnation) {
  heap_.push_back({due, order_++, what, static_cast<int8_t>(node), slot, incarnation});
  std::push_heap(heap_.begin(), heap_.end());
}

uint32_t World::Keep(std::function<void()> f) {
  if (calls_free_.empty()) {
    calls_.push_back(std::move(f));
    return static_cast<uint32_t>(calls_.size() - 1);
  }
  const uint32_t slot = calls_free_.back();
  calls_free_.pop_back();
  calls_[slot] = std::move(f);
  return slot;
}

void World::At(TimeUs when, std::function<void()> f) { Push(when, What::kCall, -1, Keep(std::move(f)), 0); }

void World::Later(Node& n, TimeUs delay, std::function<void()> f) { Push(now + delay, What::kCall, n.index_, Keep(std::move(f)), n.incarnation_); }

void World::Fire(const Event& e) {
  if (e.node >= 0) {
    Node& n = *node_[e.node];
    const bool gone = !n.alive_ || n.incarnation_ != e.incarnation;
    if (!gone && now < n.paused_until) {
      Push(n.paused_until, e.what, e.node, e.slot, e.incarnation);
      return;
    }
    if (e.what == What::kDisk) {
      if (!gone) DiskDone(n, e.slot);
      return;
    }
    auto f = std::move(calls_[e.slot]);
    calls_free_.push_back(e.slot);
    if (gone) return;
    f();
    Carry(n);
    return;
  }
  auto f = std::move(calls_[e.slot]);
  calls_free_.push_back(e.slot);
  f();
}

TimeUs World::DueOf(const Node& n) const {
  if (!n.alive_) return kNever;
  const TimeUs d = n.Global(n.resource->deadline());
  return d == kNever ? d : std::max(d, n.paused_until);
}

bool World::Step() {
  Network();
  BuryTheDead();
  TimeUs next = heap_.empty() ? kNever : heap_.front().due;
  for (auto& n : node_) next = std::min(next, DueOf(*n));
  for (const auto& c : connections_) {
    for (int i = 0; i < 2; ++i) {
      const Pipe& p = c->to[i];
      if (c->link[i] != kNoLink && node_[i]->alive_ && (!p.empty() || p.eof)) {
        next = std::min(next, std::max({now + net_delay, stall_until_[i], p.hold_until, node_[i]->paused_until}));
      }
    }
  }
  if (next == kNever) return false;
  still_ = next > now ? 0 : still_ + 1;
  if (still_ > kStillMax) {
    livelock = true;
    return false;
  }
  now = std::max(now, next);
  while (!heap_.empty() && heap_.front().due <= now) {
    const Event e = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    Fire(e);
    BuryTheDead();
  }
  for (auto& p : node_) {
    if (DueOf(*p) > now) continue;
    Tell(*p, Input::kTimer);
    p->resource->OnTick(p->Local(now));
    Carry(*p);
  }
  Network();
  BuryTheDead();
  if (on_step) on_step();
  return true;
}

bool World::Until(const std::function<bool()>& condition, TimeUs limit) {
  const TimeUs end = now + limit;
  while (!condition()) {
    if (now > end || !Step()) return condition();
  }
  return true;
}

void World::For(TimeUs duration) {
  const TimeUs end = now + duration;
  const auto over = std::make_shared<bool>(false);
  At(end, [over] { *over = true; });
  while (!*over && Step()) {
  }
}

bool World::Idle() const {
  for (const auto& c : connections_) {
    for (const Pipe& p : c->to) {
      if (!p.empty() || p.hold_until == kNever) return false;  // or it vanished in a black hole, and nobody knows yet
    }
  }
  return node_[0]->io_open_.empty() && node_[1]->io_open_.empty();
}

// ---- a node's edges ----

void World::BuryTheDead() {
  for (auto& n : node_) {
    if (dying_[n->index_]) {
      Note(std::string("node ") + n->name() + " dies between two actions");
      n->Crash(n->crash_power_);
    }
  }
}

void World::Refresh(Node& n) {
  State before[kMaxVolumes];
  const auto count = n.config.volumes.size();
  for (size_t v = 0; v < count; ++v) before[v] = n.snapshot_.volumes[v].state;
  n.resource->FillSnapshot(n.snapshot_, n.Local(now));
  for (size_t v = 0; v < count; ++v) {
    if (before[v] == n.snapshot_.volumes[v].state) continue;
    for (Observer* o : observers) o->OnState(n, static_cast<uint16_t>(v), before[v]);
  }
}

void World::Carry(Node& n) {
  for (int round = 0; round < 100 && n.alive_; ++round) {
    if (!n.resource->actions().empty()) {
      std::vector<Action> todo;
      todo.swap(n.carrying_);
      todo.clear();
      todo.swap(n.resource->actions());
      for (const Action& a : todo) {
        if (n.crash_after_ == 0) {
          Refresh(n);  // what it had become is known to those who keep the books
          n.alive_ = false;
          dying_[n.index_] = true;
          return;
        }
        if (n.crash_after_ != Node::kNoCrash) --n.crash_after_;
        for (Observer* o : observers) o->OnAction(n, a);
        Execute(n, a);
        if (!n.alive_) return;
      }
      if (n.carrying_.capacity() < todo.capacity()) n.carrying_.swap(todo);
      continue;
    }
    SendOutput(n);
    if (n.resource->actions().empty()) return;
  }
}

void World::SendOutput(Node& n) {
  const int other = 1 - n.index_;
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& c = *connections_[i];
    const LinkId l = c.link[n.index_];
    if (l == kNoLink) continue;
    Pipe& pipe = c.to[other];
    for (;;) {
      IoSlice s[16];
      const uint32_t k = n.resource->SendPieces(l, s);
      if (k == 0) break;
      if (c.closed[other] && !pipe.lost) pipe.Clear();  // nobody there any more: the kernel takes it and forgets it
      uint64_t room = pipe.size() >= window_ ? 0 : window_ - pipe.size();
      if (room == 0) break;
      // Bytes are on their way for a while; what follows close behind arrives with them.
      if (pipe.empty()) pipe.hold_until = std::max(pipe.hold_until, now + net_delay / 2 + rng.Below(net_delay + 1));
      uint32_t sent = 0;
      for (uint32_t p = 0; p < k && room != 0; ++p) {
        const auto take = static_cast<uint32_t>(std::min<uint64_t>(room, s[p].bytes));
        pipe.bytes.insert(pipe.bytes.end(), s[p].data, s[p].data + take);
        if (tamper) tamper(other, pipe.bytes.data() + pipe.bytes.size() - take, take);
        sent += take;
        room -= take;
      }
      n.resource->OnSent(l, sent, n.Local(now));
    }
  }
}

void World::DiskDone(Node& n, uint32_t slot) {
  Node::Io& io = n.io_[slot];
  const Action& a = io.action;
  Drive& d = *n.disks[a.volume];
  if (now < d.stalled_until) {
    Push(d.stalled_until + rng.Below(1000), What::kDisk, n.index_, slot, n.incarnation_);
    return;
  }
  const bool meta = a.kind == Kind::kMetaRead || a.kind == Kind::kMetaWrite;
  const bool read = a.kind == Kind::kDiskRead || a.kind == Kind::kMetaRead;
  int error = 0;
  if ((meta && d.fail_meta) || (!meta && read && d.fail_reads) || (!meta && !read && d.fail_writes)) error = kEio;
  else if (d.full && (a.kind == Kind::kDiskWrite || a.kind == Kind::kDiskZero)) error = kEnospc;
  const uint8_t* data = a.kind == Kind::kDiskWrite || a.kind == Kind::kMetaWrite ? a.data : nullptr;
  if (error == 0) {
    if (a.preflush) d.EndFlush(io.flush);
    switch (a.kind) {
      case Kind::kDiskRead:
      case Kind::kMetaRead: d.Read(a.offset_bytes, a.data, a.bytes); break;
      case Kind::kDiskFlush: d.EndFlush(io.flush); break;
      default: d.Write(a.offset_bytes, data, a.bytes, a.dsync); break;
    }
  } else if (!read && a.kind != Kind::kDiskFlush && rng.Below(2) == 0) {
    // A write that failed may have got part of the way.
    const uint64_t part = 512 * (1 + rng.Below(a.bytes / 512));
    d.Write(a.offset_bytes, data, part, false);
  }
  const IoId id = a.io;
  const uint16_t volume = a.volume;
  io.used = false;
  n.io_free_.push_back(slot);
  n.io_open_.erase(std::find(n.io_open_.begin(), n.io_open_.end(), slot));
  Tell(n, error == 0 ? Input::kDiskDone : meta ? Input::kMetaDataError : read ? Input::kReadError : Input::kWriteError, volume);
  n.resource->OnDiskDone(id, error, n.Local(now));
  Carry(n);
}

void World::Execute(Node& n, const Action& a) {
  const int me = n.index_;
  const auto local = [this, &n] { return n.Local(now); };
  switch (a.kind) {
    case Kind::kDiskRead:
    case Kind::kDiskWrite:
    case Kind::kDiskFlush:
    case Kind::kDiskDiscard:
    case Kind::kDiskZero:
    case Kind::kMetaRead:
    case Kind::kMetaWrite: {
      n.CheckIo(a);
      Drive& d = *n.disks[a.volume];
      TimeUs due = now + disk_delay / 2 + rng.Below(disk_delay);
      if (now < d.slow_until) due += rng.Below(d.slow_by + 1);
      uint32_t slot;
      if (n.io_free_.empty()) {
        slot = static_cast<uint32_t>(n.io_.size());
        n.io_.emplace_back();
      } else {
        slot = n.io_free_.back();
        n.io_free_.pop_back();
      }
      n.io_[slot] = {a, a.kind == Kind::kDiskFlush || a.preflush ? d.BeginFlush() : 0, true};
      n.io_open_.push_back(slot);
      Push(due, What::kDisk, me, slot, n.incarnation_);
      break;
    }
    case Kind::kOpenDisk: {
      DiskFacts f = n.facts;
      f.backing_sectors = f.meta_sectors = n.disks[a.volume]->size_bytes() / 512;
      Later(n, 100, [&n, v = a.volume, f, local] { n.resource->OnDiskOpened(v, 0, "", f, local()); });
      break;
    }
    case Kind::kCloseDisk: Later(n, 100, [&n, v = a.volume, local] { n.resource->OnDiskClosed(v, local()); }); break;
    case Kind::kListen: n.listening_ = true; break;
    case Kind::kStopListen: n.listening_ = false; break;
    case Kind::kConnect: Later(n, 200, [this, &n] { Connect(n); }); break;
    case Kind::kCloseLink: CloseFrom(me, a.link); break;
    case Kind::kComplete:
      Refresh(n);  // the core already is in the state that goes with the answer
      n.completed[a.tag] = a.error;
      for (Observer* o : observers) o->OnCompleted(n, a.volume, a.tag, a.error);
      break;
    case Kind::kDeviceUp:
      Later(n, 100, [&n, v = a.volume, local] {
        n.device_up = true;
        n.resource->OnDeviceUp(v, 0, "", local());
      });
      break;
    case Kind::kDeviceDown:
      Later(n, 100, [&n, v = a.volume, local] {
        n.device_up = false;
        n.resource->OnDeviceDown(v, 0, "", local());
      });
      break;
    case Kind::kDeviceCheckOpen: Later(n, 100, [&n, v = a.volume, local] { n.resource->OnDeviceOpen(v, n.holders, local()); }); break;
    case Kind::kDeviceResize: break;
    case Kind::kHandler: {
      n.handlers.push_back(a.text);
      if (!a.wait) break;
      const auto done = [this, &n, id = a.id, v = a.volume, life = n.incarnation_, local](int exit_code) {
        if (!n.alive_ || n.incarnation_ != life) return;
        Tell(n, Input::kHandlerDone, v);
        n.resource->OnHandlerDone(id, exit_code, local());
        Carry(n);
      };
      if (n.on_handler) {
        const std::string name = a.text;
        Later(n, 100, [&n, name, v = a.volume, done] { n.on_handler(name, v, done); });
      } else {
        Later(n, 500, [&n, done] { done(n.handler_exit); });
      }
      break;
    }
    case Kind::kLog:
      n.log.push_back(a.text);
      for (Observer* o : observers) o->OnLog(n, a.volume == 0xffff ? -1 : a.volume, a.text);
      if (trace) std::fprintf(stderr, "%12.6f %c: %s\n", static_cast<double>(now) / 1e6, n.name(), a.text.c_str());
      break;
    case Kind::kChanged: Refresh(n); break;
    case Kind::kCommandDone:
      n.last_code = a.error;
      n.last_done = a.id;
      n.last_text = a.text;
      n.last_detail = a.detail;
      if (trace) {
        std::fprintf(stderr, "%12.6f %c: command %llu -> %d %s %s\n", static_cast<double>(now) / 1e6, n.name(), static_cast<unsigned long long>(a.id), a.error,
                     a.text.c_str(), a.detail.c_str());
      }
      break;
  }
}

// ---- network ----

LinkId World::FreeLink(int node) const {
  for (LinkId id = 0; id < 8; ++id) {
    bool used = false;
    for (const auto& c : connections_) used = used || c->link[node] == id;
    if (!used) return id;
  }
  return kNoLink;
}

void World::Connect(Node& n) {
  const int me = n.index_;
  Node& other = *node_[1 - me];
  const LinkId mine = FreeLink(me), theirs = FreeLink(1 - me);
  if (cut_ || !other.alive_ || !other.listening_ || Stalled() || mine == kNoLink || theirs == kNoLink) {
    Tell(n, Input::kConnectFailed);
    n.resource->OnConnectFailed(Stalled() ? kTimedOut : kRefused, n.Local(now));
    return;
  }
  auto c = std::make_unique<Connection>();
  c->link[me] = mine;
  c->link[1 - me] = theirs;
  connections_.push_back(std::move(c));
  Tell(n, Input::kConnected);
  n.resource->OnConnected(mine, n.Local(now));
  Carry(n);
  if (!other.alive_) return;
  Tell(other, Input::kAccepted);
  other.resource->OnAccepted(theirs, other.Local(now));
  Carry(other);
}

void World::CloseFrom(int node, LinkId link) {
  for (auto& c : connections_) {
    if (c->link[node] != link) continue;
    c->closed[node] = true;
    c->link[node] = kNoLink;
    c->to[node].Clear();
    c->to[1 - node].eof = true;
  }
}

void World::KillConnectionsOf(int node, bool silently) {
  for (auto& c : connections_) {
    if (c->link[node] != kNoLink) {
      c->closed[node] = true;
      c->link[node] = kNoLink;
      c->to[node].lost = silently;
      // Without power nothing more is said; a process that dies leaves its socket buffers to the kernel, which sends them on.
      if (silently) c->to[1 - node].Clear();
      else c->to[1 - node].eof = true;
    }
    c->to[node].Clear();
  }
}

void World::Reset(Connection& c) {
  for (int i = 0; i < 2; ++i) {
    Node& n = *node_[i];
    c.to[i].Clear();
    c.to[i].lost = false;
    if (c.link[i] == kNoLink || !n.alive_) continue;
    const LinkId l = c.link[i];
    c.link[i] = kNoLink;
    c.closed[i] = true;
    Tell(n, Input::kLinkReset);
    n.resource->OnLinkClosed(l, kReset, n.Local(now));
    Carry(n);
  }
}

void World::ResetOne() {
  if (!connections_.empty()) Reset(*connections_[rng.Below(connections_.size())]);
}

void World::DropAll() {
  for (size_t i = 0; i < connections_.size(); ++i) Reset(*connections_[i]);
}

void World::BlackHole() {
  for (auto& c : connections_) {
    for (Pipe& p : c->to) p.Clear(), p.hold_until = kNever, p.held = false;
  }
}

void World::Release(int to) {
  for (auto& c : connections_) {
    if (c->to[to].held) c->to[to].held = false, c->to[to].hold_until = 0;
  }
}

/// How many bytes may be delivered before the triggers have to be looked at again; 0: not now.
uint64_t World::UpToTrigger(Connection& c, int to) {
  Pipe& p = c.to[to];
  if (p.tap.lost()) return p.size();
  if (!p.tap.AtPacket()) return p.tap.Rest();
  const PacketHead head = PeekPacket(p.bytes.data() + p.head, p.size());
  for (size_t i = 0; i < triggers_.size() && head.bytes != 0 && !p.counted; ++i) {
    if (triggers_[i].to != to || triggers_[i].command != head.command || --triggers_[i].nth != 0) continue;
    const PacketTrigger t = triggers_[i];
    triggers_.erase(triggers_.begin() + static_cast<long>(i));
    Note(std::string("before ") + CommandName(static_cast<core::Command>(t.command)) + " to " + node_[to]->name() + ": " + kAtPacketNames[static_cast<size_t>(t.what)]);
    switch (t.what) {
      case AtPacket::kHold: p.held = true, p.hold_until = kNever; break;
      case AtPacket::kReset: Reset(c); break;
      case AtPacket::kCrash:
      case AtPacket::kPowerLoss:
        node_[to]->alive_ = false;
        node_[to]->crash_power_ = t.what == AtPacket::kPowerLoss;
        dying_[to] = true;
        break;
    }
    return 0;
  }
  p.counted = head.bytes != 0;
  return head.bytes;
}

void World::Deliver(Connection& c, int to) {
  Node& n = *node_[to];
  Pipe& p = c.to[to];
  if (p.lost && n.alive_ && now >= stall_until_[to] && !p.empty()) {  // a machine that came back knows nothing of this connection
    Reset(c);
    return;
  }
  if (c.link[to] == kNoLink || !n.alive_ || now < stall_until_[to] || now < p.hold_until || now < n.paused_until) return;
  const LinkId l = c.link[to];
  bool moved = false;
  for (int guard = 0; guard < 1000 && !p.empty() && c.link[to] == l && n.alive_; ++guard) {
    const uint64_t limit = triggers_.empty() ? p.size() : UpToTrigger(c, to);
    if (limit == 0) break;
    const std::span<uint8_t> into = n.resource->ReceiveInto(l);
    Carry(n);
    if (into.empty() || c.link[to] != l || !n.alive_) break;
    size_t k = std::min({into.size(), p.size(), static_cast<size_t>(limit)});
    if (rng.Below(4) == 0) k = 1 + rng.Below(k);
    std::memcpy(into.data(), p.bytes.data() + p.head, k);
    ++events;
    bool alone = true;
    p.tap.Feed(p.bytes.data() + p.head, k, [&](uint16_t command, uint16_t volume) {
      ++events;
      for (Observer* o : observers) o->OnPacket(n, static_cast<core::Command>(command), volume, alone);
      alone = false;
    });
    p.Take(k);
    moved = true;
    n.resource->OnReceived(l, static_cast<uint32_t>(k), n.Local(now));
    Carry(n);
    if (node_[1 - to]->alive_) Carry(*node_[1 - to]);  // there is room again
    if (rough_ && rng.Below(8) == 0) break;
  }
  if (!n.alive_ || p.held) return;
  if (inject && p.empty() && !p.eof && c.link[to] == l) {
    const std::vector<uint8_t> more = inject(to);
    p.bytes.insert(p.bytes.end(), more.begin(), more.end());
  }
  if (p.eof && p.empty() && c.link[to] == l) {
    c.link[to] = kNoLink;
    c.closed[to] = true;
    c.to[1 - to].eof = true;
    Tell(n, Input::kLinkClosed);
    n.resource->OnLinkClosed(l, 0, n.Local(now));
    Carry(n);
  }
  if (rough_ && moved && rng.Below(3) == 0) p.hold_until = now + rng.Below(rng.Below(16) == 0 ? 20000 : 300);
}

void World::Network() {
  for (size_t i = 0; i < connections_.size(); ++i) {
    for (int to = 0; to < 2; ++to) Deliver(*connections_[i], to);
  }
  std::erase_if(connections_, [](const auto& c) { return c->link[0] == kNoLink && c->link[1] == kNoLink; });
}

}  // namespace drbdts::sim
