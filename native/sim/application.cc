#include "sim/application.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "sim/content.h"

namespace drbdts::sim {

using namespace core;

namespace {
// Buffers by size class, kept from life to life. A request's buffer belongs to the core until it is answered: one of a node that died may
// still be read by its disk, so those are only taken again by a later request.
std::vector<uint8_t*>& Pool(bool large) {
  static std::vector<uint8_t*> pools[2];
  return pools[large];
}
constexpr uint32_t kSmall = 64u << 10;
}  // namespace

uint8_t* Application::TakeBuffer(uint32_t bytes) {
  auto& pool = Pool(bytes > kSmall);
  if (!pool.empty()) {
    uint8_t* p = pool.back();
    pool.pop_back();
    return p;
  }
  return static_cast<uint8_t*>(std::aligned_alloc(4096, bytes > kSmall ? kMaxRequestBytes : kSmall));
}
void Application::GiveBuffer(uint8_t* data, uint32_t bytes) {
  if (data == nullptr) return;
  std::memset(data, 0xdb, bytes);  // it belongs to the application again: whoever still reads it reads nonsense
  Pool(bytes > kSmall).push_back(data);
}

Application::Application(World& world, Findings& findings, uint32_t volumes, uint64_t disk_bytes) : world_(world), findings_(findings) {
  for (uint32_t v = 0; v < volumes; ++v) models_.push_back(std::make_unique<Model>(disk_bytes / 512));
}
Application::~Application() {
  for (auto& [key, o] : open_) GiveBuffer(o.data, o.bytes);
}

size_t Application::open(int node) const {
  size_t n = 0;
  for (const auto& [key, o] : open_) n += key.first == node;
  return n;
}

std::string Application::DescribeOpen() const {
  if (open_.empty()) return "none";
  static const char* const names[] = {"read", "write", "flush", "discard", "write-zeroes"};
  const auto& [key, o] = *open_.begin();
  return std::string(names[static_cast<int>(o.op)]) + " on " + "AB"[key.first] + " volume " + std::to_string(o.volume) + " sector " + std::to_string(o.sector) + " bytes " +
         std::to_string(o.bytes);
}

void Application::ForgetUnflushed() {
  for (auto& m : models_) m->ForgetUnflushed();
}

void Application::Submit(int node, BlockOp op, uint32_t volume, uint64_t sector, uint64_t sectors, bool fua, bool unmap) {
  Node& n = world_.node(node);
  if (!n.alive() || !n.device_up || open(node) >= kOpenMax || volume >= models_.size() || !n.resource->CanAccept(static_cast<uint16_t>(volume))) return;
  Model& m = *models_[volume];
  Open o;
  o.op = op;
  o.volume = volume;
  o.sector = 0;
  o.bytes = 0;
  if (op == BlockOp::kFlush) {
    o.begun = m.Now();
  } else {
    const uint64_t size = n.snap(volume).size_sectors;
    if (size < 64) return;
    sectors = std::min<uint64_t>({sectors == 0 ? 8 : sectors, 2048, size / 2});
    if (sector + sectors > size) sector = sector > size ? size - sectors : sector % (size - sectors + 1);
    o.sector = sector;
    o.bytes = static_cast<uint32_t>(sectors * 512);
    if (op == BlockOp::kRead) {
      o.begun = m.Now();
      m.ReadBegins(o.begun);
      o.data = TakeBuffer(o.bytes);
      ++reads;
    } else {
      o.write = m.Begin(sector, sectors, op != BlockOp::kWrite, fua && op == BlockOp::kWrite);
      o.fua = fua && op == BlockOp::kWrite;
      if (op == BlockOp::kWrite) {
        o.data = TakeBuffer(o.bytes);
        FillContent(o.data, o.write, sector, sectors);
      }
      ++writes;
    }
  }
  const uint64_t tag = n.next_tag;
  open_[{node, tag}] = o;
  if (world_.trace) {
    static const char* const names[] = {"read", "write", "flush", "discard", "write-zeroes"};
    world_.Note(std::string("submit ") + names[static_cast<int>(op)] + " on " + n.name() + " volume " + std::to_string(volume) + " " + std::to_string(o.sector) + "+" +
                std::to_string(o.bytes / 512) + " write " + std::to_string(o.write) + (fua ? " fua" : ""));
  }
  n.Submit(op, o.sector, o.bytes, o.data, fua, static_cast<uint16_t>(volume), unmap);
}

void Application::OnCompleted(Node& node, uint16_t volume, uint64_t tag, int error) {
  const auto it = open_.find({node.index(), tag});
  if (it == open_.end()) {
    findings_.Report("completions", std::string("node ") + node.name() + " completes a request that is not open");
    return;
  }
  const Open o = it->second;
  open_.erase(it);
  Model& m = *models_[volume];
  const bool replaced = may_be_replaced && may_be_replaced(node.index());
  if (error != 0) ++errors;
  if (world_.trace && o.op != BlockOp::kRead) world_.Note(std::string("done on ") + node.name() + " write " + std::to_string(o.write) + " error " + std::to_string(error));
  switch (o.op) {
    case BlockOp::kRead:
      if (replaced) {
        m.ReadEnds(o.begun);
        break;
      }
      for (uint64_t i = 0; i < o.bytes / 512 && error == 0 && check_contents; ++i) {
        const std::string bad = m.Read(o.data + i * 512, o.sector + i, o.begun);
        if (bad.empty()) continue;
        findings_.Report("acknowledged", std::string("a read on node ") + node.name() + ", volume " + std::to_string(volume) + ": " + bad);
        break;
      }
      m.ReadEnds(o.begun);
      break;
    case BlockOp::kFlush:
      if (error == 0 && replaced) break;  // it speaks for what it acknowledged itself, not for what the other one did since
      if (error == 0) m.Flushed(o.begun);
      else m.ForgetUnflushed();  // said once: what was not flushed before may be gone
      break;
    default:
      m.End(o.write, error == 0);
      break;
  }
  if (error == 0 && o.op != BlockOp::kRead && on_acknowledged) on_acknowledged(node.index(), volume, tag, o.op == BlockOp::kFlush);
  if (error == 0 && o.op == BlockOp::kFlush && !replaced) CheckSafe(volume, "a flush was answered");
  if (error == 0 && o.fua) CheckSafe(volume, "a FUA write was answered");
  GiveBuffer(o.data, o.bytes);
}

/// What the answer has just made safe is durable wherever it counts.
void Application::CheckSafe(uint32_t volume, const char* what) {
  if (!check_contents || !holders) return;
  const Model& m = *models_[volume];
  const uint32_t holders_now = holders(volume);
  for (int i = 0; i < 2; ++i) {
    if ((holders_now >> i & 1) == 0) continue;
    const uint8_t* durable = world_.node(i).disk(volume).durable();
    for (const Model::Range& r : m.newly_safe()) {
      for (uint64_t s = r.sector; s < r.sector + r.sectors; ++s) {
        const std::string bad = m.CheckDurable(durable + s * 512, s);
        if (bad.empty()) continue;
        findings_.Report("acknowledged", std::string(what) + ", but a loss of power would take it from node " + world_.node(i).name() + " volume " + std::to_string(volume) + ": " + bad);
        return;
      }
    }
  }
}

void Application::OnDied(Node& node, bool) {
  for (auto it = open_.begin(); it != open_.end();) {
    if (it->first.first != node.index()) {
      ++it;
      continue;
    }
    Open& o = it->second;
    if (o.op == BlockOp::kRead) models_[o.volume]->ReadEnds(o.begun);
    if (o.write != 0) models_[o.volume]->End(o.write, false);
    GiveBuffer(o.data, o.bytes);
    it = open_.erase(it);
  }
  for (auto& m : models_) m->ForgetSeen();
}

}  // namespace drbdts::sim
