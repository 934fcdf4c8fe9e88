#pragma once
#include <napi.h>

namespace drbdts::addon {

/// NativeMetaTools; every call works on a thread of libuv's pool.
Napi::Object MetaTools(Napi::Env env);

}  // namespace drbdts::addon
