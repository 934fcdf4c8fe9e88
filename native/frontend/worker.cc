#include "frontend/worker.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

#include "core/assert.h"

namespace drbdts::frontend {
namespace {

/// A queue of fixed size.
template <typename T, uint32_t kSize>
class Ring {
 public:
  bool empty() const { return count_ == 0; }
  bool full() const { return count_ == kSize; }
  void Push(T&& item) {
    CHECK(!full());
    items_[(first_ + count_++) % kSize] = std::move(item);
  }
  T Pop() {
    CHECK(!empty());
    --count_;
    return std::move(items_[std::exchange(first_, (first_ + 1) % kSize)]);
  }
  void Clear() { count_ = 0; }

 private:
  std::array<T, kSize> items_;
  uint32_t first_ = 0;
  uint32_t count_ = 0;
};

}  // namespace

struct Worker::State : Worker::Post {
  explicit State(Handler given) : handler(std::move(given)) {}
  ~State() override { close(event_fd); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const Handler handler;
  const int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  Ring<Command, kMaxWaiting> commands;
  Ring<Notice, 2 * kMaxWaiting> notices;
  bool busy = false;
  bool quit = false;
  std::thread thread;

  void RingBell() const {
    uint64_t one = 1;
    // Fails only when the counter is full, and then it is readable anyway.
    [[maybe_unused]] ssize_t written = write(event_fd, &one, sizeof one);
  }
  void operator()(Notice notice) override {
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return !notices.full() || quit; });
      if (quit) return;
      notices.Push(std::move(notice));
    }
    RingBell();
  }
};

Worker::Worker(Handler handler) : state_(std::make_shared<State>(std::move(handler))) {
  CHECK(state_->event_fd >= 0);
  // Signals are for the threads that expect them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([state = state_] { Loop(state); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  std::lock_guard lock(state_->mutex);
  state_->thread = std::move(thread);
}

Worker::~Worker() {
  bool busy;
  std::thread thread;
  {
    std::lock_guard lock(state_->mutex);
    state_->quit = true;
    state_->commands.Clear();
    busy = state_->busy;
    thread = std::move(state_->thread);
  }
  state_->changed.notify_all();
  if (busy) {
    thread.detach();
  } else {
    thread.join();
  }
}

void Worker::Run(const Command& command) {
  {
    std::lock_guard lock(state_->mutex);
    state_->commands.Push(Command(command));
  }
  state_->changed.notify_all();
}

int Worker::notice_fd() const { return state_->event_fd; }

void Worker::Wake() { state_->RingBell(); }

void Worker::Quieten() {
  uint64_t count;
  [[maybe_unused]] ssize_t length = read(state_->event_fd, &count, sizeof count);
}

bool Worker::TakeNotice(Notice* notice) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->notices.empty()) return false;
    *notice = state_->notices.Pop();
  }
  state_->changed.notify_all();
  return true;
}

void Worker::Loop(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (true) {
    state->changed.wait(lock, [&] { return state->quit || !state->commands.empty(); });
    if (state->quit) return;
    Command command = state->commands.Pop();
    state->busy = true;
    lock.unlock();
    state->handler(command, *state);
    lock.lock();
    state->busy = false;
  }
}

}  // namespace drbdts::frontend
