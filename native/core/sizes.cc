// The size both nodes agree on, growing, and internal meta-data that moves with the end of its disk (drbd-protocol §1.5 P_SIZES, §4.1).
#include <algorithm>

#include "core/resource_impl.h"

namespace drbdts::core {

uint64_t ResourceImpl::OwnSize(const Volume& v) const { return std::min(v.layout.usable_sectors, v.facts.backing_sectors); }

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
    v.write_cursor = 0;
    v.move_step = 1;
    return;
  }
  if (v.move_step == 1) {
    if (v.write_all_pages || v.page_writes != 0) return;
    if (!WriteLogRing(v, false, attach_io::kMoveLog)) return;
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
