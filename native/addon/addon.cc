// Module initialisation: the shape is NativeAddon in src/daemon/native-api.ts.
#include <napi.h>

#include <vector>

#include "addon/core_exports.h"
#include "addon/error.h"
#include "addon/meta_binding.h"
#include "addon/resource_object.h"
#include "frontend/notify.h"

namespace drbdts::addon {
namespace {

/// notify(socket, message, fds?)
Napi::Value Notify(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsString() || !info[1].IsString()) {
    ToJsError(env, InvalidArgument("notify takes a socket and a message", "notify", "see native-api.ts")).ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const std::string socket = info[0].As<Napi::String>().Utf8Value();
  if (socket.empty()) return Napi::Boolean::New(env, false);
  std::vector<int> fds;
  if (info.Length() > 2 && info[2].IsArray()) {
    const auto array = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) fds.push_back(array.Get(i).ToNumber().Int32Value());
  }
  return Napi::Boolean::New(env, frontend::SendNotify(socket, info[1].As<Napi::String>().Utf8Value(), fds) == 0);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  ResourceObject::Define(env);
  exports.Set("createResource", Napi::Function::New<ResourceObject::Create>(env, "createResource"));
  exports.Set("meta", MetaTools(env));
  exports.Set("names", Names(env));
  exports.Set("notify", Napi::Function::New<Notify>(env, "notify"));
  exports.Set("core", CoreExports(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(drbdts, Init)

}  // namespace drbdts::addon
