#include "net/adverts.h"

#include <linux/filter.h>
#include <netinet/ip.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/advert_thread.h"
#include "net/arguments.h"
#include "net/clocks.h"
#include "net/errors.h"

namespace drbdts::net {
namespace {

/// What is sent to a group carries it always: it tells that no router was in between.
constexpr uint32_t kHops = 255;
/// Internet control, as routing protocols mark themselves.
constexpr int kTrafficClass = 0xc0;
constexpr int kPriority = 7;
constexpr size_t kPacketBytesMax = 8192;
constexpr uint32_t kReceiversMax = 256;
constexpr double kIntervalMsMax = 255'000;
constexpr double kLeaseMsMax = 3'600'000;

/// The socket of one instance and what it sends; goes with the last function that refers to it, or with the environment.
class Sender {
 public:
  Sender(Napi::Env env, int fd, std::string place, int family, int index) : env_(env), place_(std::move(place)), family_(family), index_(index) {
    schedule_.fd = fd;
    napi_add_env_cleanup_hook(env, Cleanup, this);
  }
  ~Sender() { Close(); }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  int Start() {
    const int failed = AdvertThread::Get().Add(&schedule_);
    if (failed != 0) Forget();
    return failed;
  }
  void Close() {
    if (closed_) return;
    AdvertThread::Get().Remove(&schedule_);
    Forget();
  }
  bool closed() const { return closed_; }
  const std::string& place() const { return place_; }
  AdvertSchedule& schedule() { return schedule_; }

  /// Null with an exception thrown.
  std::optional<std::vector<AdvertPacket>> Packets(Napi::Env env, const Napi::Value& value) const;

 private:
  static void Cleanup(void* self) { static_cast<Sender*>(self)->Close(); }
  void Forget() {
    closed_ = true;
    close(schedule_.fd);
    napi_remove_env_cleanup_hook(env_, Cleanup, this);
  }

  Napi::Env env_;
  std::string place_;
  int family_;
  int index_;
  bool closed_ = false;
  AdvertSchedule schedule_;
};

std::optional<std::vector<AdvertPacket>> Sender::Packets(Napi::Env env, const Napi::Value& value) const {
  std::vector<AdvertPacket> packets;
  const char* wrong = nullptr;
  if (!value.IsArray() || value.As<Napi::Array>().Length() > kReceiversMax) {
    wrong = "packets are a list of {to, data}";
  } else {
    const auto list = value.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length() && wrong == nullptr; i++) {
      const Napi::Value each = list.Get(i);
      const auto to = each.IsObject() ? ParseAddress(Text(each.As<Napi::Object>(), "to")) : std::nullopt;
      const Napi::Value data = each.IsObject() ? each.As<Napi::Object>().Get("data") : env.Undefined();
      if (!to || to->family != family_ || !data.IsTypedArray()) {
        wrong = "a packet is {to: address of the family, data: Uint8Array}";
        break;
      }
      const auto bytes = data.As<Napi::Uint8Array>();
      if (bytes.ByteLength() == 0 || bytes.ByteLength() > kPacketBytesMax) {
        wrong = "a packet has 1 to 8192 bytes";
        break;
      }
      AdvertPacket packet;
      if (family_ == AF_INET) {
        auto* address = reinterpret_cast<sockaddr_in*>(&packet.to);
        address->sin_family = AF_INET;
        memcpy(&address->sin_addr, to->bytes, 4);
        packet.to_size = sizeof *address;
      } else {
        auto* address = reinterpret_cast<sockaddr_in6*>(&packet.to);
        address->sin6_family = AF_INET6;
        memcpy(&address->sin6_addr, to->bytes, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&address->sin6_addr)) address->sin6_scope_id = static_cast<uint32_t>(index_);
        packet.to_size = sizeof *address;
      }
      packet.bytes.assign(bytes.Data(), bytes.Data() + bytes.ByteLength());
      packets.push_back(std::move(packet));
    }
  }
  if (wrong == nullptr) return packets;
  Throw(env, EINVAL, wrong, place_);
  return std::nullopt;
}

/// 0 or an errno.
int Set(int fd, int level, int option, int value) { return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : errno; }

int Prepare(int fd, const std::string& device, int index, const Address& source, int hops) {
  // it only sends: what comes in is for the other socket
  sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
  const sock_fprog program{1, nothing};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), static_cast<socklen_t>(device.size() + 1)) != 0) return errno;
  Set(fd, SOL_SOCKET, SO_PRIORITY, kPriority);
  if (source.family == AF_INET) {
    sockaddr_in own{};
    own.sin_family = AF_INET;
    memcpy(&own.sin_addr, source.bytes, 4);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) return errno;
    ip_mreqn out{};
    out.imr_ifindex = index;
    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof out) != 0) return errno;
    for (const auto& [option, value] : {std::pair{IP_TTL, hops}, {IP_MULTICAST_TTL, hops}, {IP_MULTICAST_LOOP, 0}, {IP_TOS, kTrafficClass}, {IP_MTU_DISCOVER, IP_PMTUDISC_DONT}}) {
      if (const int failed = Set(fd, IPPROTO_IP, option, value); failed != 0) return failed;
    }
    return 0;
  }
  sockaddr_in6 own{};
  own.sin6_family = AF_INET6;
  memcpy(&own.sin6_addr, source.bytes, 16);
  if (IN6_IS_ADDR_LINKLOCAL(&own.sin6_addr)) own.sin6_scope_id = static_cast<uint32_t>(index);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) return errno;
  for (const auto& [option, value] : {std::pair{IPV6_MULTICAST_IF, index}, {IPV6_UNICAST_HOPS, hops}, {IPV6_MULTICAST_HOPS, hops}, {IPV6_MULTICAST_LOOP, 0}, {IPV6_TCLASS, kTrafficClass}}) {
    if (const int failed = Set(fd, IPPROTO_IPV6, option, value); failed != 0) return failed;
  }
  return 0;
}

std::optional<int64_t> Milliseconds(const Napi::Object& o, const char* name, double most) {
  const Napi::Value v = o.Get(name);
  if (!v.IsNumber()) return std::nullopt;
  const double ms = v.As<Napi::Number>().DoubleValue();
  return std::isfinite(ms) && ms > 0 && ms <= most ? std::optional<int64_t>(std::llround(ms * 1e6)) : std::nullopt;
}

/// Takes the lock for as long as it lives.
class Locked {
 public:
  Locked() { AdvertThread::Get().Lock(); }
  ~Locked() { AdvertThread::Get().Unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
};

/// run({packets, intervalMs, lapseMs, leaseMs, now})
void Run(const Napi::CallbackInfo& info, Sender& sender) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) return Throw(env, EINVAL, "run takes an object", sender.place());
  const auto options = info[0].As<Napi::Object>();
  const auto interval = Milliseconds(options, "intervalMs", kIntervalMsMax);
  const auto lease = Milliseconds(options, "leaseMs", kLeaseMsMax);
  const auto lapse = Milliseconds(options, "lapseMs", kLeaseMsMax);
  if (!interval || !lapse || !lease) return Throw(env, EINVAL, "run takes intervalMs, lapseMs and leaseMs", sender.place());
  auto packets = sender.Packets(env, options.Get("packets"));
  if (!packets) return;
  const bool at_once = Flag(options, "now");
  const Locked locked;
  AdvertSchedule& schedule = sender.schedule();
  const int64_t now = MonotonicNow();
  schedule.packets = std::move(*packets);
  schedule.lease_boot_ns = BootNow() + *lease;
  if (!schedule.running) schedule.longest_gap_ns = 0;
  if (at_once || !schedule.running) {
    AdvertThread::Send(schedule, schedule.packets);
    schedule.next_monotonic_ns = now + *interval;
  } else if (*interval != schedule.interval_ns) {
    schedule.next_monotonic_ns = std::min(schedule.next_monotonic_ns, now + *interval);
  }
  schedule.interval_ns = *interval;
  schedule.lapse_ns = *lapse;
  schedule.running = true;
  schedule.ended = AdvertEnd::kNone;
  AdvertThread::Get().Wake();
}

/// once(packets)
void Once(const Napi::CallbackInfo& info, Sender& sender) {
  auto packets = sender.Packets(info.Env(), info.Length() > 0 ? info[0] : info.Env().Undefined());
  if (!packets) return;
  const Locked locked;
  AdvertThread::Send(sender.schedule(), *packets);
}

/// renew(leaseMs) -> boolean
Napi::Value Renew(const Napi::CallbackInfo& info, Sender& sender) {
  const double ms = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  if (!(ms > 0 && ms <= kLeaseMsMax)) {
    Throw(info.Env(), EINVAL, "renew takes milliseconds", sender.place());
    return info.Env().Undefined();
  }
  const Locked locked;
  AdvertSchedule& schedule = sender.schedule();
  const int64_t boot = BootNow();
  // one that has run out is not brought back: meanwhile somebody else may have become the master
  if (schedule.running && boot >= schedule.lease_boot_ns) {
    schedule.running = false;
    schedule.ended = AdvertEnd::kLease;
  }
  if (schedule.running) schedule.lease_boot_ns = boot + std::llround(ms * 1e6);
  return Napi::Boolean::New(info.Env(), schedule.running);
}

/// stop(packets)
void Stop(const Napi::CallbackInfo& info, Sender& sender) {
  auto packets = sender.Packets(info.Env(), info.Length() > 0 ? info[0] : info.Env().Undefined());
  if (!packets) return;
  const Locked locked;
  AdvertSchedule& schedule = sender.schedule();
  schedule.running = false;
  schedule.ended = AdvertEnd::kNone;
  AdvertThread::Send(schedule, *packets);
}

Napi::Value State(const Napi::CallbackInfo& info, Sender& sender) {
  Napi::Env env = info.Env();
  Napi::Object object = Napi::Object::New(env);
  const Locked locked;
  AdvertSchedule& schedule = sender.schedule();
  const char* name = schedule.last_errno == 0 ? "" : strerrorname_np(schedule.last_errno);
  object.Set("running", schedule.running);
  object.Set("ended", schedule.ended == AdvertEnd::kLease ? "lease" : schedule.ended == AdvertEnd::kPause ? "pause" : "");
  object.Set("lastMs", static_cast<double>(schedule.last_boot_ns) / 1e6);
  object.Set("longestGapMs", static_cast<double>(std::exchange(schedule.longest_gap_ns, 0)) / 1e6);
  object.Set("sent", static_cast<double>(schedule.sent));
  object.Set("failed", static_cast<double>(schedule.failed));
  object.Set("lastError", name == nullptr ? "EUNKNOWN" : name);
  object.Set("worstLateMs", static_cast<double>(schedule.worst_late_ns) / 1e6);
  return object;
}

template <typename Work>
Napi::Function Method(Napi::Env env, const std::shared_ptr<Sender>& sender, Work work) {
  return Napi::Function::New(env, [sender, work](const Napi::CallbackInfo& info) -> Napi::Value {
    if (sender->closed()) {
      Throw(info.Env(), EBADF, "using a closed advertiser", sender->place());
      return info.Env().Undefined();
    }
    if constexpr (std::is_void_v<decltype(work(info, *sender))>) {
      work(info, *sender);
      return info.Env().Undefined();
    } else {
      return work(info, *sender);
    }
  });
}

}  // namespace

Napi::Value Advertiser(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) {
    Throw(env, EINVAL, "advertiser takes an object", "advertiser");
    return env.Undefined();
  }
  const auto options = info[0].As<Napi::Object>();
  const auto index = Whole(options, "index", 2147483647);
  const auto hops = options.Get("hops").IsUndefined() ? std::optional<uint32_t>(kHops) : Whole(options, "hops", kHops);
  const std::string text = Text(options, "source");
  const auto source = ParseAddress(text);
  char name[IF_NAMESIZE] = "?";
  const bool found = index.has_value() && if_indextoname(*index, name) != nullptr;
  const std::string what = "opening a socket for advertisements from " + text;
  if (!source || !found || !hops || *hops == 0) {
    Throw(env, source && hops.value_or(0) > 0 ? ENODEV : EINVAL, what, "interface index " + std::to_string(index.value_or(0)));
    return env.Undefined();
  }
  const int fd = socket(source->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, kVrrpProtocol);
  int failed = fd < 0 ? errno : Prepare(fd, name, static_cast<int>(*index), *source, static_cast<int>(*hops));
  if (failed != 0) {
    if (fd >= 0) close(fd);
    Throw(env, failed, what, name);
    return env.Undefined();
  }
  auto sender = std::make_shared<Sender>(env, fd, name, source->family, static_cast<int>(*index));
  failed = sender->Start();
  if (failed != 0) {
    Throw(env, failed, "starting the thread of advertisements", name);
    return env.Undefined();
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("run", Method(env, sender, Run));
  object.Set("once", Method(env, sender, Once));
  object.Set("renew", Method(env, sender, Renew));
  object.Set("stop", Method(env, sender, Stop));
  object.Set("state", Method(env, sender, State));
  object.Set("close", Napi::Function::New(env, [sender](const Napi::CallbackInfo&) { sender->Close(); }));
  return object;
}

void AdvertPriority(const Napi::CallbackInfo& info) {
  const auto priority = info.Length() > 0 ? Whole(info[0], 99) : std::nullopt;
  if (!priority || *priority == 0) return Throw(info.Env(), EINVAL, "advertPriority takes a priority from 1 to 99", "advertPriority");
  if (const int failed = AdvertThread::Get().SetPriority(static_cast<int>(*priority)); failed != 0)
    Throw(info.Env(), failed, "asking for priority SCHED_RR " + std::to_string(*priority), "advert thread");
}

}  // namespace drbdts::net
