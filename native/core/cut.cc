// `secondary --force`: the device is cut off from the data. What cannot be stopped in an orderly way must at least stop serving: every request fails
// from here on, so that whoever holds the device lets go of it, and nothing waits for a peer or a fence that does not come.
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr int kEio = 5;
}

void ResourceImpl::CutIo() {
  bool primary = false;
  for (auto& v : volumes) primary = primary || v->state.role == Role::kPrimary || v->device_up;
  if (!primary || cutting) return;
  cutting = true;
  for (auto& p : volumes) {
    Volume& v = *p;
    if (v.state.role != Role::kPrimary && !v.device_up) continue;
    v.io_reason = "I/O is cut off (secondary --force): every request fails until the device is let go of";
    Log(1, v.index, "I/O is cut off: every request fails from here on");
    while (!v.held.empty()) {
      const uint16_t slot = v.held.Pop();
      if (app[slot].phase == AppRequest::Phase::kHeld) CompleteApp(slot, kEio);
    }
  }
  // A peer that takes its time would hold up the others: what it has is found out when we meet again.
  bool waits = false;
  for (const AppRequest& a : app) waits = waits || (a.phase == AppRequest::Phase::kActive && a.net_pending != 0);
  if (waits) Drop(Conn::kNetworkFailure, false, "I/O is cut off by the administrator");
  Changed();
}

/// The application is told that its write failed; whether it stands anywhere is not known, so the blocks count as different.
void ResourceImpl::FailCut(uint16_t slot) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  if (a.io.op != BlockOp::kRead && a.io.op != BlockOp::kFlush) SetOutOfSync(v, a.range);
  CompleteApp(slot, kEio);
}

}  // namespace drbdts::core
