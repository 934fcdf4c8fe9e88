#include "core/wire_codec.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/units.h"

#undef CHECK  // here it is the test framework's, not the one that aborts
#include <doctest/doctest.h>

using namespace drbdts::core;

namespace {

using Bytes = std::vector<uint8_t>;
using Rng = std::mt19937_64;
using Next = PacketReader::Next;

constexpr Command kH100Commands[] = {
    Command::kData,         Command::kDataReply,    Command::kRsDataReply,  Command::kBarrier,          Command::kBitmap,
    Command::kUnplugRemote, Command::kDataRequest,  Command::kRsDataRequest, Command::kProtocol,        Command::kUuids,
    Command::kSizes,        Command::kState,        Command::kSyncUuid,     Command::kAuthChallenge,    Command::kAuthResponse,
    Command::kStateChgReq,  Command::kPing,         Command::kPingAck,      Command::kRecvAck,          Command::kWriteAck,
    Command::kRsWriteAck,   Command::kSuperseded,   Command::kNegAck,       Command::kNegDreply,        Command::kNegRsDreply,
    Command::kBarrierAck,   Command::kStateChgReply, Command::kOvRequest,   Command::kOvReply,          Command::kOvResult,
    Command::kCsumRsRequest, Command::kRsIsInSync,  Command::kSyncParam89,  Command::kCompressedBitmap, Command::kDelayProbe,
    Command::kOutOfSync,    Command::kRsCancel,     Command::kConnStChgReq, Command::kConnStChgReply,   Command::kRetryWrite,
    Command::kProtocolUpdate, Command::kTrim,       Command::kRsThinReq,    Command::kRsDeallocated,    Command::kWsame,
    Command::kZeroes};
constexpr Command kH80Commands[] = {Command::kInitialMeta, Command::kInitialData, Command::kConnectionFeatures};

Rng SeededRng() {
  const char* given = std::getenv("DRBDTS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  MESSAGE("DRBDTS_SEED=" << seed);
  return Rng(seed);
}

uint32_t U32(Rng& rng) { return static_cast<uint32_t>(rng()); }

/// "8620ec20 0000" -> bytes; blanks are for the reader.
Bytes FromHex(const std::string& text) {
  Bytes out;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
  }
  for (size_t i = 0; i + 1 < digits.size(); i += 2) out.push_back(static_cast<uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return out;
}

Bytes Zeros(size_t count) { return Bytes(count, 0); }

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Digest RandomDigest(Rng& rng, uint32_t size) {
  Digest digest;
  digest.size = static_cast<uint8_t>(size);
  for (uint32_t i = 0; i < size; ++i) digest.bytes[i] = static_cast<uint8_t>(rng());
  return digest;
}

uint32_t RandomSectors(Rng& rng, uint32_t max_bytes) { return kSectorSize * (1 + U32(rng) % (max_bytes / kSectorSize)); }
/// Payloads are mostly small, so that many packets fit into a short stream.
uint32_t RandomPayload(Rng& rng) { return RandomSectors(rng, rng() % 20 == 0 ? kMaxRequestBytes : 8192); }

template <size_t kSize>
void RandomName(Rng& rng, std::array<char, kSize>& name) {
  const size_t length = rng() % kSize;
  for (size_t i = 0; i < length; ++i) name[i] = static_cast<char>('a' + rng() % 26);
}

/// `blob` backs the bytes of blob packets and must outlive the packet.
Packet RandomPacket(Rng& rng, Command command, const WireDialect& dialect, Bytes& blob) {
  Packet packet;
  packet.command = command;
  packet.volume = static_cast<uint16_t>(rng());
  const uint64_t sector = rng() % (kMaxDeviceSectors - kMaxDiscardBytes / kSectorSize);
  const uint32_t max_range = (dialect.features & kFeatureWsame) != 0 ? kMaxDiscardBytes : kMaxDiscardBytesSmall;
  const auto fill_blob = [&](size_t size) {
    blob.resize(size);
    for (uint8_t& byte : blob) byte = static_cast<uint8_t>(rng());
    packet.body = BlobPacket{blob};
  };
  switch (command) {
    case Command::kInitialMeta:
    case Command::kInitialData:
      packet.volume = 0;
      packet.body = EmptyPacket{};
      break;
    case Command::kConnectionFeatures:
      packet.volume = 0;
      packet.body = FeaturesPacket{U32(rng), U32(rng), U32(rng)};
      break;
    case Command::kUnplugRemote:
    case Command::kPing:
    case Command::kPingAck: packet.body = EmptyPacket{}; break;
    case Command::kData:
    case Command::kDataReply:
    case Command::kRsDataReply:
      packet.body = DataPacket{sector, rng(), U32(rng), U32(rng), RandomPayload(rng), RandomDigest(rng, dialect.integrity_bytes)};
      break;
    case Command::kTrim:
    case Command::kZeroes: packet.body = DataPacket{sector, rng(), U32(rng), U32(rng), RandomSectors(rng, max_range), {}}; break;
    case Command::kWsame: {
      const uint32_t block = 512u << rng() % 4;
      const uint32_t range = block * (1 + U32(rng) % (max_range / block));
      packet.body = DataPacket{sector, rng(), U32(rng), U32(rng), range, RandomDigest(rng, dialect.integrity_bytes), block};
      break;
    }
    case Command::kDataRequest:
    case Command::kRsDataRequest:
    case Command::kRsThinReq:
    case Command::kOvRequest: packet.body = BlockRequest{sector, rng(), RandomSectors(rng, kMaxRequestBytes), U32(rng), {}}; break;
    case Command::kOvReply:
    case Command::kCsumRsRequest: {
      const uint8_t agreed = command == Command::kOvReply ? dialect.verify_bytes : dialect.csums_bytes;
      const Digest digest = RandomDigest(rng, agreed != 0 ? agreed : 1 + U32(rng) % kMaxDigestBytes);
      packet.body = BlockRequest{sector, rng(), RandomSectors(rng, kMaxRequestBytes), U32(rng), digest};
      break;
    }
    case Command::kOvResult:
      packet.body = BlockAck{sector, rng() % 2 == 0 ? kOvInSync : kOvOutOfSync, U32(rng), U32(rng)};
      break;
    case Command::kRecvAck:
    case Command::kWriteAck:
    case Command::kRsWriteAck:
    case Command::kSuperseded:
    case Command::kNegAck:
    case Command::kNegDreply:
    case Command::kNegRsDreply:
    case Command::kRsIsInSync:
    case Command::kRsCancel:
    case Command::kRetryWrite: packet.body = BlockAck{rng(), rng(), U32(rng), U32(rng)}; break;
    case Command::kOutOfSync:
    case Command::kRsDeallocated: packet.body = BlockDescription{sector, RandomSectors(rng, kMaxDiscardBytes), U32(rng)}; break;
    case Command::kBarrier: packet.body = BarrierPacket{U32(rng), U32(rng)}; break;
    case Command::kBarrierAck: packet.body = BarrierAckPacket{U32(rng), U32(rng)}; break;
    case Command::kStateChgReq:
    case Command::kConnStChgReq: packet.body = StateRequest{U32(rng), U32(rng)}; break;
    case Command::kStateChgReply:
    case Command::kConnStChgReply: packet.body = StateReply{static_cast<int32_t>(rng())}; break;
    case Command::kState: packet.body = StatePacket{U32(rng)}; break;
    case Command::kUuids: packet.body = UuidsPacket{{rng(), rng(), rng(), rng()}, rng(), rng()}; break;
    case Command::kSyncUuid: packet.body = SyncUuidPacket{rng()}; break;
    case Command::kSizes: {
      SizesPacket sizes{rng(), rng(), rng(), U32(rng), static_cast<uint16_t>(rng()), static_cast<uint16_t>(rng())};
      if ((dialect.features & kFeatureWsame) != 0) {
        sizes.has_limits = true;
        sizes.physical_block_size = U32(rng);
        sizes.logical_block_size = U32(rng);
        sizes.alignment_offset = U32(rng);
        sizes.io_min = U32(rng);
        sizes.io_opt = U32(rng);
        sizes.discard_enabled = static_cast<uint8_t>(rng());
        sizes.discard_zeroes_data = static_cast<uint8_t>(rng());
        sizes.write_same_capable = static_cast<uint8_t>(rng());
        sizes.pad = static_cast<uint8_t>(rng());
      }
      packet.body = sizes;
      break;
    }
    case Command::kProtocol:
    case Command::kProtocolUpdate: {
      ProtocolPacket protocol{U32(rng), U32(rng), U32(rng), U32(rng), U32(rng), U32(rng)};
      RandomName(rng, protocol.integrity_alg);
      packet.body = protocol;
      break;
    }
    case Command::kSyncParam89: {
      SyncParamPacket param;
      param.resync_rate = U32(rng);
      RandomName(rng, param.verify_alg);
      RandomName(rng, param.csums_alg);
      param.c_plan_ahead = U32(rng);
      param.c_delay_target = U32(rng);
      param.c_fill_target = U32(rng);
      param.c_max_rate = U32(rng);
      packet.body = param;
      break;
    }
    case Command::kDelayProbe: packet.body = DelayProbePacket{U32(rng), U32(rng)}; break;
    case Command::kBitmap: fill_blob(8 * (rng() % 511)); break;
    case Command::kCompressedBitmap: fill_blob(2 + rng() % 4079); break;
    case Command::kAuthChallenge: fill_blob(rng() % 129); break;
    case Command::kAuthResponse: fill_blob(rng() % 65); break;
    case Command::kSyncParam: FAIL("not a packet of protocol 101");
  }
  return packet;
}

Bytes Encode(const Packet& packet, const WireDialect& dialect) {
  Bytes out(kHeaderBytesH100 + kBitmapPacketBytes);
  out.resize(EncodePacket(packet, dialect, out));
  return out;
}

struct Decoded {
  std::vector<Bytes> packets;  // each encoded again, payload included
  Error error;
};

/// Feeds the stream in portions given by `portion()` and encodes again what comes out.
template <typename Portion>
Decoded DecodeStream(const Bytes& stream, const WireDialect& dialect, Portion portion, bool receive_directly = false) {
  Decoded result;
  PacketReader reader;
  reader.SetDialect(dialect);
  Bytes payload;
  std::span<const uint8_t> rest = stream;
  while (true) {
    const size_t count = std::min<size_t>(rest.size(), portion());
    std::span<const uint8_t> part = rest.first(count);
    rest = rest.subspan(count);
    Next next;
    while ((next = reader.Feed(part)) != Next::kNeedBytes) {
      if (next == Next::kError) {
        result.error = reader.error();
        return result;
      }
      if (next == Next::kNeedPayload) {
        payload.assign(BulkBytes(reader.packet()), 0xee);
        reader.SetPayload(payload);
        if (receive_directly && part.empty()) {
          const std::span<uint8_t> tail = reader.PayloadTail();
          const size_t direct = std::min(tail.size(), rest.size());
          std::memcpy(tail.data(), rest.data(), direct);
          rest = rest.subspan(direct);
          reader.PayloadFilled(static_cast<uint32_t>(direct));
        }
        continue;
      }
      Bytes again = Encode(reader.packet(), dialect);
      if (BulkBytes(reader.packet()) > 0) again = again + payload;
      result.packets.push_back(again);
    }
    REQUIRE(part.empty());
    if (rest.empty()) return result;
  }
}

Decoded DecodeWhole(const Bytes& stream, const WireDialect& dialect) {
  return DecodeStream(stream, dialect, [&] { return stream.size(); });
}

WireDialect H100(uint32_t features = 0) {
  WireDialect dialect;
  dialect.h100 = true;
  dialect.features = features;
  return dialect;
}

WireDialect RandomDialect(Rng& rng) {
  constexpr uint8_t kSizes[] = {0, 4, 16, 20, 32};
  WireDialect dialect = H100(U32(rng) % 16);
  dialect.integrity_bytes = kSizes[rng() % 5];
  dialect.verify_bytes = kSizes[rng() % 5];
  dialect.csums_bytes = kSizes[rng() % 5];
  return dialect;
}

Bytes RandomStream(Rng& rng, const WireDialect& dialect, size_t count, std::vector<Bytes>* packets = nullptr) {
  Bytes stream;
  for (size_t i = 0; i < count; ++i) {
    Bytes blob;
    const std::span<const Command> commands = dialect.h100 ? std::span<const Command>(kH100Commands) : kH80Commands;
    const Packet packet = RandomPacket(rng, commands[rng() % commands.size()], dialect, blob);
    Bytes one = Encode(packet, dialect);
    const size_t bulk = BulkBytes(packet);
    for (size_t k = 0; k < bulk; ++k) one.push_back(static_cast<uint8_t>(k * 31 + i));
    stream = stream + one;
    if (packets != nullptr) packets->push_back(one);
  }
  return stream;
}

/// Header of protocol 100.
Bytes H100Header(uint16_t command, uint32_t length, uint32_t pad = 0, uint32_t magic = kMagicH100) {
  const auto be = [](uint64_t v, int count) {
    Bytes out;
    for (int i = count - 1; i >= 0; --i) out.push_back(static_cast<uint8_t>(v >> (8 * i)));
    return out;
  };
  return be(magic, 4) + be(0, 2) + be(command, 2) + be(length, 4) + be(pad, 4);
}

ErrorCode ErrorOf(const Bytes& stream, const WireDialect& dialect) {
  const Decoded decoded = DecodeWhole(stream, dialect);
  if (decoded.error.code != ErrorCode::kOk) CHECK(std::strlen(decoded.error.detail) > 10);
  return decoded.error.code;
}

}  // namespace

TEST_CASE("every packet type survives encoding and decoding") {
  Rng rng = SeededRng();
  for (int round = 0; round < 30; ++round) {
    const WireDialect dialect = RandomDialect(rng);
    for (const Command command : kH100Commands) {
      CAPTURE(CommandName(command));
      Bytes blob;
      const Packet packet = RandomPacket(rng, command, dialect, blob);
      Bytes encoded = Encode(packet, dialect);
      encoded.resize(encoded.size() + BulkBytes(packet), 0x5a);
      const Decoded decoded = DecodeWhole(encoded, dialect);
      CHECK(decoded.error.code == ErrorCode::kOk);
      REQUIRE(decoded.packets.size() == 1);
      CHECK(decoded.packets[0] == encoded);
    }
    for (const Command command : kH80Commands) {
      CAPTURE(CommandName(command));
      Bytes blob;
      const Bytes encoded = Encode(RandomPacket(rng, command, WireDialect{}, blob), dialect);  // the dialect must not matter
      const Decoded decoded = DecodeWhole(encoded, WireDialect{});
      CHECK(decoded.error.code == ErrorCode::kOk);
      REQUIRE(decoded.packets.size() == 1);
      CHECK(decoded.packets[0] == encoded);
    }
  }
}

TEST_CASE("any split of a stream gives the same packets") {
  Rng rng = SeededRng();
  for (int round = 0; round < 20; ++round) {
    const WireDialect dialect = RandomDialect(rng);
    std::vector<Bytes> expected;
    const Bytes stream = RandomStream(rng, dialect, 25, &expected);
    CHECK(DecodeWhole(stream, dialect).packets == expected);
    CHECK(DecodeStream(stream, dialect, [] { return 1; }).packets == expected);
    CHECK(DecodeStream(stream, dialect, [&] { return rng() % 40; }).packets == expected);
    CHECK(DecodeStream(stream, dialect, [&] { return rng() % 40; }, true).packets == expected);
    CHECK(DecodeStream(stream, dialect, [&] { return rng() % 9000; }, true).packets == expected);
  }
}

TEST_CASE("hostile bytes give an error or packets, and the same ones for any split") {
  Rng rng = SeededRng();
  for (int round = 0; round < 300; ++round) {
    const WireDialect dialect = rng() % 4 == 0 ? WireDialect{} : RandomDialect(rng);
    Bytes stream;
    if (rng() % 3 == 0) {
      stream.resize(rng() % 300);
      for (uint8_t& byte : stream) byte = static_cast<uint8_t>(rng());
    } else {
      stream = RandomStream(rng, dialect, 4);
      for (size_t hits = 1 + rng() % 4; hits > 0; --hits) stream[rng() % std::min<size_t>(stream.size(), 400)] ^= 1u << rng() % 8;
    }
    const Decoded whole = DecodeWhole(stream, dialect);
    const Decoded split = DecodeStream(stream, dialect, [&] { return 1 + rng() % 50; });
    CHECK(whole.packets == split.packets);
    CHECK(whole.error.code == split.error.code);
  }
}

TEST_CASE("packets look on the wire as the protocol says") {
  const WireDialect dialect = H100();
  SyncParamPacket param;
  param.resync_rate = 250;
  param.c_plan_ahead = 20;
  param.c_delay_target = 10;
  param.c_fill_target = 100;
  param.c_max_rate = 102400;
  ProtocolPacket protocol;
  protocol.protocol = 3;
  SizesPacket sizes;
  sizes.d_size = sizes.c_size = 0x1fff78;
  sizes.max_bio_size = 0x100000;
  const struct {
    Packet packet;
    Bytes expected;
  } cases[] = {
      {{Command::kInitialData, 0, EmptyPacket{}}, FromHex("83740267 fff20000")},
      {{Command::kInitialMeta, 0, EmptyPacket{}}, FromHex("83740267 fff10000")},
      {{Command::kConnectionFeatures, 0, FeaturesPacket{86, 15, 101}},
       FromHex("83740267 fffe0048 00000056 0000000f 00000065 00000000") + Zeros(56)},
      {{Command::kProtocol, 0, protocol}, FromHex("8620ec20 0000000b 00000019 00000000 00000003") + Zeros(21)},
      {{Command::kSyncParam89, 0, param},
       FromHex("8620ec20 00000023 00000094 00000000 000000fa") + Zeros(128) + FromHex("00000014 0000000a 00000064 00019000")},
      {{Command::kSizes, 0, sizes},
       FromHex("8620ec20 0000000d 00000020 00000000 00000000 001fff78 00000000 00000000 00000000 001fff78 00100000 00000000")},
      {{Command::kUuids, 0, UuidsPacket{{4, 0, 0, 0}, 0, 0}},
       FromHex("8620ec20 0000000c 00000030 00000000 00000000 00000004") + Zeros(40)},
      {{Command::kState, 0, StatePacket{0xc882}}, FromHex("8620ec20 0000000e 00000004 00000000 0000c882")},
      {{Command::kStateChgReq, 0, StateRequest{0x1e03, 0x1001}}, FromHex("8620ec20 00000012 00000008 00000000 00001e03 00001001")},
      {{Command::kStateChgReply, 0, StateReply{1}}, FromHex("8620ec20 0000001d 00000004 00000000 00000001")},
      {{Command::kStateChgReply, 0, StateReply{-19}}, FromHex("8620ec20 0000001d 00000004 00000000 ffffffed")},
      {{Command::kSyncUuid, 7, SyncUuidPacket{0xa1b2c3d4e5f60718}}, FromHex("8620ec20 0007000f 00000008 00000000 a1b2c3d4 e5f60718")},
      {{Command::kPing, 0, EmptyPacket{}}, FromHex("8620ec20 00000013 00000000 00000000")},
      // 4 KiB write at sector 8; block id and barrier handle keep the sender's own byte order
      {{Command::kData, 0, DataPacket{8, 1, 1, kDpRwSync | kDpSendWriteAck, 4096, {}}},
       FromHex("8620ec20 00000000 00001018 00000000 00000000 00000008 01000000 00000000 00000001 00000102")},
      {{Command::kWriteAck, 0, BlockAck{8, 1, 4096, 5}},
       FromHex("8620ec20 00000016 00000018 00000000 00000000 00000008 01000000 00000000 00001000 00000005")},
      {{Command::kBarrier, 0, BarrierPacket{1, 0}}, FromHex("8620ec20 00000003 00000008 00000000 01000000 00000000")},
      {{Command::kBarrierAck, 0, BarrierAckPacket{1, 1}}, FromHex("8620ec20 0000001c 00000008 00000000 01000000 00000001")},
      {{Command::kRsDataReply, 0, DataPacket{0, kIdSyncer, 0, 0, 1 << 20, {}}},
       FromHex("8620ec20 00000002 00100018 00000000 00000000 00000000 ffffffff ffffffff 00000000 00000000")},
      // the verify result is a number, not an opaque id
      {{Command::kOvResult, 0, BlockAck{64, kOvOutOfSync, 4096, 3}},
       FromHex("8620ec20 00000020 00000018 00000000 00000000 00000040 00000000 00001268 00001000 00000003")},
  };
  for (const auto& c : cases) {
    CAPTURE(CommandName(c.packet.command));
    CHECK(Encode(c.packet, dialect) == c.expected);
  }
}

TEST_CASE("fields arrive in their places") {
  PacketReader reader;
  reader.SetDialect(H100());
  const Bytes trim = FromHex("8620ec20 00020031 0000001c 00000000 00000000 00001000 0807060504030201 00000009 00000142 00100000");
  std::span<const uint8_t> rest = trim;
  REQUIRE(reader.Feed(rest) == Next::kPacket);
  CHECK(rest.empty());
  CHECK(reader.packet().volume == 2);
  const DataPacket& data = std::get<DataPacket>(reader.packet().body);
  CHECK(data.sector == 0x1000);
  CHECK(data.block_id == 0x0102030405060708);
  CHECK(data.seq_num == 9);
  CHECK(data.dp_flags == (kDpRwSync | kDpDiscard | kDpSendWriteAck));
  CHECK(data.size == 1u << 20);
  CHECK(BulkBytes(reader.packet()) == 0);
}

TEST_CASE("the integrity digest stands between fields and payload, but not in TRIM and ZEROES") {
  WireDialect dialect = H100(kFeatureWsame);
  dialect.integrity_bytes = 4;
  Digest digest;
  digest.size = 4;
  digest.bytes = {1, 2, 3, 4};
  const Bytes data = Encode({Command::kData, 0, DataPacket{0, 0, 0, 0, 512, digest}}, dialect);
  CHECK(data.size() == 16 + 24 + 4);
  CHECK(Bytes(data.end() - 4, data.end()) == Bytes{1, 2, 3, 4});
  CHECK(data[11] == 24 + 4);  // low byte of 24 + 4 + 512
  CHECK(Encode({Command::kTrim, 0, DataPacket{0, 0, 0, 0, 512, {}}}, dialect).size() == 16 + 28);
  CHECK(Encode({Command::kZeroes, 0, DataPacket{0, 0, 0, 0, 512, {}}}, dialect).size() == 16 + 28);
  CHECK(ErrorOf(H100Header(0x31, 32), dialect) == ErrorCode::kBadLength);
}

TEST_CASE("wrong headers are refused") {
  CHECK(ErrorOf(H100Header(0x13, 0, 0, 0x8620ec21), H100()) == ErrorCode::kBadMagic);
  CHECK(ErrorOf(FromHex("83740267 00130000"), H100()) == ErrorCode::kBadMagic);              // short header on an established connection
  CHECK(ErrorOf(FromHex("835a0013 00000000"), H100()) == ErrorCode::kBadMagic);              // protocol 95..99
  CHECK(ErrorOf(FromHex("835afff2 00000000"), WireDialect{}) == ErrorCode::kBadMagic);
  CHECK(ErrorOf(H100Header(0x13, 0), WireDialect{}) == ErrorCode::kBadMagic);                 // not before the features exchange
  CHECK(ErrorOf(FromHex("47455420 2f204854"), WireDialect{}) == ErrorCode::kBadMagic);       // a web client
  for (int bit = 0; bit < 32; ++bit) CHECK(ErrorOf(H100Header(0x13, 0, 1u << bit), H100()) == ErrorCode::kBadPadding);
  CHECK(ErrorOf(FromHex("83740267 00130000"), WireDialect{}) == ErrorCode::kUnknownPacket);  // P_PING without handshake
  CHECK(ErrorOf(H100Header(0xfff2, 0), H100()) == ErrorCode::kUnknownPacket);
  CHECK(ErrorOf(H100Header(0xfffe, 72) + Zeros(72), H100()) == ErrorCode::kUnknownPacket);
}

TEST_CASE("commands that protocol 101 does not have are refused") {
  for (uint32_t command = 0; command <= 0xffff; ++command) {
    const bool known = std::any_of(std::begin(kH100Commands), std::end(kH100Commands),
                                   [&](Command c) { return static_cast<uint32_t>(c) == command; });
    if (!known) REQUIRE(ErrorOf(H100Header(static_cast<uint16_t>(command), 0), H100()) == ErrorCode::kUnknownPacket);
    const Command as_enum = static_cast<Command>(command);
    if (std::string(CommandName(as_enum)) == "P_UNKNOWN") REQUIRE_FALSE(known);
  }
}

TEST_CASE("lengths are exact") {
  const auto refuses = [](Command command, const WireDialect& dialect, std::initializer_list<uint32_t> lengths) {
    for (const uint32_t length : lengths) {
      CAPTURE(CommandName(command));
      CAPTURE(length);
      CHECK(ErrorOf(H100Header(static_cast<uint16_t>(command), length), dialect) == ErrorCode::kBadLength);
    }
  };
  refuses(Command::kPing, H100(), {1, 0xffffffff});
  refuses(Command::kData, H100(), {0, 23, 24, 24 + 511, 24 + 513, 24 + (1 << 20) + 512, 0xffffffff});
  WireDialect digests = H100(kFeatureWsame);
  digests.integrity_bytes = digests.verify_bytes = digests.csums_bytes = 20;
  refuses(Command::kData, digests, {24, 44, 24 + 512, 44 + 511});
  refuses(Command::kWsame, H100(), {28, 28 + 4608, 28 + 100});
  refuses(Command::kOvReply, digests, {24, 28, 45});
  refuses(Command::kCsumRsRequest, digests, {24, 43, 45});
  refuses(Command::kOvReply, H100(), {24, 24 + 65});
  refuses(Command::kSizes, H100(), {0, 56, 31, 33});
  refuses(Command::kSizes, H100(kFeatureWsame), {32, 55, 57});
  refuses(Command::kProtocol, H100(), {0, 24, 24 + 65});
  refuses(Command::kSyncParam89, H100(), {132, 147, 149});
  refuses(Command::kAuthChallenge, H100(), {129, 0x80000040});
  refuses(Command::kAuthResponse, H100(), {65});
  refuses(Command::kBitmap, H100(), {4, 4081, 4088});
  refuses(Command::kCompressedBitmap, H100(), {0, 1, 4081});
  refuses(Command::kState, H100(), {0, 8});
  refuses(Command::kUuids, H100(), {40, 56});
  CHECK(ErrorOf(FromHex("83740267 fffe0047"), WireDialect{}) == ErrorCode::kBadLength);
}

TEST_CASE("ranges outside any device or over the limit are refused") {
  const auto data = [](Command command, uint64_t sector, uint32_t size, const WireDialect& dialect) {
    return ErrorOf(Encode({command, 0, DataPacket{sector, 0, 0, 0, size, {}}}, dialect), dialect);
  };
  CHECK(data(Command::kTrim, 0, kMaxDiscardBytesSmall, H100()) == ErrorCode::kOk);
  CHECK(data(Command::kTrim, 0, kMaxDiscardBytesSmall + 512, H100()) == ErrorCode::kBadPayload);
  CHECK(data(Command::kZeroes, 0, kMaxDiscardBytes, H100(kFeatureWsame)) == ErrorCode::kOk);
  CHECK(data(Command::kZeroes, 0, kMaxDiscardBytes + 512, H100(kFeatureWsame)) == ErrorCode::kBadPayload);
  for (const uint32_t size : {0u, 1u, 511u, 513u, ~0u}) CHECK(data(Command::kTrim, 0, size, H100()) == ErrorCode::kBadPayload);
  CHECK(data(Command::kData, kMaxDeviceSectors - 1, 512, H100()) == ErrorCode::kOk);
  CHECK(data(Command::kData, kMaxDeviceSectors - 1, 1024, H100()) == ErrorCode::kBadPayload);
  CHECK(data(Command::kData, ~uint64_t{0}, 512, H100()) == ErrorCode::kBadPayload);
  const auto request = [](uint64_t sector, uint32_t size) {
    return ErrorOf(Encode({Command::kRsDataRequest, 0, BlockRequest{sector, kIdSyncer, size, 0, {}}}, H100()), H100());
  };
  CHECK(request(0, kMaxRequestBytes) == ErrorCode::kOk);
  CHECK(request(3, 512) == ErrorCode::kOk);
  for (const uint32_t size : {0u, 100u, kMaxRequestBytes + 512, 0x80000000u}) CHECK(request(0, size) == ErrorCode::kBadPayload);
  CHECK(request(uint64_t{1} << 63, 4096) == ErrorCode::kBadPayload);
}

TEST_CASE("names without end and invented verify results are refused") {
  CHECK(ErrorOf(H100Header(0x0b, 28) + Zeros(24) + FromHex("73686131"), H100()) == ErrorCode::kBadPayload);
  CHECK(ErrorOf(H100Header(0x0b, 26) + Zeros(26), H100()) == ErrorCode::kBadPayload);
  CHECK(ErrorOf(H100Header(0x23, 148) + Bytes(148, 'a'), H100()) == ErrorCode::kBadPayload);
  CHECK(ErrorOf(H100Header(0x20, 24) + Zeros(24), H100()) == ErrorCode::kBadPayload);
}

TEST_CASE("an acknowledgement without size is taken: kernel peers without a disk send it for TRIM") {
  CHECK(ErrorOf(Encode({Command::kNegAck, 0, BlockAck{8, 1, 0, 1}}, H100()), H100()) == ErrorCode::kOk);
}

TEST_CASE("after an error the reader stays failed until it is reset") {
  PacketReader reader;
  reader.SetDialect(H100());
  const Bytes bad = H100Header(0x13, 1);
  std::span<const uint8_t> rest = bad;
  CHECK(reader.Feed(rest) == Next::kError);
  const Bytes ping = H100Header(0x13, 0);
  rest = ping;
  CHECK(reader.Feed(rest) == Next::kError);
  CHECK(rest.size() == ping.size());
  reader.Reset();
  const Bytes hello = FromHex("83740267 fff10000");
  rest = hello;
  CHECK(reader.Feed(rest) == Next::kPacket);
}

TEST_CASE("a new dialect holds from the next packet on, also while a payload is under way") {
  PacketReader reader;
  reader.SetDialect(H100());
  WireDialect with_digest = H100();
  with_digest.integrity_bytes = 4;
  Digest digest;
  digest.size = 4;
  const Bytes stream = Encode({Command::kData, 0, DataPacket{0, 0, 0, 0, 512, {}}}, H100()) + Zeros(512) +
                       Encode({Command::kData, 0, DataPacket{8, 0, 0, 0, 512, digest}}, with_digest) + Zeros(512);
  Bytes payload(512);
  std::span<const uint8_t> head = std::span(stream).first(20);
  std::span<const uint8_t> rest = std::span(stream).subspan(20);
  REQUIRE(reader.Feed(head) == Next::kNeedBytes);
  reader.SetDialect(with_digest);
  for (const uint64_t sector : {0, 8}) {
    REQUIRE(reader.Feed(rest) == Next::kNeedPayload);
    reader.SetPayload(payload);
    REQUIRE(reader.Feed(rest) == Next::kPacket);
    CHECK(std::get<DataPacket>(reader.packet().body).sector == sector);
    CHECK(std::get<DataPacket>(reader.packet().body).size == 512);
  }
  CHECK(rest.empty());
}

TEST_CASE("a payload received directly completes with the next call") {
  PacketReader reader;
  reader.SetDialect(H100());
  CHECK(reader.PayloadTail().empty());
  const Bytes stream = Encode({Command::kData, 0, DataPacket{0, 0, 0, 0, 1024, {}}}, H100()) + Bytes(24, 1);
  std::span<const uint8_t> rest = stream;
  REQUIRE(reader.Feed(rest) == Next::kNeedPayload);
  CHECK(reader.Feed(rest) == Next::kNeedPayload);  // nothing is consumed before there is memory
  CHECK(rest.size() == 24);
  Bytes payload(1024, 0);
  reader.SetPayload(payload);
  REQUIRE(reader.Feed(rest) == Next::kNeedBytes);
  std::span<uint8_t> tail = reader.PayloadTail();
  REQUIRE(tail.size() == 1000);
  std::fill(tail.begin(), tail.end(), 1);
  reader.PayloadFilled(1000);
  CHECK(reader.PayloadTail().empty());
  std::span<const uint8_t> nothing;
  CHECK(reader.Feed(nothing) == Next::kPacket);
  CHECK(payload == Bytes(1024, 1));
}
