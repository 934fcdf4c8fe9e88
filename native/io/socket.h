#pragma once
// Non-blocking TCP, v4 and v6.
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <string>

#include "core/options.h"

namespace drbdts::io {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  bool operator==(const SocketAddress& o) const;
  /// "10.0.0.1:7788", "[fe80::1]:7788"
  std::string Text() const;
};
/// False if `host` is no numeric address of that family (v6 may carry %scope).
bool ParseAddress(const core::Endpoint& endpoint, SocketAddress& out);
/// Same host? Ports are not compared; a v4 address mapped into v6 equals the v4 address.
bool SameHost(const SocketAddress& a, const SocketAddress& b);

struct SocketBuffers {
  uint32_t send_bytes = 0;  // 0 = the kernel decides
  uint32_t receive_bytes = 0;
};

/// All return a descriptor (non-blocking, close-on-exec) or a negative errno.
int Listen(const SocketAddress& local, const SocketBuffers& buffers);
/// Starts to connect from `local`'s address (any port). Writable when decided: ask ConnectError then.
int StartConnect(const SocketAddress& local, const SocketAddress& peer, const SocketBuffers& buffers);
/// -EAGAIN when nobody waits.
int Accept(int listener, SocketAddress& peer);

/// errno of a connect that was started, 0 = connected.
int ConnectError(int fd);
/// TCP_NODELAY and what else a link of ours has, once it is connected.
void PrepareLink(int fd);
/// Acknowledge what came so far at once, instead of waiting for something to send along.
void QuickAck(int fd);
/// Non-blocking; returns bytes, 0 = end of file, or negative errno.
int64_t Receive(int fd, void* data, uint64_t bytes);
/// Non-blocking, no SIGPIPE. `more`: another call follows at once, so a partial segment may wait for it.
int64_t Send(int fd, iovec* pieces, uint32_t count, bool more);

}  // namespace drbdts::io
