#include "frontend/notify.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace drbdts::frontend {
namespace {

constexpr size_t kMaxFdsPerMessage = 16;
constexpr int kBarrierTimeoutMs = 5000;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

template <typename T>
bool ParseNumber(const std::string& text, T* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

int SendNotify(const std::string& socket, const std::string& message, std::span<const int> fds) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() < 2 || socket.size() >= sizeof(address.sun_path) || fds.size() > kMaxFdsPerMessage) return EINVAL;
  std::memcpy(address.sun_path, socket.data(), socket.size());
  socklen_t length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
  if (socket[0] == '@') {
    address.sun_path[0] = '\0';
  } else {
    ++length;  // the terminating zero
  }
  int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  iovec vector{const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFdsPerMessage)] = {};
  msghdr header{};
  header.msg_name = &address;
  header.msg_namelen = length;
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd, &header, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  int error = sent < 0 ? errno : 0;
  close(fd);
  return error;
}

int NotifyBarrier(const std::string& socket, int timeout_ms) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  int error = SendNotify(socket, "BARRIER=1", std::span<const int>(&ends[1], 1));
  close(ends[1]);
  if (error == 0) {
    // The manager closes its copy once it has come to this message: then the pipe has no writer.
    pollfd entry{ends[0], 0, 0};
    int count;
    do {
      count = poll(&entry, 1, timeout_ms);
    } while (count < 0 && errno == EINTR);
    error = count < 0 ? errno : (count == 0 ? ETIMEDOUT : 0);
  }
  close(ends[0]);
  return error;
}

int StoreFd(const std::string& socket, const std::string& name, int fd) {
  // FDPOLL=0: /dev/fuse reports an error condition until it is mounted, and a polling manager would drop it.
  int error = SendNotify(socket, "FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0", std::span<const int>(&fd, 1));
  return error != 0 ? error : NotifyBarrier(socket, kBarrierTimeoutMs);
}

int RemoveStoredFd(const std::string& socket, const std::string& name) {
  int error = SendNotify(socket, "FDSTOREREMOVE=1\nFDNAME=" + name);
  return error != 0 ? error : NotifyBarrier(socket, kBarrierTimeoutMs);
}

std::string FormatKeptName(const KeptName& name) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string text = "drbdts/";
  for (char c : name.resource) {
    if (IsPlain(c)) {
      text += c;
    } else {
      text += '%';
      text += kHex[static_cast<uint8_t>(c) >> 4];
      text += kHex[static_cast<uint8_t>(c) & 15];
    }
  }
  return text + "/" + std::to_string(name.volume) + "/fuse/loop" + std::to_string(name.loop_number) + "/" + std::to_string(name.block_bytes);
}

bool ParseKeptName(const std::string& text, KeptName* name) {
  std::string parts[6];
  size_t count = 0;
  size_t from = 0;
  while (true) {
    if (count == 6) return false;
    size_t slash = text.find('/', from);
    parts[count++] = text.substr(from, slash == std::string::npos ? slash : slash - from);
    if (slash == std::string::npos) break;
    from = slash + 1;
  }
  if (count != 6 || parts[0] != "drbdts" || parts[3] != "fuse" || parts[4].compare(0, 4, "loop") != 0) return false;
  KeptName result;
  for (size_t i = 0; i < parts[1].size(); ++i) {
    if (parts[1][i] != '%') {
      result.resource += parts[1][i];
      continue;
    }
    if (i + 2 >= parts[1].size()) return false;
    int high = HexDigit(parts[1][i + 1]);
    int low = HexDigit(parts[1][i + 2]);
    if (high < 0 || low < 0) return false;
    result.resource += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (!ParseNumber(parts[2], &result.volume) || !ParseNumber(parts[4].substr(4), &result.loop_number) || result.loop_number < 0 ||
      !ParseNumber(parts[5], &result.block_bytes)) {
    return false;
  }
  *name = result;
  return true;
}

}  // namespace drbdts::frontend
