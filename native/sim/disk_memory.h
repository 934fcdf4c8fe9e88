#pragma once
// The bytes of one simulated disk, twice: as reads see them and as they would be found after a loss of power. Lives follow one another by
// the thousand, so the memory is kept in a pool and only what a life wrote is wiped. Zeroes written where nothing else ever was (resyncs of
// whole disks bring little else) are remembered and cost no memory.
#include <cstdint>
#include <memory>
#include <vector>

namespace drbdts::sim {

inline constexpr uint64_t kDiskBytesMax = 384u << 20;

class DiskMemory {
 public:
  /// From the pool, all zero.
  static std::unique_ptr<DiskMemory> Take();
  static void GiveBack(std::unique_ptr<DiskMemory> memory);
  ~DiskMemory();
  DiskMemory(const DiskMemory&) = delete;
  DiskMemory& operator=(const DiskMemory&) = delete;

  uint8_t* visible = nullptr;
  uint8_t* durable = nullptr;
  std::vector<uint32_t> pages;            // 4 KiB pages ever written, in order of their first write
  /// Those sectors are being written, with nothing but zeroes or not. False: there is nothing to do, as all of it is blank and stays so.
  bool Touch(uint64_t first_sector, uint64_t sectors, bool zeroes) {
    bool work = false;
    for (uint64_t page = first_sector / 8; page <= (first_sector + sectors - 1) / 8; ++page) {
      uint8_t& state = page_[page];
      if (state == kUntouched) {
        state = kBlank;
        pages.push_back(static_cast<uint32_t>(page));
      }
      if (!zeroes) state = kWritten;
      work = work || state == kWritten;
    }
    return work;
  }
  bool Touched(uint64_t page) const { return page_[page] != kUntouched; }
  /// Nothing but zeroes was ever written to that page: that is what it holds, visible and durable.
  bool Blank(uint64_t page) const { return page_[page] != kWritten; }
  /// The same of all pages of these sectors.
  bool Blank(uint64_t first_sector, uint64_t sectors) const {
    for (uint64_t page = first_sector / 8; page <= (first_sector + sectors - 1) / 8; ++page) {
      if (!Blank(page)) return false;
    }
    return true;
  }
  /// Number of the last write of a sector that is durable.
  uint32_t& DurableSequence(uint64_t sector) { return durable_sequence_[sector]; }

 private:
  enum : uint8_t { kUntouched, kBlank, kWritten };
  DiskMemory();
  void Wipe();
  uint8_t* page_ = nullptr;
  uint32_t* durable_sequence_ = nullptr;
};

}  // namespace drbdts::sim
