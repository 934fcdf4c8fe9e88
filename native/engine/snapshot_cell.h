#pragma once
// The latest snapshot, written by the data thread and read by anybody (a sequence lock): the writer never waits.
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace drbdts::engine {

template <typename T>
class SnapshotCell {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  void Write(const T& value) {
    const uint32_t sequence = sequence_.load(std::memory_order_relaxed);
    sequence_.store(sequence + 1, std::memory_order_relaxed);
    const auto* from = reinterpret_cast<const unsigned char*>(&value);
    for (uint32_t i = 0; i < kWords; i++) {
      uint64_t word = 0;
      std::memcpy(&word, from + i * 8, sizeof(T) - i * 8 < 8 ? sizeof(T) - i * 8 : 8);
      words_[i].store(word, std::memory_order_release);  // whoever sees it also sees the odd sequence
    }
    sequence_.store(sequence + 2, std::memory_order_release);
  }
  void Read(T& value) const {
    auto* to = reinterpret_cast<unsigned char*>(&value);
    for (;;) {
      const uint32_t before = sequence_.load(std::memory_order_acquire);
      if ((before & 1) == 0) {
        for (uint32_t i = 0; i < kWords; i++) {
          const uint64_t word = words_[i].load(std::memory_order_acquire);
          std::memcpy(to + i * 8, &word, sizeof(T) - i * 8 < 8 ? sizeof(T) - i * 8 : 8);
        }
        if (sequence_.load(std::memory_order_relaxed) == before) return;
      }
      sched_yield();
    }
  }

 private:
  static constexpr uint32_t kWords = (sizeof(T) + 7) / 8;
  std::atomic<uint32_t> sequence_{0};
  std::atomic<uint64_t> words_[kWords] = {};
};

}  // namespace drbdts::engine
