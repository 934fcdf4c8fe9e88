#pragma once
// Advertisements that leave at their time whatever the JavaScript thread is doing: a thread of their own sends ready packets. It never outlives the
// decision behind them: JavaScript renews a lease, and a packet whose lease has ended, or that is late by more than others wait, is not sent.
#include <napi.h>

namespace drbdts::net {

/// advertiser({index, source, hops}) -> {run, once, renew, stop, state, close}
Napi::Value Advertiser(const Napi::CallbackInfo& info);
/// advertPriority(priority): SCHED_RR for the thread, now and when it starts.
void AdvertPriority(const Napi::CallbackInfo& info);

}  // namespace drbdts::net
