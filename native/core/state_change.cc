// Steps of the volumes' state machine and what follows from each (drbd-protocol §5, §6).
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
std::string Hex(uint64_t v) {
  static const char* digits = "0123456789ABCDEF";
  std::string s(16, '0');
  for (int i = 15; i >= 0; --i, v >>= 4) s[static_cast<size_t>(i)] = digits[v & 15];
  return s;
}
std::string Spell(const UuidSet& u) { return Hex(u.current) + ":" + Hex(u.bitmap) + ":" + Hex(u.history0) + ":" + Hex(u.history1); }
bool SyncState(Conn c) { return c >= Conn::kSyncSource && c <= Conn::kPausedSyncT; }

}  // namespace

StateContext ResourceImpl::Context(const Volume& v) const {
  StateContext c;
  c.has_verify_alg = config.net.verify_alg != DigestAlgorithm::kNone;
  c.fencing = v.config.options.fencing;
  for (const auto& o : volumes) {
    if (o.get() != &v && o->state.peer == Role::kPrimary) c.other_volume_peer_primary = true;
  }
  return c;
}

Role ResourceImpl::ResourceRole() const {
  for (const auto& v : volumes) {
    if (v->state.role == Role::kPrimary) return Role::kPrimary;
  }
  return Role::kSecondary;
}

Verdict ResourceImpl::Change(Volume& v, const State& wanted) {
  State next;
  const Verdict verdict = Decide(v.state, wanted, Context(v), next);
  if (static_cast<int>(verdict) < 1) {
    Log(1, v.index, std::string("State change failed: ") + VerdictText(verdict));
    Log(1, v.index, "  state = { " + DescribeState(v.state) + " }");
    Log(1, v.index, " wanted = { " + DescribeState(wanted) + " }");
    return verdict;
  }
  Apply(v, next);
  return verdict;
}

void ResourceImpl::Force(Volume& v, const State& wanted) { Apply(v, Sanitize(wanted, Context(v))); }

void ResourceImpl::Apply(Volume& v, State next) {
  FreezeForFencing(v, next);
  const State old = v.state;
  if (next == old) return;
  ++progress;
  v.state = next;
  const std::string text = DescribeChange(old, next);
  if (!text.empty()) Log(0, v.index, text);
  Changed();
  AfterChange(v, old);
}

void ResourceImpl::UpdateMetaFlags(Volume& v) {
  if (v.disk_phase != Volume::DiskPhase::kOpen || v.state.disk <= Disk::kNegotiating) return;
  const State& s = v.state;
  uint32_t f = v.super_block.flags & ~(kMdConsistent | kMdPrimaryInd | kMdConnectedInd | kMdWasUpToDate | kMdPeerOutdated | kMdCrashedPrimary);
  if (s.disk > Disk::kInconsistent) f |= kMdConsistent;
  if (s.role == Role::kPrimary || (s.pdsk < Disk::kInconsistent && s.peer == Role::kPrimary)) {
    f |= kMdPrimaryInd;
    v.primary_ind_waits = false;
  } else if ((v.super_block.flags & kMdPrimaryInd) != 0) {
    // Without the flag the activity log is not looked at after a crash: first the bits of what it covers must be on disk.
    if (!v.primary_ind_waits) {
      v.primary_ind_waits = true;
      WriteBitmapAll(v);
    }
    if (v.write_all_pages) f |= kMdPrimaryInd;
    else v.primary_ind_waits = false;
  }
  if (s.conn > Conn::kWFReportParams || v.target_unknown) f |= kMdConnectedInd;
  if (s.disk > Disk::kOutdated) f |= kMdWasUpToDate;
  const bool peer_out = v.config.options.fencing == Fencing::kResourceAndStonith ? v.peer_out : s.pdsk <= Disk::kOutdated && s.pdsk >= Disk::kInconsistent;
  if (peer_out) f |= kMdPeerOutdated;
  if (v.crashed_primary) f |= kMdCrashedPrimary;
  if (f != v.super_block.flags) {
    v.super_block.flags = f;
    MarkMeta(v);
  }
}

void ResourceImpl::NewCurrent(Volume& v) {
  if (v.target_unknown) ClearBitmapUuid(v.super_block.uuids);  // into the history: a target that did not finish must be recognised
  v.target_unknown = false;
  NewCurrentUuid(v.super_block.uuids, random.Next64(), v.state.role == Role::kPrimary);
  Log(0, v.index, "new current UUID " + Spell(v.super_block.uuids));
  if (v.state.role == Role::kPrimary) v.exposed_uuid = v.super_block.uuids.current;
  MarkMeta(v);
}

/// A Primary that loses its disk: the disk may come back as that of a crashed Primary, and would rule over the peer's as long as both have
/// the same generation. The peer begins a new one as soon as it hears of it, and says so when it is on its disk.
void ResourceImpl::AwaitPeerGeneration(Volume& v, const State& old) {
  const State& s = v.state;
  const bool there = s.role == Role::kPrimary && s.conn >= Conn::kConnected && s.pdsk == Disk::kUpToDate && s.disk < Disk::kInconsistent;
  const bool same = v.have_peer_uuids && v.peer_uuids.uuid[1] == 0 && WithoutRoleBit(v.peer_uuids.uuid[0]) == WithoutRoleBit(v.super_block.uuids.current);
  if (!there || !same) {
    v.peer_generation_until = kNever;
  } else if (old.disk >= Disk::kInconsistent) {
    v.peer_generation_until = now + config.net.ko_count * config.net.timeout_ds * kTenth;
  }
}

void ResourceImpl::AfterChange(Volume& v, const State& old) {
  const State& s = v.state;
  // Both up to date again: a crash as Primary is healed.
  if (v.crashed_primary && s.disk == Disk::kUpToDate && s.pdsk == Disk::kUpToDate && s.conn >= Conn::kConnected) v.crashed_primary = false;

  AwaitPeerGeneration(v, old);
  if (s.disk == Disk::kUpToDate && old.disk != Disk::kUpToDate) v.behind_peer = false;
  if (old.role != s.role || (s.disk == Disk::kUpToDate && old.disk != Disk::kUpToDate)) v.exposed_on_peer = false;
  if (s.role == Role::kPrimary && old.disk >= Disk::kInconsistent && s.disk < Disk::kInconsistent && s.conn >= Conn::kConnected &&
      s.pdsk == Disk::kUpToDate && v.have_peer_uuids) {
    v.exposed_uuid = v.peer_uuids.uuid[0];  // it may have told us its new identifier before our disk was gone
  }
  // What the peer acknowledged but never confirmed to be on its disk was also on ours, and now that is gone before the peer came back: a peer
  // that lost its power meanwhile does not have it, and nothing in its identifiers says so.
  if (s.role == Role::kPrimary && old.disk == Disk::kUpToDate && s.disk <= Disk::kFailed && s.conn < Conn::kConnected && v.bitmap != nullptr &&
      v.bitmap->set_count() != 0) {
    v.lost_unsafe_writes = true;
  }
  if (old.role != s.role) {
    v.lost_unsafe_writes = false;  // whoever could be told is gone
    v.exposed_uuid = s.role != Role::kPrimary ? 0 : v.meta_ok() && s.disk == Disk::kUpToDate ? v.super_block.uuids.current
                     : v.have_peer_uuids     ? v.peer_uuids.uuid[0]
                                             : 0;
  }
  // Both Inconsistent: a peer that becomes Primary by force decides, at its next P_STATE (drbd-protocol §10 trap 14). Only this very step
  // counts: both may have become UpToDate without a resync, and then its role says nothing about the data.
  if (old.disk == Disk::kInconsistent && old.pdsk == Disk::kInconsistent && old.peer == Role::kSecondary && s.peer == Role::kPrimary) {
    v.consider_resync = true;
  }

  if (old.role != s.role && v.meta_ok()) {
    v.super_block.uuids.current = WithRoleBit(v.super_block.uuids.current, s.role == Role::kPrimary);
    MarkMeta(v);
  }

  // A target that may have finished, or never begun, must not be left with our current identifier (generation_uuid.h).
  const bool was_source = old.conn == Conn::kSyncSource || old.conn == Conn::kPausedSyncS;
  if (was_source && s.conn < Conn::kConnected && v.meta_ok() && v.super_block.uuids.bitmap != 0) {
    LostSyncTarget lost;
    // Nothing (left) to copy: the target may be done without a word of it. A new identifier here would look like a split brain to it.
    lost.all_acknowledged = v.bitmap->set_count() == 0;
    lost.may_share_current = v.equal_current && !v.run.heard_from_target && !lost.all_acknowledged;
    if (lost.may_share_current || lost.all_acknowledged) {
      SyncTargetLost(v.super_block.uuids, lost, random.Next64(), s.role == Role::kPrimary);
      MarkMeta(v);
      // The target may be done and share our generation now. What a Primary writes from here on is not in it. (pdsk stays Inconsistent
      // in this case, so the rule below does not see that contact to the peer's data is lost.)
      if (s.role == Role::kPrimary && s.disk == Disk::kUpToDate && v.super_block.uuids.bitmap == 0) {
        if (s.susp_fen) v.new_uuid_after_fence = true;
        else NewCurrent(v);
      }
    }
  }

  // The peer's disk is gone, and may be back and compared before the other socket brings what became of the writes that are under way, or
  // what of the rest it had only in its cache: they count as missing there.
  if (old.pdsk > Disk::kFailed && s.pdsk <= Disk::kFailed && s.conn >= Conn::kConnected) {
    for (uint32_t i = 0; i < transfer_log.size(); ++i) {
      if (transfer_log.At(i).volume == v.index) SetOutOfSync(v, transfer_log.At(i).range);
    }
  }

  // Contact to the peer's data is lost: from here on our data is a generation of its own (drbd-protocol §6.2).
  const bool had = old.pdsk >= Disk::kInconsistent && old.pdsk != Disk::kDUnknown && old.pdsk != Disk::kOutdated;
  const bool gone = s.pdsk < Disk::kInconsistent || s.pdsk == Disk::kDUnknown || s.pdsk == Disk::kOutdated;
  if (had && gone && v.meta_ok()) {
    // While the last answer of a peer that says goodbye is on its way both may be Primary in our books: role before the loss counts too.
    const bool writer = s.role == Role::kPrimary || s.peer == Role::kPrimary;
    if (writer && s.disk == Disk::kUpToDate && PeerMayShareGeneration(v)) {
      if (s.susp_fen) {
        v.new_uuid_after_fence = true;
      } else {
        NewCurrent(v);
        if (s.conn >= Conn::kConnected) {
          v.after_meta.send_uuids = true;
        }
      }
    }
  }

  // A Primary whose disk comes back while nobody else is there: what it writes now, the peer does not have. The peer may have begun a
  // generation of its own when our disk went.
  if (s.role == Role::kPrimary && old.disk < Disk::kUpToDate && s.disk == Disk::kUpToDate && s.conn < Conn::kConnected && old.role == Role::kPrimary &&
      v.meta_ok() && PeerMayShareGeneration(v)) {
    if (s.susp_fen) v.new_uuid_after_fence = true;
    else NewCurrent(v);
  }

  // The peer's disk is unknown and we go on as Primary: ask the fence-peer handler.
  if (v.config.options.fencing == Fencing::kResourceOnly && s.role == Role::kPrimary && s.conn < Conn::kConnected && old.conn >= Conn::kConnected &&
      s.pdsk > Disk::kOutdated) {
    v.fence_due = true;
  }
  if (v.fence_due) AskForFencing(v);

  if (old.disk != s.disk) {
    if (s.disk == Disk::kFailed && old.disk > Disk::kFailed) {
      if (Connected()) v.after_send_state = true;
    }
    if (s.disk == Disk::kInconsistent && old.disk == Disk::kUpToDate && s.conn == Conn::kConnected) v.after_send_state = true;
    if (s.disk > Disk::kFailed) v.reason.clear();
  }
  if (old.role != s.role && Connected() && v.params_done) v.after_send_state = true;
  if ((old.user_isp != s.user_isp || old.aftr_isp != s.aftr_isp) && Connected() && v.params_done) v.after_send_state = true;

  // The peer got a disk back while we have one: it needs our identifiers to compare.
  if (old.conn >= Conn::kConnected && s.conn >= Conn::kConnected && old.pdsk == Disk::kDiskless && s.pdsk > Disk::kDiskless &&
      s.pdsk != Disk::kDUnknown) {
    v.after_meta.send_uuids = v.meta_ok();
    v.after_meta.send_state = true;  // also without a disk of our own: the attaching peer waits for an answer
  }

  UpdateMetaFlags(v);

  // Resync ends or pauses.
  const bool ran = SyncState(old.conn);
  if (ran && !SyncState(s.conn)) EndRun(v);
  if (old.conn != s.conn) {
    if (s.conn == Conn::kPausedSyncS || s.conn == Conn::kPausedSyncT) {
      Log(0, v.index, "Resync suspended");
      v.run.paused_since = now;
      v.run.next_tick = kNever;
    }
    if ((old.conn == Conn::kPausedSyncS && s.conn == Conn::kSyncSource) || (old.conn == Conn::kPausedSyncT && s.conn == Conn::kSyncTarget)) {
      Log(0, v.index, "Syncer continues.");
      if (v.run.paused_since != 0) v.run.paused_us += now - v.run.paused_since;
      v.run.paused_since = 0;
      v.run.next_tick = now;
      if (v.run.started == 0) BeginRun(v, false);
    }
    v.kick_due = true;
  }
  const bool lost_disk = s.disk <= Disk::kFailed && old.disk > Disk::kFailed;
  if (lost_disk || (s.pdsk <= Disk::kFailed && old.pdsk > Disk::kFailed)) {  // what a resync had begun with is void
    v.early_sync_uuid = v.pending_sync_uuid = 0;
    if (v.state.conn != Conn::kWFBitMapS) v.waiting_handler = 0;
  }
  if (s.conn == Conn::kWFSyncUuid && v.early_sync_uuid != 0) OnSyncUuid(v, v.early_sync_uuid);
  if (old.susp != s.susp || old.susp_fen != s.susp_fen || old.disk != s.disk || old.pdsk != s.pdsk) v.kick_due = true;

  if (v.after_send_state) {
    v.after_send_state = false;
    if (Linked() && v.params_done) v.after_meta.send_state = true;
  }
}

void ResourceImpl::OnHandlerDone(uint64_t id, int exit_code) {
  if (id == handler_wanted) {
    handler_wanted = 0;
    handler_exit = exit_code;
  }
  for (auto& p : volumes) {
    Volume& v = *p;
    if (v.fence_running && v.fence_handler == id) OnFenceAnswer(v, exit_code);
    if (v.waiting_handler == id) {
      v.waiting_handler = 0;
      if (v.state.conn == Conn::kWFSyncUuid && v.pending_sync_uuid != 0) {
        if (exit_code != 0) {
          DropLater(Conn::kDisconnecting, true, "before-resync-target handler returned " + std::to_string(exit_code) + ", dropping connection.");
        } else {
          BecomeSyncTarget(v);
        }
      } else if (v.state.conn == Conn::kWFBitMapS && v.source_waits) {
        v.source_waits = false;
        if (exit_code == 3) {
          DropLater(Conn::kDisconnecting, true, "before-resync-source handler returned 3, dropping connection.");
        } else {
          BecomeSyncSource(v);
        }
      }
    }
  }
}

HandshakeAction ResourceImpl::SyncHandshake(Volume& v, Role peer_role, Disk peer_disk, std::string& why, bool& refused) {
  HandshakeInput in;
  in.compare.self = v.super_block.uuids;
  in.compare.peer = {v.peer_uuids.uuid[0], v.peer_uuids.uuid[1], v.peer_uuids.uuid[2], v.peer_uuids.uuid[3]};
  in.compare.self_crashed_primary = v.crashed_primary;
  in.compare.peer_crashed_primary = (v.peer_uuids.flags & kUuidFlagCrashedPrimary) != 0;
  in.compare.self_primary = v.state.role == Role::kPrimary;
  in.compare.peer_primary = peer_role == Role::kPrimary;
  in.compare.resolve_conflicts = resolve_conflicts;
  in.compare.feature_wsame = (features & kFeatureWsame) != 0;
  in.self_disk = v.state.disk;
  if (v.state.disk == Disk::kNegotiating) {
    in.self_disk = (v.super_block.flags & kMdConsistent) == 0 ? Disk::kInconsistent : Disk::kConsistent;
  }
  in.peer_disk = peer_disk;
  in.self_bits_set = v.bitmap->set_count();
  in.peer_bits_set = v.peer_uuids.bits_set;
  in.after_sb_0pri = config.net.after_sb_0pri;
  in.after_sb_1pri = config.net.after_sb_1pri;
  in.after_sb_2pri = config.net.after_sb_2pri;
  in.always_asbp = config.net.always_asbp;
  in.rr_conflict = config.net.rr_conflict;
  in.self_discard_my_data = discard_my_data;
  in.peer_discard_my_data = peer_discard_my_data || (v.peer_uuids.flags & kUuidFlagDiscardMyData) != 0;
  in.self_negotiating = v.state.disk == Disk::kNegotiating;
  in.dry_run = tentative || peer_dry_run;

  Log(0, v.index, "drbd_sync_handshake: self " + Spell(in.compare.self) + " bits:" + std::to_string(in.self_bits_set) +
                      " flags:" + std::to_string(in.compare.self_crashed_primary ? 2 : 0));
  Log(0, v.index, "peer " + Spell(in.compare.peer) + " bits:" + std::to_string(in.peer_bits_set) + " flags:" + std::to_string(v.peer_uuids.flags));
  const HandshakeDecision d = DecideHandshake(in);
  Log(0, v.index, "uuid_compare()=" + std::to_string(d.compare.value) + " by rule " + std::to_string(d.compare.rule));
  // A corrected own set is stored together with BeginSyncSource only (generation_uuid.h).
  v.corrected_uuids = d.compare.self;
  v.equal_current = WithoutRoleBit(in.compare.self.current) == WithoutRoleBit(in.compare.peer.current);
  v.peer_uuids.uuid = {d.compare.peer.current, d.compare.peer.bitmap, d.compare.peer.history0, d.compare.peer.history1};
  if (d.split_brain_seen) CallHandler("initial-split-brain", v.index, false);
  if (d.reason[0] != '\0') Log(d.split_brain_seen ? 1 : 0, v.index, d.reason);
  refused = false;
  switch (d.action) {
    case HandshakeAction::kSplitBrain:
      refused = true;
      why = "Split-Brain detected but unresolved, dropping connection!";
      CallHandler("split-brain", v.index, false);
      break;
    case HandshakeAction::kUnrelated:
      refused = true;
      why = "Unrelated data, aborting!";
      break;
    case HandshakeAction::kRefused:
      refused = true;
      why = d.reason;
      if (d.call_pri_lost) CallHandler("pri-lost", v.index, false);
      break;
    case HandshakeAction::kDryRun:
      refused = true;
      why = d.reason;
      break;
    default:
      if (d.call_pri_lost) {
        // The loser serves: a Primary that is mounted cannot become a target under its users.
        refused = true;
        why = "Split-Brain detected, this node is Primary and would lose: dropping connection; demote it or discard its data by hand";
        CallHandler("pri-lost-after-sb", v.index, false);
      }
      break;
  }
  return d.action;
}

void ResourceImpl::OnState(Volume& v, State peer) {
  const State os = v.state;
  if (conn < Conn::kWFReportParams) return;
  // §5.5 rule 1
  Disk peer_disk = peer.disk;
  if (peer_disk == Disk::kNegotiating) {
    peer_disk = (v.peer_uuids.flags & kUuidFlagInconsistent) != 0 ? Disk::kInconsistent : Disk::kConsistent;
  }
  // rule 2
  if (os.conn > Conn::kConnected && os.disk == Disk::kUpToDate && (os.pdsk == Disk::kInconsistent || os.pdsk == Disk::kConsistent) &&
      peer_disk == Disk::kUpToDate) {
    if (peer.conn > Conn::kConnected && peer.conn < Conn::kSyncSource) {
      peer_disk = Disk::kInconsistent;
    } else if (os.conn >= Conn::kSyncSource && peer.conn == Conn::kConnected) {
      v.run.peer_finished = true;
      CheckSourceDone(v);
      return;
    }
  }
  // rule 3
  if (os.conn == Conn::kVerifyT && os.disk == Disk::kUpToDate && peer.conn == Conn::kConnected && peer_disk == Disk::kUpToDate) {
    ReportOutOfSync(v);
    State s = v.state;
    s.conn = Conn::kConnected;
    Force(v, s);
    return;
  }
  // rule 4
  if (os.conn == Conn::kConnected && os.pdsk == Disk::kUpToDate && peer_disk == Disk::kInconsistent && peer.conn > Conn::kSyncSource) {
    peer_disk = Disk::kUpToDate;
  }
  State ns = os;
  // A target that could not take all blocks says Connected with an Inconsistent disk: the run is over on our side too.
  if ((os.conn == Conn::kSyncSource || os.conn == Conn::kPausedSyncS) && peer.conn == Conn::kConnected && peer_disk <= Disk::kInconsistent &&
      v.run.started != 0) {
    ns.conn = Conn::kConnected;
  }
  if (os.conn == Conn::kWFReportParams || !v.params_done) ns.conn = Conn::kConnected;
  if (peer.conn == Conn::kAhead) ns.conn = Conn::kBehind;

  const bool first = !v.params_done;
  // A P_STATE that was on its way when our disk came back is no answer to that: with the answer comes a P_UUIDS, if there is a disk.
  const bool no_answer = os.disk == Disk::kNegotiating && v.attach_answer != Volume::Answer::kNone && peer.disk >= Disk::kNegotiating;
  HandshakeAction action = HandshakeAction::kNoSync;
  bool handshake = false;
  if (!no_answer && v.have_peer_uuids && peer_disk >= Disk::kNegotiating && peer_disk != Disk::kDUnknown && os.disk >= Disk::kNegotiating && v.disk_phase == Volume::DiskPhase::kOpen) {
    handshake = first;
    handshake |= os.conn == Conn::kConnected && (peer.disk == Disk::kNegotiating || os.disk == Disk::kNegotiating);
    handshake |= v.consider_resync && peer.role == Role::kPrimary;
    handshake |= os.conn == Conn::kConnected && peer.conn >= Conn::kStartingSyncS && peer.conn <= Conn::kWFBitMapT;
  }
  if (handshake) {
    std::string why;
    bool refused = false;
    action = SyncHandshake(v, peer.role, peer_disk, why, refused);
    if (refused) {
      if (os.disk == Disk::kNegotiating && !first) {
        Log(2, v.index, why + " The disk stays unattached.");
        State s = os;
        s.disk = Disk::kFailed;
        v.reason = why;
        Force(v, s);
        return;
      }
      if (!first && peer.disk == Disk::kNegotiating) {
        Log(1, v.index, "Disk attach process on the peer node was aborted.");
        peer_disk = Disk::kDiskless;
        action = HandshakeAction::kNoSync;
      } else {
        DropLater(Conn::kDisconnecting, action != HandshakeAction::kDryRun || tentative, why);
        return;
      }
    }
    switch (action) {
      case HandshakeAction::kSourceBitmap:
      case HandshakeAction::kSourceFull: ns.conn = Conn::kWFBitMapS; break;
      case HandshakeAction::kTargetBitmap:
      case HandshakeAction::kTargetFull: ns.conn = Conn::kWFBitMapT; break;
      default: break;
    }
  }
  // Both disks may come back at once: each side has compared with all there is to know of the other then, and need not wait for a better word.
  if (ns.disk == Disk::kNegotiating && (peer.disk != Disk::kNegotiating || handshake) && !no_answer) {
    if (!v.have_peer_uuids || peer_disk < Disk::kNegotiating || action == HandshakeAction::kNoSync) {
      ns.disk = v.disk_before_negotiating;
    } else if (ns.conn == Conn::kWFBitMapT) {
      ns.disk = (v.super_block.flags & kMdConsistent) == 0 ? Disk::kInconsistent : Disk::kOutdated;
    }
  }
  ns.peer = peer.role;
  ns.pdsk = peer_disk;
  ns.peer_isp = peer.aftr_isp || peer.user_isp;

  if (first) {
    State out;
    const Verdict verdict = Decide(os, ns, Context(v), out);
    if (static_cast<int>(verdict) < 1) {
      DropLater(Conn::kDisconnecting, true, std::string("the peer's state is not compatible: ") + VerdictText(verdict));
      return;
    }
  }
  // It has been compared with. If it does have our identifier, that stays so until it has that of a resync.
  if (handshake) v.target_unknown = v.equal_current && v.super_block.uuids.bitmap != 0;
  v.params_done = true;
  if (first && conn == Conn::kWFReportParams) {
    conn = Conn::kConnected;
    reason.clear();
  }
  // Before the change, which may set it for the packet after this one. A P_STATE that was on its way when the peer asked to be Primary still
  // calls it Secondary: it is not the one that was waited for.
  if (peer.role == Role::kPrimary || os.disk > Disk::kInconsistent) v.consider_resync = false;
  Force(v, ns);
  if (handshake) v.consider_resync = false;  // done with this very packet; one more would be about nothing, and the peer would not join in
  if (first && v.state.disk >= Disk::kNegotiating) v.after_meta.send_state = true;
  else if (first) SendState(v);  // it may take the first one for a disk that is gone by now: before that comes back

  const bool wants_sync = v.state.conn == Conn::kWFBitMapS || v.state.conn == Conn::kWFBitMapT;
  if (!first && handshake && wants_sync && peer.conn <= Conn::kConnected && peer.disk != Disk::kNegotiating) {
    v.after_meta.send_uuids = v.after_meta.send_state = true;  // rule 9
  }
  if (!first && handshake && peer.disk == Disk::kNegotiating) {
    v.after_meta.send_uuids = v.after_meta.send_state = true;
  }
  if (wants_sync && handshake) StartBitmapExchange(v, action);
  if (wants_sync && handshake && !first) {
    // A disk was attached. What the other socket still brings about blocks of the resync that it dropped out of says nothing about this one: no
    // resync begins before that socket is empty.
    SendPing();
    v.answers_after_ping = pings_sent;
  }
  if (handshake && action == HandshakeAction::kNoSync && v.bitmap != nullptr && v.bitmap->set_count() != 0 && v.state.disk == Disk::kUpToDate) {
    Log(0, v.index, "No resync, but " + std::to_string(v.bitmap->set_count()) + " bits in bitmap!");
  }
  discard_my_data = discard_my_data && !AllParamsDone();
  v.kick_due = true;
  if (busy) command_wakeup = now;
}

bool ResourceImpl::AllParamsDone() const {
  for (const auto& v : volumes) {
    if (!v->params_done) return false;
  }
  return true;
}

}  // namespace drbdts::core
