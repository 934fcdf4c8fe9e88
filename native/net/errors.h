#pragma once
// Failures of the network addon as JavaScript errors: `code` is the errno's name as in Node (ENODEV), with `place` and `remedy`.
#include <napi.h>

#include <string>

namespace drbdts::net {

/// Makes and throws the error of `os_errno`; `what` was tried on `place`.
void Throw(Napi::Env env, int os_errno, const std::string& what, const std::string& place);

/// The error without throwing it, for callbacks.
Napi::Value MakeError(Napi::Env env, int os_errno, const std::string& what, const std::string& place);

}  // namespace drbdts::net
