#pragma once
// Contiguous runs of 4 KiB pages out of one fixed piece of memory: payload buffers shared by device, disk and socket. Never allocates.
#include <cstdint>
#include <span>
#include <vector>

namespace drbdts::core {

/// A run of pages; count 0 = none.
struct Buffer {
  uint32_t page = 0;
  uint32_t count = 0;
  explicit operator bool() const { return count != 0; }
};

class PageArena {
 public:
  static constexpr uint32_t kPageBytes = 4096;
  /// `memory` is page aligned and stays valid; its size is a multiple of 4096. Bookkeeping memory is taken here.
  explicit PageArena(std::span<uint8_t> memory);
  /// A run of `pages` contiguous pages, or none. First fit.
  Buffer Take(uint32_t pages);
  Buffer TakeBytes(uint64_t bytes) { return Take(static_cast<uint32_t>((bytes + kPageBytes - 1) / kPageBytes)); }
  /// Gives back all but the first `pages` pages.
  void Shrink(Buffer& buffer, uint32_t pages);
  /// Gives back the first `pages` pages, the rest stays.
  void DropFront(Buffer& buffer, uint32_t pages);
  void Give(Buffer& buffer);
  std::span<uint8_t> Bytes(const Buffer& buffer) const;
  uint32_t free_pages() const { return free_; }
  uint32_t pages() const { return static_cast<uint32_t>(memory_.size() / kPageBytes); }

 private:
  std::span<uint8_t> memory_;
  std::vector<uint64_t> used_;  // one bit per page
  uint32_t free_ = 0;
};

}  // namespace drbdts::core
