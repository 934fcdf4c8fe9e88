// Attach, detach, device sizes, disk errors (drbd-protocol §4.3, §4.7, §1.5 P_SIZES, §5.7).
#include <algorithm>
#include <cstring>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr uint32_t kReadPages = 64;          // bitmap pages per read: 256 KiB
constexpr uint64_t kMaxLogBlocks = 256;      // 1 MiB of activity log
// Index part of an attach IoId.
constexpr uint32_t kIoSuper = 1, kIoLog = 2, kIoLogInit = 3, kIoCleanLog = 4, kIoCleanSuper = 5, kIoMoveLog = 6, kIoMoveSuper = 7, kIoBitmap = 16;
}  // namespace

void ResourceImpl::BeginAttach(Volume& v) {
  v.attach_code = 0;
  v.attach_error = false;
  v.reason.clear();
  v.disk_failed_io = false;
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

uint64_t ResourceImpl::OwnSize(const Volume& v) const { return std::min(v.layout.usable_sectors, v.facts.backing_sectors); }

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
  a.io = MakeIoId(IoKind::kAttach, v.index, kIoSuper);
  a.offset_bytes = v.layout.super_block_sector * kSectorSize;
  a.bytes = kMetaBlockBytes;
  a.data = arenas.sync->Bytes(v.super_buffer).data();
  ++v.io_in_flight;
}

void ResourceImpl::OnAttachIo(Volume& v, uint32_t index, int error) {
  if (index == kIoCleanLog || index == kIoCleanSuper) {
    if (error != 0) Log(1, v.index, "meta-data could not be left clean: errno " + std::to_string(error));
    v.clean_close = error != 0 ? 9 : v.clean_close + 1;
    if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
    return;
  }
  if (index == kIoMoveLog || index == kIoMoveSuper) {
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
  if (index >= kIoBitmap) {
    Volume::PageWrite& w = v.page_write[index - kIoBitmap];
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
    AttachFailed(v, 118, "IO error(s) occurred during initial access to meta-data.", "errno " + std::to_string(error) + " on " + v.config.disk);
    return;
  }
  switch (index) {
    case kIoSuper: AttachSuper(v); break;
    case kIoLog: AttachLog(v); break;
    case kIoLogInit:
      if (v.attach_buffer) arenas.sync->Give(v.attach_buffer);
      AttachDone(v);
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
  if (v.state.role == Role::kPrimary && !Linked() && v.exposed_uuid != 0 &&
      (v.exposed_on_peer || WithoutRoleBit(v.super_block.uuids.current) != WithoutRoleBit(v.exposed_uuid))) {
    // What was written since this disk was lost is on the peer alone; with this one it would be taken back under the users' feet.
    AttachFailed(v, 150, "Can only attach to the data we lost last (see log).", "the peer has newer data: connect first, then attach");
    return;
  }
  v.config.options.al_extents = std::clamp(v.config.options.al_extents, kAlExtentsMin, AlExtentsLimit(v.layout.al_blocks));
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
  a.io = MakeIoId(IoKind::kAttach, v.index, kIoLog);
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
    a.io = MakeIoId(IoKind::kAttach, v.index, kIoBitmap + i);
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
  AttachWriteBack(v);
}

void ResourceImpl::AttachWriteBack(Volume& v) {
  // Bitmap first (BitmapPump), then the emptied log, then the super block.
  if (v.disk_phase != Volume::DiskPhase::kWriteBack || v.attach_buffer) return;
  if (v.attach_error) {
    AttachFailed(v, 118, "IO error(s) occurred during initial access to meta-data.", "the bitmap cannot be written");
    return;
  }
  if (v.write_all_pages || v.page_writes != 0) return;
  v.attach_buffer = arenas.sync->Take(static_cast<uint32_t>(v.layout.al_blocks));
  if (!v.attach_buffer) return;  // tried again when something is given back
  const std::span<uint8_t> ring = arenas.sync->Bytes(v.attach_buffer);
  std::memset(ring.data(), 0, ring.size());
  v.log->Reset(0);
  for (uint64_t i = 0; i < v.layout.al_blocks; ++i) {
    AlBlock b;
    v.log->FillEmptyTransaction(b);
    const uint64_t at = AlBlockIndex(b.transaction, v.super_block.al_stripes, v.super_block.al_stripe_size_4k);
    EncodeAlBlock(b, std::span<uint8_t, kMetaBlockBytes>(ring.data() + at * kMetaBlockBytes, kMetaBlockBytes));
  }
  v.al_writes += v.layout.al_blocks;
  Action& a = Do(Action::Kind::kMetaWrite, v.index);
  a.io = MakeIoId(IoKind::kAttach, v.index, kIoLogInit);
  a.offset_bytes = v.layout.al_sector * kSectorSize;
  a.bytes = v.layout.al_blocks * kMetaBlockBytes;
  a.data = ring.data();
  a.dsync = v.config.options.md_flushes;
  ++v.io_in_flight;
}

void ResourceImpl::AttachDone(Volume& v) {
  SuperBlock& sb = v.super_block;
  v.crashed_primary = (sb.flags & (kMdPrimaryInd | kMdCrashedPrimary)) != 0;
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

void ResourceImpl::DiskError(Volume& v, const char* what, bool meta_data, int error) {
  if (v.state.disk <= Disk::kFailed) return;
  Log(2, v.index, std::string(what) + " failed: errno " + std::to_string(error) + " on " +
                      (meta_data && !v.config.meta_disk.empty() ? v.config.meta_disk : v.config.disk));
  v.reason = std::string(what) + " failed (errno " + std::to_string(error) + ")";
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
  v.disk_failed_io = true;
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
  v.md_dirty = v.md_in_flight = v.al_in_flight = v.write_all_pages = false;
  v.lazy_write_at = kNever;
  v.clean_close = 0;
  v.bitmap_out.reset();
  v.bitmap_in.reset();
  v.bitmap.reset();
  v.log.reset();
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
      v.attach_buffer = arenas.sync->Take(static_cast<uint32_t>(v.layout.al_blocks));
      if (!v.attach_buffer) return false;
      const std::span<uint8_t> ring = arenas.sync->Bytes(v.attach_buffer);
      std::memset(ring.data(), 0, ring.size());
      AlBlock b;
      b.initialized_only = true;
      for (uint64_t i = 0; i < v.layout.al_blocks; ++i) {
        EncodeAlBlock(b, std::span<uint8_t, kMetaBlockBytes>(ring.data() + i * kMetaBlockBytes, kMetaBlockBytes));
      }
      Action& a = Do(Action::Kind::kMetaWrite, v.index);
      a.io = MakeIoId(IoKind::kAttach, v.index, kIoCleanLog);
      a.offset_bytes = v.layout.al_sector * kSectorSize;
      a.bytes = v.layout.al_blocks * kMetaBlockBytes;
      a.data = ring.data();
      a.dsync = v.config.options.md_flushes;
      a.preflush = a.dsync;
      ++v.io_in_flight;
      v.clean_close = 2;
      ++substep;
      return false;
    }
    case 3: {
      SuperBlock sb = v.super_block;
      sb.magic = kMdMagicV08;
      sb.flags |= kMdAlClean;
      EncodeSuperBlock(sb, std::span<uint8_t, kMetaBlockBytes>(arenas.sync->Bytes(v.super_buffer).data(), kMetaBlockBytes));
      Action& a = Do(Action::Kind::kMetaWrite, v.index);
      a.io = MakeIoId(IoKind::kAttach, v.index, kIoCleanSuper);
      a.offset_bytes = v.layout.super_block_sector * kSectorSize;
      a.bytes = kMetaBlockBytes;
      a.data = arenas.sync->Bytes(v.super_buffer).data();
      a.dsync = v.config.options.md_flushes;
      a.preflush = a.dsync;
      ++v.io_in_flight;
      v.clean_close = 4;
      ++substep;
      return false;
    }
    case 2:
    case 4: return false;
    default: return true;
  }
}

// ---- sizes ----

uint64_t ResourceImpl::AgreedSize(const Volume& v, uint64_t peer_d, uint64_t peer_u, uint64_t peer_c) const {
  const uint64_t own = v.disk_phase == Volume::DiskPhase::kOpen ? OwnSize(v) : 0;
  const uint64_t last = v.disk_phase == Volume::DiskPhase::kOpen ? v.super_block.la_size_sect : v.size_sectors;
  uint64_t size = 0;
  if (own != 0 && peer_d != 0) {
    size = std::min(own, peer_d);
  } else if (own != 0 || peer_d != 0) {
    const uint64_t known = own != 0 ? own : peer_d;
    size = last != 0 ? std::min(last, known) : known;
    if (own == 0) size = peer_c != 0 ? peer_c : (peer_u != 0 ? peer_u : peer_d);
  } else {
    size = peer_c != 0 ? peer_c : last;
  }
  uint64_t user = v.config.options.size_sectors;
  if (user == 0 || (peer_u != 0 && peer_u < user)) user = peer_u;
  if (user != 0 && user <= size) size = user;
  return size;
}

bool ResourceImpl::SetDeviceSize(Volume& v, uint64_t sectors, bool assume_clean, bool& grew) {
  grew = false;
  if (sectors == v.size_sectors) return true;
  if (sectors < v.size_sectors && v.state.disk >= Disk::kOutdated && v.state.disk != Disk::kDUnknown) return false;
  grew = sectors > v.size_sectors && v.size_sectors != 0;
  v.size_sectors = sectors;
  Log(0, v.index, "size = " + std::to_string(sectors / 2048) + " MB (" + std::to_string(sectors / 2) + " KB)");
  if (v.disk_phase == Volume::DiskPhase::kOpen) {
    v.bitmap->Resize(sectors, !assume_clean);
    v.super_block.la_size_sect = sectors;
    MarkMeta(v);
    WriteBitmapAll(v);
  }
  if (v.device_up) Do(Action::Kind::kDeviceResize, v.index).bytes = sectors;
  Changed();
  return true;
}

void ResourceImpl::OnSizes(Volume& v, const SizesPacket& p) {
  v.peer_sizes = p;
  v.have_peer_sizes = true;
  v.peer_size_sectors = p.d_size;
  if (v.disk_phase == Volume::DiskPhase::kOpen && v.super_block.la_peer_max_bio_size != p.max_bio_size) {
    v.super_block.la_peer_max_bio_size = p.max_bio_size;
    MarkMeta(v);
  }
  if (v.disk_phase != Volume::DiskPhase::kOpen && v.disk_phase != Volume::DiskPhase::kClosed) return;
  if (v.sizes_wait) return;
  // A resize at the peer: it offers more than this disk had when it was measured last, and this one may have grown, too.
  const bool established = v.params_done && v.state.conn == Conn::kConnected && v.state.pdsk >= Disk::kInconsistent && v.state.pdsk != Disk::kDUnknown;
  if (established && v.meta_ok() && p.d_size > v.layout.usable_sectors && !v.measuring && !v.moving) {
    v.measuring = v.sizes_wait = true;
    Do(Action::Kind::kOpenDisk, v.index);
    return;
  }
  ApplySizes(v);
}

void ResourceImpl::ApplySizes(Volume& v) {
  const SizesPacket& p = v.peer_sizes;
  const uint64_t size = AgreedSize(v, p.d_size, p.u_size, p.c_size);
  bool grew = false;
  // The device stays as it is while a peer without a disk only repeats what it knows.
  const uint64_t old = v.size_sectors;
  if (size != 0 && !SetDeviceSize(v, size, (p.dds_flags & kDdsNoResync) != 0 || v.resize_assume_clean, grew)) {
    DropLater(Conn::kDisconnecting, true,
         "Considerable difference in lower level device sizes: " + std::to_string(size) + "s vs. " + std::to_string(old) + "s; the peer's disk is too small");
    return;
  }
  if (!v.params_done) return;
  if (p.c_size != v.size_sectors) SendSizes(v, 0, false);
  if (grew && v.state.conn == Conn::kConnected && v.state.disk >= Disk::kInconsistent && v.state.pdsk >= Disk::kInconsistent) {
    if ((p.dds_flags & kDdsNoResync) != 0 || v.resize_assume_clean) {
      Log(0, v.index, "Resync of new storage suppressed with --assume-clean");
    } else {
      const bool source = v.state.role == v.state.peer ? resolve_conflicts : v.state.role == Role::kPrimary;
      Log(0, v.index, "Resync of new storage after online grow");
      State s = v.state;
      if (source) {
        BecomeSyncSource(v);
      } else {
        s.conn = Conn::kWFSyncUuid;
        Force(v, s);
      }
    }
  }
  v.resize_assume_clean = false;
}

void ResourceImpl::MoveInternalMetaData(Volume& v, const DiskFacts& facts) {
  const auto layout = ComputeLayout(v.config.place, facts.backing_sectors, facts.meta_sectors, v.super_block.al_stripes, v.super_block.al_stripe_size_4k);
  if (!layout.ok() || facts.backing_sectors < v.facts.backing_sectors) {
    v.attach_code = 111;
    v.attach_text = "Low.dev. smaller than requested DRBD-dev. size.";
    v.attach_detail = "the disk became smaller";
    return;
  }
  if (v.config.place.kind != MetaDataPlace::Kind::kInternal) {
    const uint64_t capacity = layout.value().usable_sectors;
    v.facts = facts;
    if (capacity > v.layout.usable_sectors) {
      auto bigger = std::make_unique<Bitmap>(capacity);
      bigger->Touch();
      bigger->Resize(v.bitmap->sectors(), false);
      for (uint64_t i = 0; i < v.bitmap->pages(); ++i) {
        bigger->LoadPage(i, v.bitmap->Page(i));
        if (v.bitmap->IsDirty(i)) bigger->MarkDirty(i);
      }
      v.bitmap = std::move(bigger);
    }
    v.layout = layout.value();
    v.super_block.md_size_sect = v.layout.md_size_sect;
    MarkMeta(v);
    return;
  }
  if (layout.value().bitmap_sector < v.layout.super_block_sector + kSectorsPerBlock) {
    v.attach_code = 111;
    v.attach_text = "Low.dev. smaller than requested DRBD-dev. size.";
    v.attach_detail = "the disk grew by less than its meta-data takes: grow it by at least " +
                      std::to_string((v.layout.super_block_sector + kSectorsPerBlock - layout.value().bitmap_sector) / 2) + " KiB more";
    return;
  }
  v.move_layout = layout.value();
  v.move_facts = facts;
  v.moving = true;
  v.move_step = 0;
  CloseEpoch();
  MovePump(v);
}

void ResourceImpl::MovePump(Volume& v) {
  if (!v.moving) return;
  if (v.move_step == 0) {
    // Nothing may be under way that the old place describes.
    if (!v.meta_ok()) {
      v.moving = false;
      return;
    }
    if (!transfer_log.empty() || v.page_writes != 0 || v.md_in_flight || v.md_dirty || v.al_in_flight || !v.log->idle()) {
      if (epoch_writes != 0) CloseEpoch();
      return;
    }
    auto bigger = std::make_unique<Bitmap>(v.move_layout.usable_sectors);
    bigger->Touch();
    bigger->Resize(v.bitmap->sectors(), false);
    for (uint64_t i = 0; i < v.bitmap->pages(); ++i) {
      bigger->LoadPage(i, v.bitmap->Page(i));
      bigger->MarkDirty(i);
    }
    v.bitmap = std::move(bigger);
    v.log = std::make_unique<ActivityLog>(v.config.options.al_extents, v.move_layout.usable_sectors / kAlExtentSectors + 1);
    v.layout = v.move_layout;
    v.facts = v.move_facts;
    v.super_block.md_size_sect = v.layout.md_size_sect;
    v.super_block.al_offset = v.layout.al_offset;
    v.super_block.bm_offset = v.layout.bm_offset;
    v.write_all_pages = true;
    v.move_step = 1;
    return;
  }
  if (v.move_step == 1) {
    if (v.write_all_pages || v.page_writes != 0) return;
    v.attach_buffer = arenas.sync->Take(static_cast<uint32_t>(v.layout.al_blocks));
    if (!v.attach_buffer) return;
    const std::span<uint8_t> ring = arenas.sync->Bytes(v.attach_buffer);
    v.log->Reset(0);
    for (uint64_t i = 0; i < v.layout.al_blocks; ++i) {
      AlBlock b;
      v.log->FillEmptyTransaction(b);
      const uint64_t at = AlBlockIndex(b.transaction, v.super_block.al_stripes, v.super_block.al_stripe_size_4k);
      EncodeAlBlock(b, std::span<uint8_t, kMetaBlockBytes>(ring.data() + at * kMetaBlockBytes, kMetaBlockBytes));
    }
    Action& a = Do(Action::Kind::kMetaWrite, v.index);
    a.io = MakeIoId(IoKind::kAttach, v.index, kIoMoveLog);
    a.offset_bytes = v.layout.al_sector * kSectorSize;
    a.bytes = v.layout.al_blocks * kMetaBlockBytes;
    a.data = ring.data();
    a.dsync = v.config.options.md_flushes;
    a.preflush = a.dsync;
    ++v.io_in_flight;
    v.move_step = 2;
    return;
  }
  if (v.move_step == 3) {
    v.moving = false;
    v.move_step = 0;
    Log(0, v.index, "Moved the internal meta-data to the new end of " + v.config.disk);
    MarkMeta(v);
    v.kick_due = true;
  }
}

}  // namespace drbdts::core
