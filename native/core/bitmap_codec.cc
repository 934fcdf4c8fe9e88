#include "core/bitmap_codec.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/assert.h"
#include "core/bytes.h"

namespace drbdts::core {
namespace {

constexpr uint64_t kWordsPerPacket = kBitmapPacketBytes / 8;
constexpr uint8_t kEncodingRleVliBits = 2;
constexpr uint8_t kFirstRunIsSet = 0x80;
constexpr uint32_t kPadShift = 4;

/// One row of the run length code (§7.3): `total` bits hold the run length less `from`, above a prefix that tells the rows apart.
struct Code {
  uint8_t total;
  uint8_t prefix_bits;
  uint8_t prefix;
  uint64_t from;
};
constexpr std::array<Code, 10> kCodes{{
    {2, 1, 0x00, 1},
    {3, 2, 0x01, 3},
    {5, 3, 0x03, 5},
    {7, 4, 0x07, 9},
    {10, 5, 0x0f, 17},
    {14, 6, 0x1f, 49},
    {21, 8, 0x3f, 305},
    {29, 8, 0x7f, 8497},
    {42, 8, 0xbf, 2105649},
    {64, 8, 0xff, 17181974833},
}};

/// Appends bits, lowest first, to bytes.
class BitWriter {
 public:
  explicit BitWriter(std::span<uint8_t> out) : out_(out) {}
  /// False, and nothing written, if the codeword does not fit as a whole.
  bool Put(uint64_t value, uint32_t count) {
    if (position_ + count > out_.size() * 8) return false;
    while (count > 0) {
      const auto offset = static_cast<uint32_t>(position_ % 8);
      const uint32_t take = std::min(8 - offset, count);
      uint8_t& byte = out_[position_ / 8];
      if (offset == 0) byte = 0;
      byte = static_cast<uint8_t>(byte | (value & ((1u << take) - 1)) << offset);
      value >>= take;
      position_ += take;
      count -= take;
    }
    return true;
  }
  uint32_t bytes() const { return static_cast<uint32_t>((position_ + 7) / 8); }
  uint32_t pad_bits() const { return static_cast<uint32_t>(bytes() * 8 - position_); }

 private:
  std::span<uint8_t> out_;
  size_t position_ = 0;
};

/// Reads bits, lowest first; past the end they read as zero, so `left()` must be looked at.
class BitReader {
 public:
  BitReader(std::span<const uint8_t> in, uint64_t bits) : in_(in), bits_(bits) {}
  uint64_t left() const { return bits_ - position_; }
  /// The next 64 bits without taking them.
  uint64_t Peek() const {
    const size_t first = position_ / 8;
    const auto shift = static_cast<uint32_t>(position_ % 8);
    std::array<uint8_t, 16> bytes{};
    const size_t count = std::min<size_t>(9, in_.size() - first);
    std::copy_n(in_.data() + first, count, bytes.data());
    const uint64_t low = LoadLe64(bytes.data()) >> shift;
    return shift == 0 ? low : low | uint64_t{bytes[8]} << (64 - shift);
  }
  void Skip(uint32_t count) { position_ += count; }

 private:
  std::span<const uint8_t> in_;
  uint64_t bits_;
  uint64_t position_ = 0;
};

bool PutRun(BitWriter& writer, uint64_t length) {
  size_t row = 0;
  while (row + 1 < kCodes.size() && length >= kCodes[row + 1].from) ++row;
  const Code& code = kCodes[row];
  return writer.Put((length - code.from) << code.prefix_bits | code.prefix, code.total);
}

/// Length of the next run, 0 if what is left is no whole codeword.
uint64_t TakeRun(BitReader& reader) {
  const uint64_t bits = reader.Peek();
  for (const Code& code : kCodes) {
    if ((bits & ((1u << code.prefix_bits) - 1)) != code.prefix) continue;
    if (code.total > reader.left()) return 0;
    reader.Skip(code.total);
    const uint64_t data = code.total == 64 ? bits : bits & ((uint64_t{1} << code.total) - 1);
    return (data >> code.prefix_bits) + code.from;
  }
  return 0;
}

Error BadPayload(const char* detail) { return Error{ErrorCode::kBadPayload, 0, detail}; }
Error BadLength(const char* detail) { return Error{ErrorCode::kBadLength, 0, detail}; }

}  // namespace

BitmapSender::Chunk BitmapSender::Next(std::span<uint8_t> out) {
  CHECK(out.size() >= kBitmapPacketBytes);
  const uint64_t bits = bitmap_->bits();
  if (bit_ >= bits) return {Command::kBitmap, 0, true};  // the last packet with bits was a plain one, or there is no bitmap at all
  if (use_rle_) {
    const uint32_t bytes = EncodeRuns(out.first(kBitmapPacketBytes));
    if (bytes != 0) return {Command::kCompressedBitmap, bytes, bit_ == bits};
  }
  const uint64_t first_word = bit_ / 64;
  const uint64_t count = std::min(kWordsPerPacket, bitmap_->words() - first_word);
  bitmap_->ReadWords(first_word, out.first(count * 8));
  bit_ = std::min(bits, (first_word + count) * 64);
  return {Command::kBitmap, static_cast<uint32_t>(count * 8), false};
}

uint32_t BitmapSender::EncodeRuns(std::span<uint8_t> out) {
  const uint64_t bits = bitmap_->bits();
  BitWriter writer(out.subspan(1));
  const bool first_is_set = bitmap_->Test(bit_);
  bool set = first_is_set;
  uint64_t position = bit_;
  while (position < bits) {
    const uint64_t end = std::min(bits, set ? bitmap_->NextClear(position) : bitmap_->NextSet(position));
    if (!PutRun(writer, end - position)) break;
    position = end;
    set = !set;
  }
  const uint32_t code_bytes = writer.bytes();
  if (position - bit_ < uint64_t{code_bytes} * 8) return 0;
  bit_ = position;
  out[0] = static_cast<uint8_t>(kEncodingRleVliBits | writer.pad_bits() << kPadShift | (first_is_set ? kFirstRunIsSet : 0));
  return 1 + code_bytes;
}

Result<bool> BitmapReceiver::Take(Command command, std::span<const uint8_t> payload) {
  if (command == Command::kBitmap) return TakePlain(payload);
  if (command == Command::kCompressedBitmap) return TakeRuns(payload);
  return BadPayload("not a bitmap packet");
}

Result<bool> BitmapReceiver::TakePlain(std::span<const uint8_t> payload) {
  const uint64_t bits = bitmap_->bits();
  const uint64_t first_word = bit_ >= bits ? bitmap_->words() : bit_ / 64;
  const uint64_t count = std::min(kWordsPerPacket, bitmap_->words() - first_word);
  if (payload.size() != count * 8) return BadLength("P_BITMAP does not have the size that is due at its place in the bitmap");
  if (count == 0) return true;
  bitmap_->MergeWords(first_word, payload);
  bit_ = std::min(bits, (first_word + count) * 64);
  return false;
}

Result<bool> BitmapReceiver::TakeRuns(std::span<const uint8_t> payload) {
  if (payload.size() < 2 || payload.size() > kBitmapPacketBytes) return BadLength("P_COMPRESSED_BITMAP must have 2 to 4080 bytes");
  if ((payload[0] & 0x0f) != kEncodingRleVliBits) return BadPayload("P_COMPRESSED_BITMAP with an unknown encoding");
  const uint32_t pad_bits = payload[0] >> kPadShift & 7;
  bool set = (payload[0] & kFirstRunIsSet) != 0;
  const std::span<const uint8_t> code = payload.subspan(1);
  const uint64_t bits = bitmap_->bits();
  BitReader reader(code, code.size() * 8 - pad_bits);
  while (reader.left() > 0) {
    const uint64_t length = TakeRun(reader);
    if (length == 0) return BadPayload("P_COMPRESSED_BITMAP with a broken run length");
    if (length > bits - bit_) return BadPayload("P_COMPRESSED_BITMAP reaches past the end of the bitmap");
    if (set) bitmap_->SetBits(bit_, length);
    bit_ += length;
    set = !set;
  }
  return bit_ == bits;
}

}  // namespace drbdts::core
