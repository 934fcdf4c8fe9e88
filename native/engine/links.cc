#include "engine/links.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace drbdts::engine {
namespace {

constexpr core::TimeUs kListenRetryUs = 1000000;
constexpr uint32_t kPieces = 64;  // per sendmsg
constexpr uint32_t kEvents = POLLIN | POLLOUT | POLLRDHUP;

std::string ErrorText(int error) {
  char text[128];
  return strerror_r(error, text, sizeof text);
}

}  // namespace

Links::Links(io::Ring& ring, core::Resource& resource, LogSink& log, const core::Endpoint& local, const core::Endpoint& peer)
    : ring_(ring), resource_(resource), log_(log) {
  io::ParseAddress(local, local_);
  io::ParseAddress(peer, peer_);
}

Links::~Links() { CloseAll(); }

void Links::SetOptions(const core::NetOptions& options) {
  buffers_ = io::SocketBuffers{options.sndbuf_size, options.rcvbuf_size};
  connect_timeout_us_ = core::TimeUs{options.connect_int_s == 0 ? 1 : options.connect_int_s} * 1000000;
  cork_ = options.tcp_cork;
}

int Links::FreeLink() const {
  for (uint32_t i = 0; i < kCount; i++) {
    if (links_[i].phase == Phase::kFree) return static_cast<int>(i);
  }
  return -1;
}

void Links::Open(uint32_t index, int fd, Phase phase) {
  Link& link = links_[index];
  const uint32_t generation = (link.generation + 1) & io::kTagGenerationMask;
  link = Link{};
  link.phase = phase;
  link.fd = fd;
  link.generation = generation;
  ring_.Poll(fd, kEvents, TagOf(index));
}

void Links::Release(uint32_t index) {
  Link& link = links_[index];
  if (link.phase == Phase::kFree) return;
  if (link.phase == Phase::kConnecting) connect_until_ = core::kNever;
  // The poll holds a reference: without the shutdown the peer would not learn of the end before the poll is gone.
  shutdown(link.fd, SHUT_RDWR);
  ring_.RemovePoll(TagOf(index));
  close(link.fd);
  link.phase = Phase::kFree;
  link.fd = -1;
}

void Links::Lost(uint32_t index, int error, core::TimeUs now) {
  Release(index);
  resource_.OnLinkClosed(static_cast<core::LinkId>(index), error, now);
}

void Links::StartListening(core::TimeUs now) {
  want_listener_ = true;
  if (listener_ >= 0) return;
  const int fd = io::Listen(local_, buffers_);
  if (fd < 0) {
    // The address may come later (a VIP, an interface that is not up): try on, say it once per reason.
    if (listen_error_ != -fd) {
      listen_error_ = -fd;
      log_.Log(1, -1, "cannot listen on " + local_.Text() + ": " + ErrorText(-fd) + "; trying again every second");
    }
    listen_retry_at_ = now + kListenRetryUs;
    return;
  }
  listen_error_ = 0;
  listen_retry_at_ = core::kNever;
  listener_ = fd;
  listener_generation_ = (listener_generation_ + 1) & io::kTagGenerationMask;
  ring_.Poll(fd, POLLIN, ListenerTag());
}

void Links::DropListener() {
  if (listener_ < 0) return;
  // Ends listening at once; the poll's reference would keep the port taken until it is removed.
  shutdown(listener_, SHUT_RDWR);
  ring_.RemovePoll(ListenerTag());
  close(listener_);
  listener_ = -1;
}

void Links::StopListening() {
  want_listener_ = false;
  listen_retry_at_ = core::kNever;
  DropListener();
}

void Links::Connect(core::TimeUs now) {
  const int index = FreeLink();
  if (index < 0) {
    resource_.OnConnectFailed(EMFILE, now);
    return;
  }
  const int fd = io::StartConnect(local_, peer_, buffers_);
  if (fd < 0) {
    resource_.OnConnectFailed(-fd, now);
    return;
  }
  Open(static_cast<uint32_t>(index), fd, Phase::kConnecting);
  connect_until_ = now + connect_timeout_us_;
}

void Links::Close(core::LinkId link) {
  if (link < kCount) Release(link);
}

void Links::ConnectDecided(uint32_t index, int error, core::TimeUs now) {
  connect_until_ = core::kNever;
  if (error != 0) {
    Release(index);
    resource_.OnConnectFailed(error, now);
    return;
  }
  Link& link = links_[index];
  link.phase = Phase::kOpen;
  link.writable = true;
  io::PrepareLink(link.fd);
  resource_.OnConnected(static_cast<core::LinkId>(index), now);
}

void Links::OnSocket(const io::Completion& completion, core::TimeUs now) {
  const uint32_t index = completion.tag.index;
  if (index >= kCount) return;
  Link& link = links_[index];
  if (link.phase == Phase::kFree || link.generation != completion.tag.generation) return;  // of an earlier socket
  if (completion.result < 0) {
    if (link.phase == Phase::kConnecting) {
      ConnectDecided(index, -completion.result, now);
    } else {
      Lost(index, -completion.result, now);
    }
    return;
  }
  const auto events = static_cast<uint32_t>(completion.result);
  if (!completion.more) ring_.Poll(link.fd, kEvents, TagOf(index));
  if (link.phase == Phase::kConnecting) {
    if ((events & (POLLOUT | POLLERR | POLLHUP)) == 0) return;
    int error = io::ConnectError(link.fd);
    if (error == 0 && (events & (POLLERR | POLLHUP)) != 0 && (events & POLLOUT) == 0) error = ECONNRESET;
    ConnectDecided(index, error, now);
    if (link.phase != Phase::kOpen) return;
  }
  if ((events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0) link.readable = true;
  if ((events & (POLLRDHUP | POLLHUP | POLLERR)) != 0) link.hung_up = true;
  if ((events & (POLLOUT | POLLHUP | POLLERR)) != 0) link.writable = true;
}

void Links::OnListener(const io::Completion& completion, core::TimeUs now) {
  if (listener_ < 0 || completion.tag.generation != listener_generation_) return;
  if (completion.result < 0) {
    DropListener();
    if (want_listener_) listen_retry_at_ = now + kListenRetryUs;
    return;
  }
  if (!completion.more) ring_.Poll(listener_, POLLIN, ListenerTag());
  AcceptAll(now);
}

void Links::AcceptAll(core::TimeUs now) {
  while (listener_ >= 0) {
    io::SocketAddress from;
    const int fd = io::Accept(listener_, from);
    if (fd < 0) return;
    const int index = FreeLink();
    if (index < 0) {
      close(fd);  // strangers, or an attempt too many: whoever it is tries again
      continue;
    }
    Open(static_cast<uint32_t>(index), fd, Phase::kOpen);
    links_[static_cast<uint32_t>(index)].writable = true;
    io::PrepareLink(fd);
    resource_.OnAccepted(static_cast<core::LinkId>(index), now);
  }
}

void Links::OnTick(core::TimeUs now) {
  if (listen_retry_at_ <= now) {
    listen_retry_at_ = core::kNever;
    if (want_listener_) StartListening(now);
  }
  if (connect_until_ <= now) {
    connect_until_ = core::kNever;
    for (uint32_t i = 0; i < kCount; i++) {
      if (links_[i].phase == Phase::kConnecting) ConnectDecided(i, ETIMEDOUT, now);
    }
  }
}

core::TimeUs Links::deadline() const { return listen_retry_at_ < connect_until_ ? listen_retry_at_ : connect_until_; }

void Links::Receive(uint32_t budget, core::TimeUs now) {
  for (uint32_t i = 0; i < kCount; i++) {
    Link& link = links_[i];
    for (uint32_t calls = 0; calls < budget && link.phase == Phase::kOpen && link.readable; calls++) {
      const auto id = static_cast<core::LinkId>(i);
      const std::span<uint8_t> into = resource_.ReceiveInto(id);
      if (into.empty()) break;
      const int64_t n = io::Receive(link.fd, into.data(), into.size());
      if (n == -EAGAIN) {
        link.readable = false;
      } else if (n <= 0) {
        Lost(i, static_cast<int>(-n), now);
      } else {
        // Less than asked for means drained: the next byte reports itself. Not after a hang-up, which has been reported already.
        if (static_cast<uint64_t>(n) < into.size() && !link.hung_up) link.readable = false;
        resource_.OnReceived(id, static_cast<uint32_t>(n), now);
      }
    }
  }
}

bool Links::HasOutput() const {
  core::IoSlice one[1];
  for (uint32_t i = 0; i < kCount; i++) {
    if (links_[i].phase == Phase::kOpen && links_[i].writable && resource_.SendPieces(static_cast<core::LinkId>(i), one) != 0) return true;
  }
  return false;
}

void Links::Send(core::TimeUs now) {
  core::IoSlice slices[kPieces + 1];  // one more than is sent: tells whether more is waiting
  iovec pieces[kPieces];
  for (uint32_t i = 0; i < kCount; i++) {
    Link& link = links_[i];
    const auto id = static_cast<core::LinkId>(i);
    while (link.phase == Phase::kOpen && link.writable) {
      uint32_t count = resource_.SendPieces(id, slices);
      if (count == 0) break;
      const bool more = count > kPieces;
      if (more) count = kPieces;
      for (uint32_t k = 0; k < count; k++) pieces[k] = {const_cast<uint8_t*>(slices[k].data), slices[k].bytes};
      // tcp-cork: while more is waiting than fits into one call, do not push out a partial segment in between.
      const int64_t n = io::Send(link.fd, pieces, count, cork_ && more);
      if (n == -EAGAIN) {
        link.writable = false;
      } else if (n < 0) {
        Lost(i, static_cast<int>(-n), now);
      } else {
        resource_.OnSent(id, static_cast<uint32_t>(n), now);
      }
    }
  }
}

bool Links::CanProgress() const {
  core::IoSlice one[1];
  for (uint32_t i = 0; i < kCount; i++) {
    const Link& link = links_[i];
    if (link.phase != Phase::kOpen) continue;
    const auto id = static_cast<core::LinkId>(i);
    if (link.readable && !resource_.ReceiveInto(id).empty()) return true;
    if (link.writable && resource_.SendPieces(id, one) != 0) return true;
  }
  return false;
}

void Links::CloseAll() {
  StopListening();
  for (uint32_t i = 0; i < kCount; i++) Release(i);
}

}  // namespace drbdts::engine
