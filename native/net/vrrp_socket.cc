#include "net/vrrp_socket.h"

#include <linux/net_tstamp.h>
#include <netinet/ip.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "net/arguments.h"
#include "net/clocks.h"
#include "net/errors.h"
#include "net/poller.h"

namespace drbdts::net {
namespace {

constexpr int kPacketsPerWake = 64;
/// A flood must not keep drain from coming to an end.
constexpr int kPacketsPerDrain = 4096;
/// What a flood may fill before packets are lost; the next one of the same sender follows soon.
constexpr int kReceiveBuffer = 256 * 1024;
/// 255 addresses of 16 bytes and every header fit; what is longer is no VRRP.
constexpr size_t kPacketMax = 9216;
#ifndef IPV6_MULTICAST_ALL
constexpr int IPV6_MULTICAST_ALL = 29;
#endif

/// Shared by the functions of one socket.
struct Receiver {
  Poller* poller = nullptr;
  std::string place;
  int family = 0;
  int index = 0;
  /// when the socket was last found empty, on the clock of time since boot: nothing read later has come in before
  int64_t empty_ns = 0;
};

int Join(int fd, int index, const Address& group) {
  if (group.family == AF_INET) {
    ip_mreqn request{};
    memcpy(&request.imr_multiaddr, group.bytes, 4);
    request.imr_ifindex = index;
    return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) == 0 ? 0 : errno;
  }
  ipv6_mreq request{};
  memcpy(&request.ipv6mr_multiaddr, group.bytes, 16);
  request.ipv6mr_interface = static_cast<unsigned>(index);
  return setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request) == 0 ? 0 : errno;
}

/// 0 or an errno.
int Prepare(int fd, const Receiver& receiver, const std::vector<Address>& groups) {
  const int on = 1;
  const int off = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, receiver.place.c_str(), static_cast<socklen_t>(receiver.place.size() + 1)) != 0) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) return errno;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  if (receiver.family == AF_INET) {
    // groups that others on this host have joined are not ours
    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off) != 0) return errno;
  } else {
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off) != 0) return errno;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0) return errno;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on) != 0) return errno;
  }
  for (const Address& group : groups) {
    if (const int failed = Join(fd, receiver.index, group); failed != 0) return failed;
  }
  return 0;
}

std::string AddressText(int family, const void* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family, bytes, text, sizeof text);
  return text;
}

/// What the kernel says about one packet.
struct Envelope {
  std::string source;
  std::string destination;
  int ttl = -1;
  size_t header = 0;
  /// of the wall clock, 0 for none
  int64_t stamp_ns = 0;
};

/// false: it is none that can be told about.
bool ReadEnvelope(const Receiver& receiver, msghdr& message, const unsigned char* packet, size_t size, Envelope* envelope) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SO_TIMESTAMPNS) {
      timespec stamp{};
      memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
      envelope->stamp_ns = Nanoseconds(stamp);
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_HOPLIMIT) {
      memcpy(&envelope->ttl, CMSG_DATA(part), sizeof envelope->ttl);
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo where{};
      memcpy(&where, CMSG_DATA(part), sizeof where);
      envelope->destination = AddressText(AF_INET6, &where.ipi6_addr);
    }
  }
  if (receiver.family == AF_INET6) {
    envelope->source = AddressText(AF_INET6, &static_cast<const sockaddr_in6*>(message.msg_name)->sin6_addr);
    return !envelope->destination.empty();
  }
  if (size < sizeof(iphdr)) return false;
  iphdr header{};
  memcpy(&header, packet, sizeof header);
  envelope->header = header.ihl * 4u;
  if (envelope->header < sizeof(iphdr) || envelope->header > size) return false;
  envelope->ttl = header.ttl;
  envelope->source = AddressText(AF_INET, &header.saddr);
  envelope->destination = AddressText(AF_INET, &header.daddr);
  return true;
}

/// Up to `most` packets. Returns the time up to which every packet that had come in was given, on the clock of time since boot.
int64_t Read(Poller& poller, Receiver& receiver, int most) {
  int64_t heard = receiver.empty_ns;
  alignas(8) unsigned char packet[kPacketMax];
  for (int i = 0; i < most && !poller.closing(); i++) {
    sockaddr_storage from{};
    alignas(cmsghdr) char control[256];
    iovec piece{packet, sizeof packet};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const int64_t before = BootNow();
    const ssize_t got = recvmsg(poller.fd(), &message, MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EAGAIN) heard = receiver.empty_ns = before;
      else if (errno != EINTR) poller.CallError(MakeError(poller.env(), errno, "receiving VRRP", receiver.place));
      return heard;
    }
    Envelope envelope;
    if ((message.msg_flags & MSG_TRUNC) != 0 || !ReadEnvelope(receiver, message, packet, static_cast<size_t>(got), &envelope)) continue;
    // the kernel stamps with the wall clock, which may be set at any moment: a stamp counts as far as it is possible
    const int64_t now = BootNow();
    const int64_t age = envelope.stamp_ns == 0 ? 0 : WallNow() - envelope.stamp_ns;
    const int64_t received = now - std::clamp<int64_t>(age, 0, std::max<int64_t>(0, now - receiver.empty_ns));
    heard = received;
    Napi::Env env = poller.env();
    Napi::HandleScope scope(env);
    Napi::Object object = Napi::Object::New(env);
    object.Set("source", envelope.source);
    object.Set("destination", envelope.destination);
    object.Set("ttl", envelope.ttl);
    object.Set("receivedMs", static_cast<double>(received) / 1e6);
    object.Set("data", Napi::Buffer<uint8_t>::Copy(env, packet + envelope.header, static_cast<size_t>(got) - envelope.header));
    poller.Call(object);
  }
  return heard;
}

}  // namespace

Napi::Value VrrpSocket(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 3 || !info[0].IsObject() || !info[1].IsFunction() || !info[2].IsFunction()) {
    Throw(env, EINVAL, "vrrpSocket takes options and two functions", "vrrpSocket");
    return env.Undefined();
  }
  const auto options = info[0].As<Napi::Object>();
  const auto index = Whole(options, "index", 2147483647);
  const auto family = Whole(options, "family", 6);
  char name[IF_NAMESIZE] = "?";
  std::vector<Address> groups;
  bool good = index.has_value() && family.has_value() && (*family == 4 || *family == 6) && options.Get("groups").IsArray();
  if (good) {
    const auto list = options.Get("groups").As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); i++) {
      const Napi::Value each = list.Get(i);
      const auto group = each.IsString() ? ParseAddress(each.As<Napi::String>().Utf8Value()) : std::nullopt;
      good = good && group.has_value() && group->family == (*family == 4 ? AF_INET : AF_INET6);
      if (group) groups.push_back(*group);
    }
  }
  if (!good || if_indextoname(*index, name) == nullptr) {
    Throw(env, good ? ENODEV : EINVAL, "opening a VRRP socket", "interface index " + std::to_string(index.value_or(0)));
    return env.Undefined();
  }
  auto receiver = std::make_shared<Receiver>();
  receiver->place = name;
  receiver->family = *family == 4 ? AF_INET : AF_INET6;
  receiver->index = static_cast<int>(*index);
  receiver->empty_ns = BootNow();
  const int fd = socket(receiver->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, kVrrpProtocol);
  int failed = fd < 0 ? errno : Prepare(fd, *receiver, groups);
  if (failed == 0)
    receiver->poller = Poller::Start(env, fd, info[1].As<Napi::Function>(), info[2].As<Napi::Function>(), [receiver](Poller& poller) { Read(poller, *receiver, kPacketsPerWake); }, &failed);
  else if (fd >= 0)
    close(fd);
  if (failed != 0) {
    Throw(env, failed, "opening a VRRP socket", name);
    return env.Undefined();
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("drain", Napi::Function::New(env, [receiver](const Napi::CallbackInfo& call) -> Napi::Value {
    const int64_t heard = receiver->poller == nullptr ? BootNow() : Read(*receiver->poller, *receiver, kPacketsPerDrain);
    return Napi::Number::New(call.Env(), static_cast<double>(heard) / 1e6);
  }));
  object.Set("close", Napi::Function::New(env, [receiver](const Napi::CallbackInfo&) {
    if (receiver->poller != nullptr) receiver->poller->Close();
    receiver->poller = nullptr;
  }));
  return object;
}

}  // namespace drbdts::net
