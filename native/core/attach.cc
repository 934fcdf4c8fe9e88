// Attach: open, read super block, activity log and bitmap, replay, write back what must be safe before use (drbd-protocol §4.3, §4.7).
#include <algorithm>
#include <cstring>

#include "core/errno_text.h"
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr uint32_t kReadPages = 64;      // bitmap pages per read: 256 KiB
constexpr uint64_t kMaxLogBlocks = 256;  // 1 MiB of activity log
}  // namespace

void ResourceImpl::BeginAttach(Volume& v) {
  v.attach_code = 0;
  v.attach_error = v.attach_written = false;
  v.reason.clear();
  v.disk_phase = Volume::DiskPhase::kOpening;
  State s = v.state;
  s.disk = Disk::kAttaching;
  Force(v, s);
  Do(Action::Kind::kOpenDisk, v.index);
}

void ResourceImpl::AttachFailed(Volume& v, int code, const std::string& text, const std::string& detail) {
  v.attach_code = code;
  v.attach_text = text;
  v.attach_detail = detail;
  v.reason = text + (detail.empty() ? "" : ": " + detail);
  Log(2, v.index, "attach failed: " + v.reason);
  if (v.disk_phase == Volume::DiskPhase::kOpening) {
    v.disk_phase = Volume::DiskPhase::kClosed;
  } else if (v.disk_phase != Volume::DiskPhase::kClosed && v.disk_phase != Volume::DiskPhase::kClosing) {
    v.disk_phase = Volume::DiskPhase::kClosing;
    v.close_pending = true;
  }
  State s = v.state;
  s.disk = Disk::kDiskless;
  Force(v, s);
}

void ResourceImpl::OnDiskOpened(Volume& v, int error, const std::string& detail, const DiskFacts& facts) {
  if (v.measuring) {
    v.measuring = false;
    if (error != 0) {
      v.attach_code = 104;
      v.attach_text = "Can not open backing device.";
      v.attach_detail = detail;
      return;
    }
    if (facts.backing_sectors == v.facts.backing_sectors && facts.meta_sectors == v.facts.meta_sectors) return;
    MoveInternalMetaData(v, facts);
    return;
  }
  if (v.disk_phase != Volume::DiskPhase::kOpening) return;
  if (error != 0) {
    const bool busy_disk = error == 16 || error == 11;
    AttachFailed(v, busy_disk ? 114 : 104, busy_disk ? "Lower device is already claimed. This usually means it is mounted." : "Can not open backing device.", detail);
    return;
  }
  v.facts = facts;
  const auto layout = ComputeLayout(v.config.place, facts.backing_sectors, facts.meta_sectors);
  if (!layout.ok()) {
    v.disk_phase = Volume::DiskPhase::kReadSuper;
    AttachFailed(v, layout.error().code == ErrorCode::kMetaDataTooSmall ? 112 : 111,
                 layout.error().code == ErrorCode::kMetaDataTooSmall ? "Meta device too small." : "Low.dev. smaller than requested DRBD-dev. size.",
                 layout.error().detail);
    return;
  }
  v.layout = layout.value();
  v.disk_phase = Volume::DiskPhase::kReadSuper;
  if (!v.super_buffer) v.super_buffer = arenas.sync->Take(1);
  if (!v.al_buffer) v.al_buffer = arenas.sync->Take(1);
  if (!v.super_buffer || !v.al_buffer) {
    AttachFailed(v, 0, "out of buffers", "too many volumes attach at once: try again");
    return;
  }
  Action& a = Do(Action::Kind::kMetaRead, v.index);
  a.io = MakeIoId(IoKind::kAttach, v.index, attach_io::kSuper);
  a.offset_bytes = v.layout.super_block_sector * kSectorSize;
  a.bytes = kMetaBlockBytes;
  a.data = arenas.sync->Bytes(v.super_buffer).data();
  ++v.io_in_flight;
}

void ResourceImpl::OnAttachIo(Volume& v, uint32_t index, int error) {
  if (index == attach_io::kCleanLog || index == attach_io::kCleanSuper) {
    if (error != 0) Log(1, v.index, "meta-data could not be left clean: " + ErrnoText(error));
    v.clean_close = error != 0 ? 9 : v.clean_close + 1;
    if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
    return;
  }
  if (index == attach_io::kMoveLog || index == attach_io::kMoveSuper) {
    if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
    if (error != 0) {
      DiskError(v, "write of the moved meta-data", true, error);
      v.moving = false;
      return;
    }
    v.move_step++;
    MovePump(v);
    return;
  }
  if (index == attach_io::kReplayed) {
    v.attach_open = 0;
    if (error != 0) v.attach_error = true;
    return;
  }
  if (index >= attach_io::kBitmap) {
    Volume::PageWrite& w = v.page_write[index - attach_io::kBitmap];
    --v.attach_open;
    if (error != 0) v.attach_error = true;
    if (error == 0 && !v.attach_error && v.disk_phase == Volume::DiskPhase::kReadBitmap) {
      const std::span<const uint8_t> bytes = arenas.sync->Bytes(w.buffer);
      for (uint32_t i = 0; i < w.count; ++i) v.bitmap->LoadPage(w.first + i, bytes.subspan(size_t{i} * Bitmap::kPageBytes, Bitmap::kPageBytes));
    }
    w.used = false;
    arenas.sync->Give(w.buffer);
    if (v.disk_phase == Volume::DiskPhase::kReadBitmap) AttachBitmapNext(v);
    return;
  }
  if (v.disk_phase == Volume::DiskPhase::kClosing || v.disk_phase == Volume::DiskPhase::kClosed) {
    if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
    return;
  }
  if (error != 0) {
    if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
    AttachFailed(v, 118, "IO error(s) occurred during initial access to meta-data.", ErrnoText(error) + " on " + v.config.disk);
    return;
  }
  switch (index) {
    case attach_io::kSuper: AttachSuper(v); break;
    case attach_io::kLog: AttachLog(v); break;
    case attach_io::kLogInit:
      if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
      v.attach_written = true;
      AttachWriteBack(v);
      break;
    default: CHECK(false);
  }
}

void ResourceImpl::AttachSuper(Volume& v) {
  const std::span<uint8_t> raw = arenas.sync->Bytes(v.super_buffer);
  auto sb = DecodeSuperBlock(std::span<const uint8_t, kMetaBlockBytes>(raw.data(), kMetaBlockBytes));
  if (!sb.ok()) {
    AttachFailed(v, 119, "No valid meta-data signature found.", std::string(sb.error().detail) + "; create it with: drbdts create-md " + config.name);
    return;
  }
  v.super_block = sb.value();
  const auto layout = ComputeLayout(v.config.place, v.facts.backing_sectors, v.facts.meta_sectors, v.super_block.al_stripes, v.super_block.al_stripe_size_4k);
  if (!layout.ok()) {
    AttachFailed(v, 112, "Meta device too small.", layout.error().detail);
    return;
  }
  v.layout = layout.value();
  const Status fits = CheckAgainstLayout(v.super_block, v.layout);
  if (!fits.ok()) {
    AttachFailed(v, 119, "No valid meta-data signature found.", std::string("damaged or misplaced super block: ") + fits.error().detail);
    return;
  }
  if (v.layout.al_blocks > kMaxLogBlocks) {
    AttachFailed(v, 112, "activity log of more than 1 MiB", "create the meta-data with smaller al-stripes");
    return;
  }
  if (!Linked() && OlderThanSeen(v)) {
    // What was written since this disk was lost is on the peer alone; with this one it would be taken back under the users' feet.
    AttachFailed(v, 150, "Can only attach to the data we lost last (see log).", "the peer has newer data: connect first, then attach");
    return;
  }
  v.config.options.al_extents = std::clamp(v.config.options.al_extents, kAlSlotsMin, AlExtentsLimit(v.layout.al_blocks));
  const uint64_t own = OwnSize(v);
  uint64_t size = v.super_block.la_size_sect != 0 ? v.super_block.la_size_sect : own;
  if (v.config.options.size_sectors != 0) {
    if (v.config.options.size_sectors > own) {
      AttachFailed(v, 111, "Low.dev. smaller than requested DRBD-dev. size.",
                   "size is set to " + std::to_string(v.config.options.size_sectors) + " sectors, the disk has room for " + std::to_string(own));
      return;
    }
    size = v.config.options.size_sectors;
  }
  if (size > own) {
    AttachFailed(v, 170, "Implicit device shrinking not allowed. See kernel log.",
                 "the device had " + std::to_string(size) + " sectors, the disk offers only " + std::to_string(own));
    return;
  }
  v.attach_size = size;
  v.disk_phase = Volume::DiskPhase::kReadLog;
  v.attach_buffer = arenas.sync->Take(static_cast<uint32_t>(v.layout.al_blocks));
  if (!v.attach_buffer) {
    AttachFailed(v, 0, "out of buffers", "too many volumes attach at once: try again");
    return;
  }
  Action& a = Do(Action::Kind::kMetaRead, v.index);
  a.io = MakeIoId(IoKind::kAttach, v.index, attach_io::kLog);
  a.offset_bytes = v.layout.al_sector * kSectorSize;
  a.bytes = v.layout.al_blocks * kMetaBlockBytes;
  a.data = arenas.sync->Bytes(v.attach_buffer).data();
  ++v.io_in_flight;
}

void ResourceImpl::AttachLog(Volume& v) {
  // Replay what a crash as Primary left; the marks go into the bitmap once it has been read.
  v.replayed.clear();
  const SuperBlock& sb = v.super_block;
  const std::span<const uint8_t> ring = arenas.sync->Bytes(v.attach_buffer);
  if (!sb.clean() && (sb.flags & kMdPrimaryInd) != 0) {
    std::vector<uint32_t> slots(kAlExtentsMax + 1);
    const auto replay = ReplayActivityLog(
        ring, slots, [](void* context, uint32_t extent) { static_cast<std::vector<uint32_t>*>(context)->push_back(extent); }, &v.replayed);
    if (!replay.ok()) {
      arenas.sync->Give(v.attach_buffer);
      AttachFailed(v, 165, "Unclean meta-data found.", std::string(replay.error().detail) +
                                                           ": the activity log is damaged although this node was Primary; let the peer be the source: "
                                                           "drbdts invalidate, or drbdts create-md and a full sync");
      return;
    }
    if (replay.value().torn_blocks != 0) Log(1, v.index, "activity log: left out " + std::to_string(replay.value().torn_blocks) + " torn block(s)");
  }
  arenas.sync->Give(v.attach_buffer);
  v.bitmap = std::make_unique<Bitmap>(v.layout.usable_sectors);
  v.bitmap->Touch();
  v.log = std::make_unique<ActivityLog>(v.config.options.al_extents, v.layout.usable_sectors / kAlExtentSectors + 1);
  const bool crashed = (sb.flags & (kMdPrimaryInd | kMdCrashedPrimary)) != 0;
  v.bitmap->Resize(sb.la_size_sect, false);
  v.disk_phase = Volume::DiskPhase::kReadBitmap;
  v.attach_cursor = 0;
  v.attach_open = 0;
  v.attach_error = false;
  if ((sb.flags & kMdFullSync) != 0 || (crashed && (sb.flags & kMdAlDisabled) != 0)) {
    v.bitmap->SetAll();
    v.attach_cursor = v.bitmap->pages();
  }
  AttachBitmapNext(v);
}

void ResourceImpl::AttachBitmapNext(Volume& v) {
  const uint64_t pages = v.bitmap->pages();
  for (uint32_t i = 0; i < 8 && !v.attach_error; ++i) {
    Volume::PageWrite& w = v.page_write[i];
    if (w.used || v.attach_cursor >= pages) continue;
    const auto n = static_cast<uint32_t>(std::min<uint64_t>(kReadPages, pages - v.attach_cursor));
    w.buffer = arenas.sync->Take(n);
    if (!w.buffer) break;
    w.used = true;
    w.first = v.attach_cursor;
    w.count = n;
    v.attach_cursor += n;
    ++v.attach_open;
    Action& a = Do(Action::Kind::kMetaRead, v.index);
    a.io = MakeIoId(IoKind::kAttach, v.index, attach_io::kBitmap + i);
    a.offset_bytes = v.layout.bitmap_sector * kSectorSize + w.first * Bitmap::kPageBytes;
    a.bytes = uint64_t{n} * Bitmap::kPageBytes;
    a.data = arenas.sync->Bytes(w.buffer).data();
    ++v.io_in_flight;
  }
  if (v.attach_open != 0) return;
  if (v.attach_error || v.attach_cursor < pages) {
    AttachFailed(v, 118, "IO error(s) occurred during initial access to meta-data.", "the bitmap cannot be read");
    return;
  }
  // Everything is read: apply, and write back what must be safe before the volume is used.
  const uint64_t before = v.bitmap->set_count();
  for (const uint32_t extent : v.replayed) v.bitmap->SetRange({uint64_t{extent} * kAlExtentSectors, (uint64_t{extent} + 1) * kAlExtentSectors});
  if (!v.replayed.empty()) {
    Log(0, v.index, "Marked additional " + std::to_string((v.bitmap->set_count() - before) * 4) + " KB as out-of-sync based on AL.");
  }
  v.replayed.clear();
  v.bitmap->Resize(v.attach_size, true);
  v.size_sectors = v.attach_size;
  v.disk_phase = Volume::DiskPhase::kWriteBack;
  v.write_all_pages = true;
  v.write_cursor = 0;
  AttachWriteBack(v);
}

void ResourceImpl::AttachWriteBack(Volume& v) {
  // Bitmap first (BitmapPump), then the emptied log, then the super block.
  if (v.disk_phase != Volume::DiskPhase::kWriteBack || v.attach_buffer) return;
  if (v.attach_error) {
    AttachFailed(v, 118, "IO error(s) occurred during initial access to meta-data.", "the bitmap cannot be written");
    return;
  }
  if (v.attach_written) {
    // A peer that is being shaken hands with was told that there is no disk: it hears of this one when both have settled that.
    if (Linked() && !v.params_done) return;
    v.attach_written = false;
    AttachDone(v);
    return;
  }
  if (v.write_all_pages || v.page_writes != 0) return;
  // Writes that only the peer gets, handed in before: it marks them as missing here when it carries them out, which has to be before we
  // compare.
  for (const AppRequest& a : app) {
    if (a.phase == AppRequest::Phase::kActive && a.volume == v.index && a.io.op != BlockOp::kRead && a.net_pending != 0) return;
  }
  if (Linked() && v.state.role == Role::kPrimary) {  // protocols A and B have answered them already
    if (epoch_writes != 0) CloseEpoch();
    if (!closed_epochs.empty()) return;
  }
  SuperBlock& sb = v.super_block;
  if (!sb.clean() && (sb.flags & kMdPrimaryInd) != 0) {
    // The bitmap on disk says everything the log does: say so, before the log is overwritten. A power failure in the middle of that would
    // otherwise leave a log that cannot be read although it would have to be.
    sb.magic = kMdMagicV08;
    sb.flags |= kMdAlClean;
    WriteSuperBlock(v, sb, MakeIoId(IoKind::kAttach, v.index, attach_io::kReplayed));
    v.attach_open = 1;
    return;
  }
  if (v.attach_open != 0) return;
  WriteLogRing(v, false, attach_io::kLogInit);  // without a buffer: tried again when something is given back
}

/// A Primary lost this disk, and its users have seen data since that are not on it.
bool ResourceImpl::OlderThanSeen(const Volume& v) const {
  return v.state.role == Role::kPrimary && v.exposed_uuid != 0 &&
         (v.exposed_on_peer || WithoutRoleBit(v.super_block.uuids.current) != WithoutRoleBit(v.exposed_uuid));
}

void ResourceImpl::AttachDone(Volume& v) {
  if (!Linked() && OlderThanSeen(v)) {  // the connection went while the disk was being read
    AttachFailed(v, 150, "Can only attach to the data we lost last (see log).", "the peer has newer data: connect first, then attach");
    return;
  }
  SuperBlock& sb = v.super_block;
  v.crashed_primary = (sb.flags & (kMdPrimaryInd | kMdCrashedPrimary)) != 0;
  v.peer_out = (sb.flags & kMdPeerOutdated) != 0;
  v.target_unknown = (sb.flags & kMdConnectedInd) != 0 && ResyncBegun(sb.uuids);
  v.peer_out_asked = false;
  if (v.behind_peer) sb.flags &= ~(kMdConsistent | kMdWasUpToDate);  // whatever its generation says
  sb.magic = kMdMagicV08Unclean;
  sb.flags &= ~(kMdAlClean | kMdFullSync | kMdAlDisabled);
  if (!v.config.options.al_updates) sb.flags |= kMdAlDisabled;
  sb.al_nr_extents = v.config.options.al_extents;
  sb.la_size_sect = v.size_sectors;
  Disk disk = Disk::kInconsistent;
  if ((sb.flags & kMdConsistent) != 0) {
    disk = (sb.flags & kMdWasUpToDate) == 0 ? Disk::kOutdated : Disk::kConsistent;
    if (disk == Disk::kConsistent && ((sb.flags & kMdPeerOutdated) != 0 || v.config.options.fencing == Fencing::kDontCare)) disk = Disk::kUpToDate;
  }
  v.disk_phase = Volume::DiskPhase::kOpen;
  v.md_dirty = true;
  Log(0, v.index, std::to_string(v.bitmap->set_count() * 4) + " KB (" + std::to_string(v.bitmap->set_count()) + " bits) marked out-of-sync by on disk bit-map.");
  State s = v.state;
  v.disk_before_negotiating = disk;
  if (Linked() && v.params_done) {
    s.disk = Disk::kNegotiating;
    v.attach_answer = Volume::Answer::kNotAsked;
    Force(v, s);
    v.after_meta.send_sizes = v.after_meta.send_uuids = v.after_meta.send_state = true;
  } else {
    s.disk = disk;
    // What we knew of the peer's disk when we last wrote the super block.
    if ((sb.flags & kMdPeerOutdated) != 0 && s.conn < Conn::kConnected) s.pdsk = Disk::kOutdated;
    Force(v, s);
  }
  MarkMeta(v);
  v.kick_due = true;
}

}  // namespace drbdts::core
