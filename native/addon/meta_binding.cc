#include "addon/meta_binding.h"

#include <sys/random.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "addon/error.h"
#include "addon/options_parse.h"
#include "addon/values.h"
#include "engine/meta_tools.h"

namespace drbdts::addon {
namespace {

using engine::MetaLocation;

/// Runs `work` off the JavaScript thread, then resolves with `answer` or rejects with what failed.
class MetaWorker final : public Napi::AsyncWorker {
 public:
  using Work = std::function<io::Failure()>;
  using Answer = std::function<Napi::Value(Napi::Env)>;
  MetaWorker(Napi::Env env, Work work, Answer answer)
      : Napi::AsyncWorker(env, "drbdts.meta"), deferred_(Napi::Promise::Deferred::New(env)), work_(std::move(work)), answer_(std::move(answer)) {}
  Napi::Promise Promise() const { return deferred_.Promise(); }
  void Execute() override { failure_ = work_(); }
  void OnOK() override {
    if (failure_.failed()) {
      deferred_.Reject(ToJsError(Env(), failure_).Value());
    } else {
      deferred_.Resolve(answer_(Env()));
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  Work work_;
  Answer answer_;
  io::Failure failure_;
};

Napi::Value Run(Napi::Env env, MetaWorker::Work work, MetaWorker::Answer answer) {
  auto* worker = new MetaWorker(env, std::move(work), std::move(answer));  // deletes itself
  const Napi::Promise promise = worker->Promise();
  worker->Queue();
  return promise;
}

/// The first argument, parsed; a bad one becomes the failure of the work.
struct Request {
  MetaLocation at;
  io::Failure failure;
  Napi::Object options;
};
Request Take(const Napi::CallbackInfo& info) {
  Request request;
  request.options = info.Length() > 1 && info[1].IsObject() ? info[1].As<Napi::Object>() : Napi::Object::New(info.Env());
  if (info.Length() < 1 || !info[0].IsObject()) {
    request.failure = InvalidArgument("a meta-data location is needed", "loc", "give disk, metaDisk and metaIndex");
  } else {
    request.failure = ParseMetaLocation(info[0].As<Napi::Object>(), request.at);
  }
  return request;
}

/// A tool that yields one value.
template <typename T, typename Convert>
Napi::Value RunFor(const Napi::CallbackInfo& info, std::function<io::Failure(const MetaLocation&, T&)> tool, Convert convert) {
  const Request request = Take(info);
  auto value = std::make_shared<T>();
  return Run(
      info.Env(), [=, at = request.at, failure = request.failure] { return failure.failed() ? failure : tool(at, *value); },
      [=](Napi::Env env) -> Napi::Value { return convert(env, *value); });
}

Napi::Value Text(Napi::Env env, const std::string& text) { return Napi::String::New(env, text); }

Napi::Value RunVoid(const Napi::CallbackInfo& info, std::function<io::Failure(const MetaLocation&)> tool) {
  const Request request = Take(info);
  return Run(
      info.Env(), [=, at = request.at, failure = request.failure] { return failure.failed() ? failure : tool(at); },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

Napi::Value Probe(const Napi::CallbackInfo& info) {
  return RunFor<engine::ProbeResult>(info, engine::ProbeMetaData, [](Napi::Env env, const engine::ProbeResult& result) -> Napi::Value {
    Napi::Object o = Napi::Object::New(env);
    o.Set("found", result.found);
    o.Set("hasMetaData", result.has_meta_data);
    o.Set("wouldCut", result.would_cut);
    return o;
  });
}

Napi::Value CreateMd(const Napi::CallbackInfo& info) {
  const Napi::Object given = Take(info).options;
  engine::CreateOptions options;
  options.force = GetBool(given, "force");
  options.al_stripes = GetUint32(given, "alStripes", 1);
  options.al_stripe_size_kb = GetUint32(given, "alStripeSizeKb", 32);
  options.peer_max_bio_size = GetUint32(given, "peerMaxBioSize", 0);
  return RunVoid(info, [options](const MetaLocation& at) mutable {
    if (getrandom(&options.device_uuid, sizeof options.device_uuid, 0) != sizeof options.device_uuid) options.device_uuid = 0;
    return engine::CreateMetaData(at, options);
  });
}

Napi::Value DumpMd(const Napi::CallbackInfo& info) {
  const bool force = GetBool(Take(info).options, "force");
  return RunFor<std::string>(
      info, [force](const MetaLocation& at, std::string& out) { return engine::DumpMetaDataText(at, force, out); }, Text);
}

Napi::Value ApplyAl(const Napi::CallbackInfo& info) {
  return RunFor<engine::ApplyAlResult>(info, engine::ApplyActivityLog, [](Napi::Env env, const engine::ApplyAlResult& result) -> Napi::Value {
    Napi::Object o = Napi::Object::New(env);
    o.Set("markedKib", Big(env, result.marked_kib));
    o.Set("wasClean", result.was_clean);
    return o;
  });
}

Napi::Value GetGi(const Napi::CallbackInfo& info) { return RunFor<std::string>(info, engine::GetGi, Text); }
Napi::Value Dstate(const Napi::CallbackInfo& info) { return RunFor<std::string>(info, engine::DiskStateOfFlags, Text); }
Napi::Value Outdate(const Napi::CallbackInfo& info) { return RunVoid(info, engine::OutdateMetaData); }
Napi::Value Invalidate(const Napi::CallbackInfo& info) { return RunVoid(info, engine::InvalidateMetaData); }
Napi::Value WipeMd(const Napi::CallbackInfo& info) { return RunVoid(info, engine::WipeMetaData); }

}  // namespace

Napi::Object MetaTools(Napi::Env env) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("probe", Napi::Function::New<Probe>(env, "probe"));
  o.Set("createMd", Napi::Function::New<CreateMd>(env, "createMd"));
  o.Set("dumpMd", Napi::Function::New<DumpMd>(env, "dumpMd"));
  o.Set("getGi", Napi::Function::New<GetGi>(env, "getGi"));
  o.Set("applyAl", Napi::Function::New<ApplyAl>(env, "applyAl"));
  o.Set("dstate", Napi::Function::New<Dstate>(env, "dstate"));
  o.Set("outdate", Napi::Function::New<Outdate>(env, "outdate"));
  o.Set("invalidate", Napi::Function::New<Invalidate>(env, "invalidate"));
  o.Set("wipeMd", Napi::Function::New<WipeMd>(env, "wipeMd"));
  return o;
}

}  // namespace drbdts::addon
