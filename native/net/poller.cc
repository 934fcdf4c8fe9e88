#include "net/poller.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "net/errors.h"

namespace drbdts::net {

Poller::Poller(Napi::Env env, int fd, Napi::Function callback, Napi::Function on_error, OnReadable on_readable)
    : env_(env),
      fd_(fd),
      callback_(Napi::Persistent(callback)),
      on_error_(Napi::Persistent(on_error)),
      context_(env, "drbdts_net"),
      on_readable_(std::move(on_readable)) {}

Poller::~Poller() { close(fd_); }

Poller* Poller::Start(Napi::Env env, int fd, Napi::Function callback, Napi::Function on_error, OnReadable on_readable, int* os_errno) {
  uv_loop_t* loop = nullptr;
  auto* poller = new Poller(env, fd, callback, on_error, std::move(on_readable));
  int failed = napi_get_uv_event_loop(env, &loop) == napi_ok ? 0 : UV_EINVAL;
  if (failed == 0) failed = uv_poll_init(loop, &poller->handle_, fd);
  if (failed != 0) {
    *os_errno = -failed;
    delete poller;
    return nullptr;
  }
  poller->handle_.data = poller;
  napi_add_env_cleanup_hook(env, OnCleanup, poller);
  failed = uv_poll_start(&poller->handle_, UV_READABLE, OnPoll);
  if (failed != 0) {
    *os_errno = -failed;
    poller->Close();
    return nullptr;
  }
  return poller;
}

void Poller::Close() {
  if (closing_) return;
  closing_ = true;
  napi_remove_env_cleanup_hook(env_, OnCleanup, this);
  uv_poll_stop(&handle_);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), [](uv_handle_t* handle) {
    auto* self = static_cast<Poller*>(handle->data);
    Napi::HandleScope scope(self->env_);
    delete self;
  });
}

void Poller::OnCleanup(void* self) { static_cast<Poller*>(self)->Close(); }

void Poller::OnPoll(uv_poll_t* handle, int status, int) {
  auto* self = static_cast<Poller*>(handle->data);
  Napi::HandleScope scope(self->env_);
  if (status < 0) {
    self->CallError(MakeError(self->env_, -status, "waiting for the network", "poll"));
    return;
  }
  self->on_readable_(*self);
}

void Poller::Call(Napi::Value argument) { callback_.MakeCallback(env_.Global(), {argument}, context_); }

void Poller::CallError(Napi::Value error) { on_error_.MakeCallback(env_.Global(), {error}, context_); }

}  // namespace drbdts::net
