#include "support/pair.h"

#include <algorithm>
#include <cstdio>

namespace pair_test {

namespace {
constexpr uint64_t kArenaBytes[3] = {8u << 20, 8u << 20, 8u << 20};
}

Node::Node(Pair& pair, int index, uint64_t disk_bytes, const ResourceConfig& c) : disk(disk_bytes), config(c), pair_(pair), index_(index) {
  auto l = ComputeLayout(c.volumes[0].place, disk_bytes / 512, disk_bytes / 512);
  layout = l.value();
}

void Node::CreateMd() {
  const SuperBlock sb = FreshSuperBlock(layout, 0x1234, 0, 1, 8);
  std::fill(disk.bytes.begin() + static_cast<long>(layout.bitmap_sector * 512), disk.bytes.end(), 0);
  EncodeSuperBlock(sb, std::span<uint8_t, kMetaBlockBytes>(disk.bytes.data() + layout.super_block_sector * 512, kMetaBlockBytes));
  AlBlock b;
  b.initialized_only = true;
  for (uint64_t i = 0; i < layout.al_blocks; ++i) {
    EncodeAlBlock(b, std::span<uint8_t, kMetaBlockBytes>(disk.bytes.data() + layout.al_sector * 512 + i * 4096, kMetaBlockBytes));
  }
  disk.durable = disk.bytes;
}

void Node::Start(uint64_t seed) {
  for (int i = 0; i < 3; ++i) {
    memory_[i].assign(kArenaBytes[i] + 4096, 0);
    auto p = reinterpret_cast<uintptr_t>(memory_[i].data());
    p = (p + 4095) & ~uintptr_t{4095};
    arena_[i] = std::make_unique<PageArena>(std::span<uint8_t>(reinterpret_cast<uint8_t*>(p), kArenaBytes[i]));
  }
  std::array<uint8_t, 32> s{};
  std::memcpy(s.data(), &seed, 8);
  s[9] = static_cast<uint8_t>(index_);
  resource = std::make_unique<Resource>(config, Arenas{arena_[0].get(), arena_[1].get(), arena_[2].get()}, s);
  alive = true;
  device_up = false;
  listening = false;
  completed.clear();
  disk_queue.clear();
  later.clear();
}

void Node::Crash(bool power_loss, std::mt19937_64& rng) {
  alive = false;
  // Writes under way may or may not reach the disk, sector by sector when the power goes.
  for (auto& io : disk_queue) {
    const Action& a = io.action;
    if (a.kind != Action::Kind::kDiskWrite && a.kind != Action::Kind::kMetaWrite) continue;
    for (uint64_t o = 0; o < a.bytes; o += 512) {
      if (power_loss && rng() % 2 == 0) continue;
      std::memcpy(disk.bytes.data() + a.offset_bytes + o, a.data + o, 512);
    }
  }
  disk_queue.clear();
  later.clear();
  if (power_loss) {
    for (size_t o = 0; o < disk.bytes.size(); o += 512) {
      if (std::memcmp(&disk.bytes[o], &disk.durable[o], 512) != 0 && rng() % 2 == 0) std::memcpy(&disk.bytes[o], &disk.durable[o], 512);
    }
    disk.durable = disk.bytes;
  }
  resource.reset();
  pair_.KillConnectionsOf(index_);
  listening = false;
  device_up = false;
}

void Node::Command(AdminCommand c) {
  resource->OnCommand(next_command++, c, pair_.now);
  pair_.Carry(*this);
}

int Node::Run(AdminCommand::Kind kind, const std::function<void(AdminCommand&)>& set) {
  AdminCommand c;
  c.kind = kind;
  if (set) set(c);
  const uint64_t id = next_command;
  last_code = -1000;
  Command(c);
  pair_.Until([&] { return last_done >= id; });
  return last_code;
}

State Node::state(uint32_t volume) const {
  Snapshot s;
  if (resource == nullptr) return State{};
  resource->FillSnapshot(s, pair_.now);
  return s.volumes[volume].state;
}

const VolumeSnapshot& Node::snap(uint32_t volume) {
  resource->FillSnapshot(snapshot_, pair_.now);
  return snapshot_.volumes[volume];
}

uint64_t Node::Submit(BlockOp op, uint64_t sector, uint32_t bytes, uint8_t* data, bool fua) {
  BlockIo io;
  io.tag = next_tag++;
  io.op = op;
  io.sector = sector;
  io.bytes = bytes;
  io.data = data;
  io.fua = fua;
  resource->OnRequest(0, io, pair_.now);
  pair_.Carry(*this);
  return io.tag;
}

Pair::Pair(uint64_t disk_bytes, uint64_t seed, const std::function<void(ResourceConfig&, int)>& configure) : rng(seed) {
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

LinkId Pair::FreeLink(int node) const {
  for (LinkId id = 0; id < 8; ++id) {
    bool used = false;
    for (const auto& c : connections_) used = used || c->link[node] == id;
    if (!used) return id;
  }
  return kNoLink;
}

void Pair::CloseFrom(int node, LinkId link) {
  for (auto& c : connections_) {
    if (c->link[node] != link) continue;
    c->closed[node] = true;
    c->link[node] = kNoLink;
    c->to[node].bytes.clear();
    c->to[1 - node].eof = true;
  }
}

void Pair::KillConnectionsOf(int node) {
  for (auto& c : connections_) {
    if (c->link[node] != kNoLink) {
      c->closed[node] = true;
      c->link[node] = kNoLink;
    }
    c->to[node].bytes.clear();
    c->to[1 - node].eof = true;
  }
}

void Pair::DropAll() {
  for (auto& c : connections_) {
    for (int i = 0; i < 2; ++i) {
      c->to[i].bytes.clear();
      if (c->link[i] == kNoLink || !node_[i]->alive) continue;
      const LinkId l = c->link[i];
      c->link[i] = kNoLink;
      c->closed[i] = true;
      node_[i]->resource->OnLinkClosed(l, 104, now);
      Carry(*node_[i]);
    }
  }
}

void Pair::Execute(Node& n, const Action& a) {
  const int me = n.index_;
  switch (a.kind) {
    case Action::Kind::kDiskRead:
    case Action::Kind::kDiskWrite:
    case Action::Kind::kDiskFlush:
    case Action::Kind::kDiskDiscard:
    case Action::Kind::kDiskZero:
    case Action::Kind::kMetaRead:
    case Action::Kind::kMetaWrite: n.disk_queue.push_back({a, now + disk_delay / 2 + rng() % disk_delay}); break;
    case Action::Kind::kOpenDisk: {
      DiskFacts f;
      f.backing_sectors = f.meta_sectors = n.disk.bytes.size() / 512;
      f.can_discard = f.discard_zeroes = true;
      n.later.push_back({now + 100, [&n, v = a.volume, f, this] { n.resource->OnDiskOpened(v, 0, "", f, now); }});
      break;
    }
    case Action::Kind::kCloseDisk: n.later.push_back({now + 100, [&n, v = a.volume, this] { n.resource->OnDiskClosed(v, now); }}); break;
    case Action::Kind::kListen: n.listening = true; break;
    case Action::Kind::kStopListen: n.listening = false; break;
    case Action::Kind::kConnect: {
      n.later.push_back({now + 200, [&n, me, this] {
                           Node& other = *node_[1 - me];
                           if (cut_ || !other.alive || !other.listening) {
                             n.resource->OnConnectFailed(111, now);
                             return;
                           }
                           auto c = std::make_unique<Connection>();
                           c->link[me] = FreeLink(me);
                           c->link[1 - me] = FreeLink(1 - me);
                           const LinkId mine = c->link[me], theirs = c->link[1 - me];
                           if (mine == kNoLink || theirs == kNoLink) {
                             n.resource->OnConnectFailed(111, now);
                             return;
                           }
                           connections_.push_back(std::move(c));
                           n.resource->OnConnected(mine, now);
                           Carry(n);
                           other.resource->OnAccepted(theirs, now);
                           Carry(other);
                         }});
      break;
    }
    case Action::Kind::kCloseLink: CloseFrom(me, a.link); break;
    case Action::Kind::kComplete: n.completed[a.tag] = a.error; break;
    case Action::Kind::kDeviceUp:
      n.later.push_back({now + 100, [&n, v = a.volume, this] {
                           n.device_up = true;
                           n.resource->OnDeviceUp(v, 0, "", now);
                         }});
      break;
    case Action::Kind::kDeviceDown:
      n.later.push_back({now + 100, [&n, v = a.volume, this] {
                           n.device_up = false;
                           n.resource->OnDeviceDown(v, 0, "", now);
                         }});
      break;
    case Action::Kind::kDeviceCheckOpen:
      n.later.push_back({now + 100, [&n, v = a.volume, this] { n.resource->OnDeviceOpen(v, n.holders, now); }});
      break;
    case Action::Kind::kDeviceResize: break;
    case Action::Kind::kHandler:
      n.handlers.push_back(a.text);
      if (a.wait) {
        n.later.push_back({now + 500, [&n, id = a.id, this] { n.resource->OnHandlerDone(id, n.handler_exit, now); }});
      }
      break;
    case Action::Kind::kLog:
      n.log.push_back(a.text);
      if (trace) std::fprintf(stderr, "%12.6f %c: %s\n", static_cast<double>(now) / 1e6, 'A' + me, a.text.c_str());
      break;
    case Action::Kind::kChanged: break;
    case Action::Kind::kCommandDone:
      n.last_code = a.error;
      n.last_done = a.id;
      n.last_text = a.text;
      n.last_detail = a.detail;
      if (trace) std::fprintf(stderr, "%12.6f %c: command %llu -> %d %s %s\n", static_cast<double>(now) / 1e6, 'A' + me, (unsigned long long)a.id, a.error, a.text.c_str(), a.detail.c_str());
      break;
  }
}

void Pair::Carry(Node& n) {
  if (!n.alive) return;
  for (int guard = 0; guard < 100 && !n.resource->actions().empty(); ++guard) {
    std::vector<Action> todo;
    todo.swap(n.resource->actions());
    for (const Action& a : todo) {
      Execute(n, a);
      if (!n.alive) return;
    }
  }
  // Output to the wire.
  for (auto& c : connections_) {
    const LinkId l = c->link[n.index_];
    if (l == kNoLink) continue;
    for (;;) {
      IoSlice s[16];
      const uint32_t k = n.resource->SendPieces(l, s);
      if (k == 0) break;
      uint32_t sent = 0;
      for (uint32_t i = 0; i < k; ++i) {
        auto& to = c->to[1 - n.index_].bytes;
        to.insert(to.end(), s[i].data, s[i].data + s[i].bytes);
        sent += s[i].bytes;
      }
      n.resource->OnSent(l, sent, now);
    }
  }
  if (!n.resource->actions().empty()) Carry(n);
}

void Pair::Network() {
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& c = *connections_[i];
    for (int to = 0; to < 2; ++to) {
      Node& n = *node_[to];
      if (c.link[to] == kNoLink || !n.alive) continue;
      const LinkId l = c.link[to];
      Pipe& p = c.to[to];
      for (int guard = 0; guard < 1000 && !p.bytes.empty() && c.link[to] == l; ++guard) {
        const std::span<uint8_t> into = n.resource->ReceiveInto(l);
        Carry(n);
        if (into.empty() || c.link[to] != l) break;
        size_t k = std::min(into.size(), p.bytes.size());
        if (rng() % 4 == 0) k = 1 + rng() % k;
        std::copy(p.bytes.begin(), p.bytes.begin() + static_cast<long>(k), into.begin());
        p.bytes.erase(p.bytes.begin(), p.bytes.begin() + static_cast<long>(k));
        n.resource->OnReceived(l, static_cast<uint32_t>(k), now);
        Carry(n);
      }
      if (p.eof && p.bytes.empty() && c.link[to] == l) {
        c.link[to] = kNoLink;
        c.closed[to] = true;
        c.to[1 - to].eof = true;
        n.resource->OnLinkClosed(l, 0, now);
        Carry(n);
      }
    }
  }
  std::erase_if(connections_, [](const auto& c) { return c->link[0] == kNoLink && c->link[1] == kNoLink; });
}

bool Pair::Step() {
  Network();
  // The next thing that is due.
  TimeUs next = kNever;
  for (auto& p : node_) {
    Node& n = *p;
    if (!n.alive) continue;
    for (const auto& io : n.disk_queue) next = std::min(next, io.due);
    for (const auto& l : n.later) next = std::min(next, l.first);
    next = std::min(next, n.resource->deadline());
  }
  for (const auto& c : connections_) {
    for (int i = 0; i < 2; ++i) {
      if (c->link[i] != kNoLink && (!c->to[i].bytes.empty() || c->to[i].eof)) next = std::min(next, now + net_delay);
    }
  }
  if (next == kNever) return false;
  now = std::max(now, next);
  for (auto& p : node_) {
    Node& n = *p;
    if (!n.alive) continue;
    for (size_t i = 0; i < n.disk_queue.size();) {
      if (n.disk_queue[i].due > now) {
        ++i;
        continue;
      }
      const Action a = n.disk_queue[i].action;
      n.disk_queue.erase(n.disk_queue.begin() + static_cast<long>(i));
      int error = 0;
      const bool meta = a.kind == Action::Kind::kMetaRead || a.kind == Action::Kind::kMetaWrite;
      const bool read = a.kind == Action::Kind::kDiskRead || a.kind == Action::Kind::kMetaRead;
      if ((meta && n.disk.fail_meta) || (!meta && read && n.disk.fail_reads) || (!meta && !read && n.disk.fail_writes)) error = 5;
      if (error == 0) {
        uint8_t* at = n.disk.bytes.data() + a.offset_bytes;
        switch (a.kind) {
          case Action::Kind::kDiskRead:
          case Action::Kind::kMetaRead: std::memcpy(a.data, at, a.bytes); break;
          case Action::Kind::kDiskWrite:
          case Action::Kind::kMetaWrite:
            std::memcpy(at, a.data, a.bytes);
            if (a.dsync) std::memcpy(n.disk.durable.data() + a.offset_bytes, a.data, a.bytes);
            break;
          case Action::Kind::kDiskDiscard:
          case Action::Kind::kDiskZero: std::memset(at, 0, a.bytes); break;
          case Action::Kind::kDiskFlush: n.disk.durable = n.disk.bytes; break;
          default: break;
        }
      }
      n.resource->OnDiskDone(a.io, error, now);
      Carry(n);
      if (!n.alive) break;
    }
    if (!n.alive) continue;
    for (size_t i = 0; i < n.later.size();) {
      if (n.later[i].first > now) {
        ++i;
        continue;
      }
      auto f = n.later[i].second;
      n.later.erase(n.later.begin() + static_cast<long>(i));
      f();
      Carry(n);
      if (!n.alive) break;
    }
    if (n.alive && n.resource->deadline() <= now) {
      n.resource->OnTick(now);
      Carry(n);
    }
  }
  Network();
  return true;
}

bool Pair::Until(const std::function<bool()>& condition, TimeUs limit) {
  const TimeUs end = now + limit;
  while (!condition()) {
    if (now > end || !Step()) return condition();
  }
  return true;
}

void Pair::For(TimeUs duration) {
  const TimeUs end = now + duration;
  while (now < end && Step()) {
  }
  now = std::max(now, end);
}

}  // namespace pair_test
