#pragma once
// Small conversions between JavaScript values and C++.
#include <napi.h>

#include <cstdint>
#include <string>

namespace drbdts::addon {

inline bool GetBool(const Napi::Object& o, const char* name) {
  const Napi::Value v = o.Get(name);
  return v.IsBoolean() && v.As<Napi::Boolean>().Value();
}
inline double GetNumber(const Napi::Object& o, const char* name, double otherwise = 0) {
  const Napi::Value v = o.Get(name);
  return v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : otherwise;
}
inline uint32_t GetUint32(const Napi::Object& o, const char* name, uint32_t otherwise = 0) {
  const double v = GetNumber(o, name, otherwise);
  return v >= 0 && v <= 4294967295.0 ? static_cast<uint32_t>(v) : otherwise;
}
/// bigint or number; negative and absent: `otherwise`.
inline uint64_t GetUint64(const Napi::Object& o, const char* name, uint64_t otherwise = 0) {
  const Napi::Value v = o.Get(name);
  if (v.IsBigInt()) {
    bool lossless = false;
    const uint64_t n = v.As<Napi::BigInt>().Uint64Value(&lossless);
    return lossless ? n : otherwise;
  }
  if (!v.IsNumber()) return otherwise;
  const double n = v.As<Napi::Number>().DoubleValue();
  return n >= 0 && n < 9007199254740992.0 ? static_cast<uint64_t>(n) : otherwise;
}
inline std::string GetString(const Napi::Object& o, const char* name) {
  const Napi::Value v = o.Get(name);
  return v.IsString() ? v.As<Napi::String>().Utf8Value() : std::string();
}
inline Napi::Object GetObject(const Napi::Object& o, const char* name) {
  const Napi::Value v = o.Get(name);
  return v.IsObject() ? v.As<Napi::Object>() : Napi::Object::New(o.Env());
}
inline Napi::BigInt Big(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }
/// 16 upper-case hexadecimal digits.
std::string Hex64(uint64_t value);

}  // namespace drbdts::addon
