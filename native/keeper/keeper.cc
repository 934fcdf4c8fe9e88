#include "keeper/keeper.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace drbdts::keeper {
namespace {

constexpr uint32_t kFirstBackoffMs = 100;
constexpr uint32_t kMaxBackoffMs = 2000;

/// As systemd: printable ASCII without the colon that separates names in LISTEN_FDNAMES.
bool NameAllowed(const char* name) {
  size_t length = strnlen(name, kMaxNameBytes + 1);
  if (length == 0 || length > kMaxNameBytes) return false;
  for (size_t i = 0; i < length; ++i) {
    if (name[i] < ' ' || name[i] > '~' || name[i] == ':') return false;
  }
  return true;
}

bool SameOpenFile(int a, int b) {
  long pid = getpid();
  return syscall(SYS_kcmp, pid, pid, KCMP_FILE, static_cast<unsigned long>(a), static_cast<unsigned long>(b)) == 0;
}

void CopyValue(char (&target)[kMaxNameBytes + 1], const char* value) {
  size_t length = std::min(std::strlen(value), kMaxNameBytes);
  std::memcpy(target, value, length);
  target[length] = '\0';
}

/// The value if `line` is `KEY=value`, else null.
const char* Value(const char* line, const char* key) {
  size_t length = std::strlen(key);
  return std::strncmp(line, key, length) == 0 && line[length] == '=' ? line + length + 1 : nullptr;
}

}  // namespace

bool Store::Add(int fd, const char* name) {
  if (!NameAllowed(name)) {
    close(fd);
    return false;
  }
  for (size_t i = 0; i < count_; ++i) {
    if (std::strcmp(entries_[i].name, name) == 0 && SameOpenFile(entries_[i].fd, fd)) {
      close(fd);
      return true;
    }
  }
  int high = count_ < kMaxStored ? fcntl(fd, F_DUPFD_CLOEXEC, kFirstHighFd) : -1;
  close(fd);
  if (high < 0) return false;
  entries_[count_].fd = high;
  std::memcpy(entries_[count_].name, name, std::strlen(name) + 1);
  ++count_;
  return true;
}

void Store::Remove(const char* name) {
  for (size_t i = count_; i-- > 0;) {
    if (std::strcmp(entries_[i].name, name) != 0) continue;
    close(entries_[i].fd);
    std::memmove(&entries_[i], &entries_[i + 1], (count_ - i - 1) * sizeof(Entry));
    --count_;
  }
}

void Store::RemoveAll() {
  for (size_t i = 0; i < count_; ++i) close(entries_[i].fd);
  count_ = 0;
}

Message ParseMessage(char* text, size_t bytes) {
  Message message;
  char* line = text;
  for (size_t i = 0; i <= bytes; ++i) {
    if (i < bytes && text[i] != '\n') continue;
    text[i] = '\0';  // the buffer has room for one byte more
    const char* value;
    if (std::strcmp(line, "FDSTORE=1") == 0) message.store = true;
    if (std::strcmp(line, "FDSTOREREMOVE=1") == 0) message.remove = true;
    if (std::strcmp(line, "READY=1") == 0) message.ready = true;
    if (std::strcmp(line, "RELOADING=1") == 0) message.reloading = true;
    if (std::strcmp(line, "STOPPING=1") == 0) message.stopping = true;
    if ((value = Value(line, "FDNAME")) != nullptr) CopyValue(message.name, value);
    if ((value = Value(line, "STATUS")) != nullptr) CopyValue(message.status, value);
    if ((value = Value(line, "EXTEND_TIMEOUT_USEC")) != nullptr) {
      uint64_t number = 0;
      for (; *value >= '0' && *value <= '9' && number < UINT64_MAX / 16; ++value) number = number * 10 + static_cast<uint64_t>(*value - '0');
      message.extend_usec = number;
    }
    line = text + i + 1;
  }
  return message;
}

uint32_t BackoffMs(uint32_t failures) {
  uint32_t ms = kFirstBackoffMs;
  for (uint32_t i = 1; i < failures && ms < kMaxBackoffMs; ++i) ms *= 2;
  return std::min(ms, kMaxBackoffMs);
}

}  // namespace drbdts::keeper
