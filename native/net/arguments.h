#pragma once
// What JavaScript gave, with defaults for what it did not give.
#include <arpa/inet.h>
#include <napi.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

namespace drbdts::net {

inline std::string Text(const Napi::Object& o, const char* name) {
  const Napi::Value v = o.Get(name);
  return v.IsString() ? v.As<Napi::String>().Utf8Value() : std::string();
}
/// A whole number from 0 to `most`.
inline std::optional<uint32_t> Whole(const Napi::Value& v, double most) {
  if (!v.IsNumber()) return std::nullopt;
  const double n = v.As<Napi::Number>().DoubleValue();
  return n >= 0 && n <= most && n == static_cast<double>(static_cast<uint32_t>(n)) ? std::optional<uint32_t>(static_cast<uint32_t>(n)) : std::nullopt;
}
inline std::optional<uint32_t> Whole(const Napi::Object& o, const char* name, double most) { return Whole(o.Get(name), most); }
inline bool Flag(const Napi::Object& o, const char* name) {
  const Napi::Value v = o.Get(name);
  return v.IsBoolean() && v.As<Napi::Boolean>().Value();
}

struct Address {
  int family = 0;
  unsigned char bytes[16] = {};
  size_t size() const { return family == AF_INET ? 4 : 16; }
};

/// A numeric address without scope.
inline std::optional<Address> ParseAddress(const std::string& text) {
  Address address;
  address.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (inet_pton(address.family, text.c_str(), address.bytes) != 1) return std::nullopt;
  return address;
}

}  // namespace drbdts::net
