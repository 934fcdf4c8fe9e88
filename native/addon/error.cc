#include "addon/error.h"

#include <cerrno>
#include <utility>

namespace drbdts::addon {

Napi::Error ToJsError(Napi::Env env, const io::Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.detail);
  Napi::Object object = error.Value();
  object.Set("code", core::ErrorName(failure.code));
  object.Set("errno", failure.os_errno);
  object.Set("place", failure.place);
  object.Set("remedy", failure.remedy);
  return error;
}

Napi::Error ToJsError(Napi::Env env, const core::Error& error) { return ToJsError(env, io::Failure{error.code, error.os_errno, error.detail, "", ""}); }

io::Failure InvalidArgument(std::string detail, std::string place, std::string remedy) {
  return io::Failure{core::ErrorCode::kInvalidArgument, EINVAL, std::move(detail), std::move(place), std::move(remedy)};
}

}  // namespace drbdts::addon
