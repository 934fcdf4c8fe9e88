// The network addon: the shape is NativeNet in src/cluster/net-native.ts. Thin: every decision is in TypeScript.
#include <napi.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "net/adverts.h"
#include "net/arguments.h"
#include "net/errors.h"
#include "net/netlink.h"
#include "net/packet_socket.h"
#include "net/vrrp_socket.h"

namespace drbdts::net {
namespace {

/// setRealtime(priority): this thread, and not what it starts.
void SetRealtime(const Napi::CallbackInfo& info) {
  const auto priority = info.Length() > 0 ? Whole(info[0], 99) : std::nullopt;
  if (!priority || *priority == 0) return Throw(info.Env(), EINVAL, "setRealtime takes a priority from 1 to 99", "setRealtime");
  sched_param param{};
  param.sched_priority = static_cast<int>(*priority);
  if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param) != 0) Throw(info.Env(), errno, "asking for priority SCHED_RR " + std::to_string(*priority), "sched_setscheduler");
}

/// lockProgram(): pages of the programs and libraries in use stay in memory once they were used. mlockall is no choice: V8 gives back pages of its heap
/// with madvise, which fails on locked memory, and ends the process. The heap is kept from the swap by the unit's MemorySwapMax=0.
void LockProgram(const Napi::CallbackInfo& info) {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) return Throw(info.Env(), errno, "reading what is mapped", "/proc/self/maps");
  char line[4096 + 128];
  int failed = 0;
  while (fgets(line, sizeof line, maps) != nullptr) {
    unsigned long from = 0;
    unsigned long to = 0;
    char access[5] = "";
    unsigned long inode = 0;
    if (sscanf(line, "%lx-%lx %4s %*x %*s %lu", &from, &to, access, &inode) != 4 || inode == 0 || access[0] != 'r' || access[1] != '-') continue;
    if (mlock2(reinterpret_cast<const void*>(from), to - from, MLOCK_ONFAULT) != 0) failed = errno;
  }
  fclose(maps);
  if (failed != 0) Throw(info.Env(), failed, "locking the program in memory", "mlock2");
}

/// bootTimeNs()
Napi::Value BootTimeNs(const Napi::CallbackInfo& info) {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return Napi::BigInt::New(info.Env(), static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec);
}

/// 0 or an errno; `address` is multicast or one of our own.
int BindUdp(int fd, const Address& address, uint16_t port, const std::string& device) {
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), static_cast<socklen_t>(device.size() + 1)) != 0) return errno;
  if (address.family == AF_INET) {
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_port = htons(port);
    memcpy(&own.sin_addr, address.bytes, 4);
    return bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0 ? 0 : errno;
  }
  if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) return errno;
  sockaddr_in6 own{};
  own.sin6_family = AF_INET6;
  own.sin6_port = htons(port);
  memcpy(&own.sin6_addr, address.bytes, 16);
  if (IN6_IS_ADDR_LINKLOCAL(&own.sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&own.sin6_addr)) own.sin6_scope_id = if_nametoindex(device.c_str());
  return bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0 ? 0 : errno;
}

/// udpSocket({family, address, port, interface}) -> descriptor
Napi::Value UdpSocket(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) {
    Throw(env, EINVAL, "udpSocket takes an object", "udpSocket");
    return env.Undefined();
  }
  const auto options = info[0].As<Napi::Object>();
  const std::string text = Text(options, "address");
  const std::string device = Text(options, "interface");
  const auto address = ParseAddress(text.substr(0, text.find('%')));
  const auto port = Whole(options, "port", 65535);
  const std::string what = "binding to " + text + " port " + std::to_string(port.value_or(0)) + " on interface " + device;
  if (!address || !port || device.empty() || device.size() >= IF_NAMESIZE) {
    Throw(env, EINVAL, what, device);
    return env.Undefined();
  }
  const int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int failed = fd < 0 ? errno : BindUdp(fd, *address, static_cast<uint16_t>(*port), device);
  if (failed == 0) return Napi::Number::New(env, fd);
  if (fd >= 0) close(fd);
  Throw(env, failed, what, device);
  return env.Undefined();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("udpSocket", Napi::Function::New<UdpSocket>(env, "udpSocket"));
  exports.Set("packetSocket", Napi::Function::New<PacketSocket>(env, "packetSocket"));
  exports.Set("links", Napi::Function::New<Links>(env, "links"));
  exports.Set("addresses", Napi::Function::New<Addresses>(env, "addresses"));
  exports.Set("setAddress", Napi::Function::New<SetAddress>(env, "setAddress"));
  exports.Set("deleteAddress", Napi::Function::New<DeleteAddress>(env, "deleteAddress"));
  exports.Set("monitor", Napi::Function::New<Monitor>(env, "monitor"));
  exports.Set("vrrpSocket", Napi::Function::New<VrrpSocket>(env, "vrrpSocket"));
  exports.Set("advertiser", Napi::Function::New<Advertiser>(env, "advertiser"));
  exports.Set("advertPriority", Napi::Function::New<AdvertPriority>(env, "advertPriority"));
  exports.Set("setRealtime", Napi::Function::New<SetRealtime>(env, "setRealtime"));
  exports.Set("lockProgram", Napi::Function::New<LockProgram>(env, "lockProgram"));
  exports.Set("bootTimeNs", Napi::Function::New<BootTimeNs>(env, "bootTimeNs"));
  return exports;
}

NODE_API_MODULE(drbdts_net, Init)

}  // namespace
}  // namespace drbdts::net
