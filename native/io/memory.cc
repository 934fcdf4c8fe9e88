#include "io/memory.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cstring>
#include <utility>

namespace drbdts::io {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2u << 20;
// Deepest stack the data path may use, with a wide margin; the rest of the thread's stack stays untouched.
constexpr uint64_t kStackBytes = 256 * 1024;
constexpr int kPrSetIoFlusher = 57;  // PR_SET_IO_FLUSHER, Linux 5.6

__attribute__((noinline)) bool TouchStack() {
  volatile uint8_t room[kStackBytes];
  for (uint64_t i = 0; i < kStackBytes; i += kPage) room[i] = 0;
  const auto begin = (reinterpret_cast<uintptr_t>(&room[0]) + kPage - 1) & ~uintptr_t{kPage - 1};
  return mlock(reinterpret_cast<void*>(begin), kStackBytes - kPage) == 0;
}

}  // namespace

LockedMemory::LockedMemory(uint64_t bytes) {
  size_ = (bytes + kPage - 1) & ~(kPage - 1);
  // Huge pages where the kernel gives them: one piece of memory per megabyte request instead of 256.
  const uint64_t mapped = size_ + kHugePage;
  void* whole = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) {
    size_ = 0;
    return;
  }
  const auto begin = reinterpret_cast<uintptr_t>(whole);
  const uintptr_t aligned = (begin + kHugePage - 1) & ~uintptr_t{kHugePage - 1};
  if (aligned != begin) munmap(whole, aligned - begin);
  if (aligned + size_ != begin + mapped) munmap(reinterpret_cast<void*>(aligned + size_), begin + mapped - aligned - size_);
  void* p = reinterpret_cast<void*>(aligned);
  data_ = static_cast<uint8_t*>(p);
  madvise(p, size_, MADV_HUGEPAGE);
  // A core dump of the process need not hold other people's data; a child must not share the pages copy-on-write.
  madvise(p, size_, MADV_DONTDUMP);
  madvise(p, size_, MADV_DONTFORK);
  // Touch first: with MCL_ONFAULT anywhere, MAP_POPULATE and mlock would not bring the pages in.
  std::memset(p, 0, size_);
  locked_ = mlock(p, size_) == 0;
}

LockedMemory::~LockedMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

LockedMemory::LockedMemory(LockedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), locked_(std::exchange(other.locked_, false)) {}

LockedMemory& LockedMemory::operator=(LockedMemory&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) munmap(data_, size_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    locked_ = std::exchange(other.locked_, false);
  }
  return *this;
}

void LockedMemory::Leak() {
  data_ = nullptr;
  size_ = 0;
}

ThreadSetup SetUpDataThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  ThreadSetup setup;
  setup.stack_locked = TouchStack();
  setup.io_flusher = prctl(kPrSetIoFlusher, 1, 0, 0, 0) == 0;
  return setup;
}

}  // namespace drbdts::io
