#pragma once
// Which 4 KiB blocks differ from the peer's: 1 = out of sync (drbd-protocol §4.4). In memory in disk format; pages of 4 KiB are the unit of write-out.
#include <cstdint>
#include <span>
#include <vector>

#include "core/units.h"

namespace drbdts::core {

class Bitmap {
 public:
  static constexpr uint32_t kPageBytes = 4096;
  static constexpr uint64_t kBitsPerPage = uint64_t{kPageBytes} * 8;
  static constexpr uint64_t kNone = ~uint64_t{0};

  /// Room for devices up to capacity_sectors (rounded up to a page); starts with size 0. Memory is taken here only (kernel gives zero pages lazily).
  explicit Bitmap(uint64_t capacity_sectors);
  ~Bitmap();
  /// Makes all of its memory resident, so that no later change has to wait for memory (the caller may be what frees it).
  void Touch();
  Bitmap(const Bitmap&) = delete;
  Bitmap& operator=(const Bitmap&) = delete;

  /// Sets the device size (at most the capacity). Growing: new bits are set to `set_new`; shrinking clears what is cut off. Pages that
  /// hold new bits, and the last page after shrinking, become dirty. No memory is touched where zeros stay zeros.
  void Resize(uint64_t sectors, bool set_new);
  uint64_t sectors() const { return sectors_; }
  uint64_t bits() const { return bits_; }
  uint64_t set_count() const { return set_count_; }
  uint64_t words() const { return (bits_ + 63) / 64; }

  /// Every block the range touches becomes out of sync. Returns how many bits were newly set.
  uint64_t SetRange(const SectorRange& range);
  /// Only blocks that the range covers fully (the last, partial block of the device counts as covered when the range reaches the device's end). Returns how many were cleared.
  uint64_t ClearRange(const SectorRange& range);
  /// Any touched block out of sync?
  bool AnySet(const SectorRange& range) const;
  bool Test(uint64_t bit) const;
  /// Bits past the end of the device are ignored.
  void SetBits(uint64_t first, uint64_t count);
  void ClearBits(uint64_t first, uint64_t count);
  void SetAll();
  void ClearAll();
  /// First set bit at or after `from`, kNone if none. Skips empty pages by their counters.
  uint64_t NextSet(uint64_t from) const;
  uint64_t NextClear(uint64_t from) const;
  /// Set bits in [first, first+count).
  uint64_t CountRange(uint64_t first, uint64_t count) const;

  /// ORs 64-bit little-endian words (wire or disk form) starting at word `first_word`; bits past the end are ignored. bytes.size() is a multiple
  /// of 8. Returns bits newly set.
  uint64_t MergeWords(uint64_t first_word, std::span<const uint8_t> bytes);
  /// Copies words out (tail bits zero). bytes.size() is a multiple of 8.
  void ReadWords(uint64_t first_word, std::span<uint8_t> bytes) const;

  // ---- write-out ----
  uint64_t pages() const;                         // pages in use
  std::span<const uint8_t> Page(uint64_t page) const;
  /// Takes a page (4096 bytes) as read from disk, replacing what was there; bits past the end are masked. The page is clean afterwards.
  void LoadPage(uint64_t page, std::span<const uint8_t> bytes);
  bool IsDirty(uint64_t page) const;
  /// Next dirty page at or after `from`, kNone if none.
  uint64_t NextDirty(uint64_t from) const;
  /// The caller copied the page for writing. A change after this makes it dirty again.
  void MarkClean(uint64_t page);
  void MarkDirty(uint64_t page);
  static uint64_t PageOfBit(uint64_t bit) { return bit / kBitsPerPage; }
  static uint64_t PageOfAlExtent(uint64_t extent) { return extent * kBitsPerAlExtent / kBitsPerPage; }

 private:
  static constexpr uint64_t kWordsPerPage = kPageBytes / 8;
  uint64_t PageBits(uint64_t page) const;  // bits in use
  /// Sets or clears [first, end) within one page, keeping counters and the dirty mark. Returns how many bits changed.
  uint64_t SetInPage(uint64_t page, uint64_t first, uint64_t end);
  uint64_t ClearInPage(uint64_t page, uint64_t first, uint64_t end);
  uint64_t SetSpan(uint64_t first, uint64_t end);
  uint64_t ClearSpan(uint64_t first, uint64_t end);
  void Changed(uint64_t page, uint64_t set_before);
  uint64_t CountInPage(uint64_t first, uint64_t end) const;

  void* allocation_ = nullptr;
  uint64_t* words_ = nullptr;       // capacity_pages_ pages, page aligned; bits past the end are always zero
  std::vector<uint32_t> page_set_;  // set bits per page
  std::vector<uint64_t> dirty_;     // one bit per page
  uint64_t capacity_pages_ = 0;
  uint64_t sectors_ = 0;
  uint64_t bits_ = 0;
  uint64_t set_count_ = 0;
};

}  // namespace drbdts::core
