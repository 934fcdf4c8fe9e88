// What the peer asks of this node's disk: its writes, with their epochs, and its reads (drbd-protocol §3, §7).
#include <algorithm>
#include <cstring>

#include "core/resource_impl.h"

namespace drbdts::core {

uint16_t ResourceImpl::TakePeerSlot(PeerRequest::Kind kind, Volume& v) {
  if (peer_free.empty()) return kNoSlot16;
  const uint16_t slot = peer_free.back();
  peer_free.pop_back();
  PeerRequest& r = peer[slot];
  r = PeerRequest{};
  r.kind = kind;
  r.volume = v.index;
  return slot;
}

void ResourceImpl::FreePeerSlot(uint16_t slot) {
  PeerRequest& r = peer[slot];
  Volume& v = V(r.volume);
  if (r.buffer) r.arena->Give(r.buffer);
  RemoveInterval(v, r.interval);
  if (r.al_pinned) UnpinExtents(v, r.range());
  r.kind = PeerRequest::Kind::kFree;
  peer_free.push_back(slot);
}

void ResourceImpl::Ack(Volume& v, Command c, uint64_t sector, uint64_t block_id, uint32_t bytes) {
  BlockAck p;
  p.sector = sector;
  p.block_id = block_id;
  p.size = bytes;
  p.seq_num = ++v.seq_out;
  SendMeta(v.config.volume, c, p);
}

bool ResourceImpl::TracksForPeer(const Volume& v) const {
  // The Primary has no usable disk: what it writes exists here alone, and a crash of ours must remember where (drbd-protocol §4.5).
  return v.state.pdsk < Disk::kInconsistent && v.state.peer == Role::kPrimary;
}

void ResourceImpl::OnPeerWrite(Volume& v, const Packet& p, Buffer payload) {
  const auto& d = std::get<DataPacket>(p.body);
  const uint64_t sectors = d.size / kSectorSize;
  ReceiveEpoch& e = receive_epochs.At(receive_epochs.size() - 1);
  const bool outside = d.sector + sectors > v.size_sectors || d.sector + sectors < d.sector;
  if (outside || p.command == Command::kWsame) {
    if (payload) arenas.net->Give(payload);
    ProtocolError(outside ? "write beyond the end of the device at sector " + std::to_string(d.sector) : "P_WSAME was not agreed");
    return;
  }
  if ((p.command == Command::kTrim && (features & kFeatureTrim) == 0) || (p.command == Command::kZeroes && (features & kFeatureWzeroes) == 0)) {
    ProtocolError(std::string(CommandName(p.command)) + " was not agreed");
    return;
  }
  if (p.command == Command::kData && config.net.data_integrity_alg != DigestAlgorithm::kNone) {
    const Digest own = ComputeDigest(config.net.data_integrity_alg, arenas.net->Bytes(payload).first(d.size));
    if (!(own == d.digest)) {
      arenas.net->Give(payload);
      ProtocolError("Digest integrity check FAILED: " + std::to_string(d.sector) + "s +" + std::to_string(d.size));
      return;
    }
  }
  v.net_received_sectors += sectors;
  const PeerRequest::Kind kind = p.command == Command::kData ? PeerRequest::Kind::kWrite
                                 : p.command == Command::kTrim ? PeerRequest::Kind::kDiscard : PeerRequest::Kind::kZero;
  const uint16_t slot = TakePeerSlot(kind, v);
  if (slot == kNoSlot16) {
    if (payload) arenas.net->Give(payload);
    DropLater(Conn::kNetworkFailure, false, "more writes in flight than this node has room for");
    return;
  }
  PeerRequest& r = peer[slot];
  r.sector = d.sector;
  r.bytes = d.size;
  r.block_id = d.block_id;
  r.dp_flags = d.dp_flags;
  r.buffer = payload;
  r.arena = arenas.net;
  r.epoch = receive_epoch_first + receive_epochs.size() - 1;
  ++e.writes;
  ++e.active;
  e.volumes |= static_cast<uint16_t>(1u << v.index);
  ++v.unacked;
  if (!v.has_disk()) {
    r.failed = true;
    FinishPeerWrite(slot);
    return;
  }
  if (TracksForPeer(v) && v.state.disk == Disk::kUpToDate && PeerMayShareGeneration(v)) {
    // The first write of a Primary that came without a disk of its own: from here on the data is a generation of its own. Not earlier:
    // such a Primary may still refuse this connection, and then nothing has happened here. Its blocks wait for the super block.
    NewCurrent(v);
    v.after_meta.send_uuids = true;
  }
  if ((d.dp_flags & kDpSendReceiveAck) != 0) Ack(v, Command::kRecvAck, d.sector, d.block_id, d.size);
  r.interval = v.intervals.Add(r.range());
  if (!v.peer_waiting.empty() || !StartPeer(slot)) v.peer_waiting.push_back(slot);
}

void ResourceImpl::OnPeerRead(Volume& v, const Packet& p) {
  const auto& q = std::get<BlockRequest>(p.body);
  const uint64_t sectors = q.size / kSectorSize;
  if (q.size == 0 || q.size % kSectorSize != 0 || q.size > kMaxRequestBytes || q.sector + sectors > v.size_sectors || q.sector + sectors < q.sector) {
    ProtocolError(std::string(CommandName(p.command)) + " outside the device or of a bad size");
    return;
  }
  PeerRequest::Kind kind = PeerRequest::Kind::kResyncRead;
  if (p.command == Command::kDataRequest) kind = PeerRequest::Kind::kRead;
  if (p.command == Command::kCsumRsRequest) kind = PeerRequest::Kind::kCsumServe;
  if (p.command == Command::kOvRequest) kind = PeerRequest::Kind::kVerifyServe;
  const Command refusal = kind == PeerRequest::Kind::kRead ? Command::kNegDreply : Command::kNegRsDreply;
  if (!v.has_disk() || v.state.disk != Disk::kUpToDate) {
    Ack(v, refusal, q.sector, q.block_id, q.size);
    return;
  }
  if (kind == PeerRequest::Kind::kCsumServe && (config.net.csums_alg == DigestAlgorithm::kNone || q.digest.size != DigestBytes(config.net.csums_alg))) {
    ProtocolError("P_CSUM_RS_REQUEST without csums-alg");
    return;
  }
  if (kind == PeerRequest::Kind::kVerifyServe && v.state.conn == Conn::kVerifyT && v.run.started != 0 && !v.run.asked_any) {
    // The first request tells where the peer begins.
    v.run.asked_any = true;
    v.run.cursor = q.sector / kSectorsPerBlock;
    v.run.verify_left = v.bitmap->bits() - std::min(v.bitmap->bits(), v.run.cursor);
    v.run.total_bits = v.run.verify_left;
  }
  if (kind == PeerRequest::Kind::kResyncRead || kind == PeerRequest::Kind::kCsumServe) v.run.heard_from_target = true;
  const uint16_t slot = TakePeerSlot(kind, v);
  if (slot == kNoSlot16) {
    Ack(v, refusal, q.sector, q.block_id, q.size);
    return;
  }
  PeerRequest& r = peer[slot];
  r.sector = q.sector;
  r.bytes = q.size;
  r.block_id = q.block_id;
  r.digest = q.digest;
  ++v.unacked;
  r.interval = v.intervals.Add(r.range());
  // A source that has something better to do serves resync reads a little later (c-min-rate).
  if ((kind == PeerRequest::Kind::kResyncRead || kind == PeerRequest::Kind::kCsumServe) && v.state.peer != Role::kPrimary && Throttled(v)) {
    r.not_before = now + kTenth;
  }
  if (!v.peer_waiting.empty() || !StartPeer(slot)) v.peer_waiting.push_back(slot);
}

void ResourceImpl::KickPeer(Volume& v) {
  if (v.peer_waiting.empty()) return;
  size_t keep = 0;
  const size_t n = v.peer_waiting.size();
  for (size_t i = 0; i < n; ++i) {
    const uint16_t slot = v.peer_waiting[i];
    if (peer[slot].kind == PeerRequest::Kind::kFree || peer[slot].phase == PeerRequest::Phase::kDisk) continue;
    if (!StartPeer(slot)) v.peer_waiting[keep++] = slot;
  }
  // StartPeer never adds to the list, but a failed disk may finish requests on the way.
  v.peer_waiting.resize(keep);
}

/// While I/O is frozen a write that has not started does not stand in the way of a resync: it may be the end of that resync that thaws.
void ResourceImpl::LetResyncPass(Volume& v, const PeerRequest& r) {
  const bool frozen = v.state.susp || v.state.susp_nod || v.state.susp_fen;
  if (!frozen || (r.kind != PeerRequest::Kind::kResyncRead && r.kind != PeerRequest::Kind::kCsumServe)) return;
  for (uint32_t i = 0; i < v.held.size(); ++i) {
    const AppRequest& a = app[v.held.At(i)];
    if (a.phase == AppRequest::Phase::kHeld && a.interval != IntervalSet::kNone && a.range.Overlaps(r.range())) v.intervals.Requeue(a.interval);
  }
}

bool ResourceImpl::StartPeer(uint16_t slot) {
  PeerRequest& r = peer[slot];
  Volume& v = V(r.volume);
  const bool write = r.kind == PeerRequest::Kind::kWrite || r.kind == PeerRequest::Kind::kDiscard || r.kind == PeerRequest::Kind::kZero;
  const bool resync_write = r.is_resync_data();
  if (r.orphan && r.phase == PeerRequest::Phase::kHeld) {
    FreePeerSlot(slot);
    return true;
  }
  if (r.of_ended_run && r.phase == PeerRequest::Phase::kHeld) {
    RefuseResyncWrite(v, slot);
    return true;
  }
  if (resync_write && r.overtaken) {  // its blocks are still marked: they are asked for once more
    if (v.run.writes_open > 0) --v.run.writes_open;
    if (v.unacked > 0) --v.unacked;
    FreePeerSlot(slot);
    return true;
  }
  if (v.intervals.Blocked(r.interval)) {
    LetResyncPass(v, r);
    if (v.intervals.Blocked(r.interval)) return false;
  }
  if (r.not_before > now) return false;
  if (!v.has_disk()) {
    r.failed = true;
    if (write) FinishPeerWrite(slot);
    else if (resync_write) OnResyncWritten(v, slot);
    else OnPeerIo(slot, 5);
    return true;
  }
  if (write) {
    // Writes of an epoch start when the one before is safe on disk: the peer may rely on that order.
    if (r.epoch != receive_epoch_first) return false;
    if (!MetaIdle(v)) return false;
    if (TracksForPeer(v)) {
      if (!r.al_pinned) {
        bool hot = false;
        if (!PinExtents(v, r.range(), hot)) return false;
        r.al_pinned = true;
        r.phase = PeerRequest::Phase::kLogging;
      }
      if (v.config.options.al_updates && !ExtentsHot(v, r.range())) return false;
      SetOutOfSync(v, r.range());
    }
  }
  if (!write && !resync_write && !r.buffer) {
    r.buffer = arenas.sync->TakeBytes(r.bytes);
    r.arena = arenas.sync;
    if (!r.buffer) return false;
  }
  r.phase = PeerRequest::Phase::kDisk;
  Action::Kind action = Action::Kind::kDiskRead;
  if (r.kind == PeerRequest::Kind::kWrite || r.kind == PeerRequest::Kind::kResyncWrite) action = Action::Kind::kDiskWrite;
  if (r.kind == PeerRequest::Kind::kDiscard || r.kind == PeerRequest::Kind::kResyncDeallocate || r.kind == PeerRequest::Kind::kZero) {
    const bool discard = r.kind != PeerRequest::Kind::kZero && v.facts.can_discard && v.facts.discard_zeroes;
    action = discard ? Action::Kind::kDiskDiscard : Action::Kind::kDiskZero;
  }
  Action& a = Do(action, r.volume);
  a.io = MakeIoId(IoKind::kPeer, r.volume, slot);
  a.offset_bytes = r.sector * kSectorSize;
  a.bytes = r.bytes;
  a.data = r.buffer ? r.arena->Bytes(r.buffer).data() : nullptr;
  a.dsync = write && (r.dp_flags & kDpFua) != 0;
  a.may_unmap = r.kind != PeerRequest::Kind::kZero || (r.dp_flags & kDpDiscard) != 0;
  ++v.io_in_flight;
  ++v.local_count;
  return true;
}

void ResourceImpl::OnPeerIo(uint16_t slot, int error) {
  PeerRequest& r = peer[slot];
  Volume& v = V(r.volume);
  if (r.phase == PeerRequest::Phase::kDisk && v.local_count > 0) --v.local_count;
  const bool write = r.kind == PeerRequest::Kind::kWrite || r.kind == PeerRequest::Kind::kDiscard || r.kind == PeerRequest::Kind::kZero;
  const bool resync_write = r.is_resync_data();
  if (error != 0) {
    r.failed = true;
    DiskError(v, write || resync_write ? "write" : "read", false, error);
  } else {
    (write || resync_write ? v.disk_written_sectors : v.disk_read_sectors) += r.bytes / kSectorSize;
  }
  if (r.orphan) {
    FreePeerSlot(slot);
    v.kick_due = true;
    return;
  }
  if (write) {
    FinishPeerWrite(slot);
    return;
  }
  if (resync_write) {
    OnResyncWritten(v, slot);
    return;
  }
  switch (r.kind) {
    case PeerRequest::Kind::kRead:
      if (r.failed) {
        Ack(v, Command::kNegDreply, r.sector, r.block_id, r.bytes);
        break;
      }
      SendReadReply(slot, Command::kDataReply);
      return;
    case PeerRequest::Kind::kResyncRead:
      if (r.failed) {
        Ack(v, Command::kNegRsDreply, r.sector, r.block_id, r.bytes);
        v.run.failed_bits += BitsOfSectors(r.bytes / kSectorSize);
        break;
      }
      SendReadReply(slot, Command::kRsDataReply);
      return;
    case PeerRequest::Kind::kCsumServe: {
      if (r.failed) {
        Ack(v, Command::kNegRsDreply, r.sector, r.block_id, r.bytes);
        v.run.failed_bits += BitsOfSectors(r.bytes / kSectorSize);
        break;
      }
      const Digest own = ComputeDigest(config.net.csums_alg, r.arena->Bytes(r.buffer).first(r.bytes));
      if (own == r.digest) {
        SetInSync(v, r.range());
        Ack(v, Command::kRsIsInSync, r.sector, kIdSyncer, r.bytes);
        break;
      }
      SendReadReply(slot, Command::kRsDataReply);
      return;
    }
    case PeerRequest::Kind::kVerifyServe: {
      BlockRequest reply;
      reply.sector = r.sector;
      reply.block_id = kIdSyncer;
      reply.size = r.bytes;
      if (config.net.verify_alg == DigestAlgorithm::kNone) {
        ProtocolError("P_OV_REQUEST without verify-alg");
        break;
      }
      if (r.failed) reply.digest.size = DigestBytes(config.net.verify_alg);  // zeroes say: could not read
      else reply.digest = ComputeDigest(config.net.verify_alg, r.arena->Bytes(r.buffer).first(r.bytes));
      SendData(v.config.volume, Command::kOvReply, reply);
      break;
    }
    case PeerRequest::Kind::kVerifyCompare: CompareVerify(slot); return;
    case PeerRequest::Kind::kCsumOwn: {
      if (r.of_ended_run) {
        FreePeerSlot(slot);
        return;
      }
      BlockRequest q;
      q.sector = r.sector;
      q.block_id = kIdSyncer;
      q.size = r.bytes;
      if (!r.failed && v.state.conn == Conn::kSyncTarget) {
        q.digest = ComputeDigest(config.net.csums_alg, r.arena->Bytes(r.buffer).first(r.bytes));
        SendData(v.config.volume, Command::kCsumRsRequest, q);
      } else if (v.run.requests_open > 0) {
        --v.run.requests_open;
        v.run.rate.Cancelled(r.bytes / kSectorSize);
      }
      FreePeerSlot(slot);
      return;
    }
    default: CHECK(false);
  }
  if (v.unacked > 0) --v.unacked;
  FreePeerSlot(slot);
}

void ResourceImpl::FinishPeerWrite(uint16_t slot) {
  PeerRequest& r = peer[slot];
  Volume& v = V(r.volume);
  const bool syncing = v.state.conn >= Conn::kSyncSource && v.state.conn <= Conn::kPausedSyncT;
  if (r.failed) {
    Ack(v, Command::kNegAck, r.sector, r.block_id, r.bytes);
    SetOutOfSync(v, r.range());
  } else if ((r.dp_flags & kDpSendWriteAck) != 0) {
    const bool in_sync = syncing && (r.dp_flags & kDpMaySetInSync) != 0;
    if (in_sync) SetInSync(v, r.range());
    Ack(v, in_sync ? Command::kRsWriteAck : Command::kWriteAck, r.sector, r.block_id, r.bytes);
  }
  if (v.unacked > 0) --v.unacked;
  const uint32_t at = r.epoch - receive_epoch_first;
  CHECK(at < receive_epochs.size());
  ReceiveEpoch& e = receive_epochs.At(at);
  CHECK(e.active > 0);
  --e.active;
  FreePeerSlot(slot);
}

void ResourceImpl::SendReadReply(uint16_t slot, Command c) {
  PeerRequest& r = peer[slot];
  Volume& v = V(r.volume);
  DataPacket d;
  d.sector = r.sector;
  d.block_id = c == Command::kDataReply ? r.block_id : kIdSyncer;
  d.size = r.bytes;
  const std::span<const uint8_t> bytes = r.arena->Bytes(r.buffer).first(r.bytes);
  if (config.net.data_integrity_alg != DigestAlgorithm::kNone) d.digest = ComputeDigest(config.net.data_integrity_alg, bytes);
  r.phase = PeerRequest::Phase::kSending;
  if (v.unacked > 0) --v.unacked;
  v.net_sent_sectors += r.bytes / kSectorSize;
  // Queued behind every earlier and ahead of every later write: from here the order on the socket protects the peer.
  RemoveInterval(v, r.interval);
  if (!SendData(v.config.volume, c, d, bytes.data(), r.bytes, uint64_t{1} << 32 | slot)) FreePeerSlot(slot);
}

void ResourceImpl::OnReplySent(uint16_t slot) {
  CHECK(peer[slot].phase == PeerRequest::Phase::kSending);
  Volume& v = V(peer[slot].volume);
  FreePeerSlot(slot);
  if (!v.peer_waiting.empty()) v.kick_due = true;
}

// ---- epochs of the peer's writes ----

void ResourceImpl::OnBarrier(const BarrierPacket& p) {
  if (receive_epochs.full()) {
    ProtocolError("more epochs than this node keeps");
    return;
  }
  ReceiveEpoch& e = receive_epochs.At(receive_epochs.size() - 1);
  e.closed = true;
  e.handle = p.handle;
  receive_epochs.Push({});
}

void ResourceImpl::PumpReceiveEpochs() {
  while (receive_epochs.size() > 1) {
    ReceiveEpoch& e = receive_epochs.Front();
    if (!e.closed || e.active != 0) return;
    if (!e.flushing) {
      e.flushing = true;
      for (auto& v : volumes) {
        if ((e.volumes >> v->index & 1) == 0) continue;
        if (!v->has_disk() && Linked()) {
          // Losing the connection is what makes the peer remember its blocks as out of sync.
          DropLater(Conn::kNetworkFailure, false, "the local disk failed before it was flushed: the peer must not count on this epoch");
          return;
        }
        if (!v->has_disk() || !v->config.options.disk_flushes) continue;
        Action& a = Do(Action::Kind::kDiskFlush, v->index);
        a.io = MakeIoId(IoKind::kPeerFlush, v->index, connection_number);
        ++v->io_in_flight;
        ++e.flushes_pending;
      }
    }
    if (e.flushes_pending != 0) return;
    BarrierAckPacket p;
    p.handle = e.handle;
    p.set_size = e.writes;
    receive_epochs.Pop();
    ++receive_epoch_first;
    if (Linked()) SendMeta(0, Command::kBarrierAck, p);
    for (auto& v : volumes) KickPeer(*v);
  }
}

void ResourceImpl::OnPeerFlushDone(Volume& v, uint32_t of_connection, int error) {
  if (error != 0) {
    DiskError(v, "flush", false, error);
    // The epoch is not safe here. Losing the connection is what makes the peer remember its blocks as out of sync.
    if (of_connection == connection_number) DropLater(Conn::kNetworkFailure, false, "a flush of the local disk failed: the peer must not count on this epoch");
    return;
  }
  // A flush of an earlier connection has nobody waiting.
  if (of_connection != connection_number || receive_epochs.empty() || receive_epochs.Front().flushes_pending == 0) return;
  --receive_epochs.Front().flushes_pending;
}

void ResourceImpl::AbortPeerRequests(Volume& v) {
  for (uint16_t s = 0; s < kPeerSlots; ++s) {
    PeerRequest& r = peer[s];
    if (r.kind == PeerRequest::Kind::kFree || r.volume != v.index) continue;
    if (r.phase == PeerRequest::Phase::kDisk) {
      r.orphan = true;
      continue;
    }
    FreePeerSlot(s);
  }
  v.peer_waiting.clear();
  v.resync_durable.clear();
  v.unacked = 0;
}

}  // namespace drbdts::core
