#include "io/socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace drbdts::io {
namespace {

constexpr int kBacklog = 5;  // two sockets of one peer, and a few strangers

const sockaddr* Raw(const SocketAddress& a) { return reinterpret_cast<const sockaddr*>(&a.storage); }
const sockaddr_in* V4(const SocketAddress& a) { return reinterpret_cast<const sockaddr_in*>(&a.storage); }
const sockaddr_in6* V6(const SocketAddress& a) { return reinterpret_cast<const sockaddr_in6*>(&a.storage); }

void SetInt(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

// Before connect and listen: the window that is announced depends on it.
void SetBuffers(int fd, const SocketBuffers& buffers) {
  if (buffers.send_bytes != 0) SetInt(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(buffers.send_bytes));
  if (buffers.receive_bytes != 0) SetInt(fd, SOL_SOCKET, SO_RCVBUF, static_cast<int>(buffers.receive_bytes));
}

int CloseWith(int fd, int error) {
  close(fd);
  return -error;
}

}  // namespace

bool SocketAddress::operator==(const SocketAddress& o) const { return length == o.length && std::memcmp(&storage, &o.storage, length) == 0; }

std::string SocketAddress::Text() const {
  char text[INET6_ADDRSTRLEN] = "?";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &V4(*this)->sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(V4(*this)->sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &V6(*this)->sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(V6(*this)->sin6_port));
  }
  return text;
}

bool ParseAddress(const core::Endpoint& endpoint, SocketAddress& out) {
  out = SocketAddress{};
  if (endpoint.family == 4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    out.length = sizeof *v4;
    return inet_pton(AF_INET, endpoint.host.c_str(), &v4->sin_addr) == 1;
  }
  if (endpoint.family != 6) return false;
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(endpoint.port);
  out.length = sizeof *v6;
  std::string host = endpoint.host;
  const auto percent = host.find('%');
  if (percent != std::string::npos) {
    const std::string scope = host.substr(percent + 1);
    host.resize(percent);
    v6->sin6_scope_id = if_nametoindex(scope.c_str());
    if (v6->sin6_scope_id == 0) v6->sin6_scope_id = static_cast<uint32_t>(std::strtoul(scope.c_str(), nullptr, 10));
    if (v6->sin6_scope_id == 0) return false;
  }
  return inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1;
}

bool SameHost(const SocketAddress& a, const SocketAddress& b) {
  const bool a6 = a.storage.ss_family == AF_INET6;
  const bool b6 = b.storage.ss_family == AF_INET6;
  if (a6 && b6) return std::memcmp(&V6(a)->sin6_addr, &V6(b)->sin6_addr, 16) == 0;
  if (!a6 && !b6) return V4(a)->sin_addr.s_addr == V4(b)->sin_addr.s_addr;
  const SocketAddress& six = a6 ? a : b;
  const SocketAddress& four = a6 ? b : a;
  return IN6_IS_ADDR_V4MAPPED(&V6(six)->sin6_addr) && std::memcmp(V6(six)->sin6_addr.s6_addr + 12, &V4(four)->sin_addr, 4) == 0;
}

int Listen(const SocketAddress& local, const SocketBuffers& buffers) {
  const int fd = socket(local.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return -errno;
  SetInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (local.storage.ss_family == AF_INET6) SetInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  SetBuffers(fd, buffers);
  if (bind(fd, Raw(local), local.length) != 0 || listen(fd, kBacklog) != 0) return CloseWith(fd, errno);
  return fd;
}

int StartConnect(const SocketAddress& local, const SocketAddress& peer, const SocketBuffers& buffers) {
  const int fd = socket(peer.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return -errno;
  SetInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  SetBuffers(fd, buffers);
  SocketAddress source = local;
  if (source.storage.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&source.storage)->sin_port = 0;
  } else {
    reinterpret_cast<sockaddr_in6*>(&source.storage)->sin6_port = 0;
  }
  // The peer checks where we come from, and the route must be the one that is configured.
  if (bind(fd, Raw(source), source.length) != 0) return CloseWith(fd, errno);
  if (connect(fd, Raw(peer), peer.length) != 0 && errno != EINPROGRESS) return CloseWith(fd, errno);
  return fd;
}

int Accept(int listener, SocketAddress& peer) {
  for (;;) {
    peer.length = sizeof peer.storage;
    const int fd = accept4(listener, reinterpret_cast<sockaddr*>(&peer.storage), &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) return fd;
    if (errno != EINTR && errno != ECONNABORTED) return -errno;
  }
}

int ConnectError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

void PrepareLink(int fd) {
  SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetInt(fd, SOL_SOCKET, SO_PRIORITY, 6);  // ahead of bulk traffic on the same wire
  QuickAck(fd);
}

void QuickAck(int fd) { SetInt(fd, IPPROTO_TCP, TCP_QUICKACK, 1); }

int64_t Receive(int fd, void* data, uint64_t bytes) {
  for (;;) {
    const ssize_t n = recv(fd, data, bytes, MSG_DONTWAIT);
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

int64_t Send(int fd, iovec* pieces, uint32_t count, bool more) {
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  for (;;) {
    const ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace drbdts::io
