#include "core/random.h"

#include <algorithm>
#include <cstring>

#include "core/bytes.h"
#include "core/digest.h"

namespace drbdts::core {

Random::Random(const std::array<uint8_t, 32>& seed) : seed_(seed) {}

uint64_t Random::Next64() {
  uint8_t raw[8];
  Fill(raw);
  return LoadLe64(raw);
}

void Random::Fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    if (at_ == block_.size()) {
      // Seed first, counter behind it: one SHA-256 block, so a number costs one compression.
      uint8_t counter[8];
      StoreLe64(counter, counter_++);
      Hasher hasher(DigestAlgorithm::kSha256);
      hasher.Update(seed_);
      hasher.Update(counter);
      const Digest digest = hasher.Finish();
      std::memcpy(block_.data(), digest.bytes.data(), block_.size());
      at_ = 0;
    }
    const size_t count = std::min<size_t>(out.size(), block_.size() - at_);
    std::memcpy(out.data(), block_.data() + at_, count);
    at_ += static_cast<uint32_t>(count);
    out = out.subspan(count);
  }
}

}  // namespace drbdts::core
