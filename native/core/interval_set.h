#pragma once
// Who touches which sectors, in order of arrival: an operation may start when nothing that came before it overlaps it. This one rule
// keeps application writes, the peer's writes, resync reads and resync writes apart (drbd-protocol §7.8).
#include <cstdint>
#include <vector>

#include "core/assert.h"
#include "core/units.h"

namespace drbdts::core {

class IntervalSet {
 public:
  using Handle = uint32_t;
  static constexpr Handle kNone = ~uint32_t{0};

  explicit IntervalSet(uint32_t capacity) : entry_(capacity) {
    free_.reserve(capacity);
    live_.reserve(capacity);
    for (uint32_t i = capacity; i-- > 0;) free_.push_back(i);
  }
  Handle Add(const SectorRange& range) {
    CHECK(!free_.empty());
    const Handle h = free_.back();
    free_.pop_back();
    entry_[h] = {range, ++sequence_, static_cast<uint32_t>(live_.size())};
    live_.push_back(h);
    return h;
  }
  void Remove(Handle h) {
    Entry& e = entry_[h];
    CHECK(e.at < live_.size() && live_[e.at] == h);
    const Handle last = live_.back();
    live_[e.at] = last;
    entry_[last].at = e.at;
    live_.pop_back();
    free_.push_back(h);
  }
  /// Does something that came earlier overlap it?
  bool Blocked(Handle h) const {
    const Entry& e = entry_[h];
    for (const Handle o : live_) {
      const Entry& other = entry_[o];
      if (other.sequence < e.sequence && other.range.Overlaps(e.range)) return true;
    }
    return false;
  }
  /// It has not started, and lets everything that is here by now go first.
  void Requeue(Handle h) { entry_[h].sequence = ++sequence_; }
  bool Overlaps(const SectorRange& range) const {
    for (const Handle o : live_) {
      if (entry_[o].range.Overlaps(range)) return true;
    }
    return false;
  }
  uint32_t size() const { return static_cast<uint32_t>(live_.size()); }

 private:
  struct Entry {
    SectorRange range;
    uint64_t sequence = 0;
    uint32_t at = 0;
  };
  std::vector<Entry> entry_;
  std::vector<Handle> live_;
  std::vector<Handle> free_;
  uint64_t sequence_ = 0;
};

/// Fixed-capacity first-in-first-out list of small values.
template <typename T>
class FixedQueue {
 public:
  explicit FixedQueue(uint32_t capacity) : item_(capacity) {}
  bool empty() const { return count_ == 0; }
  bool full() const { return count_ == item_.size(); }
  uint32_t size() const { return count_; }
  void Push(const T& v) {
    CHECK(count_ < item_.size());
    item_[(first_ + count_++) % item_.size()] = v;
  }
  T& Front() { return item_[first_]; }
  const T& At(uint32_t i) const { return item_[(first_ + i) % item_.size()]; }
  T& At(uint32_t i) { return item_[(first_ + i) % item_.size()]; }
  T Pop() {
    CHECK(count_ != 0);
    T v = item_[first_];
    first_ = (first_ + 1) % static_cast<uint32_t>(item_.size());
    --count_;
    return v;
  }
  void Clear() { first_ = count_ = 0; }

 private:
  std::vector<T> item_;
  uint32_t first_ = 0, count_ = 0;
};

}  // namespace drbdts::core
