#pragma once
#include <napi.h>

namespace drbdts::net {

/// packetSocket({index, etherType, ndpOnly}, onFrame, onError) -> {send, dropped, close}
Napi::Value PacketSocket(const Napi::CallbackInfo& info);

}  // namespace drbdts::net
