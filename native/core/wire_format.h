#pragma once
// DRBD protocol 101 on the wire: numbers, layouts and the decoded form of each packet (drbd-protocol §1, §2).
#include <array>
#include <cstdint>
#include <span>
#include <variant>

namespace drbdts::core {

inline constexpr uint32_t kProtocolMin = 100;  // DRBD 8.4.0; below it headers and packets are laid out differently
inline constexpr uint32_t kProtocolMax = 101;

inline constexpr uint32_t kMagicH80 = 0x83740267;
inline constexpr uint16_t kMagicH95 = 0x835a;
inline constexpr uint32_t kMagicH100 = 0x8620ec20;
inline constexpr uint32_t kHeaderBytesH80 = 8;
inline constexpr uint32_t kHeaderBytesH100 = 16;

inline constexpr uint32_t kFeatureTrim = 1;
inline constexpr uint32_t kFeatureThinResync = 2;
inline constexpr uint32_t kFeatureWsame = 4;
inline constexpr uint32_t kFeatureWzeroes = 8;

enum class Command : uint16_t {
  kData = 0x00,
  kDataReply = 0x01,
  kRsDataReply = 0x02,
  kBarrier = 0x03,
  kBitmap = 0x04,
  kUnplugRemote = 0x07,
  kDataRequest = 0x08,
  kRsDataRequest = 0x09,
  kSyncParam = 0x0a,
  kProtocol = 0x0b,
  kUuids = 0x0c,
  kSizes = 0x0d,
  kState = 0x0e,
  kSyncUuid = 0x0f,
  kAuthChallenge = 0x10,
  kAuthResponse = 0x11,
  kStateChgReq = 0x12,
  kPing = 0x13,
  kPingAck = 0x14,
  kRecvAck = 0x15,
  kWriteAck = 0x16,
  kRsWriteAck = 0x17,
  kSuperseded = 0x18,
  kNegAck = 0x19,
  kNegDreply = 0x1a,
  kNegRsDreply = 0x1b,
  kBarrierAck = 0x1c,
  kStateChgReply = 0x1d,
  kOvRequest = 0x1e,
  kOvReply = 0x1f,
  kOvResult = 0x20,
  kCsumRsRequest = 0x21,
  kRsIsInSync = 0x22,
  kSyncParam89 = 0x23,
  kCompressedBitmap = 0x24,
  kDelayProbe = 0x27,
  kOutOfSync = 0x28,
  kRsCancel = 0x29,
  kConnStChgReq = 0x2a,
  kConnStChgReply = 0x2b,
  kRetryWrite = 0x2c,
  kProtocolUpdate = 0x2d,
  kTrim = 0x31,
  kRsThinReq = 0x32,
  kRsDeallocated = 0x33,
  kWsame = 0x34,
  kZeroes = 0x36,
  kInitialMeta = 0xfff1,
  kInitialData = 0xfff2,
  kConnectionFeatures = 0xfffe,
};

/// Name as in the packet table (P_DATA, ...), "P_UNKNOWN" if there is none.
const char* CommandName(Command command);

// dp_flags (§3.1)
inline constexpr uint32_t kDpHardBarrier = 0x001;
inline constexpr uint32_t kDpRwSync = 0x002;
inline constexpr uint32_t kDpMaySetInSync = 0x004;
inline constexpr uint32_t kDpUnplug = 0x008;
inline constexpr uint32_t kDpFua = 0x010;
inline constexpr uint32_t kDpFlush = 0x020;
inline constexpr uint32_t kDpDiscard = 0x040;
inline constexpr uint32_t kDpSendReceiveAck = 0x080;
inline constexpr uint32_t kDpSendWriteAck = 0x100;
inline constexpr uint32_t kDpWsame = 0x200;
inline constexpr uint32_t kDpZeroes = 0x400;

inline constexpr uint64_t kIdSyncer = ~uint64_t{0};  // block_id of everything resync-related
inline constexpr uint64_t kOvInSync = 4711;          // P_OV_RESULT only, big-endian on the wire
inline constexpr uint64_t kOvOutOfSync = 4712;

inline constexpr uint32_t kMaxDigestBytes = 64;
inline constexpr uint32_t kBitmapPacketBytes = 4080;  // largest payload of P_BITMAP and P_COMPRESSED_BITMAP
inline constexpr uint32_t kAlgorithmNameBytes = 64;
inline constexpr uint32_t kMaxDiscardBytes = 128u << 20;       // with feature WSAME
inline constexpr uint32_t kMaxDiscardBytesSmall = 4u << 20;    // without

/// A digest as it stands in front of a payload or in a request; size 0 = none.
struct Digest {
  uint8_t size = 0;
  std::array<uint8_t, kMaxDigestBytes> bytes{};
  bool operator==(const Digest& o) const;
};

// ---- decoded packets. Field order follows the wire; block ids and barrier handles are opaque (native order). ----

/// P_DATA, P_DATA_REPLY, P_RS_DATA_REPLY, P_TRIM, P_ZEROES, P_WSAME. `size` is the number of bytes the packet affects
/// (payload bytes for P_DATA and replies, the range for the others).
struct DataPacket {
  uint64_t sector = 0;
  uint64_t block_id = 0;
  uint32_t seq_num = 0;
  uint32_t dp_flags = 0;
  uint32_t size = 0;
  Digest digest;
  uint32_t bulk = 0;  // P_WSAME only: bytes of the one logical block that is repeated over the range; 0 for all others
};
/// P_DATA_REQUEST, P_RS_DATA_REQUEST, P_RS_THIN_REQ, P_OV_REQUEST; with digest P_OV_REPLY, P_CSUM_RS_REQUEST.
struct BlockRequest {
  uint64_t sector = 0;
  uint64_t block_id = 0;
  uint32_t size = 0;
  uint32_t pad = 0;  // whatever the sender left there; kept so that a packet re-encodes byte for byte
  Digest digest;
};
/// All acknowledgements of layout "back". P_OV_RESULT carries kOvInSync / kOvOutOfSync in block_id (codec converts).
struct BlockAck {
  uint64_t sector = 0;
  uint64_t block_id = 0;
  uint32_t size = 0;
  uint32_t seq_num = 0;
};
/// P_OUT_OF_SYNC, P_RS_DEALLOCATED.
struct BlockDescription {
  uint64_t sector = 0;
  uint32_t size = 0;
  uint32_t pad = 0;
};
struct BarrierPacket {
  uint32_t handle = 0;  // opaque
  uint32_t pad = 0;
};
struct BarrierAckPacket {
  uint32_t handle = 0;  // opaque
  uint32_t set_size = 0;
};
struct StateRequest {  // P_STATE_CHG_REQ, P_CONN_ST_CHG_REQ
  uint32_t mask = 0;
  uint32_t value = 0;
};
struct StateReply {  // P_STATE_CHG_REPLY, P_CONN_ST_CHG_REPLY
  int32_t retcode = 0;
};
struct StatePacket {
  uint32_t state = 0;
};
struct UuidsPacket {
  std::array<uint64_t, 4> uuid{};  // current, bitmap, history 0, history 1
  uint64_t bits_set = 0;
  uint64_t flags = 0;
};
inline constexpr uint64_t kUuidFlagDiscardMyData = 1;
inline constexpr uint64_t kUuidFlagCrashedPrimary = 2;
inline constexpr uint64_t kUuidFlagInconsistent = 4;
inline constexpr uint64_t kUuidFlagSkipInitialSync = 8;
struct SyncUuidPacket {
  uint64_t uuid = 0;
};
struct SizesPacket {
  uint64_t d_size = 0;  // sectors
  uint64_t u_size = 0;
  uint64_t c_size = 0;
  uint32_t max_bio_size = 0;  // bytes
  uint16_t queue_order_type = 0;
  uint16_t dds_flags = 0;
  bool has_limits = false;  // the 24 bytes that come with feature WSAME
  uint32_t physical_block_size = 0;
  uint32_t logical_block_size = 0;
  uint32_t alignment_offset = 0;
  uint32_t io_min = 0;
  uint32_t io_opt = 0;
  uint8_t discard_enabled = 0;
  uint8_t discard_zeroes_data = 0;
  uint8_t write_same_capable = 0;
  uint8_t pad = 0;
};
inline constexpr uint16_t kDdsForced = 1;
inline constexpr uint16_t kDdsNoResync = 2;
struct ProtocolPacket {  // P_PROTOCOL, P_PROTOCOL_UPDATE
  uint32_t protocol = 0;  // 1 A, 2 B, 3 C
  uint32_t after_sb_0p = 0;
  uint32_t after_sb_1p = 0;
  uint32_t after_sb_2p = 0;
  uint32_t conn_flags = 0;
  uint32_t two_primaries = 0;
  std::array<char, kAlgorithmNameBytes> integrity_alg{};  // NUL terminated
};
inline constexpr uint32_t kConnFlagDiscardMyData = 1;
inline constexpr uint32_t kConnFlagDryRun = 2;
struct SyncParamPacket {  // P_SYNC_PARAM89
  uint32_t resync_rate = 0;
  std::array<char, kAlgorithmNameBytes> verify_alg{};
  std::array<char, kAlgorithmNameBytes> csums_alg{};
  uint32_t c_plan_ahead = 0;
  uint32_t c_delay_target = 0;
  uint32_t c_fill_target = 0;
  uint32_t c_max_rate = 0;
};
struct FeaturesPacket {
  uint32_t protocol_min = 0;
  uint32_t feature_flags = 0;
  uint32_t protocol_max = 0;
};
struct DelayProbePacket {
  uint32_t seq_num = 0;
  uint32_t offset_us = 0;
};
/// Packets whose payload is kept inside the reader: P_BITMAP, P_COMPRESSED_BITMAP, P_AUTH_*. `bytes` points into the reader's
/// own memory and is valid until its next call.
struct BlobPacket {
  std::span<const uint8_t> bytes;
};
struct EmptyPacket {};

using PacketBody = std::variant<EmptyPacket, DataPacket, BlockRequest, BlockAck, BlockDescription, BarrierPacket, BarrierAckPacket,
                                StateRequest, StateReply, StatePacket, UuidsPacket, SyncUuidPacket, SizesPacket, ProtocolPacket,
                                SyncParamPacket, FeaturesPacket, DelayProbePacket, BlobPacket>;

/// One decoded packet. Bulk payload (P_DATA, P_DATA_REPLY, P_RS_DATA_REPLY, P_WSAME) is not in here.
struct Packet {
  Command command = Command::kPing;
  uint16_t volume = 0;
  PacketBody body;
};

/// Number of bulk payload bytes that follow the encoded packet on the wire.
uint32_t BulkBytes(const Packet& packet);

}  // namespace drbdts::core
