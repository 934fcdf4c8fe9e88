#include "net/packet_socket.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "net/arguments.h"
#include "net/errors.h"
#include "net/poller.h"

namespace drbdts::net {
namespace {

constexpr size_t kMaxFrame = 2048;  // what is longer is no ARP and no neighbour discovery
constexpr int kFramesPerWake = 32;
constexpr int kReceiveBuffer = 256 * 1024;

/// Shared by the functions of one socket.
struct Shared {
  Poller* poller = nullptr;
  std::string place;
  double dropped = 0;
};

/// Passes ICMPv6 types 133 to 137 right after the IPv6 header.
int FilterNeighbourDiscovery(int fd) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 58, 0, 4),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54),          BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 133, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 137, 1, 0),  BPF_STMT(BPF_RET | BPF_K, kMaxFrame),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program{sizeof code / sizeof code[0], code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/// 0 or an errno.
int Prepare(int fd, uint32_t index, uint16_t ether_type, bool ndp_only) {
  if (ndp_only && FilterNeighbourDiscovery(fd) != 0) return errno;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ether_type);
  address.sll_ifindex = static_cast<int>(index);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
  if (ether_type == ETH_P_IPV6) {
    // questions about an address that is not ours yet go to its own multicast group
    packet_mreq all{};
    all.mr_ifindex = static_cast<int>(index);
    all.mr_type = PACKET_MR_ALLMULTI;
    if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0) return errno;
  }
  return 0;
}

void Read(Poller& poller, const std::string& place) {
  unsigned char frame[kMaxFrame];
  for (int i = 0; i < kFramesPerWake && !poller.closing(); i++) {
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const ssize_t got = recvfrom(poller.fd(), frame, sizeof frame, MSG_DONTWAIT | MSG_TRUNC, reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) {
      if (errno != EAGAIN && errno != EINTR) poller.CallError(MakeError(poller.env(), errno, "receiving a frame", place));
      return;
    }
    if (from.sll_pkttype == PACKET_OUTGOING || static_cast<size_t>(got) > sizeof frame) continue;
    Napi::HandleScope scope(poller.env());
    poller.Call(Napi::Buffer<uint8_t>::Copy(poller.env(), frame, static_cast<size_t>(got)));
  }
}

void Send(const Napi::CallbackInfo& info, Shared& shared) {
  Napi::Env env = info.Env();
  if (shared.poller == nullptr) return Throw(env, EBADF, "sending on a closed socket", shared.place);
  if (info.Length() < 1 || !info[0].IsTypedArray()) return Throw(env, EINVAL, "send takes a frame as Uint8Array", shared.place);
  const auto frame = info[0].As<Napi::Uint8Array>();
  if (frame.ByteLength() < ETH_HLEN) return Throw(env, EINVAL, "a frame has at least 14 bytes", shared.place);
  if (send(shared.poller->fd(), frame.Data(), frame.ByteLength(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) Throw(env, errno, "sending a frame", shared.place);
}

}  // namespace

Napi::Value PacketSocket(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() < 3 || !info[0].IsObject() || !info[1].IsFunction() || !info[2].IsFunction()) {
    Throw(env, EINVAL, "packetSocket takes options and two functions", "packetSocket");
    return env.Undefined();
  }
  const auto options = info[0].As<Napi::Object>();
  const auto index = Whole(options, "index", 2147483647);
  const auto type = Whole(options, "etherType", 65535);
  char name[IF_NAMESIZE] = "?";
  if (!index || !type || *index == 0 || if_indextoname(*index, name) == nullptr) {
    Throw(env, index && type ? ENODEV : EINVAL, "opening a packet socket", "interface index " + std::to_string(index.value_or(0)));
    return env.Undefined();
  }
  auto shared = std::make_shared<Shared>();
  shared->place = name;
  // protocol 0: nothing comes in before it is bound to the one interface
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int failed = fd < 0 ? errno : Prepare(fd, *index, static_cast<uint16_t>(*type), Flag(options, "ndpOnly"));
  if (failed == 0)
    shared->poller = Poller::Start(env, fd, info[1].As<Napi::Function>(), info[2].As<Napi::Function>(), [place = shared->place](Poller& poller) { Read(poller, place); }, &failed);
  else if (fd >= 0)
    close(fd);
  if (failed != 0) {
    Throw(env, failed, "opening a packet socket", name);
    return env.Undefined();
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("send", Napi::Function::New(env, [shared](const Napi::CallbackInfo& call) { Send(call, *shared); }));
  object.Set("dropped", Napi::Function::New(env, [shared](const Napi::CallbackInfo& call) -> Napi::Value {
    tpacket_stats stats{};
    socklen_t length = sizeof stats;
    // the kernel counts from the last call on
    if (shared->poller != nullptr && getsockopt(shared->poller->fd(), SOL_PACKET, PACKET_STATISTICS, &stats, &length) == 0) shared->dropped += stats.tp_drops;
    return Napi::Number::New(call.Env(), shared->dropped);
  }));
  object.Set("close", Napi::Function::New(env, [shared](const Napi::CallbackInfo&) {
    if (shared->poller != nullptr) shared->poller->Close();
    shared->poller = nullptr;
  }));
  return object;
}

}  // namespace drbdts::net
