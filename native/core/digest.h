#pragma once
// Digests for authentication, data integrity, checksum based resync and verify. Own small implementations: pure, no allocation.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/wire_format.h"

namespace drbdts::core {

enum class DigestAlgorithm : uint8_t { kNone, kCrc32c, kMd5, kSha1, kSha256 };

/// "" -> kNone; crc32c, md5, sha1, sha256; anything else nullopt.
std::optional<DigestAlgorithm> DigestByName(std::string_view name);
const char* DigestName(DigestAlgorithm algorithm);
/// Bytes of the digest: 0, 4, 16, 20, 32.
uint8_t DigestBytes(DigestAlgorithm algorithm);

/// Incremental computation, so that data may come in pieces.
class Hasher {
 public:
  explicit Hasher(DigestAlgorithm algorithm);
  void Update(std::span<const uint8_t> bytes);
  /// Result in the byte order of the Linux crypto API (crc32c little-endian, drbd-protocol §3.3). The hasher is spent afterwards.
  Digest Finish();

 private:
  void Blocks(const uint8_t* p, size_t count);
  DigestAlgorithm algorithm_;
  uint64_t total_ = 0;
  uint32_t state_[8];
  uint32_t have_ = 0;
  uint8_t buffer_[64];
};

Digest ComputeDigest(DigestAlgorithm algorithm, std::span<const uint8_t> bytes);
/// HMAC (RFC 2104). Only md5, sha1, sha256.
Digest ComputeHmac(DigestAlgorithm algorithm, std::span<const uint8_t> key, std::span<const uint8_t> message);
/// Comparison whose time does not depend on the contents.
bool EqualConstantTime(const Digest& a, const Digest& b);

}  // namespace drbdts::core
