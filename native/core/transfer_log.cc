// Our side of the epochs: which writes the peer has not yet confirmed as safe (drbd-protocol §3.4, §3.5).
//
// An epoch is closed, with a barrier, when the application flushes, when it is full, old, or idle for a moment, and when the activity log
// needs its extents. Until the barrier is acknowledged every write of it keeps its extent hot and would be marked out of sync if the
// connection went. A flush of the application waits for that acknowledgement, so nothing depends on the order of unflushed writes.
#include <algorithm>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr TimeUs kEpochIdle = 50000;
constexpr TimeUs kEpochAge = kSecond;
}  // namespace

void ResourceImpl::CountEpochWrite() {
  if (epoch_writes++ == 0) epoch_first = now;
  epoch_last = now;
}

void ResourceImpl::LogWrite(uint16_t slot) {
  AppRequest& a = app[slot];
  LoggedWrite w;
  w.volume = a.volume;
  w.slot = slot;
  w.generation = a.generation;
  w.al_pinned = a.al_pinned;
  w.epoch = epoch;
  w.range = a.range;
  transfer_log.Push(w);
  a.in_transfer_log = true;
  CountEpochWrite();
  if (epoch_writes >= config.net.max_epoch_size) close_after_send = true;
}

void ResourceImpl::CloseEpoch() {
  if (epoch_writes == 0 || !Linked() || closed_epochs.full()) return;
  SendEpoch e;
  e.number = epoch;
  e.writes = epoch_writes;
  e.closed_at = now;
  closed_epochs.Push(e);
  BarrierPacket p;
  p.handle = epoch;
  SendData(0, Command::kBarrier, p);
  ++epoch;
  if (epoch == 0) epoch = 1;
  epoch_writes = 0;
  close_after_send = false;
}

void ResourceImpl::Retire(const LoggedWrite& w) {
  Volume& v = V(w.volume);
  AppRequest& a = app[w.slot];
  if (a.phase == AppRequest::Phase::kActive && a.generation == w.generation && a.in_transfer_log) {
    a.in_transfer_log = false;  // the local write still runs: the request keeps the pin
    a.al_pinned = w.al_pinned;
    return;
  }
  if (w.al_pinned) UnpinExtents(v, w.range);
}

void ResourceImpl::OnBarrierAck(const BarrierAckPacket& p) {
  if (closed_epochs.empty() || closed_epochs.Front().number != p.handle || closed_epochs.Front().writes != p.set_size) {
    ProtocolError("P_BARRIER_ACK for an epoch that is not the oldest one, or with a wrong count (" + std::to_string(p.set_size) + ")");
    return;
  }
  const uint32_t number = closed_epochs.Pop().number;
  while (!transfer_log.empty() && transfer_log.Front().epoch == number) Retire(transfer_log.Pop());
  while (!flush_waiters.empty()) {
    const uint16_t slot = flush_waiters.Front();
    AppRequest& a = app[slot];
    if (a.flush_epoch != number) break;  // epochs are confirmed in order, and flushes came in order
    flush_waiters.Pop();
    a.net_pending = 0;
    a.net_done = true;
    MaybeComplete(slot);
  }
  for (auto& v : volumes) v->kick_due = v->kick_due || !v->held.empty();
}

void ResourceImpl::TransferLogTick() {
  if (epoch_writes != 0 && (epoch_last + kEpochIdle <= now || epoch_first + kEpochAge <= now)) CloseEpoch();
}

TimeUs ResourceImpl::TransferLogDeadline() const {
  if (epoch_writes == 0 || !Linked()) return kNever;
  return std::min(epoch_last + kEpochIdle, epoch_first + kEpochAge);
}

void ResourceImpl::ForgetTransferLog() {
  while (!transfer_log.empty()) {
    const LoggedWrite w = transfer_log.Pop();
    SetOutOfSync(V(w.volume), w.range);
    if (V(w.volume).state.disk != Disk::kUpToDate) V(w.volume).lost_unsafe_writes = true;
    Retire(w);
  }
  closed_epochs.Clear();
  flush_waiters.Clear();
  epoch_writes = 0;
  close_after_send = false;
}

}  // namespace drbdts::core
