#include "addon/resource_object.h"

#include <string>
#include <utility>

#include "addon/command_parse.h"
#include "addon/error.h"
#include "addon/event_value.h"
#include "addon/options_parse.h"
#include "addon/snapshot_value.h"
#include "addon/values.h"

namespace drbdts::addon {
namespace {

// Half of what the queues between the threads hold, so that every answer finds room.
constexpr size_t kMaxCommands = 128;

struct Constructor {
  Napi::FunctionReference reference;
};

}  // namespace

void ResourceObject::Define(Napi::Env env) {
  auto* constructor = new Constructor;
  constructor->reference = Napi::Persistent(DefineClass(env, "NativeResource",
                                                        {
                                                            InstanceMethod<&ResourceObject::Command>("command"),
                                                            InstanceMethod<&ResourceObject::Snapshot>("snapshot"),
                                                            InstanceMethod<&ResourceObject::HandlerResult>("handlerResult"),
                                                            InstanceMethod<&ResourceObject::Stop>("stop"),
                                                        }));
  env.SetInstanceData<Constructor>(constructor);
}

ResourceObject::ResourceObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ResourceObject>(info) {}

ResourceObject::~ResourceObject() { Shut(); }

Napi::Value ResourceObject::Create(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsObject() || !info[1].IsFunction()) {
    ToJsError(env, InvalidArgument("createResource takes a configuration and a function", "createResource", "see native-api.ts")).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const Napi::Object object = env.GetInstanceData<Constructor>()->reference.New({});
  ResourceObject* self = Unwrap(object);
  const io::Failure failure = self->Start(info[0].As<Napi::Object>(), info[1].As<Napi::Function>());
  if (failure.failed()) {
    ToJsError(env, failure).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  return object;
}

io::Failure ResourceObject::Start(const Napi::Object& config, const Napi::Function& on_events) {
  Napi::Env env = Env();
  engine::EngineConfig engine_config;
  io::Failure failure = ParseResourceConfig(config, engine_config.resource);
  if (failure.failed()) return failure;
  engine_config.notify_socket = GetString(config, "notifySocket");
  const Napi::Value kept = config.Get("keptFds");
  if (kept.IsArray()) {
    const auto array = kept.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) {
      if (!array.Get(i).IsObject()) continue;
      const auto entry = array.Get(i).As<Napi::Object>();
      engine_config.kept.push_back({GetString(entry, "name"), static_cast<int>(GetNumber(entry, "fd", -1))});
    }
  }
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return InvalidArgument("no event loop", "createResource", "call it from Node's thread");
  async_ = new uv_async_t;
  async_->data = this;
  uv_async_init(loop, async_, [](uv_async_t* async) {
    if (async->data != nullptr) static_cast<ResourceObject*>(async->data)->OnWake();
  });
  waker_.Use(async_);
  config_ = engine_config.resource;
  context_ = std::make_unique<Napi::AsyncContext>(env, "drbdts.resource");
  on_events_ = Napi::Persistent(on_events);
  thread_ = engine::ResourceThread::Start(std::move(engine_config), waker_, failure);
  if (thread_ == nullptr) {
    Shut();
    return failure;
  }
  napi_add_env_cleanup_hook(env, Cleanup, this);
  hooked_ = true;
  Ref();  // lives until its thread has ended
  return {};
}

/// Ends the thread if it runs and lets go of the event loop.
void ResourceObject::Shut() {
  thread_.reset();
  if (async_ != nullptr) {
    async_->data = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(async_), [](uv_handle_t* handle) { delete reinterpret_cast<uv_async_t*>(handle); });
    async_ = nullptr;
  }
  if (hooked_) {
    napi_remove_env_cleanup_hook(Env(), Cleanup, this);
    hooked_ = false;
  }
}

void ResourceObject::Cleanup(void* self) {
  auto* object = static_cast<ResourceObject*>(self);
  object->hooked_ = false;
  object->Shut();
}

void ResourceObject::OnWake() {
  Napi::Env env = Env();
  Napi::HandleScope scope(env);
  Napi::CallbackScope callback(env, *context_);
  if (thread_ == nullptr) return;
  engine::Mailbox& mailbox = thread_->mailbox();
  Napi::Array events = Napi::Array::New(env);
  const auto push = [&](Napi::Object event) { events.Set(events.Length(), event); };
  if (mailbox.changed.exchange(false)) {
    Napi::Object changed = Napi::Object::New(env);
    changed.Set("type", "changed");
    push(changed);
  }
  while (const engine::Event* event = mailbox.logs.Front()) {
    push(EventValue(env, config_, *event));
    mailbox.logs.Release();
  }
  if (const uint32_t lost = mailbox.lost_logs.exchange(0)) {
    engine::Event note;
    note.code = 1;
    engine::CopyText(note.text, std::to_string(lost) + " log messages were dropped: they came faster than they could be taken");
    push(EventValue(env, config_, note));
  }
  bool ended = false;
  while (const engine::Event* event = mailbox.results.Front()) {
    switch (event->kind) {
      case engine::Event::Kind::kCommandDone: TakeResult(*event); break;
      case engine::Event::Kind::kStopped:
        ended = true;
        if (!stop_requested_) {
          Napi::Object stopped = Napi::Object::New(env);
          stopped.Set("type", "stopped");
          stopped.Set("text", event->text.data());
          push(stopped);
        }
        break;
      default: push(EventValue(env, config_, *event)); break;
    }
    mailbox.results.Release();
  }
  if (events.Length() != 0) {
    on_events_.Call({events});
    if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
  }
  if (ended) Ended();
}

void ResourceObject::TakeResult(const engine::Event& event) {
  const auto part = parts_.find(event.id);
  if (part == parts_.end()) return;
  const auto found = waiting_.find(part->second);
  parts_.erase(part);
  if (found == waiting_.end()) return;
  Waiting& waiting = found->second;
  // Of several answers the first refusal counts, else the last success.
  const bool refused = waiting.left > 0 && waiting.code != 0 && (waiting.code < 0 || waiting.code >= 100);
  if (!refused) {
    waiting.code = event.code;
    waiting.text = event.text.data();
    waiting.detail = event.detail.data();
  }
  if (--waiting.left > 0) return;
  Napi::Object result = Napi::Object::New(Env());
  result.Set("code", waiting.code);
  result.Set("text", waiting.text);
  result.Set("detail", waiting.detail);
  waiting.deferred.Resolve(result);
  waiting_.erase(found);
}

void ResourceObject::Ended() {
  thread_->Join();
  for (auto& [key, waiting] : waiting_) {
    waiting.deferred.Reject(
        ToJsError(Env(), io::Failure{core::ErrorCode::kBusy, 0, "the resource was stopped before it answered", config_.name, "try again"}).Value());
  }
  waiting_.clear();
  parts_.clear();
  for (Napi::Promise::Deferred& deferred : stop_waiting_) deferred.Resolve(Env().Undefined());
  stop_waiting_.clear();
  Shut();
  on_events_.Reset();
  Unref();
}

Napi::Value ResourceObject::Command(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  const auto reject = [&](const io::Failure& failure) {
    deferred.Reject(ToJsError(env, failure).Value());
    return deferred.Promise();
  };
  if (thread_ == nullptr || stop_requested_) {
    return reject(io::Failure{core::ErrorCode::kNotFound, 0, "resource " + config_.name + " is stopped", config_.name, "create it again"});
  }
  const std::string name = info.Length() > 0 && info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  const Napi::Object args = info.Length() > 1 && info[1].IsObject() ? info[1].As<Napi::Object>() : Napi::Object::New(env);
  core::AdminCommand command;
  io::Failure failure = ParseCommand(name, args, config_, command);
  if (failure.failed()) return reject(failure);
  std::vector<core::AdminCommand> commands;
  if (command.kind == core::AdminCommand::Kind::kDiskOptions && command.volume < 0) {
    // Every volume keeps what is not named here.
    for (size_t i = 0; i < config_.volumes.size(); i++) {
      core::AdminCommand one = command;
      one.volume = static_cast<int>(i);
      one.disk = config_.volumes[i].options;
      failure = ParseDiskOptions(GetObject(args, "options"), one.disk);
      if (failure.failed()) return reject(failure);
      commands.push_back(std::move(one));
    }
  } else {
    commands.push_back(command);
  }
  if (parts_.size() + commands.size() > kMaxCommands) {
    return reject(io::Failure{core::ErrorCode::kBusy, 0, "too many commands are waiting", config_.name, "wait for an answer"});
  }
  if (command.kind == core::AdminCommand::Kind::kNetOptions) config_.net = command.net;
  const uint32_t key = next_key_++;
  waiting_.emplace(key, Waiting{deferred, static_cast<uint32_t>(commands.size()), 0, "", ""});
  for (core::AdminCommand& one : commands) {
    if (one.kind == core::AdminCommand::Kind::kDiskOptions) config_.volumes[static_cast<size_t>(one.volume)].options = one.disk;
    auto post = std::make_unique<engine::Command>();
    post->id = next_id_++;
    post->admin = std::move(one);
    parts_.emplace(post->id, key);
    thread_->Post(std::move(post));  // there is room: fewer than half of the queue can be under way
  }
  return deferred.Promise();
}

Napi::Value ResourceObject::Snapshot(const Napi::CallbackInfo& info) {
  auto snapshot = std::make_unique<core::Snapshot>();
  if (thread_ != nullptr) thread_->mailbox().snapshot.Read(*snapshot);
  return SnapshotValue(info.Env(), config_, *snapshot);
}

Napi::Value ResourceObject::HandlerResult(const Napi::CallbackInfo& info) {
  if (thread_ == nullptr || info.Length() < 2 || !info[0].IsNumber() || !info[1].IsNumber()) return info.Env().Undefined();
  auto command = std::make_unique<engine::Command>();
  command->kind = engine::Command::Kind::kHandlerDone;
  command->id = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
  command->exit_code = info[1].As<Napi::Number>().Int32Value();
  thread_->Post(std::move(command));
  return info.Env().Undefined();
}

Napi::Value ResourceObject::Stop(const Napi::CallbackInfo& info) {
  Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(info.Env());
  if (thread_ == nullptr) {
    deferred.Resolve(info.Env().Undefined());
    return deferred.Promise();
  }
  stop_waiting_.push_back(deferred);
  if (!stop_requested_) {
    stop_requested_ = true;
    thread_->RequestStop();
  }
  return deferred.Promise();
}

}  // namespace drbdts::addon
