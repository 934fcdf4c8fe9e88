#include "net/netlink.h"

#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/arguments.h"
#include "net/errors.h"
#include "net/poller.h"

namespace drbdts::net {
namespace {

constexpr uint32_t kForEver = 0xFFFFFFFF;
constexpr int kTriesOfDump = 5;

/// A request under construction; attributes are appended.
class Request {
 public:
  Request(uint16_t type, uint16_t flags) {
    header()->nlmsg_type = type;
    header()->nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
    header()->nlmsg_len = NLMSG_HDRLEN;
  }
  template <typename Body>
  Body* AddBody() {
    auto* body = reinterpret_cast<Body*>(bytes_ + header()->nlmsg_len);
    header()->nlmsg_len += NLMSG_ALIGN(sizeof(Body));
    return body;
  }
  void Add(uint16_t type, const void* data, size_t size) {
    auto* attribute = reinterpret_cast<rtattr*>(bytes_ + header()->nlmsg_len);
    attribute->rta_type = type;
    attribute->rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
    memcpy(RTA_DATA(attribute), data, size);
    header()->nlmsg_len += RTA_ALIGN(attribute->rta_len);
  }
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_); }

 private:
  alignas(NLMSG_ALIGNTO) unsigned char bytes_[512] = {};
};

using OnMessage = std::function<void(const nlmsghdr*)>;

/// Sends and reads answers to their end. 0, an errno, or EINTR when a dump has to be made again.
int ExchangeOn(int fd, Request& request, const OnMessage& on_message) {
  const timeval limit{2, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (send(fd, request.header(), request.header()->nlmsg_len, 0) < 0) return errno;
  bool interrupted = false;
  alignas(NLMSG_ALIGNTO) static thread_local unsigned char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? ETIMEDOUT : errno;
    }
    auto left = static_cast<unsigned>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
      if (message->nlmsg_type == NLMSG_ERROR) return -reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(message))->error;
      if (message->nlmsg_type == NLMSG_DONE) return interrupted ? EINTR : 0;
      if (on_message) on_message(message);
    }
  }
}

int Exchange(Request& request, const OnMessage& on_message = nullptr) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return errno;
  const int failed = ExchangeOn(fd, request, on_message);
  close(fd);
  return failed;
}

/// A dump; begun again when something changed meanwhile.
int Dump(uint16_t type, const std::function<void()>& begin, const OnMessage& on_message) {
  int failed = EINTR;
  for (int i = 0; i < kTriesOfDump && failed == EINTR; i++) {
    begin();
    Request request(type, NLM_F_DUMP);
    request.AddBody<ifinfomsg>();  // for addresses only its family is looked at
    failed = Exchange(request, on_message);
  }
  return failed;
}

std::string AddressText(int family, const rtattr* attribute) {
  char text[INET6_ADDRSTRLEN] = "";
  if (attribute != nullptr && RTA_PAYLOAD(attribute) >= (family == AF_INET ? 4 : 16)) inet_ntop(family, RTA_DATA(attribute), text, sizeof text);
  return text;
}

std::string NameOf(const rtattr* attribute) {
  if (attribute == nullptr) return "";
  const auto* text = static_cast<const char*>(RTA_DATA(attribute));
  return std::string(text, strnlen(text, RTA_PAYLOAD(attribute)));
}

uint32_t Word(const rtattr* attribute, uint32_t otherwise) {
  uint32_t word = otherwise;
  if (attribute != nullptr && RTA_PAYLOAD(attribute) >= sizeof word) memcpy(&word, RTA_DATA(attribute), sizeof word);
  return word;
}

template <size_t N>
void Index(const rtattr* (&table)[N], const rtattr* attribute, unsigned left) {
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    const unsigned type = attribute->rta_type & NLA_TYPE_MASK;
    if (type < N) table[type] = attribute;
  }
}

void AddLink(Napi::Env env, Napi::Array& list, const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return;
  const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
  const rtattr* table[IFLA_MAX + 1] = {};
  Index(table, IFLA_RTA(info), static_cast<unsigned>(IFLA_PAYLOAD(message)));
  std::string mac;
  if (const rtattr* address = table[IFLA_ADDRESS]; address != nullptr && RTA_PAYLOAD(address) == 6) {
    const auto* b = static_cast<const unsigned char*>(RTA_DATA(address));
    char text[18];
    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
    mac = text;
  }
  const rtattr* carrier = table[IFLA_CARRIER];
  Napi::Object link = Napi::Object::New(env);
  link.Set("name", NameOf(table[IFLA_IFNAME]));
  link.Set("index", info->ifi_index);
  link.Set("up", (info->ifi_flags & IFF_UP) != 0);
  link.Set("carrier", carrier != nullptr && RTA_PAYLOAD(carrier) >= 1 && *static_cast<const unsigned char*>(RTA_DATA(carrier)) != 0);
  link.Set("loopback", (info->ifi_flags & IFF_LOOPBACK) != 0);
  link.Set("mac", mac);
  link.Set("mtu", Word(table[IFLA_MTU], 0));
  list.Set(list.Length(), link);
}

Napi::Value Lifetime(Napi::Env env, uint32_t seconds) { return seconds == kForEver ? env.Null() : Napi::Number::New(env, seconds).As<Napi::Value>(); }

void AddAddress(Napi::Env env, Napi::Array& list, const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(ifaddrmsg))) return;
  const auto* info = static_cast<const ifaddrmsg*>(NLMSG_DATA(message));
  if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6) return;
  const rtattr* table[IFA_MAX + 1] = {};
  Index(table, IFA_RTA(info), static_cast<unsigned>(IFA_PAYLOAD(message)));
  const uint32_t flags = Word(table[IFA_FLAGS], info->ifa_flags);
  ifa_cacheinfo times{kForEver, kForEver, 0, 0};
  if (const rtattr* cache = table[IFA_CACHEINFO]; cache != nullptr && RTA_PAYLOAD(cache) >= sizeof times) memcpy(&times, RTA_DATA(cache), sizeof times);
  Napi::Object address = Napi::Object::New(env);
  address.Set("index", info->ifa_index);
  address.Set("family", info->ifa_family == AF_INET ? 4 : 6);
  address.Set("address", AddressText(info->ifa_family, table[IFA_LOCAL] != nullptr ? table[IFA_LOCAL] : table[IFA_ADDRESS]));
  address.Set("prefix", info->ifa_prefixlen);
  address.Set("label", NameOf(table[IFA_LABEL]));
  address.Set("validSeconds", Lifetime(env, times.ifa_valid));
  address.Set("preferredSeconds", Lifetime(env, times.ifa_prefered));
  address.Set("noPrefixRoute", (flags & IFA_F_NOPREFIXROUTE) != 0);
  address.Set("tentative", (flags & IFA_F_TENTATIVE) != 0);
  address.Set("dadFailed", (flags & IFA_F_DADFAILED) != 0);
  list.Set(list.Length(), address);
}

using AddTo = void (*)(Napi::Env, Napi::Array&, const nlmsghdr*);

Napi::Value List(Napi::Env env, uint16_t type, AddTo add, const char* what) {
  Napi::Array list = Napi::Array::New(env);
  const int failed = Dump(type, [&] { list = Napi::Array::New(env); }, [&](const nlmsghdr* message) { add(env, list, message); });
  if (failed == 0) return list;
  Throw(env, failed, what, "rtnetlink");
  return env.Undefined();
}

}  // namespace

Napi::Value Links(const Napi::CallbackInfo& info) { return List(info.Env(), RTM_GETLINK, AddLink, "listing interfaces"); }

Napi::Value Addresses(const Napi::CallbackInfo& info) { return List(info.Env(), RTM_GETADDR, AddAddress, "listing addresses"); }

void SetAddress(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) return Throw(env, EINVAL, "setAddress takes an object", "setAddress");
  const auto options = info[0].As<Napi::Object>();
  const std::string text = Text(options, "address");
  const auto address = ParseAddress(text);
  const auto index = Whole(options, "index", 2147483647);
  const auto prefix = Whole(options, "prefix", address && address->family == AF_INET ? 32 : 128);
  const std::string label = Text(options, "label");
  const std::string broadcast_text = Text(options, "broadcast");
  const auto broadcast = ParseAddress(broadcast_text.empty() ? "0.0.0.0" : broadcast_text);
  if (!address || !index || !prefix || label.size() >= IF_NAMESIZE || !broadcast || broadcast->family != AF_INET)
    return Throw(env, EINVAL, "setting an address: its text, interface index, prefix length, label or broadcast is wrong", text);
  const bool v4 = address->family == AF_INET;
  uint32_t flags = 0;
  if (Flag(options, "noPrefixRoute")) flags |= IFA_F_NOPREFIXROUTE;
  if (Flag(options, "noDad") && !v4) flags |= IFA_F_NODAD;
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
  auto* body = request.AddBody<ifaddrmsg>();
  body->ifa_family = static_cast<unsigned char>(address->family);
  body->ifa_prefixlen = static_cast<unsigned char>(*prefix);
  body->ifa_flags = static_cast<unsigned char>(flags);
  body->ifa_scope = RT_SCOPE_UNIVERSE;
  body->ifa_index = *index;
  request.Add(IFA_LOCAL, address->bytes, address->size());
  request.Add(IFA_ADDRESS, address->bytes, address->size());
  request.Add(IFA_FLAGS, &flags, sizeof flags);
  if (v4 && !label.empty()) request.Add(IFA_LABEL, label.c_str(), label.size() + 1);
  if (v4 && !broadcast_text.empty()) request.Add(IFA_BROADCAST, broadcast->bytes, 4);
  const auto valid = Whole(options, "validSeconds", kForEver - 1.0);
  if (valid) {
    const ifa_cacheinfo times{Whole(options, "preferredSeconds", *valid).value_or(*valid), *valid, 0, 0};
    request.Add(IFA_CACHEINFO, &times, sizeof times);
  }
  if (const int failed = Exchange(request); failed != 0) Throw(env, failed, "setting address " + text + "/" + std::to_string(*prefix), text);
}

void DeleteAddress(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto index = info.Length() > 0 ? Whole(info[0], 2147483647) : std::nullopt;
  const std::string text = info.Length() > 1 && info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  const auto address = ParseAddress(text);
  const auto prefix = info.Length() > 2 ? Whole(info[2], address && address->family == AF_INET ? 32 : 128) : std::nullopt;
  if (!index || !address || !prefix) return Throw(env, EINVAL, "deleteAddress takes an interface index, an address and a prefix length", text);
  Request request(RTM_DELADDR, NLM_F_ACK);
  auto* body = request.AddBody<ifaddrmsg>();
  body->ifa_family = static_cast<unsigned char>(address->family);
  body->ifa_prefixlen = static_cast<unsigned char>(*prefix);
  body->ifa_index = *index;
  request.Add(IFA_LOCAL, address->bytes, address->size());
  if (address->family == AF_INET6) request.Add(IFA_ADDRESS, address->bytes, address->size());
  if (const int failed = Exchange(request); failed != 0) Throw(env, failed, "removing address " + text + "/" + std::to_string(*prefix), text);
}

Napi::Value Monitor(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 2 || !info[0].IsFunction() || !info[1].IsFunction()) {
    Throw(env, EINVAL, "monitor takes two functions", "monitor");
    return env.Undefined();
  }
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  int failed = fd < 0 ? errno : 0;
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (failed == 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) failed = errno;
  auto poller = std::make_shared<Poller*>(nullptr);
  if (failed == 0) {
    *poller = Poller::Start(env, fd, info[0].As<Napi::Function>(), info[1].As<Napi::Function>(), [](Poller& self) {
      // what changed is read again by who asked: the messages only say that something did
      unsigned char buffer[16 * 1024];
      bool lost = false;
      for (int i = 0; i < 64; i++) {
        if (recv(self.fd(), buffer, sizeof buffer, MSG_DONTWAIT) >= 0) continue;
        if (errno != ENOBUFS) break;
        lost = true;
      }
      self.Call(Napi::Boolean::New(self.env(), lost));
    }, &failed);
  } else if (fd >= 0) {
    close(fd);
  }
  if (failed != 0) {
    Throw(env, failed, "watching interfaces and addresses", "rtnetlink");
    return env.Undefined();
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("close", Napi::Function::New(env, [poller](const Napi::CallbackInfo&) {
    if (*poller != nullptr) (*poller)->Close();
    *poller = nullptr;
  }));
  return object;
}

}  // namespace drbdts::net
