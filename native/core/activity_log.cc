#include "core/activity_log.h"

#include <algorithm>
#include <bit>

#include "core/assert.h"

namespace drbdts::core {

ActivityLog::ActivityLog(uint32_t slots, uint64_t device_extents_max) : device_extents_max_(device_extents_max), slots_(slots) {
  CHECK(slots >= 1 && slots <= kAlExtentsMax);
  const uint32_t bits = static_cast<uint32_t>(std::bit_width(slots)) + 1;  // at most half full
  hash_.assign(size_t{1} << bits, kNil);
  hash_shift_ = 32 - bits;
}

void ActivityLog::Reset(uint32_t first_transaction) {
  for (Slot& slot : slots_) slot = Slot{};
  for (uint32_t& bucket : hash_) bucket = kNil;
  staged_count_ = 0;
  writing_count_ = 0;
  idle_oldest_ = kNil;
  idle_newest_ = kNil;
  transaction_ = first_transaction;
  context_cursor_ = 0;
  written_ = 0;
  pinned_ = 0;
  used_ = 0;
  in_flight_ = false;
}

ActivityLog::Get ActivityLog::Pin(uint32_t extent) {
  CHECK(extent < device_extents_max_);
  uint32_t index = Find(extent);
  if (index != kNil) {
    Slot& slot = slots_[index];
    if (slot.references == 0) {
      ++pinned_;
      if (slot.phase == Phase::kHot) IdleRemove(index);
    }
    ++slot.references;
    switch (slot.phase) {
      case Phase::kHot: return Get::kHot;
      case Phase::kWriting: return Get::kPending;
      case Phase::kStaged:
      case Phase::kFree: break;
    }
    return Get::kStaged;
  }

  if (staged_count_ == kAlUpdatesPerBlock) return Get::kNoSlot;
  if (used_ < slots()) {
    index = slots() - 1 - used_;
    ++used_;
  } else if (idle_oldest_ != kNil) {
    index = idle_oldest_;
    IdleRemove(index);
    HashRemove(index);
  } else {
    return Get::kNoSlot;
  }
  Slot& slot = slots_[index];
  slot.extent = extent;
  slot.references = 1;
  slot.phase = Phase::kStaged;
  HashInsert(index);
  ++pinned_;
  staged_[staged_count_++] = index;
  return Get::kStaged;
}

void ActivityLog::Unpin(uint32_t extent) {
  const uint32_t index = Find(extent);
  CHECK(index != kNil);
  Slot& slot = slots_[index];
  CHECK(slot.references > 0);
  if (--slot.references > 0) return;
  --pinned_;
  // What is not yet on disk cannot be evicted: it joins the idle ones at Commit().
  if (slot.phase == Phase::kHot) IdleAppend(index);
}

bool ActivityLog::CanBegin() const { return staged_count_ > 0 && !in_flight_; }

void ActivityLog::Begin(AlBlock& block, std::vector<uint32_t>& evicted) {
  CHECK(CanBegin());
  FillHead(block);
  evicted.clear();
  block.n_updates = static_cast<uint16_t>(staged_count_);
  for (uint32_t i = 0; i < staged_count_; ++i) {
    const uint32_t index = staged_[i];
    Slot& slot = slots_[index];
    block.updates[i] = {static_cast<uint16_t>(index), slot.extent};
    if (slot.on_disk != kAlNoExtent) evicted.push_back(slot.on_disk);
    slot.phase = Phase::kWriting;
    writing_[i] = index;
  }
  writing_count_ = staged_count_;
  staged_count_ = 0;
  in_flight_ = true;
}

void ActivityLog::Commit() {
  CHECK(in_flight_);
  for (uint32_t i = 0; i < writing_count_; ++i) {
    const uint32_t index = writing_[i];
    Slot& slot = slots_[index];
    slot.on_disk = slot.extent;
    slot.phase = Phase::kHot;
    if (slot.references == 0) IdleAppend(index);
  }
  writing_count_ = 0;
  in_flight_ = false;
  ++written_;
}

bool ActivityLog::IsHot(uint32_t extent) const {
  const uint32_t index = Find(extent);
  return index != kNil && slots_[index].phase == Phase::kHot;
}

void ActivityLog::FillEmptyTransaction(AlBlock& block) {
  CHECK(!in_flight_);
  FillHead(block);
  ++written_;
}

bool ActivityLog::idle() const { return pinned_ == 0; }
uint32_t ActivityLog::slots() const { return static_cast<uint32_t>(slots_.size()); }
uint32_t ActivityLog::used() const { return used_; }
uint64_t ActivityLog::transactions() const { return written_; }
uint32_t ActivityLog::next_transaction() const { return transaction_; }

/// Everything but the updates. The context holds what the slots are on disk, so the values before this transaction.
void ActivityLog::FillHead(AlBlock& block) {
  block.transaction = transaction_++;
  block.initialized_only = false;
  block.n_updates = 0;
  block.context_size = static_cast<uint16_t>(slots());
  block.context_start_slot = static_cast<uint16_t>(context_cursor_);
  block.updates.fill(AlUpdate{});
  const uint32_t count = std::min<uint32_t>(slots() - context_cursor_, kAlContextPerBlock);
  for (uint32_t i = 0; i < count; ++i) block.context[i] = slots_[context_cursor_ + i].on_disk;
  std::fill(block.context.begin() + count, block.context.end(), kAlNoExtent);
  context_cursor_ += kAlContextPerBlock;
  if (context_cursor_ >= slots()) context_cursor_ = 0;
}

uint32_t ActivityLog::Bucket(uint32_t extent) const { return (extent * 0x9e3779b1u) >> hash_shift_; }

uint32_t ActivityLog::Find(uint32_t extent) const {
  uint32_t index = hash_[Bucket(extent)];
  while (index != kNil && slots_[index].extent != extent) index = slots_[index].hash_next;
  return index;
}

void ActivityLog::HashInsert(uint32_t slot) {
  uint32_t& head = hash_[Bucket(slots_[slot].extent)];
  slots_[slot].hash_next = head;
  head = slot;
}

void ActivityLog::HashRemove(uint32_t slot) {
  uint32_t* link = &hash_[Bucket(slots_[slot].extent)];
  while (*link != slot) link = &slots_[*link].hash_next;
  *link = slots_[slot].hash_next;
  slots_[slot].hash_next = kNil;
}

void ActivityLog::IdleAppend(uint32_t slot) {
  slots_[slot].older = idle_newest_;
  slots_[slot].newer = kNil;
  (idle_newest_ == kNil ? idle_oldest_ : slots_[idle_newest_].newer) = slot;
  idle_newest_ = slot;
}

void ActivityLog::IdleRemove(uint32_t slot) {
  const Slot& s = slots_[slot];
  (s.older == kNil ? idle_oldest_ : slots_[s.older].newer) = s.newer;
  (s.newer == kNil ? idle_newest_ : slots_[s.newer].older) = s.older;
  slots_[slot].older = kNil;
  slots_[slot].newer = kNil;
}

}  // namespace drbdts::core
