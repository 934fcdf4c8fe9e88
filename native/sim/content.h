#pragma once
// What the simulated application writes: every sector says which write it belongs to and where, so that any sector read back names its
// origin and a torn or misplaced one is recognised.
#include <cstdint>
#include <cstring>

namespace drbdts::sim {

inline constexpr uint64_t kContentKey = 0x9e3779b97f4a7c15ull;     // odd, so it can be undone
inline constexpr uint64_t kContentUnkey = 0xf1de83e19937733dull;   // kContentKey * kContentUnkey == 1 (mod 2^64)
static_assert(kContentKey * kContentUnkey == 1);
inline constexpr uint64_t kContentSectorBits = 24;
inline constexpr uint64_t kBadContent = ~uint64_t{0};

inline uint64_t ContentWord(uint64_t id, uint64_t sector) { return id == 0 ? 0 : (id << kContentSectorBits | sector) * kContentKey; }

/// Fills `sectors` sectors with what write `id` puts at `sector`. Id 0: zeroes.
inline void FillContent(uint8_t* data, uint64_t id, uint64_t sector, uint64_t sectors) {
  for (uint64_t s = 0; s < sectors; ++s) {
    const uint64_t word = ContentWord(id, sector + s);
    for (uint64_t w = 0; w < 64; ++w) std::memcpy(data + s * 512 + w * 8, &word, 8);
  }
}

/// The id of the write that this sector's 512 bytes come from; kBadContent if nobody ever wrote this there.
inline uint64_t IdentifyContent(const uint8_t* data, uint64_t sector) {
  uint64_t first;
  std::memcpy(&first, data, 8);
  if (std::memcmp(data, data + 8, 504) != 0) return kBadContent;
  if (first == 0) return 0;
  const uint64_t plain = first * kContentUnkey;
  return (plain & ((uint64_t{1} << kContentSectorBits) - 1)) == sector ? plain >> kContentSectorBits : kBadContent;
}

}  // namespace drbdts::sim
