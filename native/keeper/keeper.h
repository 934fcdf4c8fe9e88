#pragma once
// drbdts-keeper: a supervisor that does two things only. It holds the open descriptors of the block devices while drbdtsd is away, and it starts drbdtsd
// again. It speaks systemd's descriptor store protocol, and is for hosts without systemd (resources/docs/decisions/0002-keeper.md).
//
// Everything lives in one fixed structure; nothing is allocated after the start, and all memory is locked: the keeper must go on when memory is short
// and its own devices are what memory is waiting for.
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace drbdts::keeper {

inline constexpr size_t kMaxStored = 128;
inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxFdsPerMessage = 32;
inline constexpr size_t kMaxMessageBytes = 4096;
inline constexpr int kFirstHighFd = 512;  // stored descriptors live above those the child gets (3, 4, ...)

/// The descriptor table.
class Store {
 public:
  /// Takes `fd` over. False (and closed) if the table is full or the name is not allowed. The same open file under the same name is kept once.
  bool Add(int fd, const char* name);
  void Remove(const char* name);
  void RemoveAll();
  size_t count() const { return count_; }
  int fd(size_t index) const { return entries_[index].fd; }
  const char* name(size_t index) const { return entries_[index].name; }

 private:
  struct Entry {
    int fd;
    char name[kMaxNameBytes + 1];
  };
  Entry entries_[kMaxStored] = {};
  size_t count_ = 0;
};

/// One message of the child, taken apart.
struct Message {
  bool store = false;
  bool remove = false;
  bool ready = false;
  bool reloading = false;
  bool stopping = false;
  uint64_t extend_usec = 0;
  char name[kMaxNameBytes + 1] = "stored";
  char status[kMaxNameBytes + 1] = "";
};
/// Lines of KEY=VALUE; unknown keys (BARRIER, FDPOLL, MAINPID, ...) need nothing done. `text` is changed.
Message ParseMessage(char* text, size_t bytes);

/// Milliseconds to wait before start number `failures` in a row: 100 ms doubling up to 2 s.
uint32_t BackoffMs(uint32_t failures);

}  // namespace drbdts::keeper
