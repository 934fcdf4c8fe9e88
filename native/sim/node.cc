#include "sim/node.h"

#include <cstring>

#include "sim/world.h"

namespace drbdts::sim {

using namespace core;
using Kind = Action::Kind;

namespace {
constexpr size_t kArenaBytes = 8u << 20;
constexpr Limits kLimits{64u << 10, 2048, 32u << 10, 2048, 4096};
constexpr size_t kPage = 4096;

// Buffers are used by one process after the other, life after life.
std::vector<std::vector<uint8_t>*>& Buffers() {
  static std::vector<std::vector<uint8_t>*> pool;
  return pool;
}
std::vector<uint8_t>* TakeBuffer() {
  auto& pool = Buffers();
  if (pool.empty()) return new std::vector<uint8_t>(kArenaBytes + kPage);
  auto* b = pool.back();
  pool.pop_back();
  return b;
}
uint8_t* Aligned(std::vector<uint8_t>* b) { return reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(b->data()) + kPage - 1) / kPage * kPage); }

bool IsWrite(const Action& a) {
  return a.kind == Kind::kDiskWrite || a.kind == Kind::kDiskDiscard || a.kind == Kind::kDiskZero || a.kind == Kind::kMetaWrite;
}
}  // namespace

Node::Node(World& world, int index, uint64_t disk_bytes, const ResourceConfig& c) : config(c), world_(world), index_(index) {
  for (size_t i = 0; i < c.volumes.size(); ++i) disks.push_back(std::make_unique<Drive>(disk_bytes));
  layout = ComputeLayout(c.volumes[0].place, disk_bytes / 512, disk_bytes / 512).value();
  facts.can_discard = facts.discard_zeroes = true;
  for (auto& m : memory_) m = TakeBuffer();
}

Node::~Node() {
  resource.reset();
  for (auto* m : memory_) Buffers().push_back(m);
}

TimeUs Node::Local(TimeUs global) const { return clock_ppm == 0 ? global : static_cast<TimeUs>(static_cast<int64_t>(global) + static_cast<int64_t>(global) / 1000 * clock_ppm / 1000); }
TimeUs Node::Global(TimeUs local) const {
  if (clock_ppm == 0 || local == kNever) return local;
  auto g = static_cast<TimeUs>(static_cast<double>(local) / (1.0 + static_cast<double>(clock_ppm) / 1e6));
  g = g > 4 ? g - 4 : 0;
  while (Local(g) < local) ++g;
  return g;
}

void Node::ResizeDisks(uint64_t size_bytes) {
  for (auto& d : disks) d->Resize(size_bytes);
  layout = ComputeLayout(config.volumes[0].place, size_bytes / 512, size_bytes / 512).value();
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
  std::array<uint8_t, kMetaBlockBytes> block{};
  const std::span<uint8_t, kMetaBlockBytes> out(block);
  for (auto& d : disks) {
    d->Write(layout.bitmap_sector * 512, nullptr, layout.bitmap_sectors * 512, true);
    EncodeSuperBlock(sb, out);
    d->Write(layout.super_block_sector * 512, block.data(), block.size(), true);
    AlBlock b;
    b.initialized_only = true;
    EncodeAlBlock(b, out);
    for (uint64_t i = 0; i < layout.al_blocks; ++i) d->Write(layout.al_sector * 512 + i * 4096, block.data(), block.size(), true);
  }
}

void Node::Start(uint64_t seed) {
  if (world_.dying_[index_]) Crash(crash_power_);  // it died a moment ago, and nobody has taken notice yet
  for (size_t i = 0; i < memory_.size(); ++i) arena_[i] = std::make_unique<PageArena>(std::span<uint8_t>(Aligned(memory_[i]), kArenaBytes));
  std::array<uint8_t, 32> s{};
  std::memcpy(s.data(), &seed, 8);
  s[9] = static_cast<uint8_t>(index_);
  resource = std::make_unique<Resource>(config, Arenas{arena_[0].get(), arena_[1].get(), arena_[2].get()}, s, kLimits);
  alive_ = true;
  ++incarnation_;
  device_up = listening_ = false;
  completed.clear();
  io_.clear(), io_free_.clear(), io_open_.clear();
  crash_after_ = kNoCrash;
  world_.dying_[index_] = false;
  snapshot_ = Snapshot{};
  last_done = next_command - 1;
  world_.Refresh(*this);
  for (Observer* o : world_.observers) o->OnStarted(*this);
}

void Node::Crash(bool power) {
  if (resource == nullptr) return;
  alive_ = false;
  crash_after_ = kNoCrash;
  // Writes under way may or may not reach the disk: whole when only the process dies, sector by sector when the power goes.
  for (const uint32_t slot : io_open_) {
    const Action& a = io_[slot].action;
    if (!IsWrite(a) || world_.rng.Below(3) == 0) continue;
    const uint8_t* data = a.kind == Kind::kDiskWrite || a.kind == Kind::kMetaWrite ? a.data : nullptr;
    Drive& d = *disks[a.volume];
    if (a.preflush) {  // the flush comes first: without it nothing of the write is there
      if (world_.rng.Chance(20)) continue;
      d.EndFlush(io_[slot].flush);
    }
    for (uint64_t o = 0; o < a.bytes; o += 512) {
      if (!power || world_.rng.Chance(60)) d.Write(a.offset_bytes + o, data == nullptr ? nullptr : data + o, 512, false);
    }
  }
  io_open_.clear();
  if (power) {
    for (auto& d : disks) d->PowerLoss(world_.rng);
  }
  resource.reset();
  world_.KillConnectionsOf(index_, power);
  world_.dying_[index_] = false;
  listening_ = device_up = false;
  const Snapshot none;
  snapshot_ = none;
  for (Observer* o : world_.observers) o->OnDied(*this, power);
}

void Node::Command(AdminCommand c) {
  if (!alive_) return;
  world_.Tell(*this, static_cast<Input>(static_cast<size_t>(Input::kCommandAttach) + static_cast<size_t>(c.kind)), c.volume < 0 ? 0 : static_cast<uint16_t>(c.volume));
  resource->OnCommand(next_command++, c, Local(world_.now));
  world_.Carry(*this);
}

int Node::Run(AdminCommand::Kind kind, const std::function<void(AdminCommand&)>& set) {
  AdminCommand c;
  c.kind = kind;
  if (set) set(c);
  const uint64_t id = next_command;
  last_code = -1000;
  Command(c);
  world_.Until([&] { return last_done >= id || !alive_; });
  return last_done >= id ? last_code : -1000;
}

const VolumeSnapshot& Node::snap(uint32_t volume) {
  if (resource != nullptr) resource->FillSnapshot(snapshot_, Local(world_.now));
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
  world_.Tell(*this, static_cast<Input>(static_cast<size_t>(Input::kAppRead) + static_cast<size_t>(op)), volume);
  resource->OnRequest(volume, io, Local(world_.now));
  world_.Carry(*this);
  return io.tag;
}

void Node::CheckIo(const Action& a) {
  if (a.kind == Kind::kDiskFlush) return;
  const auto at = [&a] { return " at sector " + std::to_string(a.offset_bytes / 512) + " of volume " + std::to_string(a.volume); };
  if (a.bytes % 512 != 0 || a.bytes == 0 || a.offset_bytes + a.bytes > disks[a.volume]->size_bytes()) violation = "I/O outside the disk" + at();
  const bool meta = a.kind == Kind::kMetaRead || a.kind == Kind::kMetaWrite;
  if (!meta && a.offset_bytes + a.bytes > layout.usable_sectors * 512) violation = "data I/O in the meta-data area" + at();
  if (!IsWrite(a)) return;
  for (const uint32_t slot : io_open_) {
    const Action& o = io_[slot].action;
    if (IsWrite(o) && o.volume == a.volume && o.offset_bytes < a.offset_bytes + a.bytes && a.offset_bytes < o.offset_bytes + o.bytes) {
      violation = "two writes to the same sectors under way" + at();
    }
  }
}

}  // namespace drbdts::sim
