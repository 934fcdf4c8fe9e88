#pragma once
#include <napi.h>

namespace drbdts::addon {

/// The core's codecs and decisions for tests and tools: one implementation, never a second one in TypeScript.
Napi::Object CoreExports(Napi::Env env);
/// NativeAddon.names
Napi::Object Names(Napi::Env env);

}  // namespace drbdts::addon
