#pragma once
// A bounded queue between exactly two threads: no lock that one of them could hold while it faults.
#include <array>
#include <atomic>
#include <cstdint>

namespace drbdts::engine {

template <typename T, uint32_t kSlots>
class SpscRing {
  static_assert((kSlots & (kSlots - 1)) == 0, "a power of two");

 public:
  /// Producer: the slot to fill, or null when full. Publish() makes it visible.
  T* Reserve() {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == kSlots) return nullptr;
    return &slots_[tail % kSlots];
  }
  void Publish() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  /// Consumer: the oldest slot, or null when empty. Release() gives it back.
  T* Front() {
    const uint32_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return nullptr;
    return &slots_[head % kSlots];
  }
  void Release() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

 private:
  alignas(64) std::atomic<uint32_t> head_{0};
  alignas(64) std::atomic<uint32_t> tail_{0};
  std::array<T, kSlots> slots_{};
};

}  // namespace drbdts::engine
