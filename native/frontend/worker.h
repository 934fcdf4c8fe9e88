#pragma once
// A helper thread for everything that may wait for the device's own server (attaching, detaching, looking into /proc). It never touches the
// front end's state: results come back as notices, taken on the resource's thread. That thread allocates nothing here: commands and notices
// lie in places made beforehand, and the lock is never held while memory is allocated.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace drbdts::frontend {

/// What to do; the meaning is the handler's own.
struct Command {
  int kind = 0;
  int fd = -1;
  uint64_t sectors = 0;
};

struct Notice {
  int kind = 0;  // the front end's own
  int error = 0;
  int value = 0;
  std::string detail;
};

class Worker {
 public:
  static constexpr uint32_t kMaxWaiting = 8;

  class Post {
   public:
    virtual ~Post() = default;
    virtual void operator()(Notice notice) = 0;
  };
  /// Runs on the helper thread, and owns everything it uses: it may outlive the front end.
  using Handler = std::function<void(const Command&, Post&)>;

  explicit Worker(Handler handler);
  /// Waits for an idle thread. A thread in the middle of a command is left to itself: it may be waiting for answers nobody will give any more.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Commands run one after the other, in order; at most kMaxWaiting wait.
  void Run(const Command& command);
  /// Becomes readable when there are notices, or after Wake().
  int notice_fd() const;
  void Wake();
  /// Quietens notice_fd(); before the first TakeNotice().
  void Quieten();
  /// The next notice; false if there is none.
  bool TakeNotice(Notice* notice);

 private:
  struct State;
  static void Loop(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;
};

}  // namespace drbdts::frontend
