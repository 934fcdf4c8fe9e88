// attach, detach, down, outdate, resize and new-current-uuid (drbd-protocol §5.7).
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
bool Ok(Verdict v) { return static_cast<int>(v) >= 1; }
}  // namespace


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
    if (v->attach_code == 0 && v->disk_phase == Volume::DiskPhase::kClosed) {  // it failed between being attached and being written down
      v->attach_code = 118;
      v->attach_text = "IO error(s) occurred during initial access to meta-data.";
      v->attach_detail = v->reason;
    }
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
  const auto refused = [&] {
    State s = v.state;
    s.disk = Disk::kFailed;
    State out;
    const Verdict verdict = Decide(v.state, s, Context(v), out);
    if (Ok(verdict) || current.admin.force) return false;
    v.detaching = false;
    v.kick_due = true;
    Finish(verdict, "this disk holds the only UpToDate copy that the Primary can reach");
    return true;
  };
  switch (substep2) {
    case 0: {
      if (refused()) return false;
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
      // What the peer has not confirmed to be on its disk is remembered by our activity log alone, which is to be empty.
      if (Linked() && epoch_writes != 0) CloseEpoch();
      if (Linked() && !closed_epochs.empty()) return false;
      if (v.page_writes != 0 || v.io_in_flight != 0 || !MetaIdle(v)) return false;
      if (Linked() && v.params_done && v.state.conn >= Conn::kConnected) {
        AskPeer(&v, 0x1e00, 0x400);
        substep2 = 2;
      } else {
        if (refused()) return false;  // the peer may have gone while we waited for it
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
        FinishRefused(answer);
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
      // The clean super block went out behind a flush: what the peer wrote here is safe without the disk.
      for (uint32_t i = 0; i < receive_epochs.size() && !current.admin.force; ++i) receive_epochs.At(i).volumes &= static_cast<uint16_t>(~(1u << v.index));
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

}  // namespace drbdts::core
