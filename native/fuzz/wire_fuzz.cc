// libFuzzer target for the packet decoder: any bytes, any dialect, any split. From the project root:
//
//   clang++ -std=c++20 -fsanitize=fuzzer,address,undefined -O1 -g -Inative native/fuzz/wire_fuzz.cc
//     native/core/{wire_codec,wire_format,assert}.cc -o /tmp/wire_fuzz          (one line)
//   /tmp/wire_fuzz -max_len=8192 -max_total_time=120 CORPUS_FOLDER
//
// The first six bytes of an input choose dialect and split, the rest is the stream. What it holds the codec to: a decoded packet
// encodes to bytes that decode to the same encoding, the whole stream and its pieces give the same packets, nothing is read past.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/wire_codec.h"

using namespace drbdts::core;

namespace {

using Bytes = std::vector<uint8_t>;

/// All packets encoded again, one after the other, and the error that ended it (0 if none).
struct Outcome {
  Bytes encoded;
  ErrorCode error = ErrorCode::kOk;
};

Outcome Run(std::span<const uint8_t> stream, WireDialect dialect, size_t step) {
  Outcome outcome;
  PacketReader reader;
  reader.SetDialect(dialect);
  Bytes payload;
  Bytes out(kHeaderBytesH100 + kBitmapPacketBytes);
  while (!stream.empty()) {
    std::span<const uint8_t> part = stream.first(std::min(step, stream.size()));
    stream = stream.subspan(part.size());
    while (true) {
      const PacketReader::Next next = reader.Feed(part);
      if (next == PacketReader::Next::kNeedBytes) {
        CHECK(part.empty());
        break;
      }
      if (next == PacketReader::Next::kError) {
        outcome.error = reader.error().code;
        CHECK(outcome.error != ErrorCode::kOk);
        CHECK(std::strlen(reader.error().detail) > 0);
        return outcome;
      }
      if (next == PacketReader::Next::kNeedPayload) {
        CHECK(BulkBytes(reader.packet()) > 0);
        CHECK(BulkBytes(reader.packet()) <= 1u << 20);
        payload.assign(BulkBytes(reader.packet()), 0);
        reader.SetPayload(payload);
        continue;
      }
      const uint32_t count = EncodePacket(reader.packet(), dialect, out);
      outcome.encoded.insert(outcome.encoded.end(), out.begin(), out.begin() + count);
      if (BulkBytes(reader.packet()) > 0) outcome.encoded.insert(outcome.encoded.end(), payload.begin(), payload.end());
    }
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 6) return 0;
  WireDialect dialect;
  dialect.h100 = (data[0] & 0x80) != 0;
  dialect.features = data[0] & 15;
  dialect.integrity_bytes = data[1] % (kMaxDigestBytes + 1);
  dialect.verify_bytes = data[2] % (kMaxDigestBytes + 1);
  dialect.csums_bytes = data[3] % (kMaxDigestBytes + 1);
  const size_t step = 1 + data[4] + 256u * (data[5] & 15);
  const std::span<const uint8_t> stream(data + 6, size - 6);

  const Outcome whole = Run(stream, dialect, size);
  const Outcome split = Run(stream, dialect, step);
  CHECK(whole.encoded == split.encoded);
  CHECK(whole.error == split.error);
  const Outcome again = Run(whole.encoded, dialect, step);
  CHECK(again.error == ErrorCode::kOk);
  CHECK(again.encoded == whole.encoded);
  // Only the reserved bytes of P_CONNECTION_FEATURES are not kept; h100 streams come back byte for byte.
  if (dialect.h100) CHECK(std::equal(whole.encoded.begin(), whole.encoded.end(), stream.begin()));
  return 0;
}
