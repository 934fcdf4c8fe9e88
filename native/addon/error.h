#pragma once
// Failures as JavaScript errors: message, `code` (ERR_*), `errno`, `place`, `remedy`. The only place that makes them.
#include <napi.h>

#include "core/result.h"
#include "io/failure.h"

namespace drbdts::addon {

Napi::Error ToJsError(Napi::Env env, const io::Failure& failure);
/// A core error of a codec.
Napi::Error ToJsError(Napi::Env env, const core::Error& error);
io::Failure InvalidArgument(std::string detail, std::string place, std::string remedy);

}  // namespace drbdts::addon
