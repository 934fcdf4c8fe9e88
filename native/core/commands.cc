// The administrator's commands, one at a time, each as a few steps that wait for events (drbd-protocol §5.4, §5.7): the queue, and the small ones.
// The others: commands_role.cc, commands_link.cc, commands_disk.cc, commands_resync.cc.
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
bool Ok(Verdict v) { return static_cast<int>(v) >= 1; }
}  // namespace

void ResourceImpl::Enqueue(uint64_t id, const AdminCommand& c) {
  // These two must not wait for a command that waits itself.
  if (c.kind == AdminCommand::Kind::kCheckPeer) {
    CheckPeer(id, c.timeout_ms);
    return;
  }
  if (c.kind == AdminCommand::Kind::kSecondary && c.force) CutIo();
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
      case AdminCommand::Kind::kCheckPeer: CHECK(false); break;  // never queued
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
  if (state_reply_pending) {  // it ended for a reason of its own: the answer is still to come, and is nobody else's
    state_reply_pending = false;
    ++state_replies_void;
  }
  for (auto& v : volumes) v->detaching = false;
}

void ResourceImpl::Finish(Verdict verdict, const std::string& detail) { FinishCode(static_cast<int>(verdict), VerdictText(verdict), detail); }

void ResourceImpl::FinishRefused(Verdict answer) {
  Finish(Verdict::kRefusedByPeer, "the peer answered " + std::to_string(static_cast<int>(answer)) + ": " + VerdictText(answer));
}

void ResourceImpl::AskPeer(Volume* v, uint32_t mask, uint32_t value) {
  if (state_reply_pending) ++state_replies_void;  // of a volume whose disk went by itself meanwhile: that answer is not one to this question
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

void ResourceImpl::StepSuspend(bool suspend) {
  bool still_frozen = false;
  for (auto& p : volumes) {
    Volume& v = *p;
    if (!Selected(v)) continue;
    State s = v.state;
    s.susp = suspend;
    // What an administrator suspended is resumed, and no more: meanwhile the volume may have frozen for a reason that he has not heard of.
    const bool only_own = !suspend && v.state.susp;
    still_frozen = still_frozen || (only_own && (s.susp_fen || s.susp_nod));
    if (!suspend && !only_own) {
      if (s.susp_fen) {
        s.susp_fen = false;
        v.fence_open = false;
        if (v.new_uuid_after_fence && v.meta_ok() && s.disk == Disk::kUpToDate) NewCurrent(v);
        v.new_uuid_after_fence = false;
      }
      s.susp_nod = false;
    }
    // By the administrator's word the peer is out; without that the rules would freeze the volume again at once.
    if (!suspend && !only_own && v.state.susp_fen && s.conn < Conn::kConnected && s.pdsk > Disk::kOutdated) {
      s.pdsk = Disk::kOutdated;
      v.peer_out = v.peer_out_asked = true;
    }
    Force(v, s);
  }
  // A snapshot that is taken now must not find half of what is under way.
  for (const AppRequest& a : app) {
    const bool under_way = a.phase == AppRequest::Phase::kActive || a.phase == AppRequest::Phase::kLogging;
    if (suspend && under_way && Selected(V(a.volume))) return;
  }
  Finish(Verdict::kSuccess, still_frozen ? "I/O stays frozen for another reason (see the status); repeat the command to lift that, too" : "");
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
