#pragma once
// A volume in memory and the thread that serves it, for tests of front ends.
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/block_io.h"
#include "core/page_arena.h"
#include "frontend/frontend.h"

namespace drbdts::test {

inline std::span<uint8_t> MapMemory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  return {static_cast<uint8_t*>(memory), bytes};
}

/// Completes every third request from inside Submit(), the others later: both are allowed.
class RamTarget final : public frontend::BlockTarget {
 public:
  static constexpr size_t kDepth = 64;

  explicit RamTarget(uint64_t bytes, uint32_t arena_pages = 4096)
      : data(bytes), memory_(MapMemory(size_t{arena_pages} * core::PageArena::kPageBytes)), arena_(memory_) {}
  ~RamTarget() override { munmap(memory_.data(), memory_.size()); }

  bool CanAccept() const override { return !frozen && pending_.size() < kDepth; }
  void Submit(const core::BlockIo& io) override {
    if (pending_.size() >= kDepth || frozen) ++contract_breaks;
    if (io.op != core::BlockOp::kFlush && (io.bytes == 0 || io.bytes % 512 != 0)) ++contract_breaks;
    if ((io.op == core::BlockOp::kRead || io.op == core::BlockOp::kWrite) &&
        (io.bytes > (1u << 20) || reinterpret_cast<uintptr_t>(io.data) % core::PageArena::kPageBytes != 0)) {
      ++contract_breaks;
    }
    if (io.op == core::BlockOp::kWriteZeroes && io.bytes > core::kMaxDiscardPieceBytes) ++contract_breaks;
    if (io.op != core::BlockOp::kFlush && io.sector * 512 + io.bytes > data.size()) ++contract_breaks;
    if (++submitted % 3 == 0) {
      frontend->Complete(io.tag, Execute(io));
    } else {
      pending_.push_back(io);
    }
  }
  core::PageArena& arena() override { return arena_; }

  bool Drain() {
    bool any = !pending_.empty();
    // Newest first: nothing may rely on the order of completions.
    while (!pending_.empty()) {
      core::BlockIo io = pending_.back();
      pending_.pop_back();
      frontend->Complete(io.tag, Execute(io));
    }
    return any;
  }

  std::vector<uint8_t> data;
  frontend::Frontend* frontend = nullptr;
  std::atomic<int> fail_with{0};
  std::atomic<bool> frozen{false};
  std::atomic<uint64_t> submitted{0}, flushes{0}, unmapping_zeroes{0}, keeping_zeroes{0}, contract_breaks{0};

 private:
  int Execute(const core::BlockIo& io) {
    if (fail_with != 0) return fail_with;
    uint8_t* place = data.data() + io.sector * 512;
    switch (io.op) {
      case core::BlockOp::kRead:
        std::memcpy(io.data, place, io.bytes);
        return 0;
      case core::BlockOp::kWrite:
        std::memcpy(place, io.data, io.bytes);
        return 0;
      case core::BlockOp::kFlush:
        ++flushes;
        return 0;
      case core::BlockOp::kDiscard:
      case core::BlockOp::kWriteZeroes:
        ++(io.may_unmap ? unmapping_zeroes : keeping_zeroes);
        std::memset(place, 0, io.bytes);
        return 0;
    }
    return EINVAL;
  }

  std::span<uint8_t> memory_;
  core::PageArena arena_;
  std::vector<core::BlockIo> pending_;
};

/// Remembers what the front end told; other threads wait for it.
class Recorder final : public frontend::FrontendEvents {
 public:
  struct Fact {
    std::string what;
    int error = 0;
    std::string detail;
  };
  void OnUp(int error, const std::string& detail) override { Add({"up", error, detail}); }
  void OnDown(int error, const std::string& detail) override { Add({"down", error, detail}); }
  void OnHolders(const std::string& sentence) override { Add({"holders", 0, sentence}); }
  void OnResized(int error, const std::string& detail) override { Add({"resized", error, detail}); }
  /// The next fact of that kind; one that says so after 30 s without.
  Fact Wait(const std::string& what) {
    std::unique_lock lock(mutex_);
    for (auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);;) {
      for (auto it = facts_.begin(); it != facts_.end(); ++it) {
        if (it->what != what) continue;
        Fact fact = *it;
        facts_.erase(it);
        return fact;
      }
      if (changed_.wait_until(lock, until) == std::cv_status::timeout) return {what, ETIMEDOUT, "nothing came within 30 s"};
    }
  }

 private:
  void Add(Fact fact) {
    std::lock_guard lock(mutex_);
    facts_.push_back(std::move(fact));
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Fact> facts_;
};

/// Runs a front end the way the engine does.
class DeviceThread {
 public:
  DeviceThread(frontend::Frontend& frontend, RamTarget& target)
      : frontend_(frontend), target_(target), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_([this] { Loop(); }) {}
  ~DeviceThread() {
    Do([this] { quit_ = true; });
    thread_.join();
    close(wake_fd_);
  }
  /// Runs `task` on the thread and waits for it.
  void Do(std::function<void()> task) {
    std::promise<void> done;
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back([&] {
        task();
        done.set_value();
      });
    }
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = write(wake_fd_, &one, sizeof one);
    done.get_future().wait();
  }

 private:
  void Loop() {
    bool more = false;
    while (!quit_) {
      pollfd entries[3] = {{wake_fd_, POLLIN, 0}, {frontend_.notice_fd(), POLLIN, 0}, {more ? -1 : frontend_.request_fd(), POLLIN, 0}};
      // A frozen target is looked at again every few milliseconds, as it has no wake-up of its own.
      poll(entries, 3, more ? 2 : -1);
      uint64_t count;
      [[maybe_unused]] ssize_t length = read(wake_fd_, &count, sizeof count);
      std::vector<std::function<void()>> tasks;
      {
        std::lock_guard lock(mutex_);
        tasks.swap(tasks_);
      }
      for (auto& task : tasks) task();
      if (entries[1].revents != 0) frontend_.OnNotice();
      if (entries[2].revents != 0 || more) more = !frontend_.OnReadable(32);
      while (target_.Drain()) {
        if (more) more = !frontend_.OnReadable(32);
      }
    }
  }

  frontend::Frontend& frontend_;
  RamTarget& target_;
  const int wake_fd_;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;  // guarded by mutex_
  bool quit_ = false;
  std::thread thread_;
};

}  // namespace drbdts::test
