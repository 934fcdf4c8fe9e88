#pragma once
// Encoding and incremental decoding of packets. No sockets: bytes in, packets out.
#include <cstdint>
#include <span>

#include "core/result.h"
#include "core/wire_format.h"

namespace drbdts::core {

/// What decides the layout of the packets of one connection.
struct WireDialect {
  bool h100 = false;             // false until the features exchange is done: h80 headers
  uint32_t features = 0;         // agreed feature flags (56-byte P_SIZES with kFeatureWsame)
  uint8_t integrity_bytes = 0;   // digest length of data-integrity-alg, 0 = none
  uint8_t verify_bytes = 0;      // digest length expected in P_OV_REPLY, 0 = any up to kMaxDigestBytes
  uint8_t csums_bytes = 0;       // digest length expected in P_CSUM_RS_REQUEST, 0 = any
};

/// Longest encoding of any packet without bulk payload and blobs: header + 148 bytes of P_SYNC_PARAM89, rounded up.
inline constexpr uint32_t kMaxEncodedBytes = 256;

/// Writes header and fields of `packet` (digest included, bulk payload excluded) to `out` and returns the number of bytes.
/// For BlobPacket the blob is copied too (out must hold it: header + 4080). header.length includes the bulk payload. CHECKs that it
/// fits, that the body is the one of the command and that a bulk packet has a digest of dialect.integrity_bytes. P_INITIAL_* and
/// P_CONNECTION_FEATURES always get an h80 header, everything else the one of the dialect.
uint32_t EncodePacket(const Packet& packet, const WireDialect& dialect, std::span<uint8_t> out);

/// Incremental decoder of one byte stream. Any split of the stream gives the same packets; hostile bytes give an error, never a crash.
class PacketReader {
 public:
  enum class Next {
    kNeedBytes,    // give more with Feed()
    kNeedPayload,  // packet() is known, BulkBytes(packet()) bytes follow: call SetPayload() with memory for them, then Feed() on
    kPacket,       // packet() is complete (payload, if any, lies where SetPayload said)
    kError,        // error(): drop the connection
  };

  PacketReader();

  /// Layout of what comes next; takes effect with the next packet header. Call it before feeding bytes of the first h100 packet.
  void SetDialect(const WireDialect& dialect) { dialect_ = dialect; }

  /// Consumes from `bytes` (advancing it) until there is something to say. After kPacket call again with the rest.
  Next Feed(std::span<const uint8_t>& bytes);

  /// Memory for the bulk payload of packet(); must be exactly BulkBytes(packet()) long and stay valid until kPacket or Reset().
  void SetPayload(std::span<uint8_t> payload);

  /// Where the next payload bytes may be received directly (after SetPayload): empty if none are due.
  std::span<uint8_t> PayloadTail();
  /// Tells that `count` bytes were put into PayloadTail(). If that completed it, the next Feed() (even with no bytes) returns kPacket.
  void PayloadFilled(uint32_t count);

  const Packet& packet() const { return packet_; }
  const Error& error() const { return error_; }
  /// Back to the start of a stream: a fresh dialect (h80, nothing agreed).
  void Reset();

 private:
  enum class Phase : uint8_t { kHeader, kFields, kAwaitPayload, kPayload, kFailed };
  Next Fail(Error error);
  void Collect(std::span<const uint8_t>& bytes, uint8_t* into, uint32_t want);

  WireDialect dialect_;
  WireDialect packet_dialect_;  // the one in force when the header of packet_ was complete
  Phase phase_ = Phase::kHeader;
  Packet packet_;
  Error error_;
  uint32_t have_ = 0;    // bytes collected of the current part
  uint32_t want_ = 0;    // bytes of fields
  uint32_t length_ = 0;  // everything behind the header
  std::span<uint8_t> payload_;
  uint32_t payload_have_ = 0;
  alignas(8) uint8_t header_[kHeaderBytesH100];
  alignas(8) uint8_t fields_[4096];
};

}  // namespace drbdts::core
