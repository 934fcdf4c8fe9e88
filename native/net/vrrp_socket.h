#pragma once
// VRRP (IP protocol 112) on one interface: raw sockets, because the kernel has no other way to this protocol.
#include <napi.h>

namespace drbdts::net {

/// vrrpSocket({index, family, groups}, onPacket, onError) -> {drain, close}
Napi::Value VrrpSocket(const Napi::CallbackInfo& info);

}  // namespace drbdts::net
