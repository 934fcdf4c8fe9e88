// primary and secondary: agreed with the peer, safe on disk, and only then a device (drbd-protocol §5.7).
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
bool Ok(Verdict v) { return static_cast<int>(v) >= 1; }
constexpr uint32_t kPrimaryTries = 4;
}  // namespace


void ResourceImpl::StepPrimary() {
  const AdminCommand& c = current.admin;
  if (step == 0) {  // volume by volume: check, ask, change
    if (at_volume >= volumes.size()) {
      step = 1;
      return;
    }
    Volume& v = V(static_cast<uint16_t>(at_volume));
    if (conn == Conn::kWFReportParams || v.state.conn == Conn::kWFReportParams || (v.state.disk == Disk::kAttaching) ||
        (v.state.disk == Disk::kNegotiating && v.state.conn >= Conn::kWFReportParams)) {
      if (v.state.disk == Disk::kNegotiating) substep2 = 1;
      return;  // in transient state: look again when it has settled
    }
    if (substep2 == 1 && v.state.conn < Conn::kConnected && !c.force) {
      // Who said so saw both nodes, and relied on it that the better data win.
      Finish(Verdict::kInTransientState, "the peer went before its data were compared with those of this disk, which may be older; repeat the command to use this disk without it");
      return;
    }
    substep2 = 0;
    if (v.state.role == Role::kPrimary) {
      ++at_volume;
      substep = 0;
      return;
    }
    State wanted = v.state;
    wanted.role = Role::kPrimary;
    bool forced = false;
    State out;
    Verdict verdict = Decide(v.state, wanted, Context(v), out);
    if (verdict == Verdict::kNoUpToDateDisk && c.force && v.state.disk >= Disk::kInconsistent && v.state.disk != Disk::kUpToDate &&
        v.state.disk != Disk::kDUnknown) {
      wanted.disk = Disk::kUpToDate;
      forced = true;
      verdict = Decide(v.state, wanted, Context(v), out);
    }
    const bool unconfirmed = v.config.options.fencing == Fencing::kResourceAndStonith && Ok(verdict) && v.state.conn < Conn::kConnected && !v.peer_out_asked;
    const bool needs_fence = unconfirmed || verdict == Verdict::kPrimaryNoPeerOutdated || (verdict == Verdict::kNoUpToDateDisk && v.state.disk == Disk::kConsistent);
    if (needs_fence && v.config.options.fencing != Fencing::kDontCare) {
      if (substep == 0) {
        handler_exit = -1;
        handler_wanted = CallHandler("fence-peer", v.index, true);
        substep = 1;
        return;
      }
      if (substep == 1) {
        if (handler_wanted != 0) return;
        if (handler_exit == 4 || handler_exit == 7 || handler_exit == 3) {
          v.peer_out = v.peer_out_asked = true;
          State s = v.state;
          s.pdsk = handler_exit == 3 ? Disk::kInconsistent : Disk::kOutdated;
          if (s.disk == Disk::kConsistent) s.disk = Disk::kUpToDate;
          Force(v, s);
          substep = 10;
          return;
        }
        Finish(Verdict::kPrimaryNoPeerOutdated, "the fence-peer handler ended with exit code " + std::to_string(handler_exit) +
                                                    ": the peer is not known to be outdated");
        return;
      }
    }
    if (!Ok(verdict)) {
      if (verdict == Verdict::kTwoPrimaries && Linked() && tries < kPrimaryTries) {
        // The peer may have died a moment ago: a ping shows it.
        if (tries++ == 0) SendPing();
        command_wakeup = now + config.net.ping_timeout_ds * kTenth + kTenth / 10;
        return;
      }
      std::string detail;
      if (verdict == Verdict::kNoUpToDateDisk) {
        detail = std::string("the disk of this node is ") + DiskName(v.state.disk) +
                 "; connect to a node that is UpToDate, or use --force if you are sure that this copy is the one to keep";
      } else if (verdict == Verdict::kTwoPrimaries) {
        detail = "the peer is Primary; make it Secondary there first (drbdts secondary " + config.name + ")";
      }
      Finish(verdict, detail);
      return;
    }
    if (Linked() && v.params_done && v.state.conn >= Conn::kConnected) {
      if (substep == 0 || substep == 10) {
        AskPeer(&v, forced ? 0x1e03 : 0x3, forced ? 0x1001 : 0x1);
        substep = 20;
        return;
      }
      if (substep == 20) {
        Verdict answer;
        if (!PeerAnswered(answer)) return;
        if (static_cast<int>(answer) == 0) {  // connection lost while asking: decide again
          substep = 0;
          return;
        }
        if (!Ok(answer)) {
          if ((answer == Verdict::kConcurrentStateChange || answer == Verdict::kInTransientState || answer == Verdict::kTwoPrimaries) &&
              tries++ < kPrimaryTries) {
            command_wakeup = now + config.net.ping_timeout_ds * kTenth;
            substep = 0;
            return;
          }
          FinishRefused(answer);
          return;
        }
      }
    }
    const Verdict done = Change(v, wanted);
    if (!Ok(done)) {
      Finish(done);
      return;
    }
    if (forced) Log(1, v.index, "Forced to consider local data as UpToDate!");
    if (v.meta_ok()) {
      const bool alone = v.state.conn < Conn::kConnected || v.state.pdsk <= Disk::kFailed;
      // A force that was not needed changes nothing: the peer has this generation, too.
      if (forced || (alone && PeerMayShareGeneration(v))) {
        if (v.state.disk == Disk::kUpToDate) NewCurrent(v);
      }
      MarkMeta(v);
      if (v.state.conn >= Conn::kConnected && forced) v.after_meta.send_uuids = true;
    }
    v.after_meta.send_state = Linked();
    ++at_volume;
    substep = 0;
    return;
  }
  if (step == 1) {  // on stable storage before anybody can write
    if (!AllMetaIdle()) return;
    for (auto& v : volumes) {
      if (v->device_up || v->device_changing) continue;
      v->device_changing = true;
      v->device_error = 0;
      Do(Action::Kind::kDeviceUp, v->index).bytes = v->size_sectors;
    }
    step = 2;
    return;
  }
  for (auto& v : volumes) {
    if (v->device_changing) return;
  }
  for (auto& v : volumes) {
    if (v->device_up) continue;
    const std::string detail = v->device_detail;
    for (auto& o : volumes) {
      if (o->device_up) continue;
      State s = o->state;
      s.role = Role::kSecondary;
      Force(*o, s);
    }
    FinishCode(0, "the block device " + v->config.device + " could not be made", detail);
    return;
  }
  Finish(Verdict::kSuccess);
}


bool ResourceImpl::Demote() {
  // demote: 0 begin, 1 asked who holds, 2 devices going, 3 drain, 4 saved
  switch (demote) {
    case 0: {
      bool primary = false;
      for (auto& v : volumes) primary = primary || v->state.role == Role::kPrimary || v->device_up;
      if (!primary) {
        demote = 0;
        cutting = false;
        return true;
      }
      for (auto& v : volumes) {
        v->holders.clear();
        v->holders_known = !v->device_up;
        if (v->device_up) Do(Action::Kind::kDeviceCheckOpen, v->index);
      }
      demote = 1;
      ++substep;
      return false;
    }
    case 1: {
      for (auto& v : volumes) {
        if (!v->holders_known) return false;
      }
      for (auto& v : volumes) {
        if (v->holders.empty()) continue;
        demote = 0;
        Finish(Verdict::kDeviceInUse, v->holders);
        return false;
      }
      for (auto& v : volumes) {
        if (!v->device_up) continue;
        v->device_changing = true;
        v->device_error = 0;
        Do(Action::Kind::kDeviceDown, v->index);
      }
      demote = 2;
      ++substep;
      return false;
    }
    case 2: {
      for (auto& v : volumes) {
        if (v->device_changing) return false;
      }
      for (auto& v : volumes) {
        if (!v->device_up) continue;
        const std::string detail = v->device_detail;
        demote = 0;
        for (auto& o : volumes) {  // all or none: what went away comes back
          if (o->device_up) continue;
          o->device_changing = true;
          Do(Action::Kind::kDeviceUp, o->index).bytes = o->size_sectors;
        }
        Finish(Verdict::kDeviceInUse, detail);
        return false;
      }
      CloseEpoch();
      demote = 3;
      ++substep;
      return false;
    }
    case 3: {
      if (app_free.size() != kAppSlots) return false;
      if (Linked() && (!closed_epochs.empty() || epoch_writes != 0)) return false;
      for (auto& v : volumes) {
        State s = v->state;
        s.role = Role::kSecondary;
        const Verdict verdict = Change(*v, s);
        if (!Ok(verdict)) {
          demote = 0;
          Finish(verdict);
          return false;
        }
        if (v->meta_ok()) {
          MarkMeta(*v);
          WriteBitmapAll(*v);
        }
      }
      demote = 4;
      ++substep;
      return false;
    }
    default: {
      if (!AllMetaIdle()) return false;
      for (auto& v : volumes) {
        if (v->write_all_pages || v->page_writes != 0) return false;
      }
      demote = 0;
      ++substep;
      if (cutting) {
        cutting = false;
        for (auto& v : volumes) v->io_reason.clear();
      }
      return true;
    }
  }
}

void ResourceImpl::StepSecondary() {
  if (step == 0) {
    bool primary = false;
    for (auto& v : volumes) primary = primary || v->state.role == Role::kPrimary;
    if (!primary) {
      cutting = false;
      Finish(Verdict::kNothingToDo);
      return;
    }
    step = 1;
    demote = 0;
  }
  if (Demote()) Finish(Verdict::kSuccess);
}

void ResourceImpl::OnDeviceUp(Volume& v, int error, const std::string& detail) {
  v.device_changing = false;
  v.device_up = error == 0;
  v.device_error = error;
  v.device_detail = detail;
  if (error != 0) Log(2, v.index, "the block device could not be made: " + detail);
  Changed();
}

void ResourceImpl::OnDeviceDown(Volume& v, int error, const std::string& detail) {
  v.device_changing = false;
  v.device_up = error != 0;
  v.device_error = error;
  v.device_detail = detail;
  Changed();
}

void ResourceImpl::OnDeviceOpen(Volume& v, const std::string& holders) {
  v.holders = holders;
  v.holders_known = true;
}

}  // namespace drbdts::core
