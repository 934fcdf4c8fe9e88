#pragma once
// A helper thread for everything that may wait for the device's own server (attaching, detaching, looking into /proc). It never touches the
// front end's state: results come back as notices, taken on the resource's thread.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace drbdts::frontend {

struct Notice {
  int kind = 0;  // the front end's own
  int error = 0;
  std::string detail;
  int value = 0;
};

class Worker {
 public:
  class Post {
   public:
    virtual ~Post() = default;
    /// From any thread.
    virtual void operator()(Notice notice) = 0;
  };

  Worker();
  /// Waits for an idle thread. A thread in the middle of a job is left to itself: it may be waiting for answers nobody will give any more.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Jobs run one after the other, in order. A job owns what it uses.
  void Run(std::function<void(Post&)> job);
  /// Becomes readable when there are notices, or after Wake().
  int notice_fd() const;
  void Wake();
  /// Takes all notices and quietens notice_fd().
  std::vector<Notice> Take();

 private:
  struct State;
  static void Loop(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;
};

}  // namespace drbdts::frontend
