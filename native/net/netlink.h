#pragma once
// rtnetlink(7): interfaces and addresses.
#include <napi.h>

namespace drbdts::net {

/// links() -> NetLink[]
Napi::Value Links(const Napi::CallbackInfo& info);
/// addresses() -> NetAddress[]
Napi::Value Addresses(const Napi::CallbackInfo& info);
/// setAddress(NewAddress)
void SetAddress(const Napi::CallbackInfo& info);
/// deleteAddress(index, address, prefix)
void DeleteAddress(const Napi::CallbackInfo& info);
/// monitor(onChange, onError) -> {close}
Napi::Value Monitor(const Napi::CallbackInfo& info);

}  // namespace drbdts::net
