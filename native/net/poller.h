#pragma once
// Calls a function on the JavaScript thread when a descriptor becomes readable; closes the descriptor with itself.
#include <napi.h>
#include <uv.h>

#include <functional>

namespace drbdts::net {

/// Owned by the event loop from Start on: Close gives it back, the environment's end closes it too. Not copyable.
class Poller {
 public:
  using OnReadable = std::function<void(Poller&)>;

  /// Null with `*os_errno` set when the loop does not take the descriptor; it is closed then.
  static Poller* Start(Napi::Env env, int fd, Napi::Function callback, Napi::Function on_error, OnReadable on_readable, int* os_errno);
  /// No call happens afterwards. `this` is gone soon: forget the pointer.
  void Close();

  int fd() const { return fd_; }
  Napi::Env env() const { return env_; }
  bool closing() const { return closing_; }
  void Call(Napi::Value argument);
  void CallError(Napi::Value error);

 private:
  Poller(Napi::Env env, int fd, Napi::Function callback, Napi::Function on_error, OnReadable on_readable);
  ~Poller();
  static void OnPoll(uv_poll_t* handle, int status, int events);
  static void OnCleanup(void* self);

  Napi::Env env_;
  int fd_;
  bool closing_ = false;
  Napi::FunctionReference callback_;
  Napi::FunctionReference on_error_;
  Napi::AsyncContext context_;
  OnReadable on_readable_;
  uv_poll_t handle_{};
};

}  // namespace drbdts::net
