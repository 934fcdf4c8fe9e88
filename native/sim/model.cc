#include "sim/model.h"

#include <algorithm>

#include "sim/content.h"

namespace drbdts::sim {

namespace {
constexpr uint64_t kOpenEnd = ~uint64_t{0};
constexpr size_t kPruneAt = 6;

// One table per living model, wiped by what was used: lives follow one another by the thousand.
std::vector<std::vector<uint32_t>*>& Tables() {
  static std::vector<std::vector<uint32_t>*> tables;
  return tables;
}
std::vector<uint32_t>& TakeTable(uint64_t sectors) {
  auto& tables = Tables();
  std::vector<uint32_t>* table = tables.empty() ? new std::vector<uint32_t> : tables.back();
  if (!tables.empty()) tables.pop_back();
  if (table->size() < sectors) table->resize(sectors);
  return *table;
}
}  // namespace

Model::Model(uint64_t sectors_max) : cell_of_(TakeTable(sectors_max)) { cells_.reserve(4096); }
Model::~Model() {
  for (const uint32_t s : written_) cell_of_[s] = 0;
  Tables().push_back(&cell_of_);
}

const std::vector<Model::Value>* Model::Find(uint64_t sector) const {
  return sector < cell_of_.size() && cell_of_[sector] != 0 ? &cells_[cell_of_[sector] - 1] : nullptr;
}

std::vector<Model::Value>& Model::At(uint64_t sector) {
  if (sector >= cell_of_.size()) cell_of_.resize(sector + 1);  // the device grew
  if (cell_of_[sector] == 0) {
    written_.push_back(static_cast<uint32_t>(sector));
    cells_.emplace_back().push_back(Value{});
    cell_of_[sector] = static_cast<uint32_t>(cells_.size());
  }
  return cells_[cell_of_[sector] - 1];
}

Model::WriteId Model::Begin(uint64_t sector, uint64_t sectors, bool zero, bool fua) {
  const WriteId id = ++last_id_;
  open_[id] = {sector, sectors, fua};
  Now();
  for (uint64_t s = sector; s < sector + sectors; ++s) {
    std::vector<Value>& values = At(s);
    if (values.size() > kPruneAt) Prune(values);
    values.push_back({id, clock_, kOpenEnd, 0, Fate::kOpen, zero});
  }
  return id;
}

/// Drops what no read can return any more: overwritten by something durable that ended before every read under way began.
void Model::Prune(std::vector<Value>& values) const {
  uint64_t oldest = clock_;
  for (const uint64_t r : reads_) oldest = std::min(oldest, r);
  uint64_t newest_durable = 0;  // begin of the latest durable write that ended before `oldest`
  for (const Value& v : values) {
    if (v.fate == Fate::kDurable && v.ended < oldest) newest_durable = std::max(newest_durable, v.begun);
  }
  std::erase_if(values, [&](const Value& v) { return v.ended < newest_durable; });
}

void Model::End(WriteId id, bool acknowledged) {
  const auto it = open_.find(id);
  if (it == open_.end()) return;
  const Write w = it->second;
  open_.erase(it);
  newly_safe_.clear();
  Now();
  for (uint64_t s = w.sector; s < w.sector + w.sectors; ++s) {
    for (Value& v : At(s)) {
      if (v.id != id) continue;
      v.ended = clock_;
      v.fate = !acknowledged ? Fate::kPerhaps : w.fua ? Fate::kDurable : Fate::kAcknowledged;
    }
  }
  if (acknowledged && !w.fua) unsafe_.push_back({id, clock_, w.sector, w.sectors, false});
  if (acknowledged && w.fua) newly_safe_.push_back({w.sector, w.sectors});
}

void Model::Safe(uint64_t sector, WriteId id) {
  for (Value& v : At(sector)) {
    if (v.id == id && (v.fate == Fate::kAcknowledged || v.fate == Fate::kPerhaps)) v.fate = Fate::kDurable;
  }
}

void Model::Flushed(uint64_t begun) {
  newly_safe_.clear();
  std::erase_if(unsafe_, [&](const Unsafe& u) {
    if (u.acknowledged >= begun) return false;
    for (uint64_t s = u.sector; s < u.sector + u.sectors; ++s) Safe(s, u.id);
    newly_safe_.push_back({u.sector, u.sectors});
    return true;
  });
}

void Model::ForgetUnflushed() {
  DoubtUnflushed();
  unsafe_.clear();
}

void Model::ForgetDoubtful() {
  std::erase_if(unsafe_, [](const Unsafe& u) { return u.doubtful; });
}

void Model::DoubtUnflushed() {
  for (Unsafe& u : unsafe_) {
    u.doubtful = true;
    for (uint64_t s = u.sector; s < u.sector + u.sectors; ++s) {
      for (Value& v : At(s)) {
        if (v.id == u.id && v.fate == Fate::kAcknowledged) v.fate = Fate::kPerhaps;
      }
    }
  }
  ForgetSeen();
}

void Model::ForgetSeen() {
  for (auto& values : cells_) {
    for (Value& v : values) v.seen = 0;
  }
}

void Model::ReadEnds(uint64_t begun) {
  const auto it = std::find(reads_.begin(), reads_.end(), begun);
  if (it != reads_.end()) reads_.erase(it);
}

/// The value with this content that such a read may return; null if there is none.
const Model::Value* Model::Match(const std::vector<Value>& values, WriteId id, uint64_t begun, bool& known, Fate binds) const {
  for (size_t i = values.size(); i-- > 0;) {
    const Value& v = values[i];
    if (v.id != id && !(id == 0 && v.zero)) continue;
    known = true;
    bool over = false;
    for (const Value& o : values) {
      const bool binding = (o.fate >= binds && o.ended < begun) || (binds == Fate::kAcknowledged && o.seen != 0 && o.seen < begun && o.fate != Fate::kPerhaps);
      if (binding && o.begun > v.ended) {
        over = true;
        break;
      }
    }
    if (!over) return &v;
  }
  return nullptr;
}

std::string Model::Explain(const std::vector<Value>& values, uint64_t sector, WriteId id, bool known) const {
  std::string text = "sector " + std::to_string(sector) + " holds write " + std::to_string(id) + (known ? ", which was overwritten; known:" : ", which cannot be there; known:");
  for (const Value& v : values) {
    text += " " + std::to_string(v.id) + "[" + std::to_string(v.begun) + ".." + (v.ended == kOpenEnd ? "open" : std::to_string(v.ended)) + " " +
            "opad"[static_cast<int>(v.fate)] + (v.zero ? "z]" : "]");
  }
  return text;
}

std::string Model::Check(const uint8_t* content, uint64_t sector, uint64_t begun) const { return Check(content, sector, begun, Fate::kAcknowledged); }
std::string Model::CheckDurable(const uint8_t* content, uint64_t sector) const { return Check(content, sector, kOpenEnd, Fate::kDurable); }

std::string Model::Check(const uint8_t* content, uint64_t sector, uint64_t begun, Fate binds) const {
  const uint64_t id = IdentifyContent(content, sector);
  if (id == kBadContent) return "sector " + std::to_string(sector) + " holds bytes that nobody wrote there";
  const std::vector<Value>* values = Find(sector);
  if (values == nullptr) return id == 0 ? "" : "sector " + std::to_string(sector) + " was never written and holds write " + std::to_string(id);
  bool known = false;
  return Match(*values, id, begun, known, binds) != nullptr ? "" : Explain(*values, sector, id, known);
}

std::string Model::Read(const uint8_t* content, uint64_t sector, uint64_t begun) {
  std::string why = Check(content, sector, begun);
  const std::vector<Value>* values = Find(sector);
  if (!why.empty() || values == nullptr) return why;
  bool known = false;
  const uint64_t id = IdentifyContent(content, sector);
  const Value* v = Match(*values, id, begun, known);
  // Several discards look alike: which of them was seen is not known, and so nothing follows.
  if (v != nullptr && !v->zero && v->seen == 0) const_cast<Value*>(v)->seen = clock_;
  return why;
}

}  // namespace drbdts::sim
