// Hostile bytes for everything that reads meta-data from a disk or a bitmap from a peer. libFuzzer target; the first byte chooses.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "core/bitmap_codec.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/meta_data.h"

namespace {

using namespace drbdts::core;
using Block = std::array<uint8_t, kMetaBlockBytes>;

void Require(bool condition) {
  if (!condition) std::abort();
}

Block BlockOf(std::span<const uint8_t> input, size_t offset) {
  Block block{};
  if (offset < input.size()) std::copy_n(input.begin() + static_cast<std::ptrdiff_t>(offset), std::min(block.size(), input.size() - offset), block.begin());
  return block;
}

/// A right magic number and checksum, so that the fuzzer gets behind them.
void Seal(Block& block) {
  StoreBe32(block.data(), kAlMagic);
  StoreBe32(block.data() + 8, 0);
  StoreBe32(block.data() + 8, Crc32cRaw(0, block));
}

void FuzzSuperBlock(std::span<const uint8_t> input) {
  Block block = BlockOf(input, 0);
  const auto decoded = DecodeSuperBlock(block);
  if (!decoded.ok()) return;
  Block again{};
  EncodeSuperBlock(decoded.value(), again);
  const auto twice = DecodeSuperBlock(again);
  Require(twice.ok() && twice.value().uuids == decoded.value().uuids && twice.value().al_stripes == decoded.value().al_stripes);
  const auto layout = ComputeLayout({}, decoded.value().la_size_sect, decoded.value().la_size_sect, decoded.value().al_stripes,
                                    decoded.value().al_stripe_size_4k);
  if (layout.ok()) static_cast<void>(CheckAgainstLayout(decoded.value(), layout.value()));
}

void FuzzAlBlock(std::span<const uint8_t> input) {
  Block block = BlockOf(input, 0);
  AlBlock decoded;
  static_cast<void>(DecodeAlBlock(block, decoded));
  Seal(block);
  if (!DecodeAlBlock(block, decoded).ok()) return;
  Block again{};
  EncodeAlBlock(decoded, again);
  AlBlock twice;
  Require(DecodeAlBlock(again, twice).ok() && twice.transaction == decoded.transaction && twice.context == decoded.context);
}

/// One byte of control per block (torn, initialized, or an update), then what the blocks hold, 64 bytes each, spread over the fields.
void FuzzReplay(std::span<const uint8_t> input) {
  if (input.empty()) return;
  const size_t blocks = 1 + input[0] % 24;
  input = input.subspan(1);
  static std::vector<uint32_t> slots(kAlExtentsMax + 1);
  std::vector<uint8_t> ring(blocks * kMetaBlockBytes);
  for (size_t i = 0; i < blocks; ++i) {
    Block block{};
    const std::span<const uint8_t> piece = input.subspan(std::min(input.size(), i * 64), std::min<size_t>(64, input.size() - std::min(input.size(), i * 64)));
    const uint8_t control = piece.empty() ? 0 : piece[0];
    std::memset(block.data() + 36, 0xff, block.size() - 36);
    block[7] = static_cast<uint8_t>(i);  // number
    for (size_t k = 1; k < piece.size(); ++k) {
      // Numbers and counts first, then pairs of slots and extents, then context.
      const size_t place = k < 16 ? 3 + k : k < 32 ? 36 + (k - 16) : k < 48 ? 164 + (k - 32) : 420 + (k - 48);
      if ((control & 0x10) != 0 || place >= 36) block[place] = piece[k];
    }
    if ((control & 3) == 1) StoreBe16(block.data() + 12, 0xffff);
    if ((control & 3) == 2) StoreBe16(block.data() + 12, 0);
    Seal(block);
    if ((control & 0x0c) == 0x0c) block[2000] ^= 1;
    std::copy(block.begin(), block.end(), ring.begin() + static_cast<std::ptrdiff_t>(i * kMetaBlockBytes));
  }
  uint32_t marked = 0;
  const auto result = ReplayActivityLog(ring, slots, [](void* count, uint32_t extent) {
    Require(extent != kAlNoExtent);
    ++*static_cast<uint32_t*>(count);
  }, &marked);
  Require(marked == 0 || (result.ok() && !result.value().pristine));
}

void FuzzBitmap(std::span<const uint8_t> input) {
  if (input.size() < 4) return;
  const uint64_t bits = 1 + (input[0] | uint64_t{input[1]} << 8 | uint64_t{input[2] & 0x0fu} << 16);
  Bitmap bitmap(bits * 8);
  bitmap.Resize(bits * 8, false);
  BitmapReceiver receiver(bitmap);
  input = input.subspan(3);
  while (!input.empty()) {
    // High bit: plain; the rest: length of the packet.
    const bool plain = (input[0] & 0x80) != 0;
    const size_t length = std::min<size_t>(input[0] & 0x7f, input.size() - 1);
    std::vector<uint8_t> payload(input.begin() + 1, input.begin() + 1 + static_cast<std::ptrdiff_t>(length));
    input = input.subspan(1 + length);
    if (plain) payload.resize(std::min<size_t>(4080, payload.size() * 64), 0x55);
    const auto done = receiver.Take(plain ? Command::kBitmap : Command::kCompressedBitmap, payload);
    if (!done.ok() || done.value()) break;
  }
  Require(bitmap.set_count() == bitmap.CountRange(0, bits) && bitmap.set_count() <= bits);

  // What came in goes out and comes in again.
  Bitmap back(bits * 8);
  back.Resize(bits * 8, false);
  BitmapReceiver back_receiver(back);
  BitmapSender sender(bitmap, (bits & 1) != 0);
  std::vector<uint8_t> packet(kBitmapPacketBytes);
  for (;;) {
    const auto chunk = sender.Next(packet);
    const auto done = back_receiver.Take(chunk.command, std::span(packet).first(chunk.bytes));
    Require(done.ok() && done.value() == chunk.last);
    if (chunk.last) break;
  }
  for (uint64_t page = 0; page < bitmap.pages(); ++page) Require(std::ranges::equal(bitmap.Page(page), back.Page(page)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> input(data + 1, size - 1);
  switch (data[0] & 3) {
    case 0: FuzzSuperBlock(input); break;
    case 1: FuzzAlBlock(input); break;
    case 2: FuzzReplay(input); break;
    default: FuzzBitmap(input); break;
  }
  return 0;
}
