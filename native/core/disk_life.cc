// Disk errors, and the ways a disk leaves: failed, detached, with clean meta-data (drbd-protocol §4.3, §5.7).
#include <cstring>

#include "core/errno_text.h"
#include "core/resource_impl.h"

namespace drbdts::core {

void ResourceImpl::DiskError(Volume& v, const char* what, bool meta_data, int error) {
  if (v.state.disk <= Disk::kFailed) return;
  Log(2, v.index, std::string(what) + " failed: " + ErrnoText(error) + " on " +
                      (meta_data && !v.config.meta_disk.empty() ? v.config.meta_disk : v.config.disk));
  v.reason = std::string(what) + " failed (" + ErrnoText(error) + ")";
  const OnIoError policy = meta_data ? OnIoError::kDetach : v.config.options.on_io_error;
  if (policy == OnIoError::kPassOn) {
    if (v.state.disk > Disk::kInconsistent) {
      State s = v.state;
      s.disk = Disk::kInconsistent;
      Force(v, s);
    }
    return;
  }
  if (policy == OnIoError::kCallLocalIoError) CallHandler("local-io-error", v.index, false);
  State s = v.state;
  s.disk = Disk::kFailed;
  Force(v, s);
  Log(2, v.index, "Local IO failed. Detaching...");
  v.kick_due = true;
}

void ResourceImpl::CloseDiskWhenIdle(Volume& v) {
  AttachWriteBack(v);
  if (v.moving) MovePump(v);
  if (v.sizes_wait && !v.measuring && !v.moving) {
    v.sizes_wait = false;
    if (v.have_peer_sizes && v.disk_phase == Volume::DiskPhase::kOpen) ApplySizes(v);
  }
  if (v.disk_phase == Volume::DiskPhase::kOpen && v.state.disk == Disk::kFailed && v.io_in_flight == 0) {
    v.disk_phase = Volume::DiskPhase::kClosing;
    v.close_pending = true;
  }
  if (v.disk_phase == Volume::DiskPhase::kClosing && v.close_pending && v.io_in_flight == 0) {
    v.close_pending = false;
    Do(Action::Kind::kCloseDisk, v.index);
  }
}

void ResourceImpl::ReleaseDiskMemory(Volume& v) {
  if (v.super_buffer) arenas.sync->Give(v.super_buffer);
  if (v.al_buffer) arenas.sync->Give(v.al_buffer);
  if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
  for (auto& w : v.page_write) {
    if (w.used) arenas.sync->Give(w.buffer);
    w.used = false;
  }
  v.page_writes = 0;
  v.md_dirty = v.md_in_flight = v.al_in_flight = v.write_all_pages = v.bitmap_before_super = false;
  v.lazy_write_at = kNever;
  v.clean_close = 0;
  v.writes_durable = 0;
  v.writes_done = 1;
  v.bitmap_out.reset();
  v.bitmap_in.reset();
  v.bitmap.reset();
  v.log.reset();
  // Nobody may return to a later log what was taken from this one.
  for (AppRequest& a : app) {
    if (a.volume == v.index) a.al_pinned = false;
  }
  for (PeerRequest& r : peer) {
    if (r.volume == v.index) r.al_pinned = false;
  }
  for (uint32_t i = 0; i < transfer_log.size(); ++i) {
    LoggedWrite& w = transfer_log.At(i);
    if (w.volume == v.index) w.al_pinned = false;
  }
}

void ResourceImpl::OnDiskClosed(Volume& v) {
  ReleaseDiskMemory(v);
  v.disk_phase = Volume::DiskPhase::kClosed;
  State s = v.state;
  s.disk = Disk::kDiskless;
  const std::string reason_before = v.reason;
  Force(v, s);
  v.reason = reason_before;
  if (Linked() && v.params_done) SendState(v);
  OnMetaSaved(v);  // nothing more to wait for
  v.kick_due = true;
}

bool ResourceImpl::BeginCleanClose(Volume& v) {
  switch (v.clean_close) {
    case 0:
      WriteBitmapAll(v);
      v.clean_close = 1;
      ++substep;
      return false;
    case 1: {
      if (v.write_all_pages || v.page_writes != 0 || v.md_in_flight || v.md_dirty || v.al_in_flight) return false;
      if (!WriteLogRing(v, true, attach_io::kCleanLog)) return false;
      v.clean_close = 2;
      ++substep;
      return false;
    }
    case 3: {
      SuperBlock sb = v.super_block;
      sb.magic = kMdMagicV08;
      sb.flags |= kMdAlClean;
      WriteSuperBlock(v, sb, MakeIoId(IoKind::kAttach, v.index, attach_io::kCleanSuper));
      v.clean_close = 4;
      ++substep;
      return false;
    }
    case 2:
    case 4: return false;
    default: return true;
  }
}

}  // namespace drbdts::core
