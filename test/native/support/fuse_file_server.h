#pragma once
// A small process that serves a plain file through fuse_loop with io_uring: what drbdtsd does around the front end, without replication. For tests of
// restarts and for measuring the front end by itself.
//   SIGTERM: leave the device with the keeper. SIGUSR1: remove the device and end.
#include <liburing.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "frontend/fuse_loop.h"
#include "frontend/notify.h"
#include "support/ram_target.h"

namespace drbdts::test {

class FileTarget final : public frontend::BlockTarget {
 public:
  static constexpr uint32_t kDepth = 512;

  FileTarget(io_uring& ring, int fd) : ring_(ring), fd_(fd), memory_(MapMemory(64 << 20)), arena_(memory_), entries_(kDepth) {
    for (Entry& entry : entries_) free_.push_back(&entry);
  }
  bool CanAccept() const override { return !free_.empty() && io_uring_sq_space_left(&ring_) > 8; }
  void Submit(const core::BlockIo& io) override {
    Entry* entry = free_.back();
    free_.pop_back();
    *entry = {io.tag, io.op == core::BlockOp::kRead || io.op == core::BlockOp::kWrite ? static_cast<int>(io.bytes) : 0};
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) std::abort();
    switch (io.op) {
      case core::BlockOp::kRead:
        io_uring_prep_read(sqe, fd_, io.data, io.bytes, io.sector * 512);
        break;
      case core::BlockOp::kWrite:
        io_uring_prep_write(sqe, fd_, io.data, io.bytes, io.sector * 512);
        break;
      case core::BlockOp::kFlush:
        io_uring_prep_fsync(sqe, fd_, IORING_FSYNC_DATASYNC);
        break;
      default:
        io_uring_prep_fallocate(sqe, fd_, FALLOC_FL_KEEP_SIZE | (io.may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE), static_cast<off_t>(io.sector * 512),
                                io.bytes);
    }
    io_uring_sqe_set_data(sqe, entry);
  }
  core::PageArena& arena() override { return arena_; }
  bool Owns(void* data) const { return data >= entries_.data() && data < entries_.data() + entries_.size(); }
  void Done(void* data, int result) {
    Entry entry = *static_cast<Entry*>(data);
    free_.push_back(static_cast<Entry*>(data));
    frontend->Complete(entry.tag, result < 0 ? -result : result == entry.bytes ? 0 : EIO);
  }
  frontend::Frontend* frontend = nullptr;

 private:
  struct Entry {
    uint64_t tag = 0;
    int bytes = 0;
  };
  io_uring& ring_;
  const int fd_;
  std::span<uint8_t> memory_;
  core::PageArena arena_;
  std::vector<Entry> entries_;
  std::vector<Entry*> free_;
};

struct ServerEvents final : frontend::FrontendEvents {
  std::string notify_socket;
  bool quit = false;
  int exit_code = 0;
  void OnUp(int error, const std::string& detail) override {
    if (error != 0) {
      std::fprintf(stderr, "file server: %s\n", detail.c_str());
      quit = true;
      exit_code = 3;
    } else if (!notify_socket.empty()) {
      frontend::SendNotify(notify_socket, "READY=1");
    }
  }
  void OnDown(int error, const std::string& detail) override {
    if (error != 0) std::fprintf(stderr, "file server: %s\n", detail.c_str());
    quit = error == 0 || error == ENODEV;
  }
  void OnHolders(const std::string&) override {}
};

inline std::vector<frontend::KeptFd> InheritedFds() {
  std::vector<frontend::KeptFd> kept;
  const char* count = std::getenv("LISTEN_FDS");
  const char* pid = std::getenv("LISTEN_PID");
  const char* names = std::getenv("LISTEN_FDNAMES");
  if (count == nullptr || pid == nullptr || names == nullptr || std::atoi(pid) != getpid()) return kept;
  std::istringstream list(names);
  std::string name;
  for (int i = 0; i < std::atoi(count) && std::getline(list, name, ':'); ++i) kept.push_back({name, 3 + i});
  return kept;
}

/// Serves `file` as `device` until told to end; the exit code.
inline int RunFuseFileServer(const std::string& file, const std::string& device) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  int fd = open(file.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  struct stat info;
  // The lock is granted when the earlier life's last disk I/O has ended, which may be after its death.
  if (fd < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &info) != 0) {
    std::perror(file.c_str());
    return 2;
  }
  io_uring ring;
  if (io_uring_queue_init(1024, &ring, 0) < 0) return 2;
  FileTarget target(ring, fd);
  ServerEvents events;
  const char* socket = std::getenv("NOTIFY_SOCKET");
  events.notify_socket = socket == nullptr ? "" : socket;
  frontend::FrontendConfig config{"r0", 0, 0, device, {}, static_cast<uint64_t>(info.st_size) / 512, 512, InheritedFds(), events.notify_socket};
  auto device_front = std::make_unique<frontend::FuseLoop>(target, events, std::move(config));
  target.frontend = device_front.get();
  frontend::Frontend& front = *device_front;

  int watched[3] = {-1, -1, -1};  // requests, notices, signals: what a poll is under way for
  int tokens[3];
  bool more = false;
  front.Start();
  while (!events.quit) {
    const int wanted[3] = {front.request_fd(), front.notice_fd(), signal_fd};
    for (int i = 0; i < 3; ++i) {
      if (watched[i] >= 0 || wanted[i] < 0 || (i == 0 && more)) continue;
      io_uring_sqe* sqe = io_uring_get_sqe(&ring);
      if (sqe == nullptr) std::abort();
      io_uring_prep_poll_add(sqe, wanted[i], POLLIN);
      io_uring_sqe_set_data(sqe, &tokens[i]);
      watched[i] = wanted[i];
    }
    io_uring_submit_and_wait(&ring, more && target.CanAccept() ? 0 : 1);
    bool fired[3] = {false, false, false};
    io_uring_cqe* cqe;
    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
      void* data = io_uring_cqe_get_data(cqe);
      int result = cqe->res;
      io_uring_cqe_seen(&ring, cqe);
      if (target.Owns(data)) {
        target.Done(data, result);
        continue;
      }
      size_t index = static_cast<size_t>(static_cast<int*>(data) - tokens);
      fired[index] = true;
      watched[index] = -1;
    }
    if (fired[1]) front.OnNotice();
    if (fired[2]) {
      signalfd_siginfo signal;
      while (read(signal_fd, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
        if (signal.ssi_signo == SIGUSR1) {
          front.Stop();
        } else {
          front.Abandon();
          _exit(0);
        }
      }
    }
    if (fired[0] || more) more = !front.OnReadable(64);
  }
  _exit(events.exit_code);
}

}  // namespace drbdts::test
