// connect and disconnect (drbd-protocol §5.4, §5.7).
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
bool Ok(Verdict v) { return static_cast<int>(v) >= 1; }
constexpr uint32_t kPrimaryTries = 4;
}  // namespace


void ResourceImpl::StepConnect() {
  if (conn != Conn::kStandAlone) {
    FinishCode(125, "Device has a net-config (use disconnect first).", std::string("the connection is ") + ConnName(conn));
    return;
  }
  if (current.admin.discard_my_data && ResourceRole() == Role::kPrimary) {
    FinishCode(123, "--discard-my-data not allowed when primary.", "make this node Secondary first");
    return;
  }
  discard_my_data = current.admin.discard_my_data;
  tentative = current.admin.tentative;
  reason.clear();
  StartConnecting();
  Finish(Verdict::kSuccess);
}

bool ResourceImpl::DisconnectNow() {
  const bool force = current.admin.force;
  if (conn == Conn::kStandAlone) {
    leave = 0;
    return true;
  }
  if (!Linked() || conn < Conn::kConnected || force) {
    leave = 0;
    Drop(Conn::kDisconnecting, true, "");
    reason = force ? "disconnected by force" : "disconnected by the administrator";
    ++substep;
    return true;
  }
  if (leave == 0 || leave == 2 || leave == 4) {
    // Every volume must be able to live without the peer.
    uint32_t mask = 0x1f0, value = 0x10;
    for (auto& v : volumes) {
      State s = v->state;
      s.conn = Conn::kDisconnecting;
      if (leave == 2) s.pdsk = Disk::kOutdated;
      if (leave == 4) s.disk = Disk::kOutdated;
      State out;
      const Verdict verdict = Decide(v->state, s, Context(*v), out);
      if (verdict == Verdict::kPrimaryNoPeerOutdated && leave == 0) {
        leave = 2;
        ++substep;
        return false;
      }
      if (!Ok(verdict)) {
        leave = 0;
        Finish(verdict, verdict == Verdict::kNoUpToDateDisk ? "this node is Primary and only the peer has good data" : "");
        return false;
      }
    }
    if (leave == 2) mask = 0x1e1f0, value = 0xa010;
    if (leave == 4) mask = 0x1ff0, value = 0xa10;
    if (!closed_epochs.empty() || epoch_writes != 0) CloseEpoch();
    AskPeer(nullptr, mask, value);
    ++leave;
    ++substep;
    return false;
  }
  Verdict answer;
  if (!PeerAnswered(answer)) return false;
  ++substep;
  if (static_cast<int>(answer) == 0) {
    leave = 0;
    return false;
  }
  if (!Ok(answer)) {
    if (leave == 1 && ResourceRole() != Role::kPrimary) {
      leave = 4;  // the peer cannot let us go with good data: leave Outdated
      return false;
    }
    if (answer == Verdict::kConcurrentStateChange && tries++ < kPrimaryTries) {
      leave = 0;
      command_wakeup = now + kTenth;
      return false;
    }
    leave = 0;
    FinishRefused(answer);
    return false;
  }
  for (auto& v : volumes) {
    State s = v->state;
    s.conn = Conn::kDisconnecting;
    if (leave == 3) s.pdsk = Disk::kOutdated;
    if (leave == 5) s.disk = Disk::kOutdated;
    Force(*v, s);
  }
  leave = 0;
  Drop(Conn::kDisconnecting, true, "");
  reason = "disconnected by the administrator";
  return true;
}

void ResourceImpl::StepDisconnect() {
  if (step == 0) {
    if (conn == Conn::kStandAlone) {
      FinishCode(162, "Invalid configuration request", "unknown connection: " + config.name + " is StandAlone already");
      return;
    }
    step = 1;
    leave = 0;
  }
  if (DisconnectNow()) {
    if (busy) Finish(Verdict::kSuccess);
  }
}

}  // namespace drbdts::core
