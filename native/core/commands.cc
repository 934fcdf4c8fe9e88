// The administrator's commands, one at a time, each as a few steps that wait for events (drbd-protocol §5.4, §5.7).
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
bool Ok(Verdict v) { return static_cast<int>(v) >= 1; }
constexpr uint32_t kPrimaryTries = 4;
}  // namespace

void ResourceImpl::Enqueue(uint64_t id, const AdminCommand& c) {
  if (queue.size() >= 32) {
    Action& a = Do(Action::Kind::kCommandDone);
    a.id = id;
    a.error = static_cast<int>(Verdict::kConcurrentStateChange);
    a.text = "too many commands are waiting for this resource";
    return;
  }
  queue.push_back({id, c});
}

void ResourceImpl::Advance() {
  for (int guard = 0; guard < 64; ++guard) {
    if (!busy) {
      if (queue.empty()) return;
      current = queue.front();
      queue.erase(queue.begin());
      busy = true;
      step = 0;
      at_volume = 0;
      tries = 0;
      substep = 0;
      handler_wanted = 0;
      command_wakeup = kNever;
      command_started = now;
      command_detail.clear();
      state_reply_pending = false;
      for (auto& v : volumes) v->attach_code = 0;
    }
    const uint64_t id = current.id;
    const uint32_t step_before = step, volume_before = at_volume, sub_before = substep;
    if (command_wakeup != kNever && command_wakeup > now) return;
    switch (current.admin.kind) {
      case AdminCommand::Kind::kPrimary: StepPrimary(); break;
      case AdminCommand::Kind::kSecondary: StepSecondary(); break;
      case AdminCommand::Kind::kConnect: StepConnect(); break;
      case AdminCommand::Kind::kDisconnect: StepDisconnect(); break;
      case AdminCommand::Kind::kAttach: StepAttach(); break;
      case AdminCommand::Kind::kDetach: StepDetach(); break;
      case AdminCommand::Kind::kInvalidate: StepInvalidate(false); break;
      case AdminCommand::Kind::kInvalidateRemote: StepInvalidate(true); break;
      case AdminCommand::Kind::kOutdate: StepOutdate(); break;
      case AdminCommand::Kind::kPauseSync: StepPauseSync(true); break;
      case AdminCommand::Kind::kResumeSync: StepPauseSync(false); break;
      case AdminCommand::Kind::kNewCurrentUuid: StepNewCurrentUuid(); break;
      case AdminCommand::Kind::kVerify: StepVerify(); break;
      case AdminCommand::Kind::kResize: StepResize(); break;
      case AdminCommand::Kind::kSuspendIo: StepSuspend(true); break;
      case AdminCommand::Kind::kResumeIo: StepSuspend(false); break;
      case AdminCommand::Kind::kNetOptions: StepNetOptions(); break;
      case AdminCommand::Kind::kDiskOptions: StepDiskOptions(); break;
      case AdminCommand::Kind::kDown: StepDown(); break;
    }
    if (busy && current.id == id && step == step_before && at_volume == volume_before && substep == sub_before) return;
    ++progress;
  }
}

void ResourceImpl::FinishCode(int code, const std::string& text, const std::string& detail) {
  CHECK(busy);
  Action& a = Do(Action::Kind::kCommandDone);
  a.id = current.id;
  a.error = code;
  a.text = text;
  a.detail = detail;
  busy = false;
  command_wakeup = kNever;
  handler_wanted = 0;
  for (auto& v : volumes) v->detaching = false;
}

void ResourceImpl::Finish(Verdict verdict, const std::string& detail) { FinishCode(static_cast<int>(verdict), VerdictText(verdict), detail); }

void ResourceImpl::AskPeer(Volume* v, uint32_t mask, uint32_t value) {
  state_reply_pending = true;
  state_request_connection = v == nullptr;
  state_reply = 0;
  StateRequest p{mask, value};
  SendData(v == nullptr ? 0 : v->config.volume, v == nullptr ? Command::kConnStChgReq : Command::kStateChgReq, p);
}

bool ResourceImpl::PeerAnswered(Verdict& verdict) {
  if (state_reply_pending) return false;
  verdict = static_cast<Verdict>(state_reply);
  return true;
}

bool ResourceImpl::AllMetaIdle() const {
  for (const auto& v : volumes) {
    if (!MetaIdle(*v)) return false;
  }
  return true;
}

// ---- primary ----

void ResourceImpl::StepPrimary() {
  const AdminCommand& c = current.admin;
  if (step == 0) {  // volume by volume: check, ask, change
    if (at_volume >= volumes.size()) {
      step = 1;
      return;
    }
    Volume& v = V(static_cast<uint16_t>(at_volume));
    if (conn == Conn::kWFReportParams || (v.state.disk == Disk::kAttaching) ||
        (v.state.disk == Disk::kNegotiating && v.state.conn >= Conn::kWFReportParams)) {
      return;  // in transient state: look again when it has settled
    }
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
    const bool needs_fence = verdict == Verdict::kPrimaryNoPeerOutdated || (verdict == Verdict::kNoUpToDateDisk && v.state.disk == Disk::kConsistent);
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
          Finish(Verdict::kRefusedByPeer, std::string("the peer answered ") + std::to_string(static_cast<int>(answer)) + ": " + VerdictText(answer));
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
      if (forced || (alone && v.super_block.uuids.bitmap == 0)) {
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

// ---- secondary ----

bool ResourceImpl::Demote() {
  // demote: 0 begin, 1 asked who holds, 2 devices going, 3 drain, 4 saved
  switch (demote) {
    case 0: {
      bool primary = false;
      for (auto& v : volumes) primary = primary || v->state.role == Role::kPrimary || v->device_up;
      if (!primary) {
        demote = 0;
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
      return true;
    }
  }
}

void ResourceImpl::StepSecondary() {
  if (step == 0) {
    bool primary = false;
    for (auto& v : volumes) primary = primary || v->state.role == Role::kPrimary;
    if (!primary) {
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

// ---- connection ----

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
    Finish(Verdict::kRefusedByPeer, std::string("the peer answered ") + std::to_string(static_cast<int>(answer)) + ": " + VerdictText(answer));
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

// ---- disks ----

void ResourceImpl::StepAttach() {
  if (step == 0) {
    for (auto& v : volumes) {
      if (!Selected(*v)) continue;
      if (v->disk_phase != Volume::DiskPhase::kClosed) {
        FinishCode(124, "Device is attached to a disk (use detach first)", "volume " + std::to_string(v->config.volume) + " uses " + v->config.disk);
        return;
      }
    }
    for (auto& v : volumes) {
      if (Selected(*v)) BeginAttach(*v);
    }
    step = 1;
    return;
  }
  for (auto& v : volumes) {
    if (!Selected(*v)) continue;
    if (v->attach_code == 0 && (v->disk_phase != Volume::DiskPhase::kOpen || v->state.disk == Disk::kAttaching || !MetaIdle(*v))) return;
    if (v->attach_code != 0 && v->disk_phase != Volume::DiskPhase::kClosed) return;
  }
  for (auto& v : volumes) {
    if (!Selected(*v) || v->attach_code == 0) continue;
    FinishCode(v->attach_code, v->attach_text, v->attach_detail);
    return;
  }
  Finish(Verdict::kSuccess);
}

bool ResourceImpl::DetachNow(Volume& v) {
  if (v.disk_phase == Volume::DiskPhase::kClosed) return true;
  if (v.disk_phase != Volume::DiskPhase::kOpen && v.disk_phase != Volume::DiskPhase::kClosing) return false;
  if (v.disk_phase == Volume::DiskPhase::kClosing || v.state.disk <= Disk::kFailed) return false;
  switch (substep2) {
    case 0: {
      State s = v.state;
      s.disk = Disk::kFailed;
      State out;
      const Verdict verdict = Decide(v.state, s, Context(v), out);
      if (!Ok(verdict) && !current.admin.force) {
        Finish(verdict, "this disk holds the only UpToDate copy that the Primary can reach");
        return false;
      }
      v.detaching = true;  // no new I/O for the local disk
      substep2 = 1;
      ++substep;
      return false;
    }
    case 1:
      if (current.admin.force) {
        substep2 = 4;
        ++substep;
        return false;
      }
      for (uint16_t i = 0; i < kAppSlots; ++i) {
        if (app[i].phase >= AppRequest::Phase::kLogging && app[i].volume == v.index && !app[i].remote_read) return false;
      }
      if (v.page_writes != 0 || v.io_in_flight != 0 || !MetaIdle(v)) return false;
      if (Linked() && v.params_done && v.state.conn >= Conn::kConnected) {
        AskPeer(&v, 0x1e00, 0x400);
        substep2 = 2;
      } else {
        substep2 = 3;
      }
      ++substep;
      return false;
    case 2: {
      Verdict answer;
      if (!PeerAnswered(answer)) return false;
      ++substep;
      if (static_cast<int>(answer) == 0) {
        substep2 = 0;
        return false;
      }
      if (!Ok(answer)) {
        v.detaching = false;
        v.kick_due = true;
        Finish(Verdict::kRefusedByPeer, std::string("the peer answered ") + std::to_string(static_cast<int>(answer)) + ": " + VerdictText(answer));
        return false;
      }
      substep2 = 3;
      return false;
    }
    case 3:
      // Leave meta-data that needs no recovery: bitmap complete, activity log empty, super block clean.
      if (!BeginCleanClose(v)) return false;
      substep2 = 4;
      ++substep;
      return false;
    default: {
      State s = v.state;
      s.disk = Disk::kFailed;
      Force(v, s);
      v.reason = "detached by the administrator";
      v.detaching = false;
      v.kick_due = true;
      ++substep;
      return false;
    }
  }
}

void ResourceImpl::StepDetach() {
  if (step == 0) {
    bool any = false;
    for (auto& v : volumes) any = any || (Selected(*v) && v->disk_phase != Volume::DiskPhase::kClosed);
    if (!any) {
      Finish(Verdict::kNothingToDo);
      return;
    }
    step = 1;
    substep2 = 0;
    at_volume = 0;
  }
  while (at_volume < volumes.size()) {
    Volume& v = V(static_cast<uint16_t>(at_volume));
    if (Selected(v) && !DetachNow(v)) return;
    if (!busy) return;
    ++at_volume;
    substep2 = 0;
  }
  Finish(Verdict::kSuccess);
}

void ResourceImpl::StepDown() {
  if (step == 0) {
    demote = 0;
    step = 1;
  }
  if (step == 1) {
    if (!Demote()) return;
    step = 2;
    leave = 0;
  }
  if (step == 2) {
    if (!DisconnectNow()) return;
    if (!busy) return;
    step = 3;
    at_volume = 0;
    substep2 = 0;
  }
  while (at_volume < volumes.size()) {
    if (!DetachNow(V(static_cast<uint16_t>(at_volume)))) return;
    if (!busy) return;
    ++at_volume;
    substep2 = 0;
  }
  Finish(Verdict::kSuccess);
}

// ---- resync ----

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
        Finish(Verdict::kRefusedByPeer, std::string("the peer answered ") + std::to_string(static_cast<int>(answer)) + ": " + VerdictText(answer));
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

void ResourceImpl::StepOutdate() {
  for (auto& p : volumes) {
    Volume& v = *p;
    if (!Selected(v)) continue;
    State s = v.state;
    if (s.disk < Disk::kOutdated) {
      Finish(Verdict::kLowerThanOutdated);
      return;
    }
    s.disk = Disk::kOutdated;
    const Verdict verdict = Change(v, s);
    if (!Ok(verdict)) {
      Finish(verdict);
      return;
    }
  }
  if (step == 0) step = 1;
  if (AllMetaIdle()) Finish(Verdict::kSuccess);
}

void ResourceImpl::StepPauseSync(bool pause) {
  bool changed_any = false;
  for (auto& p : volumes) {
    Volume& v = *p;
    if (!Selected(v) || v.state.user_isp == pause) continue;
    State s = v.state;
    s.user_isp = pause;
    const Verdict verdict = Change(v, s);
    if (!Ok(verdict)) {
      Finish(verdict);
      return;
    }
    changed_any = true;
  }
  if (!changed_any) {
    FinishCode(pause ? 134 : 135, pause ? "Sync-pause flag is already set" : "Sync-pause flag is already cleared", "");
    return;
  }
  if (!pause) {
    for (auto& p : volumes) {
      if (!Selected(*p)) continue;
      if (p->state.peer_isp && (p->state.conn == Conn::kPausedSyncS || p->state.conn == Conn::kPausedSyncT)) {
        FinishCode(157, "Sync paused by the peer node", "resume it there as well");
        return;
      }
    }
  }
  Finish(Verdict::kSuccess);
}

void ResourceImpl::StepNewCurrentUuid() {
  const bool clear = current.admin.clear_bitmap;
  if (step == 0) {
    for (auto& p : volumes) {
      Volume& v = *p;
      if (!Selected(v)) continue;
      if (!v.meta_ok()) {
        FinishCode(138, "Device does not have a disk-config", "attach the volume first");
        return;
      }
      const bool skip_sync = v.state.conn == Conn::kConnected && v.super_block.uuids.current == kUuidJustCreated && clear;
      if (v.state.conn != Conn::kStandAlone && !skip_sync) {
        FinishCode(151, "Need to be StandAlone", "or be connected with two just created disks and use --clear-bitmap");
        return;
      }
      ClearBitmapUuid(v.super_block.uuids);  // into the history: a peer that still has that generation must be recognised
      NewCurrent(v);
      if (clear) {
        v.super_block.uuids.bitmap = 0;
        v.bitmap->ClearAll();
        WriteBitmapAll(v);
      }
      if (skip_sync) {
        Log(0, v.index, "Preparing to skip initial sync");
        SendUuids(v, kUuidFlagSkipInitialSync);
        v.super_block.uuids.bitmap = 0;
        // The peer takes this generation over without saying so; a resync from it would end with what we believe of it.
        v.peer_uuids.uuid = {v.super_block.uuids.current, 0, 0, 0};
        State s = v.state;
        s.disk = Disk::kUpToDate;
        s.pdsk = Disk::kUpToDate;
        Force(v, s);
      }
      MarkMeta(v);
    }
    step = 1;
    return;
  }
  for (auto& v : volumes) {
    if (v->write_all_pages || v->page_writes != 0) return;
  }
  if (AllMetaIdle()) Finish(Verdict::kSuccess);
}

void ResourceImpl::StepVerify() {
  while (at_volume < volumes.size()) {
    Volume& v = V(static_cast<uint16_t>(at_volume));
    if (!Selected(v)) {
      ++at_volume;
      continue;
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
      Finish(Verdict::kRefusedByPeer, std::string("the peer answered ") + std::to_string(static_cast<int>(answer)) + ": " + VerdictText(answer));
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

void ResourceImpl::StepResize() {
  if (step == 0) {
    for (auto& p : volumes) {
      if (Selected(*p) && (p->measuring || p->moving)) return;  // the peer has just asked for the same
    }
    for (auto& p : volumes) {
      Volume& v = *p;
      if (!Selected(v)) continue;
      if (v.state.conn > Conn::kConnected) {
        FinishCode(130, "Resize not allowed during resync.", "wait until the resync is done (drbdts wait-sync)");
        return;
      }
      if (v.state.role == Role::kSecondary && v.state.peer == Role::kSecondary && v.state.conn >= Conn::kConnected) {
        FinishCode(131, "Need one Primary node to resize.", "make one node Primary first");
        return;
      }
      if (!v.meta_ok()) {
        FinishCode(138, "Device does not have a disk-config", "attach the volume first");
        return;
      }
      if (current.admin.sectors != 0) v.config.options.size_sectors = current.admin.sectors;
      v.measuring = true;
      v.attach_code = 0;
      Do(Action::Kind::kOpenDisk, v.index);
    }
    step = 1;
    return;
  }
  if (step == 1) {
    for (auto& p : volumes) {
      if (Selected(*p) && (p->measuring || p->moving)) return;
    }
    for (auto& p : volumes) {
      Volume& v = *p;
      if (!Selected(v)) continue;
      if (v.attach_code != 0) {
        FinishCode(v.attach_code, v.attach_text, v.attach_detail);
        return;
      }
      const uint64_t peer_d = v.have_peer_sizes ? v.peer_sizes.d_size : 0;
      const uint64_t peer_u = v.have_peer_sizes ? v.peer_sizes.u_size : 0;
      if (v.state.conn >= Conn::kConnected) {
        SendUuids(v);
        SendSizes(v, current.admin.assume_clean ? kDdsNoResync : 0, true);
        v.resize_assume_clean = current.admin.assume_clean;
      }
      // Without a connected peer the new size is ours alone; with one it is the smaller of both.
      const uint64_t size = AgreedSize(v, v.state.conn >= Conn::kConnected ? peer_d : 0, peer_u, 0);
      bool grew = false;
      if (v.state.conn < Conn::kConnected && !SetDeviceSize(v, size, current.admin.assume_clean, grew)) {
        FinishCode(170, "Implicit device shrinking not allowed. See kernel log.", "the new size would be smaller than the device");
        return;
      }
    }
    step = 2;
    return;
  }
  if (!AllMetaIdle()) return;
  Finish(Verdict::kSuccess);
}

void ResourceImpl::StepSuspend(bool suspend) {
  for (auto& p : volumes) {
    Volume& v = *p;
    if (!Selected(v)) continue;
    State s = v.state;
    s.susp = suspend;
    if (!suspend) {
      if (s.susp_fen) {
        s.susp_fen = false;
        if (v.new_uuid_after_fence && v.meta_ok()) {
          v.new_uuid_after_fence = false;
          NewCurrent(v);
        }
      }
      s.susp_nod = false;
    }
    Force(v, s);
  }
  Finish(Verdict::kSuccess);
}

void ResourceImpl::StepNetOptions() {
  const NetOptions old = config.net;
  config.net = current.admin.net;
  connector.SetOptions({config.net.connect_int_s, config.net.ping_timeout_ds, 0});
  if (Linked()) {
    const bool needs_reconnect = old.cram_hmac_alg != config.net.cram_hmac_alg || old.shared_secret != config.net.shared_secret ||
                                 old.data_integrity_alg != config.net.data_integrity_alg || old.csums_alg != config.net.csums_alg ||
                                 old.verify_alg != config.net.verify_alg;
    if (needs_reconnect) {
      config.net = old;
      connector.SetOptions({old.connect_int_s, old.ping_timeout_ds, 0});
      FinishCode(162, "Invalid configuration request", "these options need a reconnect on both nodes: disconnect, adjust, connect");
      return;
    }
    if (old.protocol != config.net.protocol || old.after_sb_0pri != config.net.after_sb_0pri || old.after_sb_1pri != config.net.after_sb_1pri ||
        old.after_sb_2pri != config.net.after_sb_2pri) {
      ProtocolPacket p;
      p.protocol = static_cast<uint32_t>(config.net.protocol);
      p.after_sb_0p = static_cast<uint32_t>(config.net.after_sb_0pri);
      p.after_sb_1p = static_cast<uint32_t>(config.net.after_sb_1pri);
      p.after_sb_2p = static_cast<uint32_t>(config.net.after_sb_2pri);
      const char* name = config.net.data_integrity_alg == DigestAlgorithm::kNone ? "" : DigestName(config.net.data_integrity_alg);
      for (size_t i = 0; name[i] != '\0' && i + 1 < p.integrity_alg.size(); ++i) p.integrity_alg[i] = name[i];
      SendData(0, Command::kProtocolUpdate, p);
    }
    ko_left = config.net.ko_count;
  }
  Changed();
  Finish(Verdict::kSuccess);
}

void ResourceImpl::StepDiskOptions() {
  for (auto& p : volumes) {
    Volume& v = *p;
    if (!Selected(v)) continue;
    DiskOptions next = current.admin.disk;
    if (v.disk_phase != Volume::DiskPhase::kClosed &&
        (next.al_extents != v.config.options.al_extents || next.al_updates != v.config.options.al_updates ||
         next.size_sectors != v.config.options.size_sectors)) {
      FinishCode(162, "Invalid configuration request", "al-extents, al-updates and size change only by detach and attach (size: by resize)");
      return;
    }
    v.config.options = next;
    v.run.rate.SetOptions(RateOptions{next.resync_rate_kib, next.c_plan_ahead, next.c_delay_target, next.c_fill_target, next.c_max_rate_kib,
                                      next.c_min_rate_kib, config.net.max_buffers});
    if (Linked() && v.params_done) SendSyncParam(v);
  }
  Finish(Verdict::kSuccess);
}

}  // namespace drbdts::core
