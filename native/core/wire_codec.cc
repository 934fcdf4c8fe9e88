// Long for one file, because both directions of a layout belong side by side: layouts, length rules, decoding, encoding, reader.
#include "core/wire_codec.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "core/assert.h"
#include "core/bytes.h"
#include "core/units.h"

namespace drbdts::core {
namespace {

// Sub-headers, in bytes (drbd-protocol §1.3, §1.5, §2.1).
constexpr uint32_t kDataBytes = 24;
constexpr uint32_t kDataSizeBytes = 28;
constexpr uint32_t kRequestBytes = 24;
constexpr uint32_t kAckBytes = 24;
constexpr uint32_t kDescriptionBytes = 16;
constexpr uint32_t kFeaturesBytes = 72;
constexpr uint32_t kProtocolBytes = 24;
constexpr uint32_t kSyncParam89Bytes = 148;
constexpr uint32_t kSizesBytes = 32;
constexpr uint32_t kSizesLimitsBytes = 56;
constexpr uint32_t kUuidsBytes = 48;
constexpr uint32_t kMaxChallengeBytes = 128;

/// What a packet looks like behind its header; one packet body each.
enum class Layout : uint8_t {
  kUnknown,
  kEmpty,
  kData,         // data + [digest] + payload
  kRange,        // data + size
  kWsame,        // data + size + [digest] + one logical block
  kRequest,      // breq
  kDigest,       // breq + digest
  kAck,          // back
  kOvResult,     // back whose block id is a big-endian number
  kDescription,  // bdesc
  kBarrier,
  kBarrierAck,
  kStateRequest,
  kStateReply,
  kState,
  kUuids,
  kSyncUuid,
  kSizes,
  kProtocol,
  kSyncParam89,
  kFeatures,
  kDelayProbe,
  kBlob,
};

Layout LayoutOf(Command command) {
  switch (command) {
    case Command::kInitialMeta:
    case Command::kInitialData:
    case Command::kUnplugRemote:
    case Command::kPing:
    case Command::kPingAck: return Layout::kEmpty;
    case Command::kData:
    case Command::kDataReply:
    case Command::kRsDataReply: return Layout::kData;
    case Command::kTrim:
    case Command::kZeroes: return Layout::kRange;
    case Command::kWsame: return Layout::kWsame;
    case Command::kDataRequest:
    case Command::kRsDataRequest:
    case Command::kRsThinReq:
    case Command::kOvRequest: return Layout::kRequest;
    case Command::kOvReply:
    case Command::kCsumRsRequest: return Layout::kDigest;
    case Command::kRecvAck:
    case Command::kWriteAck:
    case Command::kRsWriteAck:
    case Command::kSuperseded:
    case Command::kNegAck:
    case Command::kNegDreply:
    case Command::kNegRsDreply:
    case Command::kRsIsInSync:
    case Command::kRsCancel:
    case Command::kRetryWrite: return Layout::kAck;
    case Command::kOvResult: return Layout::kOvResult;
    case Command::kOutOfSync:
    case Command::kRsDeallocated: return Layout::kDescription;
    case Command::kBarrier: return Layout::kBarrier;
    case Command::kBarrierAck: return Layout::kBarrierAck;
    case Command::kStateChgReq:
    case Command::kConnStChgReq: return Layout::kStateRequest;
    case Command::kStateChgReply:
    case Command::kConnStChgReply: return Layout::kStateReply;
    case Command::kState: return Layout::kState;
    case Command::kUuids: return Layout::kUuids;
    case Command::kSyncUuid: return Layout::kSyncUuid;
    case Command::kSizes: return Layout::kSizes;
    case Command::kProtocol:
    case Command::kProtocolUpdate: return Layout::kProtocol;
    case Command::kSyncParam89: return Layout::kSyncParam89;
    case Command::kConnectionFeatures: return Layout::kFeatures;
    case Command::kDelayProbe: return Layout::kDelayProbe;
    case Command::kBitmap:
    case Command::kCompressedBitmap:
    case Command::kAuthChallenge:
    case Command::kAuthResponse: return Layout::kBlob;
    case Command::kSyncParam: break;  // only protocols below 89 send it
  }
  return Layout::kUnknown;
}

/// Sent before the protocol version is agreed, hence always with the old header (§1.2).
bool IsHandshake(Command command) {
  return command == Command::kInitialMeta || command == Command::kInitialData || command == Command::kConnectionFeatures;
}

// ---- decoding ----

Error BadLength(const char* detail) { return {ErrorCode::kBadLength, 0, detail}; }
Error BadPayload(const char* detail) { return {ErrorCode::kBadPayload, 0, detail}; }
constexpr Error kFine{};

bool IsSectors(uint64_t bytes, uint64_t max) { return bytes >= kSectorSize && bytes <= max && bytes % kSectorSize == 0; }

/// No device is longer, so nothing that passes can overflow when sectors become bytes or a range gets its end.
bool IsRange(uint64_t sector, uint64_t bytes, uint64_t max_bytes) {
  return IsSectors(bytes, max_bytes) && sector < kMaxDeviceSectors && bytes / kSectorSize <= kMaxDeviceSectors - sector;
}

uint32_t MaxDiscard(const WireDialect& dialect) {
  return (dialect.features & kFeatureWsame) != 0 ? kMaxDiscardBytes : kMaxDiscardBytesSmall;
}

/// Length rules of packets kept inside the reader; the length itself is all that can be said about them here.
Error CheckBlobLength(Command command, uint32_t length) {
  switch (command) {
    case Command::kBitmap:
      if (length > kBitmapPacketBytes || length % 8 != 0) return BadLength("P_BITMAP must be at most 4080 bytes in whole 64-bit words");
      return kFine;
    case Command::kCompressedBitmap:
      if (length < 2 || length > kBitmapPacketBytes) return BadLength("P_COMPRESSED_BITMAP must be 2 to 4080 bytes long");
      return kFine;
    case Command::kAuthChallenge:
      if (length > kMaxChallengeBytes) return BadLength("P_AUTH_CHALLENGE must be at most 128 bytes long");
      return kFine;
    default:
      if (length > kMaxDigestBytes) return BadLength("P_AUTH_RESPONSE must be at most 64 bytes long");
      return kFine;
  }
}

/// A digest of `expected` bytes behind the request, or of any size if that is not known.
Error CheckDigestLength(uint32_t length, uint8_t expected) {
  if (length <= kRequestBytes || length > kRequestBytes + kMaxDigestBytes) {
    return BadLength("a request with digest must carry 1 to 64 bytes of it");
  }
  if (expected != 0 && length != kRequestBytes + expected) return BadLength("the digest has not the length of the agreed algorithm");
  return kFine;
}

Error Exactly(uint32_t length, uint32_t expected) {
  return length == expected ? kFine : BadLength("the packet has not the length its type demands");
}

/// Checks header.length against the packet type and finds how many bytes of it are fields (the rest is bulk payload).
Error FieldBytes(Command command, uint32_t length, const WireDialect& dialect, uint32_t& fields) {
  fields = length;
  switch (LayoutOf(command)) {
    case Layout::kUnknown: return {ErrorCode::kUnknownPacket, 0, "the peer sent a packet type that protocol 101 does not have"};
    case Layout::kEmpty: return Exactly(length, 0);
    case Layout::kData:
      fields = kDataBytes + dialect.integrity_bytes;
      if (length < fields || !IsSectors(length - fields, kMaxRequestBytes)) {
        return BadLength("a data packet must carry 512 bytes to 1 MiB in whole sectors");
      }
      return kFine;
    case Layout::kWsame:
      fields = kDataSizeBytes + dialect.integrity_bytes;
      if (length < fields || !IsSectors(length - fields, kBlockSize)) {
        return BadLength("P_WSAME must carry one logical block of 512 to 4096 bytes");
      }
      return kFine;
    case Layout::kRange: return Exactly(length, kDataSizeBytes);
    case Layout::kRequest: return Exactly(length, kRequestBytes);
    case Layout::kDigest: return CheckDigestLength(length, command == Command::kOvReply ? dialect.verify_bytes : dialect.csums_bytes);
    case Layout::kAck:
    case Layout::kOvResult: return Exactly(length, kAckBytes);
    case Layout::kDescription: return Exactly(length, kDescriptionBytes);
    case Layout::kBarrier:
    case Layout::kBarrierAck:
    case Layout::kStateRequest:
    case Layout::kSyncUuid:
    case Layout::kDelayProbe: return Exactly(length, 8);
    case Layout::kStateReply:
    case Layout::kState: return Exactly(length, 4);
    case Layout::kUuids: return Exactly(length, kUuidsBytes);
    case Layout::kSizes: return Exactly(length, (dialect.features & kFeatureWsame) != 0 ? kSizesLimitsBytes : kSizesBytes);
    case Layout::kProtocol:
      if (length <= kProtocolBytes || length > kProtocolBytes + kAlgorithmNameBytes) {
        return BadLength("P_PROTOCOL must be 25 to 88 bytes long");
      }
      return kFine;
    case Layout::kSyncParam89: return Exactly(length, kSyncParam89Bytes);
    case Layout::kFeatures: return Exactly(length, kFeaturesBytes);
    case Layout::kBlob: return CheckBlobLength(command, length);
  }
  return kFine;
}

Digest LoadDigest(const uint8_t* p, uint32_t size) {
  Digest digest;
  digest.size = static_cast<uint8_t>(size);
  std::memcpy(digest.bytes.data(), p, size);
  return digest;
}

bool LoadName(const uint8_t* p, uint32_t size, std::array<char, kAlgorithmNameBytes>& name) {
  std::memcpy(name.data(), p, size);
  return std::memchr(p, 0, size) != nullptr;
}

Error DecodeData(Layout layout, const uint8_t* p, uint32_t length, const WireDialect& dialect, DataPacket& out) {
  out.sector = LoadBe64(p);
  out.block_id = LoadNative64(p + 8);
  out.seq_num = LoadBe32(p + 16);
  out.dp_flags = LoadBe32(p + 20);
  const uint32_t fixed = layout == Layout::kData ? kDataBytes : kDataSizeBytes;
  if (layout != Layout::kRange) out.digest = LoadDigest(p + fixed, dialect.integrity_bytes);
  out.size = layout == Layout::kData ? length - fixed - dialect.integrity_bytes : LoadBe32(p + kDataBytes);
  if (layout == Layout::kWsame) {
    out.bulk = length - fixed - dialect.integrity_bytes;
    if (out.size % out.bulk != 0) return BadPayload("the range of P_WSAME is not a multiple of its block");
  }
  if (!IsRange(out.sector, out.size, layout == Layout::kData ? kMaxRequestBytes : MaxDiscard(dialect))) {
    return BadPayload("a data packet names a range that no device has or that is longer than allowed");
  }
  return kFine;
}

Error DecodeRequest(Layout layout, const uint8_t* p, uint32_t length, BlockRequest& out) {
  out.sector = LoadBe64(p);
  out.block_id = LoadNative64(p + 8);
  out.size = LoadBe32(p + 16);
  out.pad = LoadNative32(p + 20);
  if (layout == Layout::kDigest) out.digest = LoadDigest(p + kRequestBytes, length - kRequestBytes);
  if (!IsRange(out.sector, out.size, kMaxRequestBytes)) {
    return BadPayload("a request names a range that no device has or that is over 1 MiB");
  }
  return kFine;
}

/// The size is not judged: a kernel peer without a disk reports 0 or less there, and the block id identifies the request anyway.
Error DecodeAck(Layout layout, const uint8_t* p, BlockAck& out) {
  out.sector = LoadBe64(p);
  out.block_id = layout == Layout::kOvResult ? LoadBe64(p + 8) : LoadNative64(p + 8);
  out.size = LoadBe32(p + 16);
  out.seq_num = LoadBe32(p + 20);
  if (layout == Layout::kOvResult && out.block_id != kOvInSync && out.block_id != kOvOutOfSync) {
    return BadPayload("P_OV_RESULT says neither in sync nor out of sync");
  }
  return kFine;
}

Error DecodeDescription(const uint8_t* p, BlockDescription& out) {
  out.sector = LoadBe64(p);
  out.size = LoadBe32(p + 8);
  out.pad = LoadNative32(p + 12);
  if (!IsRange(out.sector, out.size, kMaxDiscardBytes)) return BadPayload("a block description names a range that no device has");
  return kFine;
}

void DecodeSizes(const uint8_t* p, uint32_t length, SizesPacket& out) {
  out.d_size = LoadBe64(p);
  out.u_size = LoadBe64(p + 8);
  out.c_size = LoadBe64(p + 16);
  out.max_bio_size = LoadBe32(p + 24);
  out.queue_order_type = LoadBe16(p + 28);
  out.dds_flags = LoadBe16(p + 30);
  out.has_limits = length == kSizesLimitsBytes;
  if (!out.has_limits) return;
  out.physical_block_size = LoadBe32(p + 32);
  out.logical_block_size = LoadBe32(p + 36);
  out.alignment_offset = LoadBe32(p + 40);
  out.io_min = LoadBe32(p + 44);
  out.io_opt = LoadBe32(p + 48);
  out.discard_enabled = p[52];
  out.discard_zeroes_data = p[53];
  out.write_same_capable = p[54];
  out.pad = p[55];
}

Error DecodeProtocol(const uint8_t* p, uint32_t length, ProtocolPacket& out) {
  out.protocol = LoadBe32(p);
  out.after_sb_0p = LoadBe32(p + 4);
  out.after_sb_1p = LoadBe32(p + 8);
  out.after_sb_2p = LoadBe32(p + 12);
  out.conn_flags = LoadBe32(p + 16);
  out.two_primaries = LoadBe32(p + 20);
  const uint32_t name_bytes = length - kProtocolBytes;
  if (!LoadName(p + kProtocolBytes, name_bytes, out.integrity_alg) || std::strlen(out.integrity_alg.data()) + 1 != name_bytes) {
    return BadPayload("the algorithm name in P_PROTOCOL does not end with its NUL byte");
  }
  return kFine;
}

Error DecodeSyncParam(const uint8_t* p, SyncParamPacket& out) {
  out.resync_rate = LoadBe32(p);
  const bool named = LoadName(p + 4, kAlgorithmNameBytes, out.verify_alg) && LoadName(p + 68, kAlgorithmNameBytes, out.csums_alg);
  out.c_plan_ahead = LoadBe32(p + 132);
  out.c_delay_target = LoadBe32(p + 136);
  out.c_fill_target = LoadBe32(p + 140);
  out.c_max_rate = LoadBe32(p + 144);
  return named ? kFine : BadPayload("an algorithm name in P_SYNC_PARAM89 has no NUL byte");
}

/// `p` holds the fields that FieldBytes() asked for; `length` is header.length.
Error DecodeFields(const uint8_t* p, uint32_t length, const WireDialect& dialect, Packet& packet) {
  PacketBody& body = packet.body;
  const Layout layout = LayoutOf(packet.command);
  switch (layout) {
    case Layout::kUnknown:
    case Layout::kEmpty: body.emplace<EmptyPacket>(); return kFine;
    case Layout::kData:
    case Layout::kRange:
    case Layout::kWsame: return DecodeData(layout, p, length, dialect, body.emplace<DataPacket>());
    case Layout::kRequest:
    case Layout::kDigest: return DecodeRequest(layout, p, length, body.emplace<BlockRequest>());
    case Layout::kAck:
    case Layout::kOvResult: return DecodeAck(layout, p, body.emplace<BlockAck>());
    case Layout::kDescription: return DecodeDescription(p, body.emplace<BlockDescription>());
    case Layout::kBarrier: body = BarrierPacket{LoadNative32(p), LoadNative32(p + 4)}; return kFine;
    case Layout::kBarrierAck: body = BarrierAckPacket{LoadNative32(p), LoadBe32(p + 4)}; return kFine;
    case Layout::kStateRequest: body = StateRequest{LoadBe32(p), LoadBe32(p + 4)}; return kFine;
    case Layout::kStateReply: body = StateReply{static_cast<int32_t>(LoadBe32(p))}; return kFine;
    case Layout::kState: body = StatePacket{LoadBe32(p)}; return kFine;
    case Layout::kUuids:
      body = UuidsPacket{{LoadBe64(p), LoadBe64(p + 8), LoadBe64(p + 16), LoadBe64(p + 24)}, LoadBe64(p + 32), LoadBe64(p + 40)};
      return kFine;
    case Layout::kSyncUuid: body = SyncUuidPacket{LoadBe64(p)}; return kFine;
    case Layout::kSizes: DecodeSizes(p, length, body.emplace<SizesPacket>()); return kFine;
    case Layout::kProtocol: return DecodeProtocol(p, length, body.emplace<ProtocolPacket>());
    case Layout::kSyncParam89: return DecodeSyncParam(p, body.emplace<SyncParamPacket>());
    case Layout::kFeatures: body = FeaturesPacket{LoadBe32(p), LoadBe32(p + 4), LoadBe32(p + 8)}; return kFine;  // the rest is reserved
    case Layout::kDelayProbe: body = DelayProbePacket{LoadBe32(p), LoadBe32(p + 4)}; return kFine;
    case Layout::kBlob: body = BlobPacket{{p, length}}; return kFine;
  }
  return kFine;
}

Error DecodeHeader(const uint8_t* p, bool h100, Packet& packet, uint32_t& length) {
  if (h100) {
    packet.volume = LoadBe16(p + 4);
    packet.command = static_cast<Command>(LoadBe16(p + 6));
    length = LoadBe32(p + 8);
    if (LoadBe32(p + 12) != 0) return {ErrorCode::kBadPadding, 0, "the last four bytes of the packet header are not zero"};
  } else {
    packet.volume = 0;
    packet.command = static_cast<Command>(LoadBe16(p + 4));
    length = LoadBe16(p + 6);
  }
  if (LayoutOf(packet.command) != Layout::kUnknown && IsHandshake(packet.command) == h100) {
    return {ErrorCode::kUnknownPacket, 0,
            h100 ? "the peer repeated the handshake on an established connection" : "the peer sent a packet before the features exchange"};
  }
  return kFine;
}

Error CheckMagic(const uint8_t* p, bool h100) {
  if (LoadBe32(p) == (h100 ? kMagicH100 : kMagicH80)) return kFine;
  if (LoadBe16(p) == kMagicH95) {
    return {ErrorCode::kBadMagic, 0, "the peer uses the packet header of protocol 95 to 99, which is not supported"};
  }
  return {ErrorCode::kBadMagic, 0,
          h100 ? "the packet does not begin with the magic of protocol 100" : "the packet does not begin with the magic of the handshake"};
}

uint32_t HeaderBytes(bool h100) { return h100 ? kHeaderBytesH100 : kHeaderBytesH80; }

// ---- encoding ----

template <typename Body>
const Body& BodyOf(const Packet& packet) {
  const Body* body = std::get_if<Body>(&packet.body);
  CHECK(body != nullptr);
  return *body;
}

uint32_t EncodeData(Layout layout, const DataPacket& in, const WireDialect& dialect, uint8_t* p) {
  CHECK(in.digest.size == (layout == Layout::kRange ? 0 : dialect.integrity_bytes));
  StoreBe64(p, in.sector);
  StoreNative64(p + 8, in.block_id);
  StoreBe32(p + 16, in.seq_num);
  StoreBe32(p + 20, in.dp_flags);
  if (layout != Layout::kData) StoreBe32(p + kDataBytes, in.size);
  const uint32_t fixed = layout == Layout::kData ? kDataBytes : kDataSizeBytes;
  std::memcpy(p + fixed, in.digest.bytes.data(), in.digest.size);
  return fixed + in.digest.size;
}

uint32_t EncodeRequest(Layout layout, const BlockRequest& in, uint8_t* p) {
  CHECK(in.digest.size <= kMaxDigestBytes);
  CHECK((in.digest.size != 0) == (layout == Layout::kDigest));
  StoreBe64(p, in.sector);
  StoreNative64(p + 8, in.block_id);
  StoreBe32(p + 16, in.size);
  StoreNative32(p + 20, in.pad);
  std::memcpy(p + kRequestBytes, in.digest.bytes.data(), in.digest.size);
  return kRequestBytes + in.digest.size;
}

uint32_t EncodeAck(Layout layout, const BlockAck& in, uint8_t* p) {
  StoreBe64(p, in.sector);
  layout == Layout::kOvResult ? StoreBe64(p + 8, in.block_id) : StoreNative64(p + 8, in.block_id);
  StoreBe32(p + 16, in.size);
  StoreBe32(p + 20, in.seq_num);
  return kAckBytes;
}

uint32_t EncodeDescription(const BlockDescription& in, uint8_t* p) {
  StoreBe64(p, in.sector);
  StoreBe32(p + 8, in.size);
  StoreNative32(p + 12, in.pad);
  return kDescriptionBytes;
}

uint32_t EncodeSizes(const SizesPacket& in, const WireDialect& dialect, uint8_t* p) {
  StoreBe64(p, in.d_size);
  StoreBe64(p + 8, in.u_size);
  StoreBe64(p + 16, in.c_size);
  StoreBe32(p + 24, in.max_bio_size);
  StoreBe16(p + 28, in.queue_order_type);
  StoreBe16(p + 30, in.dds_flags);
  if ((dialect.features & kFeatureWsame) == 0) return kSizesBytes;  // the agreement decides, not has_limits: any other length is fatal
  StoreBe32(p + 32, in.physical_block_size);
  StoreBe32(p + 36, in.logical_block_size);
  StoreBe32(p + 40, in.alignment_offset);
  StoreBe32(p + 44, in.io_min);
  StoreBe32(p + 48, in.io_opt);
  p[52] = in.discard_enabled;
  p[53] = in.discard_zeroes_data;
  p[54] = in.write_same_capable;
  p[55] = in.pad;
  return kSizesLimitsBytes;
}

uint32_t StoreWords(uint8_t* p, std::initializer_list<uint32_t> words) {
  uint32_t at = 0;
  for (const uint32_t word : words) {
    StoreBe32(p + at, word);
    at += 4;
  }
  return at;
}

uint32_t EncodeProtocol(const ProtocolPacket& in, uint8_t* p) {
  const uint32_t at = StoreWords(p, {in.protocol, in.after_sb_0p, in.after_sb_1p, in.after_sb_2p, in.conn_flags, in.two_primaries});
  const size_t name = strnlen(in.integrity_alg.data(), kAlgorithmNameBytes);
  CHECK(name < kAlgorithmNameBytes);
  std::memcpy(p + at, in.integrity_alg.data(), name + 1);
  return at + static_cast<uint32_t>(name) + 1;
}

uint32_t EncodeSyncParam(const SyncParamPacket& in, uint8_t* p) {
  StoreBe32(p, in.resync_rate);
  std::memcpy(p + 4, in.verify_alg.data(), kAlgorithmNameBytes);
  std::memcpy(p + 68, in.csums_alg.data(), kAlgorithmNameBytes);
  return 132 + StoreWords(p + 132, {in.c_plan_ahead, in.c_delay_target, in.c_fill_target, in.c_max_rate});
}

uint32_t EncodeUuids(const UuidsPacket& in, uint8_t* p) {
  for (size_t i = 0; i < in.uuid.size(); ++i) StoreBe64(p + 8 * i, in.uuid[i]);
  StoreBe64(p + 32, in.bits_set);
  StoreBe64(p + 40, in.flags);
  return kUuidsBytes;
}

/// Handle as it is, number behind it: P_BARRIER (pad) and P_BARRIER_ACK (count).
uint32_t EncodeBarrierAck(const BarrierAckPacket& in, uint8_t* p) {
  StoreNative32(p, in.handle);
  StoreBe32(p + 4, in.set_size);
  return 8;
}

uint32_t EncodeBarrier(const BarrierPacket& in, uint8_t* p) {
  StoreNative32(p, in.handle);
  StoreNative32(p + 4, in.pad);
  return 8;
}

uint32_t EncodeFeatures(const FeaturesPacket& in, uint8_t* p) {
  std::memset(p, 0, kFeaturesBytes);
  StoreWords(p, {in.protocol_min, in.feature_flags, in.protocol_max});
  return kFeaturesBytes;
}

/// Fields of everything but blobs; needs room for the longest of them, 148 bytes.
uint32_t EncodeFields(Layout layout, const Packet& packet, const WireDialect& dialect, uint8_t* p) {
  switch (layout) {
    case Layout::kData:
    case Layout::kRange:
    case Layout::kWsame: return EncodeData(layout, BodyOf<DataPacket>(packet), dialect, p);
    case Layout::kRequest:
    case Layout::kDigest: return EncodeRequest(layout, BodyOf<BlockRequest>(packet), p);
    case Layout::kAck:
    case Layout::kOvResult: return EncodeAck(layout, BodyOf<BlockAck>(packet), p);
    case Layout::kDescription: return EncodeDescription(BodyOf<BlockDescription>(packet), p);
    case Layout::kBarrier: return EncodeBarrier(BodyOf<BarrierPacket>(packet), p);
    case Layout::kBarrierAck: return EncodeBarrierAck(BodyOf<BarrierAckPacket>(packet), p);
    case Layout::kStateRequest: return StoreWords(p, {BodyOf<StateRequest>(packet).mask, BodyOf<StateRequest>(packet).value});
    case Layout::kStateReply: return StoreWords(p, {static_cast<uint32_t>(BodyOf<StateReply>(packet).retcode)});
    case Layout::kState: return StoreWords(p, {BodyOf<StatePacket>(packet).state});
    case Layout::kUuids: return EncodeUuids(BodyOf<UuidsPacket>(packet), p);
    case Layout::kSyncUuid: StoreBe64(p, BodyOf<SyncUuidPacket>(packet).uuid); return 8;
    case Layout::kSizes: return EncodeSizes(BodyOf<SizesPacket>(packet), dialect, p);
    case Layout::kProtocol: return EncodeProtocol(BodyOf<ProtocolPacket>(packet), p);
    case Layout::kSyncParam89: return EncodeSyncParam(BodyOf<SyncParamPacket>(packet), p);
    case Layout::kFeatures: return EncodeFeatures(BodyOf<FeaturesPacket>(packet), p);
    case Layout::kDelayProbe: return StoreWords(p, {BodyOf<DelayProbePacket>(packet).seq_num, BodyOf<DelayProbePacket>(packet).offset_us});
    case Layout::kEmpty: return 0;
    case Layout::kUnknown:
    case Layout::kBlob: break;
  }
  CHECK(layout != Layout::kUnknown);
  return 0;
}

}  // namespace

uint32_t EncodePacket(const Packet& packet, const WireDialect& dialect, std::span<uint8_t> out) {
  const Layout layout = LayoutOf(packet.command);
  const bool h100 = dialect.h100 && !IsHandshake(packet.command);
  const uint32_t header = HeaderBytes(h100);
  const std::span<const uint8_t> blob = layout == Layout::kBlob ? BodyOf<BlobPacket>(packet).bytes : std::span<const uint8_t>{};
  CHECK(blob.size() <= kBitmapPacketBytes);
  uint8_t fields[kMaxEncodedBytes];
  const uint32_t field_bytes = EncodeFields(layout, packet, dialect, fields) + static_cast<uint32_t>(blob.size());
  CHECK(header + field_bytes <= out.size());
  const uint32_t length = field_bytes + BulkBytes(packet);
  uint8_t* const p = out.data();
  if (h100) {
    StoreBe32(p, kMagicH100);
    StoreBe16(p + 4, packet.volume);
    StoreBe16(p + 6, static_cast<uint16_t>(packet.command));
    StoreBe32(p + 8, length);
    StoreBe32(p + 12, 0);
  } else {
    CHECK(length <= 0xffff);
    StoreBe32(p, kMagicH80);
    StoreBe16(p + 4, static_cast<uint16_t>(packet.command));
    StoreBe16(p + 6, static_cast<uint16_t>(length));
  }
  if (!blob.empty()) {
    std::memcpy(p + header, blob.data(), blob.size());
  } else {
    std::memcpy(p + header, fields, field_bytes);
  }
  return header + field_bytes;
}

PacketReader::PacketReader() = default;

void PacketReader::Reset() {
  dialect_ = WireDialect{};
  packet_dialect_ = WireDialect{};
  phase_ = Phase::kHeader;
  packet_ = Packet{};
  error_ = Error{};
  have_ = want_ = length_ = payload_have_ = 0;
  payload_ = {};
}

PacketReader::Next PacketReader::Fail(Error error) {
  error_ = error;
  phase_ = Phase::kFailed;
  return Next::kError;
}

/// Appends to `into` until have_ is `want` or the bytes are used up.
void PacketReader::Collect(std::span<const uint8_t>& bytes, uint8_t* into, uint32_t want) {
  const size_t count = std::min<size_t>(bytes.size(), want - have_);
  if (count > 0) std::memcpy(into + have_, bytes.data(), count);
  have_ += static_cast<uint32_t>(count);
  bytes = bytes.subspan(count);
}

PacketReader::Next PacketReader::Feed(std::span<const uint8_t>& bytes) {
  if (phase_ == Phase::kFailed) return Next::kError;
  if (phase_ == Phase::kAwaitPayload) return Next::kNeedPayload;
  if (phase_ == Phase::kPayload) {
    const size_t count = std::min<size_t>(bytes.size(), payload_.size() - payload_have_);
    if (count > 0) std::memcpy(payload_.data() + payload_have_, bytes.data(), count);
    payload_have_ += static_cast<uint32_t>(count);
    bytes = bytes.subspan(count);
    if (payload_have_ < payload_.size()) return Next::kNeedBytes;
    phase_ = Phase::kHeader;
    return Next::kPacket;
  }
  if (phase_ == Phase::kHeader) {
    const uint32_t header = HeaderBytes(dialect_.h100);
    // have_ can only exceed it if the dialect changed inside a header; the magic then fails below.
    if (have_ < header) Collect(bytes, header_, header);
    // The magic is judged as soon as it is there: a peer with short headers would otherwise be waited for without end.
    if (have_ >= 4) {
      if (const Error error = CheckMagic(header_, dialect_.h100); error.code != ErrorCode::kOk) return Fail(error);
    }
    if (have_ < header) return Next::kNeedBytes;
    packet_dialect_ = dialect_;
    if (const Error error = DecodeHeader(header_, dialect_.h100, packet_, length_); error.code != ErrorCode::kOk) return Fail(error);
    if (const Error error = FieldBytes(packet_.command, length_, packet_dialect_, want_); error.code != ErrorCode::kOk) return Fail(error);
    CHECK(want_ <= sizeof fields_);
    have_ = 0;
    phase_ = Phase::kFields;
  }
  Collect(bytes, fields_, want_);
  if (have_ < want_) return Next::kNeedBytes;
  have_ = 0;
  if (const Error error = DecodeFields(fields_, length_, packet_dialect_, packet_); error.code != ErrorCode::kOk) return Fail(error);
  if (BulkBytes(packet_) > 0) {
    phase_ = Phase::kAwaitPayload;
    return Next::kNeedPayload;
  }
  phase_ = Phase::kHeader;
  return Next::kPacket;
}

void PacketReader::SetPayload(std::span<uint8_t> payload) {
  CHECK(phase_ == Phase::kAwaitPayload);
  CHECK(payload.size() == BulkBytes(packet_));
  payload_ = payload;
  payload_have_ = 0;
  phase_ = Phase::kPayload;
}

std::span<uint8_t> PacketReader::PayloadTail() {
  return phase_ == Phase::kPayload ? payload_.subspan(payload_have_) : std::span<uint8_t>{};
}

void PacketReader::PayloadFilled(uint32_t count) {
  CHECK(count <= PayloadTail().size());
  payload_have_ += count;
}

}  // namespace drbdts::core
