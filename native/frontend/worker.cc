#include "frontend/worker.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "core/assert.h"

namespace drbdts::frontend {

struct Worker::State : Worker::Post {
  std::mutex mutex;  // guards the members down to `thread`
  std::condition_variable changed;
  std::deque<std::function<void(Post&)>> jobs;
  std::vector<Notice> notices;
  bool busy = false;
  bool quit = false;
  std::thread thread;
  const int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

  ~State() override { close(event_fd); }
  void Ring() const {
    uint64_t one = 1;
    // Fails only when the counter is full, and then it is readable anyway.
    [[maybe_unused]] ssize_t written = write(event_fd, &one, sizeof one);
  }
  void operator()(Notice notice) override {
    {
      std::lock_guard lock(mutex);
      notices.push_back(std::move(notice));
    }
    Ring();
  }
};

Worker::Worker() : state_(std::make_shared<State>()) {
  CHECK(state_->event_fd >= 0);
  // Signals are for the threads that expect them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  state_->thread = std::thread([state = state_] { Loop(state); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Worker::~Worker() {
  bool busy;
  std::thread thread;
  {
    std::lock_guard lock(state_->mutex);
    state_->quit = true;
    state_->jobs.clear();
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

void Worker::Run(std::function<void(Post&)> job) {
  {
    std::lock_guard lock(state_->mutex);
    state_->jobs.push_back(std::move(job));
  }
  state_->changed.notify_all();
}

int Worker::notice_fd() const { return state_->event_fd; }

void Worker::Wake() { state_->Ring(); }

std::vector<Notice> Worker::Take() {
  uint64_t count;
  [[maybe_unused]] ssize_t length = read(state_->event_fd, &count, sizeof count);
  std::vector<Notice> taken;
  std::lock_guard lock(state_->mutex);
  taken.swap(state_->notices);
  return taken;
}

void Worker::Loop(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (true) {
    state->changed.wait(lock, [&] { return state->quit || !state->jobs.empty(); });
    if (state->quit) return;
    std::function<void(Post&)> job = std::move(state->jobs.front());
    state->jobs.pop_front();
    state->busy = true;
    lock.unlock();
    job(*state);
    job = nullptr;
    lock.lock();
    state->busy = false;
  }
}

}  // namespace drbdts::frontend
