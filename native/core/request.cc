// Application requests: from the front end to the disks of both nodes and back (drbd-protocol §3).
#include <algorithm>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr int kEio = 5;
constexpr int kEinval = 22;
}  // namespace

bool ResourceImpl::Replicating(const Volume& v) const {
  if (!Linked()) return false;
  const State& s = v.state;
  return s.pdsk == Disk::kUpToDate ? s.conn >= Conn::kConnected && s.conn != Conn::kWFBitMapS && s.conn != Conn::kAhead
                                   : s.pdsk >= Disk::kInconsistent && s.pdsk != Disk::kDUnknown && s.conn >= Conn::kWFBitMapT &&
                                         s.conn <= Conn::kPausedSyncT;
}

bool ResourceImpl::SendsOutOfSync(const Volume& v) const {
  return Linked() && (v.state.conn == Conn::kWFBitMapS || v.state.conn == Conn::kAhead);
}

bool ResourceImpl::Suspended(const Volume& v) const {
  const State& s = v.state;
  if (s.susp || s.susp_nod || s.susp_fen || v.detaching || v.moving) return true;
  if (s.conn == Conn::kWFBitMapT || s.conn == Conn::kWFSyncUuid) return true;
  if (s.disk == Disk::kAttaching || s.disk == Disk::kNegotiating) return true;
  return false;
}

void ResourceImpl::OnRequest(uint16_t volume, const BlockIo& io) {
  CHECK(!app_free.empty());
  Volume& v = V(volume);
  const uint64_t sectors = io.bytes / kSectorSize;
  const bool outside = io.op != BlockOp::kFlush &&
                       (io.bytes == 0 || io.bytes % kSectorSize != 0 || io.sector + sectors > v.size_sectors || io.sector + sectors < io.sector ||
                        io.bytes > (io.op == BlockOp::kRead || io.op == BlockOp::kWrite ? kMaxRequestBytes : kMaxDiscardPieceBytes));
  if (outside || v.state.role != Role::kPrimary) {
    Action& a = Do(Action::Kind::kComplete, volume);
    a.tag = io.tag;
    a.error = outside ? kEinval : kEio;
    return;
  }
  const uint16_t slot = app_free.back();
  app_free.pop_back();
  AppRequest& a = app[slot];
  const auto generation = static_cast<uint16_t>(a.generation + 1);
  a = AppRequest{};
  a.generation = generation;
  a.phase = AppRequest::Phase::kHeld;
  a.volume = volume;
  a.io = io;
  a.range = {io.sector, io.sector + sectors};
  if (io.op != BlockOp::kRead && io.op != BlockOp::kFlush) {
    a.interval = v.intervals.Add(a.range);
  }
  v.app_sectors += sectors;
  ++v.app_open;
  if (!v.held.empty() || !StartApp(slot)) v.held.Push(slot);
}

bool ResourceImpl::StartApp(uint16_t slot) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  if (cutting) {
    CompleteApp(slot, kEio);
    return true;
  }
  if (Suspended(v)) return false;
  switch (a.io.op) {
    case BlockOp::kRead:
      if (v.app_again != 0 && ShownBefore(v, a.range)) return false;
      StartRead(slot);
      return true;
    case BlockOp::kFlush: StartFlush(slot); return true;
    default: break;
  }
  // Nothing is written while the super block says less than it should: a crash now must find the truth.
  if (!MetaIdle(v)) return false;
  if (a.interval != IntervalSet::kNone && v.intervals.Blocked(a.interval)) return false;
  if (transfer_log.full() || closed_epochs.size() + 2 >= kEpochRing) {
    CloseEpoch();
    return false;
  }
  if (v.has_disk() && !a.al_pinned) {
    bool hot = false;
    if (!PinExtents(v, a.range, hot)) {
      if (Linked() && epoch_writes != 0) CloseEpoch();
      return false;
    }
    a.al_pinned = true;
    if (!hot) {
      a.phase = AppRequest::Phase::kLogging;
      v.al_waiting.Push(slot);
      return true;
    }
  }
  StartWrite(slot);
  return true;
}

/// A write that froze may have been read from the disk that is gone now, and the other one lacks it: until it is done there, too, a read
/// would go back in time.
bool ResourceImpl::ShownBefore(const Volume& v, const SectorRange& r) const {
  for (const AppRequest& a : app) {
    if (a.phase != AppRequest::Phase::kFree && a.again && a.volume == v.index && a.range.Overlaps(r)) return true;
  }
  return false;
}

void ResourceImpl::Kick(Volume& v) {
  if (v.held.empty()) return;
  // In order, but one that must wait does not hold up others that need not: order matters only where ranges overlap, and the
  // intervals see to that.
  uint32_t n = v.held.size();
  while (n-- > 0) {
    const uint16_t slot = v.held.Pop();
    if (app[slot].phase != AppRequest::Phase::kHeld) continue;
    if (!StartApp(slot)) v.held.Push(slot);
  }
}

void ResourceImpl::StartRead(uint16_t slot) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  const bool whole = v.state.disk == Disk::kUpToDate;
  const bool partly = v.state.disk >= Disk::kInconsistent && v.state.disk <= Disk::kOutdated && v.bitmap != nullptr &&
                      (v.state.conn == Conn::kSyncTarget || v.state.conn == Conn::kPausedSyncT) && !v.bitmap->AnySet(a.range);
  if (v.has_disk() && !a.local_failed && (whole || partly)) {
    a.phase = AppRequest::Phase::kActive;
    a.local_pending = true;
    Action& d = Do(Action::Kind::kDiskRead, a.volume);
    d.io = MakeIoId(IoKind::kAppRead, a.volume, slot);
    d.offset_bytes = a.io.sector * kSectorSize;
    d.bytes = a.io.bytes;
    d.data = a.io.data;
    ++v.io_in_flight;
    ++v.local_count;
    return;
  }
  StartRemoteRead(slot);
}

void ResourceImpl::StartRemoteRead(uint16_t slot) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  a.phase = AppRequest::Phase::kActive;
  if (!Linked() || v.state.pdsk != Disk::kUpToDate || v.state.conn < Conn::kConnected) {
    Log(2, v.index, "IO ERROR: neither local nor remote data, sector " + std::to_string(a.io.sector) + "+" + std::to_string(a.io.bytes / kSectorSize));
    CompleteApp(slot, kEio);
    return;
  }
  a.remote_read = true;
  a.net_pending = 1;
  a.sent_at = now;
  BlockRequest r;
  r.sector = a.io.sector;
  r.block_id = BlockId(slot);
  r.size = a.io.bytes;
  SendData(v.config.volume, Command::kDataRequest, r);
}

void ResourceImpl::StartWrite(uint16_t slot) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  a.phase = AppRequest::Phase::kActive;
  if (cutting) {
    CompleteApp(slot, kEio);
    return;
  }
  const bool remote = Replicating(v);
  const bool local = v.has_disk();
  const bool good = (local && v.state.disk == Disk::kUpToDate) || (remote && v.state.pdsk == Disk::kUpToDate);
  if (!good) {
    Log(2, v.index, "IO ERROR: no UpToDate data to write to");
    CompleteApp(slot, kEio);
    return;
  }
  if (local && v.state.conn >= Conn::kSyncSource) NoteWriteDuringResync(v, a.range);
  flush_forecast.OnWrite();
  if (local) {
    a.local_pending = true;
    const bool write = a.io.op == BlockOp::kWrite;
    const bool zero = a.io.op == BlockOp::kWriteZeroes || !v.facts.discard_zeroes || !v.facts.can_discard;
    Action& d = Do(write ? Action::Kind::kDiskWrite : (zero ? Action::Kind::kDiskZero : Action::Kind::kDiskDiscard), a.volume);
    d.io = MakeIoId(IoKind::kAppWrite, a.volume, slot);
    d.offset_bytes = a.io.sector * kSectorSize;
    d.bytes = a.io.bytes;
    d.data = a.io.data;
    d.dsync = a.io.fua;
    d.may_unmap = a.io.op == BlockOp::kDiscard || a.io.may_unmap;
    ++v.io_in_flight;
    ++v.local_count;
  }
  if (remote) {
    if (!local) v.exposed_on_peer = v.behind_peer = true;
    SendWrite(slot);
    if (flush_forecast.due()) CloseEpoch();
  } else if (local) {
    const uint64_t fresh = v.bitmap->SetRange(a.range);
    if (fresh != 0 && SendsOutOfSync(v)) {
      BlockDescription d;
      d.sector = a.range.begin;
      d.size = static_cast<uint32_t>(a.range.size() * kSectorSize);
      SendData(v.config.volume, Command::kOutOfSync, d);
    }
  }
  if (v.state.conn == Conn::kVerifyS || v.state.conn == Conn::kVerifyT) TaintVerify(v, a.range);
  MaybeComplete(slot);
}

void ResourceImpl::SendWrite(uint16_t slot) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  LogWrite(slot);
  a.sent_at = now;
  a.connection = connection_number;
  DataPacket d;
  d.sector = a.io.sector;
  d.block_id = BlockId(slot);
  d.dp_flags = kDpRwSync | (a.io.fua ? kDpFua : 0);
  if (v.state.conn >= Conn::kSyncSource && v.state.conn <= Conn::kPausedSyncT) {
    d.dp_flags |= kDpMaySetInSync;
    a.counted_sync = true;
  }
  const ReplicationProtocol protocol = config.net.protocol;
  // FUA promises both disks, whatever the protocol.
  if (protocol == ReplicationProtocol::kC || a.counted_sync || a.io.fua) d.dp_flags |= kDpSendWriteAck;
  else if (protocol == ReplicationProtocol::kB) d.dp_flags |= kDpSendReceiveAck;
  const bool handed_over_is_enough = (d.dp_flags & (kDpSendWriteAck | kDpSendReceiveAck)) == 0;
  const uint64_t cookie = handed_over_is_enough ? uint64_t{2} << 32 | slot : 0;
  v.net_sent_sectors += a.range.size();

  if (a.io.op == BlockOp::kWrite) {
    d.seq_num = ++v.seq_out;
    d.size = a.io.bytes;
    if (config.net.data_integrity_alg != DigestAlgorithm::kNone) d.digest = ComputeDigest(config.net.data_integrity_alg, {a.io.data, a.io.bytes});
    a.net_pending = 1;
    SendData(v.config.volume, Command::kData, d, a.io.data, a.io.bytes, cookie);
    return;
  }
  const bool discard = a.io.op == BlockOp::kDiscard;
  if (!discard && (features & kFeatureWzeroes) != 0) {
    d.seq_num = ++v.seq_out;
    d.size = a.io.bytes;
    d.dp_flags |= kDpZeroes | (a.io.may_unmap ? kDpDiscard : 0);
    a.net_pending = 1;
    SendData(v.config.volume, Command::kZeroes, d, nullptr, 0, cookie);
    return;
  }
  if ((features & kFeatureTrim) != 0 && (discard || (features & kFeatureWzeroes) == 0)) {
    // A peer without zero-out packets makes a trimmed range read back as zeroes (drbd-protocol §1.3).
    d.seq_num = ++v.seq_out;
    d.size = a.io.bytes;
    d.dp_flags |= kDpDiscard;
    a.net_pending = 1;
    SendData(v.config.volume, Command::kTrim, d, nullptr, 0, cookie);
    return;
  }
  // The peer knows neither: it gets zeroes as data.
  a.net_pending = 0;
  uint32_t left = a.io.bytes;
  if (config.net.data_integrity_alg != DigestAlgorithm::kNone) {
    d.digest = ComputeDigest(config.net.data_integrity_alg, {zeroes.data(), std::min(left, kMaxRequestBytes)});
  }
  while (left != 0) {
    const uint32_t n = std::min(left, kMaxRequestBytes);
    if (n != std::min(a.io.bytes, kMaxRequestBytes) && d.digest.size != 0) d.digest = ComputeDigest(config.net.data_integrity_alg, {zeroes.data(), n});
    d.seq_num = ++v.seq_out;
    d.size = n;
    ++a.net_pending;
    if (a.net_pending > 1) CountEpochWrite();
    SendData(v.config.volume, Command::kData, d, zeroes.data(), n, cookie);
    d.sector += n / kSectorSize;
    left -= n;
  }
}

void ResourceImpl::StartFlush(uint16_t slot) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  a.phase = AppRequest::Phase::kActive;
  a.sent_at = now;
  a.connection = connection_number;
  if (v.state.disk != Disk::kUpToDate && !(Linked() && v.state.conn >= Conn::kConnected && v.state.pdsk == Disk::kUpToDate)) {
    v.lost_unsafe_writes = false;
    CompleteApp(slot, kEio);  // no good copy is in reach: nobody can say that anything is safe
    return;
  }
  flush_forecast.OnFlush();
  if (v.has_disk() && v.config.options.disk_flushes && v.writes_durable != v.writes_done) {
    a.local_pending = true;
    a.flush_covers = v.writes_done;
    Action& d = Do(Action::Kind::kDiskFlush, a.volume);
    d.io = MakeIoId(IoKind::kAppFlush, a.volume, slot);
    ++v.io_in_flight;
    ++v.local_count;
  } else {
    a.local_done = v.has_disk();
  }
  if (Linked()) {
    // What the peer has of this epoch must be on its disk too (design §5): its barrier acknowledgement says so.
    if (epoch_writes != 0) CloseEpoch();
    if (!closed_epochs.empty()) {
      a.flush_epoch = closed_epochs.At(closed_epochs.size() - 1).number;
      a.net_pending = 1;
      flush_waiters.Push(slot);
    } else {
      a.net_done = v.state.conn >= Conn::kConnected && v.state.pdsk == Disk::kUpToDate;
    }
  }
  MaybeComplete(slot);
}

AppRequest* ResourceImpl::FindApp(uint64_t block_id, uint16_t volume, uint64_t sector, uint16_t& slot) {
  if (block_id == 0) return nullptr;
  const uint64_t raw = block_id - 1;
  if ((raw >> 32) != 0) return nullptr;
  slot = static_cast<uint16_t>(raw);
  if (slot >= kAppSlots) return nullptr;
  AppRequest& a = app[slot];
  if (a.phase != AppRequest::Phase::kActive || a.generation != static_cast<uint16_t>(raw >> 16) || a.volume != volume) return nullptr;
  if (sector < a.range.begin || sector >= a.range.end) return nullptr;
  return &a;
}

void ResourceImpl::OnWriteAck(Volume& v, Command c, const BlockAck& p) {
  uint16_t slot;
  AppRequest* found = FindApp(p.block_id, v.index, p.sector, slot);
  if (found == nullptr || found->net_pending == 0 || found->remote_read || found->io.op == BlockOp::kRead || found->io.op == BlockOp::kFlush) {
    // A peer that acknowledged an A/B write early may still send the outcome of one we completed long ago.
    if (c == Command::kNegAck) {
      SetOutOfSync(v, {p.sector, p.sector + p.size / kSectorSize});
      return;
    }
    DropLater(Conn::kNetworkFailure, false, std::string("failed to find request for ") + CommandName(c) + " at sector " + std::to_string(p.sector));
    return;
  }
  AppRequest& a = *found;
  if (c == Command::kNegAck) {
    a.net_failed = true;
    Log(1, v.index, "the peer could not write sector " + std::to_string(p.sector) + ": out of sync there");
    SetOutOfSync(v, a.range);
    if (v.config.options.fencing == Fencing::kResourceAndStonith && v.state.pdsk == Disk::kUpToDate) {
      // Its P_STATE comes on the other socket, and may be later: the answer to this write has to wait for the fencing all the same.
      State s = v.state;
      s.pdsk = Disk::kInconsistent;
      if (s.conn >= Conn::kSyncSource) s.conn = Conn::kConnected;  // nothing is compared with such a disk, nor copied from it
      Force(v, s);
    }
  } else {
    a.net_done = true;
    if (c == Command::kRsWriteAck) a.set_in_sync = true;
  }
  --a.net_pending;
  MaybeComplete(slot);
}

void ResourceImpl::OnAppIo(IoKind kind, uint16_t slot, int error) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  CHECK(a.phase == AppRequest::Phase::kActive && a.local_pending);
  a.local_pending = false;
  --v.local_count;
  if (error == 0) {
    a.local_done = true;
    if (kind == IoKind::kAppRead) v.disk_read_sectors += a.range.size();
    if (kind == IoKind::kAppWrite) v.disk_written_sectors += a.range.size();
    if (kind == IoKind::kAppFlush) v.writes_durable = std::max(v.writes_durable, a.flush_covers);
  } else {
    a.local_failed = true;
    DiskError(v, kind == IoKind::kAppRead ? "read" : (kind == IoKind::kAppWrite ? "write" : "flush"), false, error);
  }
  if (kind == IoKind::kAppRead) {
    if (error == 0) CompleteApp(slot, 0);
    else StartRemoteRead(slot);
    return;
  }
  MaybeComplete(slot);
}

/// The peer's good disk has what this write or flush was about. Only as long as we are connected: once we are apart our own generation goes
/// on without it, and the next resync would take it away from the peer.
bool ResourceImpl::PeerHasIt(const AppRequest& a) const {
  const State& s = volumes[a.volume]->state;
  return a.net_done && !a.net_failed && a.connection == connection_number && s.conn >= Conn::kConnected && s.pdsk == Disk::kUpToDate;
}

/// What only one of the disks has is answered when the other cannot come back as if nothing had happened: not before our own super block
/// says what has become of the peer or of our disk, and, if our disk is gone, not before the peer has written down a new generation.
bool ResourceImpl::MayAnswer(const AppRequest& a) const {
  const Volume& v = *volumes[a.volume];
  if (a.local_done && v.state.disk == Disk::kUpToDate && a.net_done && !a.net_failed) return true;
  if (v.peer_generation_until != kNever) return false;
  return !v.meta_ok() || (!v.md_dirty && !v.md_in_flight);
}

/// Answers what had to wait for the super block or the peer's generation.
void ResourceImpl::AnswerWaiting(Volume& v) {
  if (v.peer_generation_until != kNever || (v.meta_ok() && (v.md_dirty || v.md_in_flight))) return;
  v.answers_due = false;
  for (uint16_t s = 0; s < kAppSlots; ++s) {
    if (app[s].phase == AppRequest::Phase::kActive && app[s].volume == v.index) MaybeComplete(s);
  }
}

void ResourceImpl::MaybeComplete(uint16_t slot) {
  AppRequest& a = app[slot];
  if (a.phase != AppRequest::Phase::kActive || a.local_pending || a.net_pending != 0) return;
  if (a.io.op == BlockOp::kRead) return;
  Volume& v = V(a.volume);
  if (a.io.op == BlockOp::kFlush) {
    if (v.state.susp_fen && cutting) {
      FailCut(slot);
      return;
    }
    if (v.state.susp_fen) {  // asked again when I/O resumes, of those who are left
      a.phase = AppRequest::Phase::kHeld;
      a.local_done = a.local_failed = a.net_done = a.net_failed = a.lost_peer = false;
      ++a.generation;
      v.held.Push(slot);
      return;
    }
    if (!MayAnswer(a)) {
      v.answers_due = true;
      return;
    }
    // Only a good copy counts, and none of it may have gone with an epoch that the peer never confirmed.
    bool safe = (a.local_done && v.state.disk == Disk::kUpToDate) || PeerHasIt(a);
    if (safe && v.lost_unsafe_writes) {
      Log(2, v.index, "flush fails: the connection was lost before the peer confirmed writes that only it has");
      safe = false;
    }
    v.lost_unsafe_writes = false;
    CompleteApp(slot, safe ? 0 : kEio);
    return;
  }
  const bool remote_ok = a.net_done && !a.net_failed;
  if (v.state.susp_fen && (a.lost_peer || !a.local_done || !remote_ok)) {
    // Nothing that one of them lacks is acknowledged until it is known to be out: the write is done once more when I/O resumes.
    if (cutting) {
      FailCut(slot);
      return;
    }
    SetOutOfSync(v, a.range);
    a.phase = AppRequest::Phase::kHeld;
    a.local_done = a.local_failed = a.net_done = a.net_failed = a.lost_peer = a.set_in_sync = a.counted_sync = false;
    if (a.in_transfer_log) a.al_pinned = false;
    a.in_transfer_log = false;
    if (!a.again) ++v.app_again;
    a.again = true;
    ++a.generation;
    v.held.Push(slot);
    return;
  }
  if (!MayAnswer(a)) {
    v.answers_due = true;
    return;
  }
  if (!a.local_done && PeerHasIt(a)) v.exposed_on_peer = v.behind_peer = true;  // our own disk may come back without it
  if (!a.local_done && !remote_ok) {
    // Nobody has it: the blocks may hold anything.
    SetOutOfSync(v, a.range);
    CompleteApp(slot, kEio);
    return;
  }
  if (a.local_failed || a.net_failed || !remote_ok) {
    SetOutOfSync(v, a.range);
  } else if (a.set_in_sync && a.local_done) {
    SetInSync(v, a.range);
    CheckSourceDone(v);  // the target may have said already that it is done: these were the last bits, and nothing else comes
  }
  // A write that reached only a copy that is not good would be lost with it: the next resync overwrites an Inconsistent disk with
  // what the peer has. That is a failure.
  const bool stands = (a.local_done && v.state.disk == Disk::kUpToDate) || PeerHasIt(a);
  CompleteApp(slot, stands ? 0 : kEio);
}

void ResourceImpl::CompleteApp(uint16_t slot, int error) {
  AppRequest& a = app[slot];
  Volume& v = V(a.volume);
  Action& c = Do(Action::Kind::kComplete, a.volume);
  c.tag = a.io.tag;
  c.error = error;
  RemoveInterval(v, a.interval);
  // While the peer has not confirmed the epoch the extent stays hot: the transfer log holds the pin from here on.
  if (a.al_pinned && !a.in_transfer_log) UnpinExtents(v, a.range);
  a.al_pinned = false;
  a.phase = AppRequest::Phase::kFree;
  CHECK(v.app_open > 0);
  --v.app_open;
  if (a.again) --v.app_again;
  const bool write = a.io.op != BlockOp::kRead && a.io.op != BlockOp::kFlush;
  app_free.push_back(slot);
  if (write && flush_forecast.due()) StartForecastFlush(v);
}

/// The application will flush as soon as it has heard of this write. When it does, the disk is done already, or well on its way.
void ResourceImpl::StartForecastFlush(Volume& v) {
  if (v.app_open != 0 || v.forecast_open || v.writes_durable == v.writes_done) return;
  if (!v.has_disk() || !v.config.options.disk_flushes || v.detaching) return;
  v.forecast_open = true;
  v.forecast_covers = v.writes_done;
  Action& d = Do(Action::Kind::kDiskFlush, v.index);
  d.io = MakeIoId(IoKind::kForecastFlush, v.index, 0);
  ++v.io_in_flight;
}

void ResourceImpl::OnForecastFlushed(Volume& v, int error) {
  v.forecast_open = false;
  // The kernel reports a lost write to one flush only, and this was it: the disk does not count as good any more when the application asks.
  if (error != 0) DiskError(v, "flush", false, error);
  else v.writes_durable = std::max(v.writes_durable, v.forecast_covers);
}

void ResourceImpl::AbortNetwork(uint16_t slot) {
  AppRequest& a = app[slot];
  if (a.phase != AppRequest::Phase::kActive || a.net_pending == 0) return;
  Volume& v = V(a.volume);
  a.net_pending = 0;
  if (a.remote_read) {
    a.remote_read = false;
    // Again from the start: the disk may be back, or the peer soon.
    a.phase = AppRequest::Phase::kHeld;
    v.held.Push(slot);
    v.kick_due = true;
    return;
  }
  if (a.io.op == BlockOp::kFlush) {
    MaybeComplete(slot);
    return;
  }
  a.net_failed = true;
  a.net_done = false;
  a.lost_peer = true;
  MaybeComplete(slot);
}

void ResourceImpl::RemoveInterval(Volume& v, IntervalSet::Handle& h) {
  if (h == IntervalSet::kNone) return;
  v.intervals.Remove(h);
  h = IntervalSet::kNone;
  if (!v.held.empty() || !v.peer_waiting.empty()) v.kick_due = true;
}

void ResourceImpl::SetOutOfSync(Volume& v, const SectorRange& r) {
  if (v.bitmap != nullptr) v.bitmap->SetRange(r);
}

void ResourceImpl::SetInSync(Volume& v, const SectorRange& r) {
  if (v.bitmap == nullptr) return;
  v.bitmap->ClearRange(r);
  WriteBitmapSoon(v);
}

}  // namespace drbdts::core
