#pragma once
// The bytes of one simulated disk, twice: as reads see them and as they would be found after a loss of power. Lives follow one another by
// the thousand, so the memory is kept in a pool and only what a life touched is wiped.
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
  void Touch(uint64_t first_sector, uint64_t sectors) {
    for (uint64_t page = first_sector / 8; page <= (first_sector + sectors - 1) / 8; ++page) {
      if (touched_[page]) continue;
      touched_[page] = 1;
      pages.push_back(static_cast<uint32_t>(page));
    }
  }
  bool Touched(uint64_t page) const { return touched_[page] != 0; }
  /// Number of the last write of a sector that is durable.
  uint32_t& DurableSequence(uint64_t sector) { return durable_sequence_[sector]; }

 private:
  DiskMemory();
  void Wipe();
  uint8_t* touched_ = nullptr;
  uint32_t* durable_sequence_ = nullptr;
};

}  // namespace drbdts::sim
