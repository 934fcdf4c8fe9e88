#pragma once
// A disk with a volatile cache. Power failures, errors, slowness and stalls happen to it; see docs/simulator.md.
#include <cstdint>
#include <memory>
#include <vector>

#include "core/units.h"
#include "sim/disk_memory.h"
#include "sim/random.h"

namespace drbdts::sim {

using core::TimeUs;

class Drive {
 public:
  explicit Drive(uint64_t size_bytes);
  ~Drive();
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;

  uint64_t size_bytes() const { return size_; }
  const uint8_t* bytes() const { return memory_->visible; }
  /// 4 KiB pages ever written; all others hold zeroes.
  const std::vector<uint32_t>& pages() const { return memory_->pages; }
  bool Touched(uint64_t page) const { return memory_->Touched(page); }
  /// It holds zeroes, visible and durable, as nothing else was ever written there.
  bool Blank(uint64_t page) const { return memory_->Blank(page); }

  /// A write is complete; whole sectors. `data` null: zeroes. `durable`: it is on the platter, not only in the cache.
  void Write(uint64_t offset_bytes, const uint8_t* data, uint64_t count, bool durable);
  /// A read is complete: fills `to` with what it sees.
  void Read(uint64_t offset_bytes, uint8_t* to, uint64_t count) const;
  /// A flush makes durable exactly the writes that were complete when it was begun. Returns what EndFlush() is to be told.
  uint64_t BeginFlush() const { return sequence_; }
  void EndFlush(uint64_t begun);
  /// The power goes: of the writes that are not durable any subset of sectors survives.
  void PowerLoss(Rng& rng);
  /// As it would be found after a loss of power of which nothing survived that was not durable.
  const uint8_t* durable() const { return memory_->durable; }
  /// Calls f(sequence, sector, sectors, content or null for zeroes) for every write that a loss of power may take away, oldest first.
  template <typename F>
  void ForEachPending(F f) const {
    for (size_t i = head_; i < journal_.size(); ++i) {
      const Entry& e = journal_[i];
      f(e.sequence, e.sector, e.sectors, e.content == kZeroes ? nullptr : content_.data() + e.content);
    }
  }
  /// Number of the last write of that sector that is durable; compare with ForEachPending's.
  uint64_t DurableSequence(uint64_t sector) const { return memory_->DurableSequence(sector); }
  /// Everything as it stands is durable (set-up).
  void Settle() { EndFlush(sequence_); }

  /// All that reads would see now, to come back to with Load().
  struct Image {
    std::vector<uint32_t> pages;
    std::vector<uint8_t> bytes;
  };
  Image Save() const;
  /// The disk is as the image says; an empty one: all zeroes. Only while nothing is under way.
  void Load(const Image& image);
  /// It grows (or shrinks).
  void Resize(uint64_t size_bytes);

  // What happens to I/O while these hold.
  bool fail_reads = false, fail_writes = false, fail_meta = false, full = false;
  TimeUs slow_until = 0, slow_by = 0;     // I/O issued before `slow_until` takes up to `slow_by` longer
  TimeUs stalled_until = 0;               // nothing completes before

 private:
  struct Entry {
    uint32_t sequence;
    uint32_t sectors;
    uint64_t sector;
    uint64_t content;                     // offset into content_, kZeroes: none
    uint64_t cached;                      // cached_ before it; kZeroes: it takes no room in the cache
  };
  static constexpr uint64_t kZeroes = ~uint64_t{0};
  void Harden(const Entry& e, uint64_t i);
  void Harden(const Entry& e);
  void Retire();

  uint64_t size_;
  std::unique_ptr<DiskMemory> memory_;
  uint32_t sequence_ = 0;
  std::vector<Entry> journal_;            // writes that are not durable, oldest first from head_
  size_t head_ = 0;
  std::vector<uint8_t> content_;          // what they put there, but for zeroes
  uint64_t cached_ = 0;                   // bytes that the disk's cache holds for them, zeroes that were sent as such included
};

}  // namespace drbdts::sim
