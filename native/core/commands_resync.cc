// invalidate, invalidate-remote and verify (drbd-protocol §5.7, §7.7).
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
bool Ok(Verdict v) { return static_cast<int>(v) >= 1; }
}  // namespace


void ResourceImpl::StepInvalidate(bool remote) {
  while (at_volume < volumes.size()) {
    Volume& v = V(static_cast<uint16_t>(at_volume));
    if (!Selected(v)) {
      ++at_volume;
      continue;
    }
    if (v.state.conn >= Conn::kConnected && Linked()) {
      State s = v.state;
      s.conn = remote ? Conn::kStartingSyncS : Conn::kStartingSyncT;
      State out;
      const Verdict verdict = Decide(v.state, s, Context(v), out);
      if (!Ok(verdict)) {
        Finish(verdict);
        return;
      }
      if (substep == 0) {
        AskPeer(&v, 0x1f0, remote ? 0xb0 : 0xc0);
        substep = 1;
        return;
      }
      Verdict answer;
      if (!PeerAnswered(answer)) return;
      if (!Ok(answer)) {
        FinishRefused(answer);
        return;
      }
      Change(v, s);
      StartForcedResync(v);
    } else {
      if (!v.meta_ok()) {
        Finish(Verdict::kIsDiskless);
        return;
      }
      State s = v.state;
      if (remote) {
        if (s.role != Role::kPrimary) {
          Finish(Verdict::kNeedConnection, "alone, only a Primary can declare the peer's data invalid");
          return;
        }
        s.pdsk = Disk::kInconsistent;
      } else {
        if (s.role == Role::kPrimary) {
          Finish(Verdict::kNoUpToDateDisk, "a Primary without a peer cannot throw its data away");
          return;
        }
        s.disk = Disk::kInconsistent;
      }
      const Verdict verdict = Change(v, s);
      if (!Ok(verdict)) {
        Finish(verdict);
        return;
      }
      v.bitmap->SetAll();
      WriteBitmapAll(v);
    }
    ++at_volume;
    substep = 0;
  }
  Finish(Verdict::kSuccess);
}

void ResourceImpl::StepVerify() {
  while (at_volume < volumes.size()) {
    Volume& v = V(static_cast<uint16_t>(at_volume));
    if (!Selected(v)) {
      ++at_volume;
      continue;
    }
    if (substep == 0 && (v.state.conn == Conn::kVerifyS || v.state.conn == Conn::kVerifyT)) {
      Finish(Verdict::kResyncRunning, "online verify is running already");
      return;
    }
    State s = v.state;
    s.conn = Conn::kVerifyS;
    State out;
    const Verdict verdict = Decide(v.state, s, Context(v), out);
    if (!Ok(verdict)) {
      Finish(verdict);
      return;
    }
    if (substep == 0) {
      AskPeer(&v, 0x1f0, 0x120);
      substep = 1;
      return;
    }
    Verdict answer;
    if (!PeerAnswered(answer)) return;
    if (!Ok(answer)) {
      FinishRefused(answer);
      return;
    }
    const Verdict changed_to = Change(v, s);
    if (!Ok(changed_to)) {
      Finish(changed_to);
      return;
    }
    StartVerify(v, current.admin.sectors);
    ++at_volume;
    substep = 0;
  }
  Finish(Verdict::kSuccess);
}

}  // namespace drbdts::core
