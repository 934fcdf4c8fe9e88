// Writing meta-data in the order that a crash at any moment forgives: evicted bitmap pages, then the activity log block, then the data;
// completed data made durable before meta-data that vouch for them;
// the super block before anything that relies on it (drbd-protocol §4.5, §10 traps 38, 39).
#include <algorithm>
#include <cstring>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr uint32_t kWritePages = 64;
constexpr TimeUs kLazyWrite = 5 * kSecond;
}  // namespace

void ResourceImpl::MarkMeta(Volume& v) {
  if (v.disk_phase == Volume::DiskPhase::kOpen) v.md_dirty = true;
}

bool ResourceImpl::MetaIdle(const Volume& v) const {
  if (v.disk_phase != Volume::DiskPhase::kOpen || v.state.disk <= Disk::kFailed) return true;
  return !v.md_dirty && !v.md_in_flight && !v.moving;
}

void ResourceImpl::MetaPump(Volume& v) {
  if (!v.meta_ok()) {
    if (v.after_meta.any() && v.disk_phase != Volume::DiskPhase::kWriteBack) OnMetaSaved(v);
    return;
  }
  if (v.md_in_flight || v.clean_close > 1 || (v.moving && v.move_step != 0)) return;
  if (v.bitmap_before_super && v.write_all_pages) return;
  v.bitmap_before_super = false;
  if (!v.md_dirty) {
    if (v.after_meta.any()) OnMetaSaved(v);
    return;
  }
  v.md_dirty = false;
  v.md_in_flight = true;
  WriteSuperBlock(v, v.super_block, MakeIoId(IoKind::kSuperBlock, v.index, 0));
}

void ResourceImpl::WriteSuperBlock(Volume& v, const SuperBlock& super_block, IoId io) {
  const std::span<uint8_t> out = arenas.sync->Bytes(v.super_buffer);
  EncodeSuperBlock(super_block, std::span<uint8_t, kMetaBlockBytes>(out.data(), kMetaBlockBytes));
  Action& a = Do(Action::Kind::kMetaWrite, v.index);
  a.io = io;
  a.offset_bytes = v.layout.super_block_sector * kSectorSize;
  a.bytes = kMetaBlockBytes;
  a.data = out.data();
  a.dsync = v.config.options.md_flushes;
  // The block may say what is only true of durable data: in sync, no longer Primary.
  a.preflush = a.dsync;
  ++v.io_in_flight;
}

bool ResourceImpl::WriteLogRing(Volume& v, bool pristine, uint32_t step_of_attach) {
  v.attach_buffer = arenas.sync->Take(static_cast<uint32_t>(v.layout.al_blocks));
  if (!v.attach_buffer) return false;
  const std::span<uint8_t> ring = arenas.sync->Bytes(v.attach_buffer);
  std::memset(ring.data(), 0, ring.size());
  if (!pristine) v.log->Reset(0);
  for (uint64_t i = 0; i < v.layout.al_blocks; ++i) {
    AlBlock b;
    uint64_t at = i;
    if (pristine) {
      b.initialized_only = true;
    } else {
      v.log->FillEmptyTransaction(b);
      at = AlBlockIndex(b.transaction, v.super_block.al_stripes, v.super_block.al_stripe_size_4k);
    }
    EncodeAlBlock(b, std::span<uint8_t, kMetaBlockBytes>(ring.data() + at * kMetaBlockBytes, kMetaBlockBytes));
  }
  v.al_writes += v.layout.al_blocks;
  Action& a = Do(Action::Kind::kMetaWrite, v.index);
  a.io = MakeIoId(IoKind::kAttach, v.index, step_of_attach);
  a.offset_bytes = v.layout.al_sector * kSectorSize;
  a.bytes = v.layout.al_blocks * kMetaBlockBytes;
  a.data = ring.data();
  a.dsync = v.config.options.md_flushes;
  a.preflush = a.dsync;
  ++v.io_in_flight;
  return true;
}

void ResourceImpl::OnMetaSaved(Volume& v) {
  Volume::AfterMeta todo = v.after_meta;
  ++progress;
  v.after_meta = {};
  v.kick_due = true;
  if (v.run.started != 0 && !v.run.identifier_saved) {
    v.run.identifier_saved = true;
    if (v.state.conn == Conn::kSyncTarget) v.run.next_tick = now;
  }
  if (!Linked()) return;
  if (todo.send_sizes) SendSizes(v, 0, false);
  if (todo.send_uuids) {
    SendUuids(v);
    if (v.attach_answer == Volume::Answer::kNotAsked) v.attach_answer = Volume::Answer::kAsked;
  }
  if (todo.send_state || todo.finish_target_state) SendState(v);
  if (todo.send_sync_uuid) {
    SyncUuidPacket p{v.sync_uuid_to_send};
    SendData(v.config.volume, Command::kSyncUuid, p);
    if (v.state.conn == Conn::kPausedSyncS) SendState(v);
  }
}

// ---- bitmap pages ----

bool ResourceImpl::PageInFlight(const Volume& v, uint64_t page) const {
  for (const auto& w : v.page_write) {
    if (w.used && page >= w.first && page < w.first + w.count) return true;
  }
  return false;
}

bool ResourceImpl::WritePages(Volume& v, uint64_t first) {
  uint32_t slot = 8;
  for (uint32_t i = 0; i < 8; ++i) {
    if (!v.page_write[i].used) {
      slot = i;
      break;
    }
  }
  if (slot == 8) return false;
  uint32_t n = 1;
  while (n < kWritePages && first + n < v.bitmap->pages() && v.bitmap->IsDirty(first + n) && !PageInFlight(v, first + n)) ++n;
  Volume::PageWrite& w = v.page_write[slot];
  w.buffer = arenas.sync->Take(n);
  if (!w.buffer) {
    n = 1;
    w.buffer = arenas.sync->Take(1);
    if (!w.buffer) return false;
  }
  w.used = true;
  w.first = first;
  w.count = n;
  const std::span<uint8_t> out = arenas.sync->Bytes(w.buffer);
  for (uint32_t i = 0; i < n; ++i) {
    const std::span<const uint8_t> page = v.bitmap->Page(first + i);
    std::memcpy(out.data() + size_t{i} * Bitmap::kPageBytes, page.data(), Bitmap::kPageBytes);
    v.bitmap->MarkClean(first + i);
  }
  ++v.page_writes;
  ++v.bm_writes;
  Action& a = Do(Action::Kind::kMetaWrite, v.index);
  a.io = MakeIoId(IoKind::kBitmapPages, v.index, slot);
  a.offset_bytes = v.layout.bitmap_sector * kSectorSize + first * Bitmap::kPageBytes;
  a.bytes = uint64_t{n} * Bitmap::kPageBytes;
  a.data = out.data();
  a.dsync = v.config.options.md_flushes;
  // A bit that was cleared on disk must not outlive the resynced block in a disk's cache.
  a.preflush = a.dsync;
  ++v.io_in_flight;
  return true;
}

void ResourceImpl::WriteBitmapSoon(Volume& v) {
  if (v.meta_ok() && v.lazy_write_at == kNever) v.lazy_write_at = now + kLazyWrite;
}

void ResourceImpl::WriteBitmapAll(Volume& v) {
  if (v.bitmap == nullptr) return;
  v.write_all_pages = true;
  v.write_cursor = 0;
}

void ResourceImpl::BitmapPump(Volume& v) {
  if (!v.write_all_pages || v.bitmap == nullptr) return;
  const bool able = v.disk_phase == Volume::DiskPhase::kWriteBack || v.meta_ok();
  if (!able) {
    if (v.page_writes == 0) v.write_all_pages = false;
    return;
  }
  for (;;) {
    const uint64_t page = v.bitmap->NextDirty(v.write_cursor);
    if (page == Bitmap::kNone || page >= v.bitmap->pages()) {
      v.write_cursor = v.bitmap->pages();
      break;
    }
    v.write_cursor = page;
    if (PageInFlight(v, page) || !WritePages(v, page)) return;
  }
  if (v.page_writes == 0) {
    v.write_all_pages = false;
    if (!v.bitmap_hold && v.meta_ok() && (v.super_block.flags & kMdFullSync) != 0) {  // of an exchange that the connection did not outlive
      v.super_block.flags &= ~kMdFullSync;
      MarkMeta(v);
    }
    if (v.primary_ind_waits) UpdateMetaFlags(v);
    v.kick_due = true;
    ++progress;
  }
}

// ---- activity log ----

bool ResourceImpl::PinExtents(Volume& v, const SectorRange& range, bool& hot) {
  hot = true;
  if (!v.config.options.al_updates) return true;
  const auto first = static_cast<uint32_t>(range.begin / kAlExtentSectors);
  const auto last = static_cast<uint32_t>((range.end - 1) / kAlExtentSectors);
  for (uint32_t e = first; e <= last; ++e) {
    const ActivityLog::Get got = v.log->Pin(e);
    if (got == ActivityLog::Get::kNoSlot) {
      for (uint32_t u = first; u < e; ++u) v.log->Unpin(u);
      return false;
    }
    if (got != ActivityLog::Get::kHot) hot = false;
  }
  return true;
}

void ResourceImpl::UnpinExtents(Volume& v, const SectorRange& range) {
  if (v.log == nullptr || !v.config.options.al_updates) return;
  const auto first = static_cast<uint32_t>(range.begin / kAlExtentSectors);
  const auto last = static_cast<uint32_t>((range.end - 1) / kAlExtentSectors);
  for (uint32_t e = first; e <= last; ++e) v.log->Unpin(e);
  if (!v.held.empty() || !v.peer_waiting.empty()) v.kick_due = true;
}

bool ResourceImpl::ExtentsHot(const Volume& v, const SectorRange& range) const {
  const auto first = static_cast<uint32_t>(range.begin / kAlExtentSectors);
  const auto last = static_cast<uint32_t>((range.end - 1) / kAlExtentSectors);
  for (uint32_t e = first; e <= last; ++e) {
    if (!v.log->IsHot(e)) return false;
  }
  return true;
}

void ResourceImpl::LogPump(Volume& v) {
  if (v.log == nullptr || !v.meta_ok()) {
    if (!v.al_waiting.empty()) RetryLogWaiters(v);
    return;
  }
  if (!v.al_in_flight) {
    if (!v.log->CanBegin() || v.moving) return;
    v.al_evicted.clear();
    v.log->Begin(v.al_block, v.al_evicted);
    v.al_in_flight = true;
    v.al_block_written = false;
  }
  if (v.al_block_written) return;
  // What leaves the log must be in the bitmap on disk first.
  for (const uint32_t extent : v.al_evicted) {
    const uint64_t page = Bitmap::PageOfAlExtent(extent);
    if (page >= v.bitmap->pages()) continue;
    if (PageInFlight(v, page)) return;
    if (v.bitmap->IsDirty(page)) {
      WritePages(v, page);
      return;
    }
  }
  v.al_block_written = true;
  ++v.al_writes;
  const std::span<uint8_t> out = arenas.sync->Bytes(v.al_buffer);
  EncodeAlBlock(v.al_block, std::span<uint8_t, kMetaBlockBytes>(out.data(), kMetaBlockBytes));
  const uint64_t at = AlBlockIndex(v.al_block.transaction, v.super_block.al_stripes, v.super_block.al_stripe_size_4k);
  Action& a = Do(Action::Kind::kMetaWrite, v.index);
  a.io = MakeIoId(IoKind::kAlBlock, v.index, 0);
  a.offset_bytes = v.layout.al_sector * kSectorSize + at * kMetaBlockBytes;
  a.bytes = kMetaBlockBytes;
  a.data = out.data();
  a.dsync = v.config.options.md_flushes;
  // An extent that leaves the log is not looked at after a crash: its writes must be more than completed.
  a.preflush = a.dsync && !v.al_evicted.empty();
  ++v.io_in_flight;
}

void ResourceImpl::RetryLogWaiters(Volume& v) {
  uint32_t n = v.al_waiting.size();
  while (n-- > 0) {
    const uint16_t slot = v.al_waiting.Pop();
    AppRequest& a = app[slot];
    if (!v.meta_ok() || v.log == nullptr) {
      // The disk is gone: the write concerns the peer alone now.
      a.al_pinned = false;
      StartWrite(slot);
    } else if (ExtentsHot(v, a.range)) {
      StartWrite(slot);
    } else {
      v.al_waiting.Push(slot);
    }
  }
}

void ResourceImpl::OnMetaIo(Volume& v, IoKind kind, uint32_t index, int error) {
  switch (kind) {
    case IoKind::kSuperBlock:
      v.md_in_flight = false;
      if (error != 0) {
        DiskError(v, "write of the super block", true, error);
        return;
      }
      if (!v.md_dirty) OnMetaSaved(v);
      return;
    case IoKind::kBitmapPages: {
      Volume::PageWrite& w = v.page_write[index];
      arenas.sync->Give(w.buffer);
      w.used = false;
      --v.page_writes;
      if (error != 0) {
        if (v.disk_phase == Volume::DiskPhase::kWriteBack) {
          v.attach_error = true;
          v.write_all_pages = false;
        } else {
          DiskError(v, "write of the bitmap", true, error);
        }
      }
      return;
    }
    case IoKind::kAlBlock:
      v.al_in_flight = false;
      if (error != 0) {
        // Nothing that waits for this transaction may reach the disk.
        DiskError(v, "write of the activity log", true, error);
        return;
      }
      v.log->Commit();
      RetryLogWaiters(v);
      v.kick_due = v.kick_due || !v.held.empty() || !v.peer_waiting.empty();
      return;
    default: CHECK(false);
  }
}

}  // namespace drbdts::core
