#include "core/digest.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/assert.h"
#include "core/bytes.h"
#include "core/crc32c.h"

#if defined(__x86_64__) && !defined(DRBDTS_PORTABLE_DIGESTS)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace drbdts::core {
namespace {

constexpr size_t kBlock = 64;  // md5, sha1 and sha256 all work on blocks of this size

uint32_t LoadLe32(const uint8_t* p) { return LoadNative32(p); }  // bytes.h refuses big-endian hosts

// ---- md5 (RFC 1321) ----

constexpr uint32_t kMd5Init[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
constexpr uint8_t kMd5Shift[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
// floor(2^32 * |sin(i + 1)|)
constexpr uint32_t kMd5Sine[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

void Md5Blocks(uint32_t* state, const uint8_t* p, size_t count) {
  for (; count > 0; --count, p += kBlock) {
    uint32_t w[16];
    for (int i = 0; i < 16; ++i) w[i] = LoadLe32(p + 4 * i);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    const auto step = [&](int i, uint32_t f, int word) __attribute__((always_inline)) {
      const uint32_t sum = a + f + kMd5Sine[i] + w[word & 15];
      a = d;
      d = c;
      c = b;
      b += std::rotl(sum, kMd5Shift[i >> 4][i & 3]);
    };
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) step(i, (b & c) | (~b & d), i);
#pragma GCC unroll 16
    for (int i = 16; i < 32; ++i) step(i, (d & b) | (~d & c), 5 * i + 1);
#pragma GCC unroll 16
    for (int i = 32; i < 48; ++i) step(i, b ^ c ^ d, 3 * i + 5);
#pragma GCC unroll 16
    for (int i = 48; i < 64; ++i) step(i, c ^ (b | ~d), 7 * i);
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
  }
}

// ---- sha1 and sha256 (FIPS 180-4) ----

constexpr uint32_t kSha1Init[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
constexpr uint32_t kSha256Init[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
// First 32 bits of the fractional parts of the cube roots of the first 64 primes.
alignas(16) constexpr uint32_t kSha256Round[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

// One step each; the caller rotates the roles of the variables instead of moving their values.
inline void Sha1Step(uint32_t a, uint32_t& b, uint32_t f, uint32_t& e, uint32_t word) {
  e += std::rotl(a, 5) + f + word;
  b = std::rotl(b, 30);
}

/// Twenty steps with one round function.
template <typename Function>
inline void Sha1Round(uint32_t (&v)[5], const uint32_t* w, uint32_t constant, Function f) {
  auto& [a, b, c, d, e] = v;
  for (int i = 0; i < 20; i += 5) {
    Sha1Step(a, b, f(b, c, d), e, w[i] + constant);
    Sha1Step(e, a, f(a, b, c), d, w[i + 1] + constant);
    Sha1Step(d, e, f(e, a, b), c, w[i + 2] + constant);
    Sha1Step(c, d, f(d, e, a), b, w[i + 3] + constant);
    Sha1Step(b, c, f(c, d, e), a, w[i + 4] + constant);
  }
}

void Sha1Portable(uint32_t* state, const uint8_t* p, size_t count) {
  const auto choose = [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (~x & z); };
  const auto parity = [](uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; };
  const auto majority = [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (z & (x | y)); };
  for (; count > 0; --count, p += kBlock) {
    uint32_t w[80];
    for (int i = 0; i < 16; ++i) w[i] = LoadBe32(p + 4 * i);
    for (int i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t v[5];
    std::memcpy(v, state, sizeof v);
    Sha1Round(v, w, 0x5a827999, choose);
    Sha1Round(v, w + 20, 0x6ed9eba1, parity);
    Sha1Round(v, w + 40, 0x8f1bbcdc, majority);
    Sha1Round(v, w + 60, 0xca62c1d6, parity);
    for (int k = 0; k < 5; ++k) state[k] += v[k];
  }
}

inline void Sha256Step(uint32_t a, uint32_t b, uint32_t c, uint32_t& d, uint32_t e, uint32_t f, uint32_t g, uint32_t& h, uint32_t word) {
  h += word + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g));
  d += h;
  h += (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
}

void Sha256Portable(uint32_t* state, const uint8_t* p, size_t count) {
  for (; count > 0; --count, p += kBlock) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) w[i] = LoadBe32(p + 4 * i);
    for (int i = 16; i < 64; ++i) {
      const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
      const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    std::memcpy(v, state, sizeof v);
    auto& [a, b, c, d, e, f, g, h] = v;
    for (int i = 0; i < 64; i += 8) {
      const uint32_t* const k = kSha256Round + i;
      Sha256Step(a, b, c, d, e, f, g, h, w[i] + k[0]);
      Sha256Step(h, a, b, c, d, e, f, g, w[i + 1] + k[1]);
      Sha256Step(g, h, a, b, c, d, e, f, w[i + 2] + k[2]);
      Sha256Step(f, g, h, a, b, c, d, e, w[i + 3] + k[3]);
      Sha256Step(e, f, g, h, a, b, c, d, w[i + 4] + k[4]);
      Sha256Step(d, e, f, g, h, a, b, c, w[i + 5] + k[5]);
      Sha256Step(c, d, e, f, g, h, a, b, w[i + 6] + k[6]);
      Sha256Step(b, c, d, e, f, g, h, a, w[i + 7] + k[7]);
    }
    for (int i = 0; i < 8; ++i) state[i] += v[i];
  }
}

#if defined(__x86_64__) && !defined(DRBDTS_PORTABLE_DIGESTS)
#define TARGET_SHA __attribute__((target("sha,sse4.1,ssse3")))

TARGET_SHA inline __m128i LoadWords(const uint8_t* p, __m128i byte_order) {
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), byte_order);
}

/// Five groups of four rounds with one round function; `w` is a ring of the last 16 message words.
template <int kFunction>
TARGET_SHA inline void Sha1Rounds(__m128i& abcd, __m128i& before, __m128i* w) {
  for (int group = kFunction * 5; group < kFunction * 5 + 5; ++group) {
    __m128i& words = w[group & 3];
    if (group >= 4) {
      const __m128i mixed = _mm_xor_si128(_mm_sha1msg1_epu32(words, w[(group + 1) & 3]), w[(group + 2) & 3]);
      words = _mm_sha1msg2_epu32(mixed, w[(group + 3) & 3]);
    }
    // In the very first group `before` holds e itself; later e is derived from a of four rounds ago.
    const __m128i e = group == 0 ? _mm_add_epi32(before, words) : _mm_sha1nexte_epu32(before, words);
    before = abcd;
    abcd = _mm_sha1rnds4_epu32(abcd, e, kFunction);
  }
}

TARGET_SHA void Sha1Ni(uint32_t* state, const uint8_t* p, size_t count) {
  const __m128i byte_order = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0x1b);
  __m128i e = _mm_set_epi32(static_cast<int>(state[4]), 0, 0, 0);
  for (; count > 0; --count, p += kBlock) {
    __m128i w[4];
    for (int i = 0; i < 4; ++i) w[i] = LoadWords(p + 16 * i, byte_order);
    const __m128i abcd_before = abcd;
    const __m128i e_before = e;
    Sha1Rounds<0>(abcd, e, w);
    Sha1Rounds<1>(abcd, e, w);
    Sha1Rounds<2>(abcd, e, w);
    Sha1Rounds<3>(abcd, e, w);
    e = _mm_sha1nexte_epu32(e, e_before);
    abcd = _mm_add_epi32(abcd, abcd_before);
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_shuffle_epi32(abcd, 0x1b));
  state[4] = static_cast<uint32_t>(_mm_extract_epi32(e, 3));
}

TARGET_SHA void Sha256Ni(uint32_t* state, const uint8_t* p, size_t count) {
  const __m128i byte_order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instruction wants the state as (a b e f) and (c d g h), most significant word first.
  const auto word = [state](int i) TARGET_SHA { return static_cast<int>(state[i]); };
  __m128i abef = _mm_set_epi32(word(0), word(1), word(4), word(5));
  __m128i cdgh = _mm_set_epi32(word(2), word(3), word(6), word(7));
  for (; count > 0; --count, p += kBlock) {
    __m128i w[4];
    for (int i = 0; i < 4; ++i) w[i] = LoadWords(p + 16 * i, byte_order);
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {
      __m128i& words = w[group & 3];
      if (group >= 4) {
        const __m128i w9 = _mm_alignr_epi8(w[(group + 3) & 3], w[(group + 2) & 3], 4);
        words = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(words, w[(group + 1) & 3]), w9), w[(group + 3) & 3]);
      }
      const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kSha256Round + 4 * group));
      const __m128i sum = _mm_add_epi32(words, constants);
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  alignas(16) uint32_t out[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(out), abef);
  _mm_store_si128(reinterpret_cast<__m128i*>(out + 4), cdgh);
  const uint32_t ordered[8] = {out[3], out[2], out[7], out[6], out[1], out[0], out[5], out[4]};
  std::memcpy(state, ordered, sizeof ordered);
}

// False until static initialisation reached it: an early caller merely takes the portable way, with the same result.
const bool has_sha_ni = [] {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSSE3) == 0 || (c & bit_SSE4_1) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & (1u << 29)) != 0;
}();
#endif

void Sha1Blocks(uint32_t* state, const uint8_t* p, size_t count) {
#if defined(__x86_64__) && !defined(DRBDTS_PORTABLE_DIGESTS)
  if (has_sha_ni) return Sha1Ni(state, p, count);
#endif
  Sha1Portable(state, p, count);
}

void Sha256Blocks(uint32_t* state, const uint8_t* p, size_t count) {
#if defined(__x86_64__) && !defined(DRBDTS_PORTABLE_DIGESTS)
  if (has_sha_ni) return Sha256Ni(state, p, count);
#endif
  Sha256Portable(state, p, count);
}

}  // namespace

std::optional<DigestAlgorithm> DigestByName(std::string_view name) {
  if (name.empty()) return DigestAlgorithm::kNone;
  for (const DigestAlgorithm a : {DigestAlgorithm::kCrc32c, DigestAlgorithm::kMd5, DigestAlgorithm::kSha1, DigestAlgorithm::kSha256}) {
    if (name == DigestName(a)) return a;
  }
  return std::nullopt;
}

const char* DigestName(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::kNone: return "";
    case DigestAlgorithm::kCrc32c: return "crc32c";
    case DigestAlgorithm::kMd5: return "md5";
    case DigestAlgorithm::kSha1: return "sha1";
    case DigestAlgorithm::kSha256: return "sha256";
  }
  return "";
}

uint8_t DigestBytes(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::kNone: return 0;
    case DigestAlgorithm::kCrc32c: return 4;
    case DigestAlgorithm::kMd5: return 16;
    case DigestAlgorithm::kSha1: return 20;
    case DigestAlgorithm::kSha256: return 32;
  }
  return 0;
}

Hasher::Hasher(DigestAlgorithm algorithm) : algorithm_(algorithm), state_{} {
  switch (algorithm) {
    case DigestAlgorithm::kNone: break;
    case DigestAlgorithm::kCrc32c: state_[0] = ~0u; break;
    case DigestAlgorithm::kMd5: std::memcpy(state_, kMd5Init, sizeof kMd5Init); break;
    case DigestAlgorithm::kSha1: std::memcpy(state_, kSha1Init, sizeof kSha1Init); break;
    case DigestAlgorithm::kSha256: std::memcpy(state_, kSha256Init, sizeof kSha256Init); break;
  }
}

void Hasher::Blocks(const uint8_t* p, size_t count) {
  switch (algorithm_) {
    case DigestAlgorithm::kMd5: return Md5Blocks(state_, p, count);
    case DigestAlgorithm::kSha1: return Sha1Blocks(state_, p, count);
    case DigestAlgorithm::kSha256: return Sha256Blocks(state_, p, count);
    case DigestAlgorithm::kNone:
    case DigestAlgorithm::kCrc32c: return;
  }
}

void Hasher::Update(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  total_ += bytes.size();
  if (algorithm_ == DigestAlgorithm::kCrc32c) {
    state_[0] = Crc32cRaw(state_[0], bytes);
    return;
  }
  if (have_ > 0) {
    const size_t count = std::min(bytes.size(), kBlock - have_);
    std::memcpy(buffer_ + have_, bytes.data(), count);
    have_ += static_cast<uint32_t>(count);
    bytes = bytes.subspan(count);
    if (have_ < kBlock) return;
    Blocks(buffer_, 1);
    have_ = 0;
  }
  const size_t whole = bytes.size() / kBlock;
  Blocks(bytes.data(), whole);
  bytes = bytes.subspan(whole * kBlock);
  if (!bytes.empty()) std::memcpy(buffer_, bytes.data(), bytes.size());
  have_ = static_cast<uint32_t>(bytes.size());
}

Digest Hasher::Finish() {
  Digest digest;
  digest.size = DigestBytes(algorithm_);
  if (algorithm_ == DigestAlgorithm::kNone) return digest;
  if (algorithm_ == DigestAlgorithm::kCrc32c) {
    StoreLe32(digest.bytes.data(), ~state_[0]);
    return digest;
  }
  // One 1 bit, zeros up to the last 8 bytes of a block, then the number of message bits.
  uint8_t padding[2 * kBlock] = {0x80};
  const size_t end = have_ < kBlock - 8 ? kBlock : 2 * kBlock;
  const uint64_t bits = total_ * 8;
  if (algorithm_ == DigestAlgorithm::kMd5) {
    StoreLe64(padding + (end - have_ - 8), bits);
  } else {
    StoreBe64(padding + (end - have_ - 8), bits);
  }
  Update({padding, end - have_});
  for (uint32_t i = 0; i < digest.size / 4u; ++i) {
    uint8_t* const out = digest.bytes.data() + 4 * i;
    algorithm_ == DigestAlgorithm::kMd5 ? StoreLe32(out, state_[i]) : StoreBe32(out, state_[i]);
  }
  return digest;
}

Digest ComputeDigest(DigestAlgorithm algorithm, std::span<const uint8_t> bytes) {
  Hasher hasher(algorithm);
  hasher.Update(bytes);
  return hasher.Finish();
}

Digest ComputeHmac(DigestAlgorithm algorithm, std::span<const uint8_t> key, std::span<const uint8_t> message) {
  // An empty digest would compare equal to an empty answer, so the other algorithms must not slip through here.
  CHECK(algorithm == DigestAlgorithm::kMd5 || algorithm == DigestAlgorithm::kSha1 || algorithm == DigestAlgorithm::kSha256);
  uint8_t block_key[kBlock] = {};
  if (key.size() > kBlock) {
    const Digest short_key = ComputeDigest(algorithm, key);
    std::memcpy(block_key, short_key.bytes.data(), short_key.size);
  } else if (!key.empty()) {
    std::memcpy(block_key, key.data(), key.size());
  }
  uint8_t pad[kBlock];
  for (size_t i = 0; i < kBlock; ++i) pad[i] = block_key[i] ^ 0x36;
  Hasher inner(algorithm);
  inner.Update(pad);
  inner.Update(message);
  const Digest inside = inner.Finish();
  for (size_t i = 0; i < kBlock; ++i) pad[i] = block_key[i] ^ 0x5c;
  Hasher outer(algorithm);
  outer.Update(pad);
  outer.Update({inside.bytes.data(), inside.size});
  return outer.Finish();
}

bool EqualConstantTime(const Digest& a, const Digest& b) {
  if (a.size != b.size || a.size > kMaxDigestBytes) return false;
  // volatile keeps the compiler from leaving the loop at the first difference
  volatile uint8_t difference = 0;
  for (uint32_t i = 0; i < a.size; ++i) difference = static_cast<uint8_t>(difference | (a.bytes[i] ^ b.bytes[i]));
  return difference == 0;
}

}  // namespace drbdts::core
