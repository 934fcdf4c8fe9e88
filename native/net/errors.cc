#include "net/errors.h"

#include <cerrno>
#include <cstring>

namespace drbdts::net {
namespace {

const char* Remedy(int os_errno) {
  switch (os_errno) {
    case EPERM:
    case EACCES:
      return "Run as root, or with CAP_NET_ADMIN and CAP_NET_RAW (for the priority: CAP_SYS_NICE, for memory: CAP_IPC_LOCK).";
    case ENODEV:
    case ENXIO:
      return "There is no such interface: compare with `ip link`.";
    case EADDRNOTAVAIL:
      return "The interface does not have this address: compare with `ip address`.";
    case EADDRINUSE:
      return "Another program has this address and port: see `ss -ulpn`.";
    case EEXIST:
      return "It is there already: compare with `ip address`.";
    case ENETDOWN:
      return "Set the interface up: `ip link set dev NAME up`.";
    case EINVAL:
      return "Check address, prefix length and label: a label begins with the name of its interface and has at most 15 characters.";
    case EMSGSIZE:
      return "The frame is longer than the interface takes.";
    case ENOMEM:
    case ENOBUFS:
      return "The kernel has no memory left for it; it may be tried again.";
    default:
      return "See the error's name and the kernel's log.";
  }
}

}  // namespace

Napi::Value MakeError(Napi::Env env, int os_errno, const std::string& what, const std::string& place) {
  const char* name = strerrorname_np(os_errno);
  const std::string code = name == nullptr ? "EUNKNOWN" : name;
  Napi::Error error = Napi::Error::New(env, what + ": " + strerror(os_errno) + " (" + code + ")");
  Napi::Object object = error.Value();
  object.Set("code", code);
  object.Set("errno", os_errno);
  object.Set("place", place);
  object.Set("remedy", Remedy(os_errno));
  return object;
}

void Throw(Napi::Env env, int os_errno, const std::string& what, const std::string& place) {
  Napi::Error(env, MakeError(env, os_errno, what, place)).ThrowAsJavaScriptException();
}

}  // namespace drbdts::net
