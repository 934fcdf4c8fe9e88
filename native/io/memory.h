#pragma once
// Memory and thread settings of the data path. A data thread that faults can wait for the very pages it has to write out, so everything it
// touches is resident before it serves.
#include <cstdint>
#include <span>
#include <string>

namespace drbdts::io {

/// Anonymous memory, touched and locked. Move only.
class LockedMemory {
 public:
  LockedMemory() = default;
  /// bytes is rounded up to whole pages. data() is null if the kernel gave none; locked() is false if it could not be locked (RLIMIT_MEMLOCK).
  explicit LockedMemory(uint64_t bytes);
  ~LockedMemory();
  LockedMemory(LockedMemory&& other) noexcept;
  LockedMemory& operator=(LockedMemory&& other) noexcept;
  LockedMemory(const LockedMemory&) = delete;
  LockedMemory& operator=(const LockedMemory&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  std::span<uint8_t> bytes() const { return {data_, size_}; }
  bool locked() const { return locked_; }
  /// Forgets the memory without unmapping it: the kernel may still write into it.
  void Leak();

 private:
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  bool locked_ = false;
};

/// What could not be arranged for the calling thread; empty fields are fine.
struct ThreadSetup {
  bool stack_locked = false;
  bool io_flusher = false;  // PR_SET_IO_FLUSHER: allocations made for us in the kernel do not wait for our own device
};
/// Names the calling thread (15 characters are kept), touches and locks the stack it will use, sets PR_SET_IO_FLUSHER. Best effort.
ThreadSetup SetUpDataThread(const std::string& name);

}  // namespace drbdts::io
