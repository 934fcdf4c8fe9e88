#include <doctest/doctest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/crc32c.h"
#include "core/digest.h"
#include "core/random.h"

using namespace drbdts::core;

namespace {

std::span<const uint8_t> Bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

std::string Hex(const Digest& digest) {
  std::string out;
  for (size_t i = 0; i < digest.size; ++i) {
    out += "0123456789abcdef"[digest.bytes[i] >> 4];
    out += "0123456789abcdef"[digest.bytes[i] & 15];
  }
  return out;
}

std::string HexOf(DigestAlgorithm algorithm, std::string_view text) { return Hex(ComputeDigest(algorithm, Bytes(text))); }

uint64_t Seed() {
  const char* given = std::getenv("DRBDTS_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

constexpr DigestAlgorithm kAll[] = {DigestAlgorithm::kCrc32c, DigestAlgorithm::kMd5, DigestAlgorithm::kSha1, DigestAlgorithm::kSha256};

/// One byte at a time, straight from the polynomial.
uint32_t SlowCrc(uint32_t crc, std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return crc;
}

}  // namespace

TEST_CASE("md5 gives the values of RFC 1321") {
  CHECK(HexOf(DigestAlgorithm::kMd5, "") == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(HexOf(DigestAlgorithm::kMd5, "abc") == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(HexOf(DigestAlgorithm::kMd5, "12345678901234567890123456789012345678901234567890123456789012345678901234567890") ==
        "57edf4a22be3c955ac49da2e2107b67a");
}

TEST_CASE("sha1 and sha256 give the values of FIPS 180") {
  CHECK(HexOf(DigestAlgorithm::kSha1, "") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  CHECK(HexOf(DigestAlgorithm::kSha1, "abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(HexOf(DigestAlgorithm::kSha1, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  CHECK(HexOf(DigestAlgorithm::kSha1, std::string(1000000, 'a')) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  CHECK(HexOf(DigestAlgorithm::kSha256, "") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(HexOf(DigestAlgorithm::kSha256, "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(HexOf(DigestAlgorithm::kSha256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(HexOf(DigestAlgorithm::kSha256, std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("crc32c is the Castagnoli checksum, stored little-endian") {
  CHECK(HexOf(DigestAlgorithm::kCrc32c, "123456789") == "839206e3");
  CHECK(~Crc32cRaw(~0u, Bytes("123456789")) == 0xe3069283u);
  CHECK(Crc32cRaw(0, std::vector<uint8_t>(100, 0)) == 0);  // why meta-data checksums start from 0 without inversion
}

TEST_CASE("no algorithm gives an empty digest") {
  CHECK(ComputeDigest(DigestAlgorithm::kNone, Bytes("abc")).size == 0);
}

TEST_CASE("algorithm names and digest lengths") {
  CHECK(DigestByName("") == DigestAlgorithm::kNone);
  CHECK(DigestByName("sha512") == std::nullopt);
  CHECK(DigestByName("SHA1") == std::nullopt);
  CHECK(DigestBytes(DigestAlgorithm::kNone) == 0);
  for (const DigestAlgorithm algorithm : kAll) {
    CHECK(DigestByName(DigestName(algorithm)) == algorithm);
    CHECK(ComputeDigest(algorithm, {}).size == DigestBytes(algorithm));
  }
}

TEST_CASE("HMAC gives the values of RFC 2202 and RFC 4231") {
  const std::vector<uint8_t> key20(20, 0x0b);
  const std::vector<uint8_t> key16(16, 0x0b);
  CHECK(Hex(ComputeHmac(DigestAlgorithm::kMd5, key16, Bytes("Hi There"))) == "9294727a3638bb1c13f48ef8158bfc9d");
  CHECK(Hex(ComputeHmac(DigestAlgorithm::kSha1, key20, Bytes("Hi There"))) == "b617318655057264e28bc0b6fb378c8ef146be00");
  CHECK(Hex(ComputeHmac(DigestAlgorithm::kSha256, key20, Bytes("Hi There"))) ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(Hex(ComputeHmac(DigestAlgorithm::kSha1, Bytes("Jefe"), Bytes("what do ya want for nothing?"))) ==
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  const std::vector<uint8_t> long_key(80, 0xaa);
  CHECK(Hex(ComputeHmac(DigestAlgorithm::kSha1, long_key, Bytes("Test Using Larger Than Block-Size Key - Hash Key First"))) ==
        "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

TEST_CASE("any split of the data gives the same digest") {
  const uint64_t seed = Seed();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 400; ++round) {
    std::vector<uint8_t> data(random() % 700);
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(random());
    for (const DigestAlgorithm algorithm : kAll) {
      Hasher hasher(algorithm);
      for (size_t at = 0; at < data.size();) {
        const size_t count = std::min<size_t>(data.size() - at, random() % 150);
        hasher.Update({data.data() + at, count});
        at += count;
      }
      CHECK(hasher.Finish() == ComputeDigest(algorithm, data));
    }
    const uint32_t start = static_cast<uint32_t>(random());
    CHECK(Crc32cRaw(start, data) == SlowCrc(start, data));
  }
}

TEST_CASE("comparison tells digests apart by length and by every byte") {
  const Digest a = ComputeDigest(DigestAlgorithm::kSha1, Bytes("a"));
  CHECK(EqualConstantTime(a, ComputeDigest(DigestAlgorithm::kSha1, Bytes("a"))));
  for (size_t i = 0; i < a.size; ++i) {
    Digest b = a;
    b.bytes[i] ^= 0x40;
    CHECK_FALSE(EqualConstantTime(a, b));
    CHECK_FALSE(a == b);
  }
  Digest shorter = a;
  shorter.size = 16;
  CHECK_FALSE(EqualConstantTime(a, shorter));
  CHECK_FALSE(a == shorter);
}

TEST_CASE("random numbers follow from the seed alone, whatever the portions") {
  std::array<uint8_t, 32> seed{};
  seed[0] = 1;
  Random whole(seed);
  Random pieces(seed);
  std::array<uint8_t, 200> a{};
  std::array<uint8_t, 200> b{};
  whole.Fill(a);
  for (size_t at = 0, step = 1; at < b.size(); at += step, step = std::min<size_t>(step + 3, b.size() - at)) {
    pieces.Fill(std::span(b).subspan(at, step));
  }
  CHECK(a == b);
  CHECK(whole.Next64() == pieces.Next64());
  seed[0] = 2;
  std::array<uint8_t, 200> c{};
  Random(seed).Fill(c);
  CHECK(a != c);
}

TEST_CASE("numbers below a bound stay below it and reach every value") {
  Random random({});
  CHECK(random.Below(0) == 0);
  std::array<int, 7> seen{};
  for (int i = 0; i < 700; ++i) {
    const uint64_t value = random.Below(7);
    REQUIRE(value < 7);
    ++seen[value];
  }
  for (const int count : seen) CHECK(count > 0);
}
