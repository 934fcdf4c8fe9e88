#include "support/pair.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace pair_test {

namespace {
constexpr uint64_t kArenaBytes[3] = {8u << 20, 8u << 20, 8u << 20};
}

Image::Image(uint64_t size) : size_(size) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) std::abort();
  bytes_ = static_cast<uint8_t*>(p);
}
Image::~Image() { munmap(bytes_, size_); }

MemoryDisk::MemoryDisk(uint64_t size) : bytes(size), durable(size), touched(size / 4096 + 1) {}

void MemoryDisk::Write(uint64_t offset, const uint8_t* data, uint64_t count, bool dsync) {
  for (uint64_t o = 0; o < count; o += 512) {
    const uint64_t at = offset + o, sector = at / 512;
    if (data != nullptr) std::memcpy(&bytes[at], data + o, 512);
    else std::memset(&bytes[at], 0, 512);
    touched[at / 4096] = true;
    ++sequence_;
    if (dsync) {
      std::memcpy(&durable[at], &bytes[at], 512);
      dirty_.erase(sector);
      synced_[sector] = sequence_;
    } else {
      dirty_[sector] = sequence_;
    }
  }
}

MemoryDisk::Flushing MemoryDisk::BeginFlush() const {
  Flushing f;
  f.sectors.reserve(dirty_.size());
  for (const auto& [sector, sequence] : dirty_) {
    f.sectors.push_back({sector, sequence, {}});
    std::memcpy(f.sectors.back().content.data(), &bytes[sector * 512], 512);
  }
  return f;
}

void MemoryDisk::EndFlush(const Flushing& f) {
  for (const auto& s : f.sectors) {
    uint64_t& synced = synced_[s.sector];
    if (synced >= s.sequence) continue;
    synced = s.sequence;
    std::memcpy(&durable[s.sector * 512], s.content.data(), 512);
    const auto d = dirty_.find(s.sector);
    if (d != dirty_.end() && d->second == s.sequence) dirty_.erase(d);
  }
}

void MemoryDisk::PowerLoss(std::mt19937_64& rng) {
  // Most of the time everything or nothing of the cache survives, now and then a wild mixture.
  const uint64_t odds = rng() % 3;
  for (const auto& [sector, sequence] : dirty_) {
    if (odds == 0 || (odds == 1 && rng() % 2 == 0)) std::memcpy(&bytes[sector * 512], &durable[sector * 512], 512);
  }
  Settle();
}

void MemoryDisk::Settle() {
  for (uint64_t page = 0; page < touched.size(); ++page) {
    if (touched[page]) std::memcpy(&durable[page * 4096], &bytes[page * 4096], std::min<uint64_t>(4096, bytes.size() - page * 4096));
  }
  dirty_.clear();
  synced_.clear();
}

namespace {
std::vector<std::unique_ptr<MemoryDisk>> MakeDisks(size_t count, uint64_t bytes) {
  std::vector<std::unique_ptr<MemoryDisk>> d;
  for (size_t i = 0; i < count; ++i) d.push_back(std::make_unique<MemoryDisk>(bytes));
  return d;
}
}  // namespace

Node::Node(Pair& pair, int index, uint64_t disk_bytes, const ResourceConfig& c)
    : disks(MakeDisks(c.volumes.size(), disk_bytes)), disk(*disks[0]), config(c), pair_(pair), index_(index) {
  auto l = ComputeLayout(c.volumes[0].place, disk_bytes / 512, disk_bytes / 512);
  layout = l.value();
  facts.can_discard = facts.discard_zeroes = true;
}

void Node::CreateMd() { WriteMd(FreshSuperBlock(layout, 0x1234, 0, 1, 8)); }

void Node::CreateMdInSync(uint64_t current_uuid) {
  SuperBlock sb = FreshSuperBlock(layout, 0x1234, 0, 1, 8);
  sb.uuids.current = current_uuid;
  sb.flags |= kMdConsistent | kMdWasUpToDate;
  sb.la_size_sect = layout.usable_sectors;
  WriteMd(sb);
}

void Node::WriteMd(const SuperBlock& sb) {
  std::vector<uint8_t> block(kMetaBlockBytes);
  const std::span<uint8_t, kMetaBlockBytes> out(block.data(), kMetaBlockBytes);
  for (auto& d : disks) {
    d->Write(layout.bitmap_sector * 512, nullptr, layout.bitmap_sectors * 512, true);
    EncodeSuperBlock(sb, out);
    d->Write(layout.super_block_sector * 512, block.data(), block.size(), true);
    AlBlock b;
    b.initialized_only = true;
    EncodeAlBlock(b, out);
    for (uint64_t i = 0; i < layout.al_blocks; ++i) d->Write(layout.al_sector * 512 + i * 4096, block.data(), block.size(), true);
    std::memcpy(d->durable.data(), d->bytes.data(), d->bytes.size() <= (16u << 20) ? d->bytes.size() : 0);
  }
}

void Node::Start(uint64_t seed) {
  for (int i = 0; i < 3; ++i) {
    memory_[i] = std::make_unique<Image>(kArenaBytes[i]);
    arena_[i] = std::make_unique<PageArena>(std::span<uint8_t>(memory_[i]->data(), kArenaBytes[i]));
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
    const bool zero = a.kind == Action::Kind::kDiskDiscard || a.kind == Action::Kind::kDiskZero;
    if (!zero && a.kind != Action::Kind::kDiskWrite && a.kind != Action::Kind::kMetaWrite) continue;
    const bool none = rng() % 3 == 0;
    for (uint64_t o = 0; o < a.bytes; o += 512) {
      if (power_loss && (none || rng() % 2 == 0)) continue;
      disks[a.volume]->Write(a.offset_bytes + o, zero ? nullptr : a.data + o, 512, false);
    }
  }
  disk_queue.clear();
  later.clear();
  if (power_loss) {
    for (auto& d : disks) d->PowerLoss(rng);
  }
  resource.reset();
  pair_.KillConnectionsOf(index_, power_loss);
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

uint64_t Node::Submit(BlockOp op, uint64_t sector, uint32_t bytes, uint8_t* data, bool fua, uint16_t volume, bool may_unmap) {
  BlockIo io;
  io.tag = next_tag++;
  io.op = op;
  io.sector = sector;
  io.bytes = bytes;
  io.data = data;
  io.fua = fua;
  io.may_unmap = may_unmap;
  resource->OnRequest(volume, io, pair_.now);
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
    c->to[node].clear();
    c->to[1 - node].eof = true;
  }
}

void Pair::KillConnectionsOf(int node, bool silently) {
  for (auto& c : connections_) {
    if (c->link[node] != kNoLink) {
      c->closed[node] = true;
      c->link[node] = kNoLink;
      c->to[node].lost = silently;
      // Without power nothing more is said; a process that dies leaves its socket buffers to the kernel, which sends them on.
      if (silently) c->to[1 - node].clear();
      else c->to[1 - node].eof = true;
    }
    c->to[node].clear();
  }
}

void Pair::Reset(Connection& c) {
  for (int i = 0; i < 2; ++i) {
    c.to[i].clear();
    c.to[i].lost = false;
    if (c.link[i] == kNoLink || !node_[i]->alive) continue;
    const LinkId l = c.link[i];
    c.link[i] = kNoLink;
    c.closed[i] = true;
    node_[i]->resource->OnLinkClosed(l, 104, now);
    Carry(*node_[i]);
  }
}

void Pair::ResetOne() {
  if (!connections_.empty()) Reset(*connections_[rng() % connections_.size()]);
}

void Pair::DropAll() {
  for (size_t i = 0; i < connections_.size(); ++i) Reset(*connections_[i]);
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
    case Action::Kind::kMetaWrite: {
      TimeUs due = now + disk_delay / 2 + rng() % disk_delay;
      if (now < n.disk_slow_until) due += rng() % (n.disk_slow + 1);
      const bool writes = a.kind == Action::Kind::kDiskWrite || a.kind == Action::Kind::kDiskDiscard || a.kind == Action::Kind::kDiskZero ||
                          a.kind == Action::Kind::kMetaWrite;
      if (a.kind != Action::Kind::kDiskFlush) {
        if (a.bytes % 512 != 0 || a.bytes == 0 || a.offset_bytes + a.bytes > n.disks[a.volume]->bytes.size()) n.violations.push_back("I/O outside the disk");
        const bool meta = a.kind == Action::Kind::kMetaRead || a.kind == Action::Kind::kMetaWrite;
        if (!meta && a.offset_bytes + a.bytes > n.layout.usable_sectors * 512) n.violations.push_back("data I/O in the meta-data area");
      }
      for (const auto& o : n.disk_queue) {
        const bool other = o.action.kind == Action::Kind::kDiskWrite || o.action.kind == Action::Kind::kDiskDiscard ||
                           o.action.kind == Action::Kind::kDiskZero || o.action.kind == Action::Kind::kMetaWrite;
        if (writes && other && o.action.volume == a.volume && o.action.offset_bytes < a.offset_bytes + a.bytes &&
            a.offset_bytes < o.action.offset_bytes + o.action.bytes) {
          n.violations.push_back("two writes to the same sectors under way at " + std::to_string(a.offset_bytes / 512));
        }
      }
      n.disk_queue.push_back({a, due, a.kind == Action::Kind::kDiskFlush || a.preflush ? n.disks[a.volume]->BeginFlush() : MemoryDisk::Flushing{}});
      break;
    }
    case Action::Kind::kOpenDisk: {
      DiskFacts f = n.facts;
      f.backing_sectors = f.meta_sectors = n.disks[a.volume]->bytes.size() / 512;
      n.later.push_back({now + 100, [&n, v = a.volume, f, this] { n.resource->OnDiskOpened(v, 0, "", f, now); }});
      break;
    }
    case Action::Kind::kCloseDisk: n.later.push_back({now + 100, [&n, v = a.volume, this] { n.resource->OnDiskClosed(v, now); }}); break;
    case Action::Kind::kListen: n.listening = true; break;
    case Action::Kind::kStopListen: n.listening = false; break;
    case Action::Kind::kConnect: {
      n.later.push_back({now + 200, [&n, me, this] {
                           Node& other = *node_[1 - me];
                           if (cut_ || !other.alive || !other.listening || now < stall_until_[0] || now < stall_until_[1]) {
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
    case Action::Kind::kComplete:
      n.completed[a.tag] = a.error;
      if (n.on_complete) n.on_complete(a.volume, a.tag, a.error);
      break;
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
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& c = *connections_[i];
    const LinkId l = c.link[n.index_];
    if (l == kNoLink) continue;
    Pipe& pipe = c.to[1 - n.index_];
    for (;;) {
      IoSlice s[16];
      const uint32_t k = n.resource->SendPieces(l, s);
      if (k == 0) break;
      if (c.closed[1 - n.index_] && !pipe.lost) pipe.clear();  // nobody there any more: the kernel takes it and forgets it
      uint64_t room = pipe.size() >= window_ ? 0 : window_ - pipe.size();
      if (room == 0) break;
      uint32_t sent = 0;
      for (uint32_t p = 0; p < k && room != 0; ++p) {
        const auto take = static_cast<uint32_t>(std::min<uint64_t>(room, s[p].bytes));
        pipe.bytes.insert(pipe.bytes.end(), s[p].data, s[p].data + take);
        if (tamper) tamper(1 - n.index_, pipe.bytes.data() + pipe.bytes.size() - take, take);
        sent += take;
        room -= take;
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
      Pipe& p = c.to[to];
      if (p.lost && n.alive && now >= stall_until_[to] && !p.empty()) {  // a machine that came back knows nothing of this connection
        Reset(c);
        continue;
      }
      if (c.link[to] == kNoLink || !n.alive || now < stall_until_[to] || now < p.hold_until) continue;
      const LinkId l = c.link[to];
      bool moved = false;
      for (int guard = 0; guard < 1000 && !p.empty() && c.link[to] == l; ++guard) {
        const std::span<uint8_t> into = n.resource->ReceiveInto(l);
        Carry(n);
        if (into.empty() || c.link[to] != l) break;
        size_t k = std::min(into.size(), p.size());
        if (rng() % 4 == 0) k = 1 + rng() % k;
        std::copy_n(p.bytes.begin() + static_cast<long>(p.head), k, into.begin());
        p.head += k;
        if (p.empty()) p.clear();
        moved = true;
        n.resource->OnReceived(l, static_cast<uint32_t>(k), now);
        Carry(n);
        if (node_[1 - to]->alive) Carry(*node_[1 - to]);  // there is room again
        if (rough_ && rng() % 8 == 0) break;
      }
      if (inject && p.empty() && !p.eof && c.link[to] == l) {
        const std::vector<uint8_t> more = inject(to);
        p.bytes.insert(p.bytes.end(), more.begin(), more.end());
      }
      if (p.head > (1u << 20)) {
        p.bytes.erase(p.bytes.begin(), p.bytes.begin() + static_cast<long>(p.head));
        p.head = 0;
      }
      if (p.eof && p.empty() && c.link[to] == l) {
        c.link[to] = kNoLink;
        c.closed[to] = true;
        c.to[1 - to].eof = true;
        n.resource->OnLinkClosed(l, 0, now);
        Carry(n);
      }
      if (rough_ && moved && rng() % 3 == 0) p.hold_until = now + rng() % (rng() % 16 == 0 ? 20000 : 300);
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
      if (c->link[i] != kNoLink && node_[i]->alive && (!c->to[i].empty() || c->to[i].eof)) {
        next = std::min(next, std::max({now + net_delay, stall_until_[i], c->to[i].hold_until}));
      }
    }
  }
  if (next == kNever) return false;
  still_ = next > now ? 0 : still_ + 1;
  if (still_ > 20000) {
    livelock = true;
    return false;
  }
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
      const MemoryDisk::Flushing flush = std::move(n.disk_queue[i].flush);
      n.disk_queue.erase(n.disk_queue.begin() + static_cast<long>(i));
      MemoryDisk& d = *n.disks[a.volume];
      int error = 0;
      const bool meta = a.kind == Action::Kind::kMetaRead || a.kind == Action::Kind::kMetaWrite;
      const bool read = a.kind == Action::Kind::kDiskRead || a.kind == Action::Kind::kMetaRead;
      if ((meta && d.fail_meta) || (!meta && read && d.fail_reads) || (!meta && !read && d.fail_writes)) error = 5;
      if (error == 0) {
        if (a.preflush) d.EndFlush(flush);
        switch (a.kind) {
          case Action::Kind::kDiskRead:
          case Action::Kind::kMetaRead: std::memcpy(a.data, d.bytes.data() + a.offset_bytes, a.bytes); break;
          case Action::Kind::kDiskWrite:
          case Action::Kind::kMetaWrite: d.Write(a.offset_bytes, a.data, a.bytes, a.dsync); break;
          case Action::Kind::kDiskDiscard:
          case Action::Kind::kDiskZero: d.Write(a.offset_bytes, nullptr, a.bytes, a.dsync); break;
          case Action::Kind::kDiskFlush: d.EndFlush(flush); break;
          default: break;
        }
      } else if (!read && a.kind != Action::Kind::kDiskFlush && rng() % 2 == 0) {
        // A write that failed may have got part of the way.
        d.Write(a.offset_bytes, a.kind == Action::Kind::kDiskWrite || a.kind == Action::Kind::kMetaWrite ? a.data : nullptr, 512, false);
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
