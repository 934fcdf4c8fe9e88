#pragma once
// Unpredictable numbers from one seed: SHA-256 in counter mode. Pure: the engine seeds it from the kernel, the simulator from its seed.
#include <array>
#include <cstdint>
#include <span>

namespace drbdts::core {

class Random {
 public:
  explicit Random(const std::array<uint8_t, 32>& seed);
  uint64_t Next64();
  void Fill(std::span<uint8_t> out);
  /// Uniform enough for timeouts and coin tosses: [0, bound).
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next64() % bound; }

 private:
  std::array<uint8_t, 32> seed_;
  uint64_t counter_ = 0;
  std::array<uint8_t, 32> block_{};
  uint32_t at_ = 32;
};

}  // namespace drbdts::core
