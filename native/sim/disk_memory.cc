#include "sim/disk_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace drbdts::sim {

namespace {
template <typename T>
T* Map(uint64_t count) {
  void* p = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::abort();
  return static_cast<T*>(p);
}
std::vector<std::unique_ptr<DiskMemory>>& Pool() {
  static std::vector<std::unique_ptr<DiskMemory>> pool;
  return pool;
}
constexpr uint64_t kPages = kDiskBytesMax / 4096, kSectors = kDiskBytesMax / 512;
constexpr size_t kKeptPages = (48u << 20) / 4096;  // what lives of a seed write is kept
}  // namespace

DiskMemory::DiskMemory()
    : visible(Map<uint8_t>(kDiskBytesMax)), durable(Map<uint8_t>(kDiskBytesMax)), page_(Map<uint8_t>(kPages)),
      durable_sequence_(Map<uint32_t>(kSectors)) {}

DiskMemory::~DiskMemory() {
  munmap(visible, kDiskBytesMax);
  munmap(durable, kDiskBytesMax);
  munmap(page_, kPages);
  munmap(durable_sequence_, kSectors * sizeof(uint32_t));
}

std::unique_ptr<DiskMemory> DiskMemory::Take() {
  auto& pool = Pool();
  if (pool.empty()) return std::unique_ptr<DiskMemory>(new DiskMemory());
  auto memory = std::move(pool.back());
  pool.pop_back();
  return memory;
}

void DiskMemory::GiveBack(std::unique_ptr<DiskMemory> memory) {
  if (memory->pages.size() > kKeptPages) return;  // only a scenario writes that much: the pool stays small
  memory->Wipe();
  Pool().push_back(std::move(memory));
}

void DiskMemory::Wipe() {
  for (const uint64_t page : pages) {
    if (page_[page] == kWritten) {
      std::memset(visible + page * 4096, 0, 4096);
      std::memset(durable + page * 4096, 0, 4096);
    }
    std::memset(durable_sequence_ + page * 8, 0, 8 * sizeof(uint32_t));
    page_[page] = kUntouched;
  }
  pages.clear();
}

}  // namespace drbdts::sim
