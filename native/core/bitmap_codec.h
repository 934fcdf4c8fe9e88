#pragma once
// The bitmap on the wire: plain words (P_BITMAP) and run lengths (P_COMPRESSED_BITMAP), drbd-protocol §7.2, §7.3.
#include <cstdint>
#include <span>

#include "core/bitmap.h"
#include "core/result.h"
#include "core/wire_format.h"

namespace drbdts::core {

/// Produces the packets of one transfer, in order. The bitmap keeps its size meanwhile; bits that change behind the position are not sent.
class BitmapSender {
 public:
  BitmapSender(const Bitmap& bitmap, bool use_rle) : bitmap_(&bitmap), use_rle_(use_rle) {}
  struct Chunk {
    Command command = Command::kBitmap;
    uint32_t bytes = 0;  // 0 with kBitmap: the terminator
    bool last = false;
  };
  /// Fills `out` (at least kBitmapPacketBytes) with the payload of the next packet. Not to be called after a chunk with last = true.
  Chunk Next(std::span<uint8_t> out);

 private:
  /// Run lengths from the position on. Returns payload bytes, 0 if they do not pay; then the position is where it was.
  uint32_t EncodeRuns(std::span<uint8_t> out);

  const Bitmap* bitmap_;
  bool use_rle_;
  uint64_t bit_ = 0;  // position
};

/// Merges (ORs) a transfer into a bitmap.
class BitmapReceiver {
 public:
  explicit BitmapReceiver(Bitmap& bitmap) : bitmap_(&bitmap) {}
  /// Takes one packet's payload. value true = the transfer is complete. Errors: kBadLength, kBadPayload; bits merged before the error
  /// stay merged (more is out of sync than had to be, never less).
  Result<bool> Take(Command command, std::span<const uint8_t> payload);

 private:
  Result<bool> TakePlain(std::span<const uint8_t> payload);
  Result<bool> TakeRuns(std::span<const uint8_t> payload);

  Bitmap* bitmap_;
  uint64_t bit_ = 0;
};

}  // namespace drbdts::core
