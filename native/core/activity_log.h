#pragma once
// The set of hot 4 MiB extents, least recently used first out. No I/O: callers ask what must be written first (drbd-protocol §4.5).
#include <array>
#include <cstdint>
#include <vector>

#include "core/meta_data.h"

namespace drbdts::core {

class ActivityLog {
 public:
  /// slots: al-extents (67..65534, at most AlExtentsLimit() of the ring). device_extents_max: Pin() takes extents below this.
  /// Memory is taken here and never again.
  explicit ActivityLog(uint32_t slots, uint64_t device_extents_max);

  /// Starts again with an empty set and transaction number `first_transaction`. The ring on disk must hold no active extent: only
  /// "initialized" blocks, or FillEmptyTransaction() for each of its blocks.
  void Reset(uint32_t first_transaction);

  enum class Get {
    kHot,      // pinned; go on
    kStaged,   // pinned, and part of the next transaction: wait until it is committed
    kNoSlot,   // every slot is pinned, or 64 changes are staged already: try again after a commit or an Unpin
    kPending,  // pinned, its transaction is being written: wait until it is committed
  };
  /// Pins `extent` (a counted reference). kNoSlot pins nothing.
  Get Pin(uint32_t extent);
  /// Drops one reference. The extent stays hot until it is evicted.
  void Unpin(uint32_t extent);

  /// True if changes are staged and no transaction is being written.
  bool CanBegin() const;
  /// Takes the staged changes as the next transaction: fills `block` and lists the extents that it evicts. The caller writes the bitmap
  /// pages of those first, then the block, then calls Commit(). One at a time. Room for 64 in `evicted` keeps this free of allocation.
  void Begin(AlBlock& block, std::vector<uint32_t>& evicted);
  /// The block of Begin() is on stable storage.
  void Commit();
  /// Is the extent in the set as it stands on disk (so that a crash marks it)? False from the moment its eviction is staged.
  bool IsHot(uint32_t extent) const;

  /// N empty update transactions that initialise the ring (first attach, changed layout).
  void FillEmptyTransaction(AlBlock& block);

  bool idle() const;           // nothing pinned
  uint32_t slots() const;
  uint32_t used() const;
  uint64_t transactions() const;  // written so far
  uint32_t next_transaction() const;

 private:
  static constexpr uint32_t kNil = 0xffffffff;
  /// A slot's way: free -> staged -> being written -> hot, and from hot (when idle) to staged with another extent.
  enum class Phase : uint8_t { kFree, kStaged, kWriting, kHot };
  struct Slot {
    uint32_t extent = kAlNoExtent;   // in core
    uint32_t on_disk = kAlNoExtent;  // as the last committed transaction left it
    uint32_t references = 0;
    uint32_t older = kNil, newer = kNil;  // list of idle hot slots
    uint32_t hash_next = kNil;
    Phase phase = Phase::kFree;
  };
  uint32_t Bucket(uint32_t extent) const;
  uint32_t Find(uint32_t extent) const;
  void HashInsert(uint32_t slot);
  void HashRemove(uint32_t slot);
  void IdleAppend(uint32_t slot);
  void IdleRemove(uint32_t slot);
  void FillHead(AlBlock& block);

  uint64_t device_extents_max_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> hash_;  // buckets: first slot of a chain
  uint32_t hash_shift_ = 0;
  std::array<uint32_t, kAlUpdatesPerBlock> staged_{};
  std::array<uint32_t, kAlUpdatesPerBlock> writing_{};
  uint32_t staged_count_ = 0;
  uint32_t writing_count_ = 0;
  uint32_t idle_oldest_ = kNil, idle_newest_ = kNil;
  uint32_t transaction_ = 0;
  uint32_t context_cursor_ = 0;
  uint64_t written_ = 0;
  uint32_t pinned_ = 0;  // slots with references
  uint32_t used_ = 0;    // slots taken; they are taken from the highest number down and never become free again
  bool in_flight_ = false;
};

}  // namespace drbdts::core
