#pragma once
// NativeResource: one engine thread as JavaScript sees it.
#include <napi.h>
#include <uv.h>

#include <map>
#include <memory>
#include <vector>

#include "engine/resource_thread.h"

namespace drbdts::addon {

/// Wakes the event loop. uv_async_send takes no lock and allocates nothing, so a data thread never waits for a JavaScript thread that is
/// stuck in a page fault (a thread-safe function's queue has a lock that both sides take).
class UvWaker final : public engine::Waker {
 public:
  void Wake() override { uv_async_send(async_); }
  void Use(uv_async_t* async) { async_ = async; }

 private:
  uv_async_t* async_ = nullptr;
};

class ResourceObject final : public Napi::ObjectWrap<ResourceObject> {
 public:
  /// createResource(config, onEvents); throws.
  static Napi::Value Create(const Napi::CallbackInfo& info);
  static void Define(Napi::Env env);
  explicit ResourceObject(const Napi::CallbackInfo& info);
  ~ResourceObject() override;

 private:
  struct Waiting {
    Napi::Promise::Deferred deferred;
    uint32_t left = 1;  // answers to come (disk-options of several volumes)
    int code = 0;
    std::string text;
    std::string detail;
  };

  Napi::Value Command(const Napi::CallbackInfo& info);
  Napi::Value Snapshot(const Napi::CallbackInfo& info);
  Napi::Value HandlerResult(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);

  io::Failure Start(const Napi::Object& config, const Napi::Function& on_events);
  void OnWake();
  void TakeResult(const engine::Event& event);
  void Ended();
  void Shut();
  static void Cleanup(void* self);

  std::unique_ptr<engine::ResourceThread> thread_;
  core::ResourceConfig config_;  // with options as changed since
  UvWaker waker_;
  uv_async_t* async_ = nullptr;
  std::unique_ptr<Napi::AsyncContext> context_;
  Napi::FunctionReference on_events_;
  std::map<uint64_t, uint32_t> parts_;  // command id -> key of waiting_
  std::map<uint32_t, Waiting> waiting_;
  std::vector<Napi::Promise::Deferred> stop_waiting_;
  uint64_t next_id_ = 1;
  uint32_t next_key_ = 1;
  bool stop_requested_ = false;
  bool hooked_ = false;
};

}  // namespace drbdts::addon
