#pragma once
// The service manager's notification protocol (sd_notify): systemd's descriptor store, or drbdts-keeper.
#include <span>
#include <string>

namespace drbdts::frontend {

/// Sends one datagram to `socket` (a path, or `@name` for an abstract one), with descriptors. Returns 0 or an errno.
int SendNotify(const std::string& socket, const std::string& message, std::span<const int> fds = {});

/// Waits until the manager has worked through everything sent so far. Returns 0 or an errno (ETIMEDOUT).
int NotifyBarrier(const std::string& socket, int timeout_ms);

/// Stores `fd` under `name` and waits until it is stored. Returns 0 or an errno.
int StoreFd(const std::string& socket, const std::string& name, int fd);

/// Removes every descriptor stored under `name`. Returns 0 or an errno.
int RemoveStoredFd(const std::string& socket, const std::string& name);

/// What a kept descriptor's name says: `drbdts/<resource>/<volume>/fuse/loop<number>/<block bytes>`. A colon cannot be used: it separates the
/// names in LISTEN_FDNAMES. Characters of the resource's name other than letters, digits, `.`, `_`, `-` are written as %XX.
struct KeptName {
  std::string resource;
  uint16_t volume = 0;
  int loop_number = -1;
  uint32_t block_bytes = 0;
};
std::string FormatKeptName(const KeptName& name);
/// False if `text` is not such a name.
bool ParseKeptName(const std::string& text, KeptName* name);

}  // namespace drbdts::frontend
