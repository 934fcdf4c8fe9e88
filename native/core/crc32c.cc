#include "core/crc32c.h"

#include <array>
#include <cstddef>

#include "core/bytes.h"

#if defined(__x86_64__) && !defined(DRBDTS_PORTABLE_DIGESTS)
#include <nmmintrin.h>
#endif

namespace drbdts::core {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;

using Tables = std::array<std::array<uint32_t, 256>, 8>;

/// Table 0 advances the checksum by one byte; table k by the same byte followed by k zero bytes.
constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t v = i;
    for (int bit = 0; bit < 8; ++bit) v = (v >> 1) ^ ((v & 1) != 0 ? kPolynomial : 0);
    tables[0][i] = v;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t i = 0; i < 256; ++i) tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xff];
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

uint32_t CrcPortable(uint32_t crc, const uint8_t* p, size_t size) {
  for (; size >= 8; size -= 8, p += 8) {
    const uint64_t v = LoadLe64(p) ^ crc;
    crc = 0;
    for (size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(v >> (8 * i)) & 0xff];
  }
  for (; size > 0; --size, ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 0xff];
  return crc;
}

#if defined(__x86_64__) && !defined(DRBDTS_PORTABLE_DIGESTS)
__attribute__((target("sse4.2"))) uint32_t CrcSse42(uint32_t crc, const uint8_t* p, size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; size -= 8, p += 8) wide = _mm_crc32_u64(wide, LoadLe64(p));
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; --size, ++p) crc = _mm_crc32_u8(crc, *p);
  return crc;
}

// False until static initialisation reached it: an early caller merely takes the portable way, with the same result.
const bool has_sse42 = [] {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2") != 0;
}();
#endif

}  // namespace

uint32_t Crc32cRaw(uint32_t crc, std::span<const uint8_t> bytes) {
#if defined(__x86_64__) && !defined(DRBDTS_PORTABLE_DIGESTS)
  if (has_sse42) return CrcSse42(crc, bytes.data(), bytes.size());
#endif
  return CrcPortable(crc, bytes.data(), bytes.size());
}

}  // namespace drbdts::core
