// Bitmap exchange, resync in both directions, and its end (drbd-protocol §7).
//
// The target acknowledges a resync block only when it is durable: both nodes clear their bits on that acknowledgement, and a bit that was
// cleared for data a power failure then takes back would be a silent difference.
#include <algorithm>
#include <cstring>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr TimeUs kMarkStep = 3 * kSecond;
constexpr TimeUs kDurableDelay = 20000;       // longest time a written resync block waits for company before the flush
constexpr uint32_t kDurableBatch = 256;
constexpr uint32_t kOpenRequestsMax = 1024;
constexpr uint32_t kSlices = 10;
constexpr TimeUs kSlice = kTenth / kSlices;
}  // namespace

uint64_t ResourceImpl::LeftBits(const Volume& v) const {
  if (v.state.conn == Conn::kVerifyS || v.state.conn == Conn::kVerifyT) return v.run.verify_left;
  return v.bitmap != nullptr ? v.bitmap->set_count() : 0;
}

/// What a write was told about its blocks counted for the resync it was told in. The next one begins with both bitmaps as they are now, and
/// the peer would not know that one of us clears a bit.
void ResourceImpl::ForgetSetInSync(const Volume& v) {
  for (AppRequest& a : app) {
    if (a.volume == v.index) a.set_in_sync = false;
  }
}

void ResourceImpl::StartBitmapExchange(Volume& v, HandshakeAction action) {
  ForgetSetInSync(v);
  v.bitmap_in = std::make_unique<BitmapReceiver>(*v.bitmap);
  v.bitmap_out.reset();
  v.bitmap_received = false;
  v.early_sync_uuid = 0;  // of a resync that never began
  v.run = ResyncRun{};
  const bool full = action == HandshakeAction::kSourceFull || action == HandshakeAction::kTargetFull;
  if (full) {
    Log(0, v.index, "Writing the whole bitmap, full sync required after drbd_sync_handshake.");
    v.bitmap->SetAll();
    v.super_block.flags |= kMdFullSync;
    MarkMeta(v);
    WriteBitmapAll(v);
    v.bitmap_hold = true;
  } else {
    v.bitmap_hold = false;
    WriteBitmapAll(v);
  }
  v.bitmap_out_wanted = v.state.conn == Conn::kWFBitMapS;
  v.use_corrected = v.bitmap_out_wanted;
}

void ResourceImpl::StartForcedResync(Volume& v) {
  // invalidate and invalidate-remote: both set all bits, no bitmap is exchanged (drbd-protocol §5.7).
  ForgetSetInSync(v);
  v.bitmap->SetAll();
  WriteBitmapAll(v);
  v.run = ResyncRun{};
  if (v.state.conn == Conn::kStartingSyncS) {
    BecomeSyncSource(v);
  } else {
    State s = v.state;
    s.conn = Conn::kWFSyncUuid;
    if (s.disk == Disk::kUpToDate) s.disk = Disk::kInconsistent;
    Force(v, s);
  }
}

void ResourceImpl::BitmapPumpOut(Volume& v) {
  if (v.bitmap == nullptr || !Linked()) {
    v.bitmap_out.reset();
    v.bitmap_out_wanted = false;
    return;
  }
  if (v.after_meta.any()) return;  // identifiers and state go first
  if (AnswersAreOld(v)) return;
  if (v.bitmap_hold) {
    if (v.write_all_pages || v.md_dirty || v.md_in_flight) return;
    v.bitmap_hold = false;
    v.super_block.flags &= ~kMdFullSync;
    MarkMeta(v);
  }
  if (v.bitmap_out_wanted && v.bitmap_out == nullptr) {
    v.bitmap_out = std::make_unique<BitmapSender>(*v.bitmap, config.net.use_rle);
    v.bitmap_out_wanted = false;
  }
  if (v.bitmap_out == nullptr) return;
  uint8_t payload[kBitmapPacketBytes];
  OutQueue& q = *links[data].out;
  while (q.queued_bytes() < (128u << 10)) {
    const BitmapSender::Chunk c = v.bitmap_out->Next(payload);
    SendData(v.config.volume, c.command, BlobPacket{{payload, c.bytes}});
    if (drop_pending) return;
    if (c.last) {
      v.bitmap_out.reset();
      BitmapExchanged(v);
      return;
    }
  }
}

void ResourceImpl::OnBitmapPacket(Volume& v, Command c, std::span<const uint8_t> bytes) {
  if (v.bitmap_in == nullptr || v.bitmap_received || (v.state.conn != Conn::kWFBitMapS && v.state.conn != Conn::kWFBitMapT)) {
    // The peer may still be sending the bitmap of an exchange that a lost disk or its own goodbye ended here.
    if (conn == Conn::kTearDown || v.state.disk <= Disk::kFailed || v.state.pdsk <= Disk::kFailed || v.attach_answer != Volume::Answer::kNone) return;
    ProtocolError(std::string("unexpected bitmap in state ") + ConnName(v.state.conn));
    return;
  }
  const auto done = v.bitmap_in->Take(c, bytes);
  if (!done.ok()) {
    ProtocolError(std::string("bad bitmap from the peer: ") + done.error().detail);
    return;
  }
  if (!done.value()) return;
  v.bitmap_received = true;
  if (v.state.conn == Conn::kWFBitMapT) {
    v.bitmap_out_wanted = true;  // answer with the merged one
  } else {
    BitmapExchanged(v);
  }
}

void ResourceImpl::BitmapExchanged(Volume& v) {
  if (v.state.conn == Conn::kWFBitMapT && v.bitmap_received && v.bitmap_out == nullptr && !v.bitmap_out_wanted) {
    WriteBitmapAll(v);
    State s = v.state;
    s.conn = Conn::kWFSyncUuid;
    Force(v, s);
    return;
  }
  if (v.state.conn == Conn::kWFBitMapS && v.bitmap_received && v.bitmap_out == nullptr && !v.bitmap_out_wanted) {
    WriteBitmapAll(v);
    v.source_waits = true;
    v.waiting_handler = CallHandler("before-resync-source", v.index, true);
  }
}

void ResourceImpl::BecomeSyncSource(Volume& v) {
  State s = v.state;
  s.conn = Conn::kSyncSource;
  if (s.pdsk >= Disk::kInconsistent) s.pdsk = Disk::kInconsistent;
  const Verdict verdict = Change(v, s);
  if (static_cast<int>(verdict) < 1) {
    DropLater(Conn::kNetworkFailure, false, std::string("cannot become SyncSource: ") + VerdictText(verdict));
    return;
  }
  if (v.use_corrected) v.super_block.uuids = v.corrected_uuids;
  v.use_corrected = v.target_unknown = false;
  v.sync_uuid_to_send = BeginSyncSource(v.super_block.uuids, random.Next64());
  MarkMeta(v);
  v.after_meta.send_sync_uuid = true;  // saved first: otherwise a crash here would leave the target with an identifier nobody knows
  BeginRun(v, false);
}

void ResourceImpl::BecomeSyncTarget(Volume& v) {
  BeginSyncTarget(v.super_block.uuids, v.pending_sync_uuid, v.state.role == Role::kPrimary);
  v.pending_sync_uuid = 0;
  if (v.state.role == Role::kPrimary) v.exposed_uuid = v.peer_uuids.uuid[0];  // from here on its users read the source's data
  MarkMeta(v);
  State s = v.state;
  s.conn = Conn::kSyncTarget;
  s.disk = Disk::kInconsistent;
  s.pdsk = Disk::kUpToDate;
  Force(v, s);
  if (v.state.conn != Conn::kSyncTarget && v.state.conn != Conn::kPausedSyncT) return;
  BeginRun(v, false);
  // A block that is found equal is no longer out of sync for either node: what lies in the disk's cache must be durable before we compare.
  v.run.flush_first = config.net.csums_alg != DigestAlgorithm::kNone && v.config.options.disk_flushes;
}

void ResourceImpl::BeginRun(Volume& v, bool verify) {
  const DiskOptions& o = v.config.options;
  v.run = ResyncRun{};
  v.run.started = now;
  v.run.total_bits = v.bitmap->set_count();
  v.run.rate.Reset(RateOptions{o.resync_rate_kib, o.c_plan_ahead, o.c_delay_target, o.c_fill_target, o.c_max_rate_kib, o.c_min_rate_kib, config.net.max_buffers});
  for (auto& m : v.run.marks) m = {now, v.run.total_bits};
  v.run.app_sectors_seen = v.app_sectors;
  if (v.state.conn == Conn::kPausedSyncS || v.state.conn == Conn::kPausedSyncT) v.run.paused_since = now;
  v.run.next_tick = now;
  if (!verify) {
    Log(0, v.index, std::string("Began resync as ") + ConnName(v.state.conn) + " (will sync " + std::to_string(v.run.total_bits * 4) + " KB [" +
                        std::to_string(v.run.total_bits) + " bits set]).");
  }
}

void ResourceImpl::Mark(Volume& v) {
  ResyncRun& r = v.run;
  if (r.marks[r.mark].at + kMarkStep > now) return;
  r.mark = (r.mark + 1) % 8;
  r.marks[r.mark] = {now, LeftBits(v)};
}

void ResourceImpl::ResyncTick(Volume& v) {
  ResyncRun& r = v.run;
  r.next_tick = now + kSlice;
  // A tick's worth is asked for in ten slices: a burst would stand in the way of the application's writes.
  const bool target = v.state.conn == Conn::kSyncTarget;
  const bool verifier = v.state.conn == Conn::kVerifyS;
  if (!target && !verifier) {
    r.next_tick = v.state.conn == Conn::kSyncSource || v.state.conn == Conn::kVerifyT ? now + kTenth : kNever;
    Mark(v);
    Changed();
    return;
  }
  if (!Linked() || r.finishing) return;
  // The source takes our first request for proof that we have its identifier, for good.
  if (target && !r.identifier_saved) return;
  if (r.flush_first) {
    if (v.resync_flush_open || !v.has_disk()) return;
    v.resync_flush_open = true;
    v.resync_flush_covers = 0;
    Do(Action::Kind::kDiskFlush, v.index).io = MakeIoId(IoKind::kResyncFlush, v.index, connection_number);
    ++v.io_in_flight;
    return;
  }
  if (r.slices_left == 0) {
    Mark(v);
    Changed();
    r.slices_left = kSlices;
    r.tick_blocks = Throttled(v) ? 0 : r.rate.Tick();
  }
  const uint32_t blocks = (r.tick_blocks + r.slices_left - 1) / r.slices_left;
  r.tick_blocks -= blocks;
  --r.slices_left;
  if (blocks == 0) return;
  if (target) MakeRequests(v, blocks);
  else MakeVerifyRequests(v, blocks);
}

bool ResourceImpl::Throttled(Volume& v) {
  const uint32_t min_rate = v.config.options.c_min_rate_kib;
  ResyncRun& r = v.run;
  if (min_rate == 0) return false;
  const uint64_t foreign = v.app_sectors - r.app_sectors_seen;
  r.app_sectors_seen = v.app_sectors;
  const bool waiting = !v.al_waiting.empty();
  if (foreign <= 64 && !waiting) return false;
  const ResyncRun::Mark& old = r.marks[(r.mark + 7) % 8];
  const TimeUs span = now > old.at ? now - old.at : 1;
  const uint64_t left = LeftBits(v);
  const uint64_t done_kib = old.left_bits > left ? (old.left_bits - left) * 4 : 0;
  return done_kib * kSecond / span > min_rate;
}

void ResourceImpl::NoteWriteDuringResync(Volume& v, const SectorRange& range) {
  // Answers that are here already but wait for this very write to end were read before it.
  for (const uint16_t slot : v.peer_waiting) {
    PeerRequest& q = peer[slot];
    const bool resync_write = q.is_resync_data();
    if (resync_write && q.phase == PeerRequest::Phase::kHeld && q.range().Overlaps(range)) q.overtaken = true;
  }
  ResyncRun& r = v.run;
  if (r.started == 0 || r.requests_open == 0) return;
  if (r.written_count < std::size(r.written)) r.written[r.written_count++] = range;
  else r.written_anywhere = true;
}

bool ResourceImpl::WrittenSinceAsked(const Volume& v, const SectorRange& range) const {
  if (v.run.written_anywhere) return true;
  for (uint32_t i = 0; i < v.run.written_count; ++i) {
    if (v.run.written[i].Overlaps(range)) return true;
  }
  return false;
}

void ResourceImpl::MakeRequests(Volume& v, uint32_t blocks) {
  ResyncRun& r = v.run;
  if (r.requests_open == 0) {
    r.written_count = 0;
    r.written_anywhere = false;
  }
  const uint64_t bits = v.bitmap->bits();
  uint32_t i = 0;
  const bool csums = config.net.csums_alg != DigestAlgorithm::kNone;
  while (i < blocks) {
    if (peer_free.size() < 64 || r.requests_open >= kOpenRequestsMax || links[data].out->pieces() > links[data].out->capacity() / 2) return;
    uint64_t bit = v.bitmap->NextSet(r.cursor);
    if (bit == Bitmap::kNone || bit >= bits) {
      r.cursor = bits;
      r.asked_any = true;
      return;
    }
    const uint64_t first = bit;
    uint32_t count = 1;
    // Merge while the start stays aligned to the size, within the extent and the largest request.
    uint32_t align = 1;
    while (i < blocks) {
      if ((count + 1) * kBlockSize > kMaxRequestBytes) break;
      const uint64_t next = first + count;
      if (next >= bits) break;
      if (count + 1 > align) {
        if ((first & ((uint64_t{align} << 1) - 1)) != 0) break;
        align <<= 1;
      }
      if ((next & (kResyncExtentSectors / kSectorsPerBlock - 1)) == 0) break;
      if (!v.bitmap->Test(next)) break;
      ++count;
      ++i;
    }
    ++i;
    r.cursor = first + count;
    r.asked_any = true;
    const uint64_t sector = first * kSectorsPerBlock;
    uint32_t bytes = count * kBlockSize;
    if (sector + bytes / kSectorSize > v.size_sectors) bytes = static_cast<uint32_t>((v.size_sectors - sector) * kSectorSize);
    ++r.requests_open;
    r.rate.Requested(bytes / kSectorSize);
    if (csums) {
      const uint16_t slot = TakePeerSlot(PeerRequest::Kind::kCsumOwn, v);
      PeerRequest& q = peer[slot];
      q.sector = sector;
      q.bytes = bytes;
      q.interval = v.intervals.Add(q.range());
      if (!v.peer_waiting.empty() || !StartPeer(slot)) v.peer_waiting.push_back(slot);
    } else {
      BlockRequest q;
      q.sector = sector;
      q.block_id = kIdSyncer;
      q.size = bytes;
      SendData(v.config.volume, Command::kRsDataRequest, q);
    }
  }
}

void ResourceImpl::OnResyncReply(Volume& v, const Packet& p, Buffer payload) {
  uint64_t sector = 0;
  uint32_t bytes = 0;
  if (const auto* d = std::get_if<DataPacket>(&p.body)) {
    sector = d->sector;
    bytes = d->size;
    if (config.net.data_integrity_alg != DigestAlgorithm::kNone &&
        !(ComputeDigest(config.net.data_integrity_alg, arenas.net->Bytes(payload).first(bytes)) == d->digest)) {
      arenas.net->Give(payload);
      ProtocolError("Digest integrity check FAILED for resync data at sector " + std::to_string(sector));
      return;
    }
  } else {
    const auto& b = std::get<BlockDescription>(p.body);
    sector = b.sector;
    bytes = b.size;
  }
  const uint64_t sectors = bytes / kSectorSize;
  if (!v.has_disk()) {
    // The disk failed while this was on its way; the source keeps its bits.
    if (payload) arenas.net->Give(payload);
    Ack(v, Command::kNegAck, sector, kIdSyncer, bytes);
    return;
  }
  if (conn == Conn::kTearDown || v.state.pdsk <= Disk::kFailed) {  // the peer said goodbye, to us or to its disk, while this was on its way
    if (payload) arenas.net->Give(payload);
    return;
  }
  const bool expected = v.run.started != 0 && v.run.requests_open > 0;
  if (!expected || bytes == 0 || bytes % kSectorSize != 0 || sector + sectors > v.size_sectors || sector + sectors < sector) {
    if (payload) arenas.net->Give(payload);
    ProtocolError(std::string(CommandName(p.command)) + " that nobody asked for, sector " + std::to_string(sector));
    return;
  }
  v.net_received_sectors += sectors;
  v.run.rate.Received(sectors);
  if (WrittenSinceAsked(v, {sector, sector + sectors})) {
    // The source may have read this before our own write reached it; written now, it would take that write back. The bits that are still
    // set are asked for once more.
    if (payload) arenas.net->Give(payload);
    --v.run.requests_open;
    return;
  }
  const uint16_t slot = TakePeerSlot(payload ? PeerRequest::Kind::kResyncWrite : PeerRequest::Kind::kResyncDeallocate, v);
  if (slot == kNoSlot16) {
    if (payload) arenas.net->Give(payload);
    DropLater(Conn::kNetworkFailure, false, "no room for resync data");
    return;
  }
  --v.run.requests_open;
  ++v.run.writes_open;
  PeerRequest& r = peer[slot];
  r.sector = sector;
  r.bytes = bytes;
  r.block_id = kIdSyncer;
  r.buffer = payload;
  r.arena = arenas.net;
  ++v.unacked;
  r.interval = v.intervals.Add(r.range());
  if (!v.peer_waiting.empty() || !StartPeer(slot)) v.peer_waiting.push_back(slot);
}

/// Resync data that was not durable when its run ended. The disk may be another one, or have newer data by the time it would be: the source
/// keeps its bits.
void ResourceImpl::RefuseResyncWrite(Volume& v, uint16_t slot) {
  const PeerRequest& r = peer[slot];
  Ack(v, Command::kNegAck, r.sector, kIdSyncer, r.bytes);
  if (v.unacked > 0) --v.unacked;
  FreePeerSlot(slot);
}

void ResourceImpl::OnResyncWritten(Volume& v, uint16_t slot) {
  PeerRequest& r = peer[slot];
  if (r.of_ended_run) {
    RefuseResyncWrite(v, slot);
    return;
  }
  if (r.failed) {
    Ack(v, Command::kNegAck, r.sector, kIdSyncer, r.bytes);
    v.run.failed_bits += BitsOfSectors(r.bytes / kSectorSize);
    if (v.run.writes_open > 0) --v.run.writes_open;
    if (v.unacked > 0) --v.unacked;
    FreePeerSlot(slot);
    return;
  }
  r.phase = PeerRequest::Phase::kFlush;
  if (r.buffer) r.arena->Give(r.buffer);
  RemoveInterval(v, r.interval);
  v.resync_durable.push_back(slot);
  if (v.resync_durable.size() >= kDurableBatch) {
    ResyncFlush(v);
  } else if (v.resync_flush_at == kNever) {
    v.resync_flush_at = now + kDurableDelay;
  }
}

void ResourceImpl::ResyncFlush(Volume& v) {
  v.resync_flush_at = kNever;
  if (v.resync_flush_open || v.resync_durable.empty()) return;
  v.resync_flush_covers = static_cast<uint32_t>(v.resync_durable.size());
  if (!v.config.options.disk_flushes || !v.has_disk()) {
    v.resync_flush_open = true;
    OnResyncFlushed(v, 0);
    return;
  }
  v.resync_flush_open = true;
  Action& a = Do(Action::Kind::kDiskFlush, v.index);
  a.io = MakeIoId(IoKind::kResyncFlush, v.index, connection_number);
  ++v.io_in_flight;
}

void ResourceImpl::OnResyncFlushed(Volume& v, int error) {
  v.resync_flush_open = false;
  if (error != 0) DiskError(v, "flush", false, error);
  if (error == 0) v.run.flush_first = false;
  const uint32_t n = std::min<uint32_t>(v.resync_flush_covers, static_cast<uint32_t>(v.resync_durable.size()));
  for (uint32_t i = 0; i < n; ++i) {
    const uint16_t slot = v.resync_durable[i];
    PeerRequest& r = peer[slot];
    if (error == 0 && v.has_disk()) {
      SetInSync(v, r.range());
      Ack(v, Command::kRsWriteAck, r.sector, kIdSyncer, r.bytes);
    } else {
      Ack(v, Command::kNegAck, r.sector, kIdSyncer, r.bytes);
      v.run.failed_bits += BitsOfSectors(r.bytes / kSectorSize);
    }
    if (v.run.writes_open > 0) --v.run.writes_open;
    if (v.unacked > 0) --v.unacked;
    FreePeerSlot(slot);
  }
  v.resync_durable.erase(v.resync_durable.begin(), v.resync_durable.begin() + n);
  v.resync_flush_covers = 0;
  if (!v.resync_durable.empty() && v.resync_flush_at == kNever) v.resync_flush_at = now + (v.resync_durable.size() >= kDurableBatch ? 0 : kDurableDelay);
  Changed();
}

void ResourceImpl::OnResyncAck(Volume& v, const BlockAck& p, bool failed) {
  if (v.bitmap == nullptr || AnswersAreOld(v)) return;
  v.run.heard_from_target = true;
  const SectorRange range{p.sector, p.sector + p.size / kSectorSize};
  if (failed) {
    v.run.failed_bits += BitsOfSectors(range.size());
    Log(1, v.index, "the peer could not write resync data at sector " + std::to_string(p.sector));
  } else if (Replicating(v)) {
    SetInSync(v, range);
  }  // else what was written since then went to our disk alone: its marks are newer than this answer
  CheckSourceDone(v);
}

void ResourceImpl::OnInSync(Volume& v, const BlockAck& p) {
  // A disk failed, or the peer said goodbye, while this was on its way.
  if (!v.has_disk() || conn == Conn::kTearDown || v.state.pdsk <= Disk::kFailed || AnswersAreOld(v)) return;
  if (v.run.started == 0 || v.run.requests_open == 0) {
    DropLater(Conn::kNetworkFailure, false, "P_RS_IS_IN_SYNC that nobody asked for");
    return;
  }
  --v.run.requests_open;
  v.run.rate.Received(p.size / kSectorSize);
  SetInSync(v, {p.sector, p.sector + p.size / kSectorSize});
}

void ResourceImpl::OnNegResyncReply(Volume& v, const BlockAck& p, bool cancelled) {
  const uint64_t sectors = p.size / kSectorSize;
  if (v.state.conn == Conn::kVerifyS) {
    // The peer cannot read this for verify: nothing can be said of it.
    Log(1, v.index, "online verify: the peer cannot read sector " + std::to_string(p.sector));
    if (v.run.requests_open > 0) --v.run.requests_open;
    v.run.verify_left -= std::min(v.run.verify_left, BitsOfSectors(sectors));
    return;
  }
  if (v.run.started == 0 || v.run.requests_open == 0 || AnswersAreOld(v)) return;
  --v.run.requests_open;
  v.run.rate.Received(sectors);
  if (!cancelled) {
    v.run.failed_bits += BitsOfSectors(sectors);
    Log(1, v.index, "the peer cannot read resync data at sector " + std::to_string(p.sector));
  }
}

void ResourceImpl::CheckResyncDone(Volume& v) {
  ResyncRun& r = v.run;
  if (r.started == 0 || r.finishing || v.detaching || !Linked()) return;
  if (v.state.conn == Conn::kVerifyS) {
    CheckVerifyDone(v);
    return;
  }
  if (v.state.conn != Conn::kSyncTarget) return;
  if (r.requests_open != 0 || r.writes_open != 0 || !v.resync_durable.empty()) {
    // The last blocks do not wait for company.
    if (r.requests_open == 0 && !v.resync_durable.empty() && !v.resync_flush_open && r.cursor >= v.bitmap->bits()) ResyncFlush(v);
    return;
  }
  const uint64_t left = v.bitmap->set_count();
  if (left > r.failed_bits) {
    if (r.cursor >= v.bitmap->bits()) r.cursor = 0;  // set again meanwhile, or cancelled: once more from the start
    return;
  }
  if (v.after_meta.any() || !MetaIdle(v)) return;
  r.finishing = true;
  SendPing();
}

void ResourceImpl::FinishResync(Volume& v) {
  ResyncRun& r = v.run;
  if (!r.finishing) return;
  r.finishing = false;
  const bool verify = v.state.conn == Conn::kVerifyS || v.state.conn == Conn::kVerifyT;
  const TimeUs active = now - r.started - r.paused_us;
  const uint64_t seconds = active / kSecond;
  const uint64_t kib_per_s = r.total_bits * 4 * kSecond / std::max<TimeUs>(active, 1);
  Log(0, v.index, std::string(verify ? "Online verify done" : "Resync done") + " (total " + std::to_string(seconds) + " sec; paused " +
                      std::to_string(r.paused_us / kSecond) + " sec; " + std::to_string(kib_per_s) + " K/sec)");
  State s = v.state;
  if (verify) {
    ReportOutOfSync(v);
    if (r.out_of_sync_found != 0) {
      Log(1, v.index, "Online verify found " + std::to_string(r.out_of_sync_found) + " 4k blocks out of sync! Disconnect and connect while a node is Primary to repair them.");
      CallHandler("out-of-sync", v.index, false);
    }
    s.conn = Conn::kConnected;
    Force(v, s);
    v.after_meta.send_state = true;
    return;
  }
  const bool source = v.state.conn == Conn::kSyncSource || v.state.conn == Conn::kPausedSyncS;
  const bool failed = r.failed_bits != 0;
  const uint64_t failed_bits = r.failed_bits;
  s.conn = Conn::kConnected;
  if (source) {
    if (!failed) {
      FinishSyncSource(v.super_block.uuids);
      s.pdsk = Disk::kUpToDate;
    } else {
      s.pdsk = Disk::kInconsistent;
    }
    Force(v, s);
  } else {
    if (!failed) {
      const UuidSet of_source{v.peer_uuids.uuid[0], v.peer_uuids.uuid[1], v.peer_uuids.uuid[2], v.peer_uuids.uuid[3]};
      FinishSyncTarget(v.super_block.uuids, of_source, v.state.role == Role::kPrimary);
      if (v.state.role == Role::kPrimary) v.exposed_uuid = v.super_block.uuids.current;
      s.disk = Disk::kUpToDate;
      s.pdsk = Disk::kUpToDate;
    } else {
      s.disk = Disk::kInconsistent;
      Log(2, v.index, std::to_string(failed_bits) + " blocks could not be resynced: the disk stays Inconsistent");
    }
    Force(v, s);
    v.after_meta.finish_target_state = true;
    CallHandler("after-resync-target", v.index, false);
  }
  // Both sets are equal now, and no P_UUIDS says so: what is known of the peer must not stay behind, the next forced resync takes it over.
  if (!failed) v.peer_uuids.uuid = {v.super_block.uuids.current, v.super_block.uuids.bitmap, v.super_block.uuids.history0, v.super_block.uuids.history1};
  MarkMeta(v);
  WriteBitmapAll(v);
  // Identifiers that say there was no difference would make the bits of a crash in between stay for ever.
  v.bitmap_before_super = v.bitmap != nullptr && !failed;
  v.kick_due = true;
}

void ResourceImpl::CheckSourceDone(Volume& v) {
  ResyncRun& r = v.run;
  if (!r.peer_finished || r.finishing || r.started == 0 || v.bitmap == nullptr) return;
  if (v.state.conn != Conn::kSyncSource && v.state.conn != Conn::kPausedSyncS) return;
  if (v.bitmap->set_count() > r.failed_bits) return;
  r.finishing = true;
  SendPing();
}

void ResourceImpl::EndRun(Volume& v) {
  if (v.run.started == 0) return;
  for (uint16_t s = 0; s < kPeerSlots; ++s) {
    PeerRequest& r = peer[s];
    if (r.kind == PeerRequest::Kind::kFree || r.volume != v.index) continue;
    // What we read for our own sake: a result that comes late would be counted in the next run.
    const bool own_read = r.kind == PeerRequest::Kind::kCsumOwn || r.kind == PeerRequest::Kind::kVerifyCompare;
    if (own_read && r.phase == PeerRequest::Phase::kHeld) {
      r.orphan = true;
      if (r.kind == PeerRequest::Kind::kVerifyCompare && v.unacked > 0) --v.unacked;
    }
    r.of_ended_run = own_read || r.is_resync_data();
    // The peer is done with this run as well: an answer that comes late would be taken for one to the next.
    const bool served = r.kind == PeerRequest::Kind::kResyncRead || r.kind == PeerRequest::Kind::kCsumServe;
    if (served && !r.orphan && r.phase != PeerRequest::Phase::kSending) {
      r.orphan = true;
      if (v.unacked > 0) --v.unacked;
    }
  }
  for (const uint16_t slot : v.resync_durable) RefuseResyncWrite(v, slot);
  v.resync_durable.clear();
  v.resync_flush_covers = 0;
  v.resync_flush_at = kNever;
  ReportOutOfSync(v);
  v.run = ResyncRun{};
  WriteBitmapSoon(v);
  if (!v.peer_waiting.empty()) v.kick_due = true;
}

}  // namespace drbdts::core
