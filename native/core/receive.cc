// From received bytes to what they mean. Every packet of the peer ends here; nothing of it is trusted.
#include <cstdio>
#include <cstring>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr TimeUs kStrangerQuiet = 10 * kSecond;
}  // namespace

std::span<uint8_t> ResourceImpl::ReceiveInto(LinkId id) {
  if (id >= kLinkSlots || !links[id].used) return {};
  Link& l = links[id];
  if (l.stalled) {
    Drain(id);
    if (!l.used || l.stalled) return {};
  }
  if (l.rx_begin == l.rx_end) {
    const std::span<uint8_t> tail = l.reader.PayloadTail();
    if (!tail.empty()) return tail;
    l.rx_begin = l.rx_end = 0;
  }
  // An unfinished header or field block is kept by the reader, so the buffer is drained whenever nothing stalls.
  return {l.rx.data() + l.rx_end, l.rx.size() - l.rx_end};
}

void ResourceImpl::OnReceived(LinkId id, uint32_t bytes) {
  Link& l = links[id];
  if (!l.used || bytes == 0) return;
  last_received = now;
  if (!peer_checks.empty() && now > check_since) EndPeerChecks(1);
  if (l.rx_begin == l.rx_end) {
    const std::span<uint8_t> tail = l.reader.PayloadTail();
    if (!tail.empty()) {
      CHECK(bytes <= tail.size());
      l.reader.PayloadFilled(bytes);
      Drain(id);
      return;
    }
  }
  CHECK(l.rx_end + bytes <= l.rx.size());
  l.rx_end += bytes;
  Drain(id);
}

void ResourceImpl::Drain(LinkId id) {
  Link& l = links[id];
  l.stalled = false;
  l.dropped = false;
  while (l.used && !drop_pending) {
    // Before both sockets stand only the first packet of an accepted link is looked at.
    if (phase == SessionPhase::kNone && (l.identified || l.rx_begin == l.rx_end)) return;
    if (id == meta && phase != SessionPhase::kParameters && phase != SessionPhase::kNone) return;  // kept until the data socket has agreed
    if (id == meta && links[meta].out->pieces() > links[meta].out->capacity() / 2) {
      l.stalled = true;
      return;
    }
    std::span<const uint8_t> in{l.rx.data() + l.rx_begin, l.rx_end - l.rx_begin};
    const size_t before = in.size();
    const PacketReader::Next next = l.reader.Feed(in);
    l.rx_begin += static_cast<uint32_t>(before - in.size());
    if (l.rx_begin == l.rx_end) l.rx_begin = l.rx_end = 0;
    switch (next) {
      case PacketReader::Next::kNeedBytes: return;
      case PacketReader::Next::kNeedPayload: {
        std::span<uint8_t> memory;
        if (!PlacePayload(id, memory)) {
          if (!drop_pending) l.stalled = true;
          return;
        }
        l.reader.SetPayload(memory);
        break;
      }
      case PacketReader::Next::kPacket: {
        const Packet packet = l.reader.packet();
        OnPacket(id, packet);
        if (l.dropped) return;
        break;
      }
      case PacketReader::Next::kError: {
        const std::string why = std::string("bad bytes from the peer on the ") + (id == meta ? "meta" : "data") + " socket: " + l.reader.error().detail;
        if (phase == SessionPhase::kNone) {
          l.identified = true;
          NoteStranger(l.reader.error().detail);
          Connector::Outputs out;
          connector.OnFirstPacket(id, Connector::First::kOther, now, random, out);
          HandleConnector(out);
          return;
        }
        // An unknown command on meta is final for DRBD too (drbd-protocol §1.7).
        const bool final = id == meta && l.reader.error().code == ErrorCode::kUnknownPacket;
        DropLater(final ? Conn::kDisconnecting : Conn::kProtocolError, final, why);
        return;
      }
    }
  }
}

bool ResourceImpl::PlacePayload(LinkId id, std::span<uint8_t>& out) {
  Link& l = links[id];
  const Packet& p = l.reader.packet();
  const uint32_t bytes = BulkBytes(p);
  if (id != data || phase != SessionPhase::kParameters) {
    ProtocolError("payload where none belongs");
    return false;
  }
  const auto* d = std::get_if<DataPacket>(&p.body);
  Volume* v = ByNumber(p.volume);
  if (d == nullptr || v == nullptr) {
    ProtocolError("data for a volume that is not configured here");
    return false;
  }
  if (p.command == Command::kDataReply) {
    uint16_t slot;
    const AppRequest* a = FindApp(d->block_id, v->index, d->sector, slot);
    if (a == nullptr || !a->remote_read || a->io.bytes != bytes) {
      ProtocolError("P_DATA_REPLY for a request that was never made");
      return false;
    }
    out = {a->io.data, bytes};
    return true;
  }
  if (peer_free.size() < 8) return false;
  l.payload = arenas.net->TakeBytes(bytes);
  if (!l.payload) return false;
  out = arenas.net->Bytes(l.payload).first(bytes);
  return true;
}

/// Somebody who is no DRBD peer reached our port. Said in status, and in the log at most once in a while: a port scanner shall not fill it.
void ResourceImpl::NoteStranger(std::string_view why) {
  reason = "dropped a connection that does not come from a DRBD peer: " + std::string(why);
  changed = true;
  if (now < stranger_quiet_until) return;
  stranger_quiet_until = now + kStrangerQuiet;
  Log(1, -1, reason);
}

void ResourceImpl::OnPacket(LinkId id, const Packet& p) {
  if (phase == SessionPhase::kNone) {
    Connector::First first = Connector::First::kOther;
    if (p.command == Command::kInitialData) first = Connector::First::kInitialData;
    if (p.command == Command::kInitialMeta) first = Connector::First::kInitialMeta;
    links[id].identified = true;
    if (first == Connector::First::kOther) NoteStranger(std::string("it began with ") + CommandName(p.command));
    Connector::Outputs out;
    connector.OnFirstPacket(id, first, now, random, out);
    HandleConnector(out);
    return;
  }
  if (id == data) {
    if (phase == SessionPhase::kFeatures) {
      const auto* f = std::get_if<FeaturesPacket>(&p.body);
      if (f == nullptr) {
        Drop(Conn::kDisconnecting, true, std::string("expected P_CONNECTION_FEATURES, got ") + CommandName(p.command));
        return;
      }
      OnFeatures(*f);
      return;
    }
    if (phase == SessionPhase::kAuthChallenge || phase == SessionPhase::kAuthResponse) {
      OnAuth(p);
      if (phase == SessionPhase::kParameters && links[meta].rx_begin != links[meta].rx_end) Drain(meta);
      return;
    }
    Buffer payload = links[data].payload;
    links[data].payload = {};
    OnDataPacket(p, payload);
    return;
  }
  if (id == meta) OnMetaPacket(p);
}

void ResourceImpl::OnUnknownVolume(const Packet& p, bool data_socket) {
  const bool configuration = p.command == Command::kSyncParam || p.command == Command::kSyncParam89 || p.command == Command::kSizes ||
                             p.command == Command::kUuids || p.command == Command::kState;
  if (data_socket && configuration) {
    Log(1, -1, std::string(CommandName(p.command)) + " for volume " + std::to_string(p.volume) + ", which is not configured here: ignored");
    return;
  }
  ProtocolError(std::string(CommandName(p.command)) + " for volume " + std::to_string(p.volume) + ", which is not configured here");
}

void ResourceImpl::OnDataPacket(const Packet& p, Buffer payload) {
  // Whatever is not handed on is given back here.
  struct Guard {
    PageArena* arena;
    Buffer* b;
    ~Guard() {
      if (*b) arena->Give(*b);
    }
  } guard{arenas.net, &payload};

  switch (p.command) {
    case Command::kProtocol: OnProtocol(std::get<ProtocolPacket>(p.body), false); return;
    case Command::kProtocolUpdate: OnProtocol(std::get<ProtocolPacket>(p.body), true); return;
    case Command::kBarrier: OnBarrier(std::get<BarrierPacket>(p.body)); return;
    case Command::kConnStChgReq: OnStateRequest(nullptr, std::get<StateRequest>(p.body)); return;
    case Command::kUnplugRemote:
    case Command::kDelayProbe: return;
    default: break;
  }
  Volume* found = ByNumber(p.volume);
  if (found == nullptr) {
    OnUnknownVolume(p, true);
    return;
  }
  Volume& v = *found;
  if (!protocol_received) {
    ProtocolError(std::string("expected P_PROTOCOL, got ") + CommandName(p.command));
    return;
  }
  switch (p.command) {
    case Command::kSyncParam89: {
      const auto& s = std::get<SyncParamPacket>(p.body);
      if (!v.params_done) {
        const auto verify = DigestByName(s.verify_alg.data());
        const auto csums = DigestByName(s.csums_alg.data());
        if (!verify.has_value() || *verify != config.net.verify_alg) {
          DropLater(Conn::kDisconnecting, true, std::string("incompatible verify-alg settings: the peer has '") + s.verify_alg.data() + "'");
          return;
        }
        if (!csums.has_value() || *csums != config.net.csums_alg) {
          DropLater(Conn::kDisconnecting, true, std::string("incompatible csums-alg settings: the peer has '") + s.csums_alg.data() + "'");
          return;
        }
      }
      DiskOptions& o = v.config.options;
      o.resync_rate_kib = s.resync_rate;
      o.c_plan_ahead = std::min(s.c_plan_ahead, RateController::kPlanMax);
      o.c_delay_target = s.c_delay_target;
      o.c_fill_target = s.c_fill_target;
      o.c_max_rate_kib = s.c_max_rate;
      v.run.rate.SetOptions(RateOptions{o.resync_rate_kib, o.c_plan_ahead, o.c_delay_target, o.c_fill_target, o.c_max_rate_kib, o.c_min_rate_kib,
                                        config.net.max_buffers});
      return;
    }
    case Command::kSizes: OnSizes(v, std::get<SizesPacket>(p.body)); return;
    case Command::kUuids: OnUuids(v, std::get<UuidsPacket>(p.body)); return;
    case Command::kState: OnState(v, DecodeState(std::get<StatePacket>(p.body).state)); return;
    case Command::kSyncUuid: OnSyncUuid(v, std::get<SyncUuidPacket>(p.body).uuid); return;
    case Command::kStateChgReq: OnStateRequest(&v, std::get<StateRequest>(p.body)); return;
    default: break;
  }
  if (!v.params_done) {
    ProtocolError(std::string(CommandName(p.command)) + " before the handshake of the volume was complete");
    return;
  }
  switch (p.command) {
    case Command::kData:
    case Command::kTrim:
    case Command::kZeroes:
    case Command::kWsame: {
      Buffer b = payload;
      payload = {};
      OnPeerWrite(v, p, b);
      return;
    }
    case Command::kDataReply: {
      const auto& d = std::get<DataPacket>(p.body);
      uint16_t slot;
      AppRequest* a = FindApp(d.block_id, v.index, d.sector, slot);
      if (a == nullptr || !a->remote_read) {
        ProtocolError("P_DATA_REPLY for a request that was never made");
        return;
      }
      if (config.net.data_integrity_alg != DigestAlgorithm::kNone &&
          !(ComputeDigest(config.net.data_integrity_alg, {a->io.data, a->io.bytes}) == d.digest)) {
        ProtocolError("Digest integrity check FAILED for a read from the peer at sector " + std::to_string(d.sector));
        return;
      }
      v.net_received_sectors += a->io.bytes / kSectorSize;
      a->remote_read = false;
      a->net_pending = 0;
      CompleteApp(slot, 0);
      return;
    }
    case Command::kRsDataReply: {
      Buffer b = payload;
      payload = {};
      OnResyncReply(v, p, b);
      return;
    }
    case Command::kRsDeallocated: OnResyncReply(v, p, Buffer{}); return;
    case Command::kDataRequest:
    case Command::kRsDataRequest:
    case Command::kRsThinReq:
    case Command::kCsumRsRequest:
    case Command::kOvRequest: OnPeerRead(v, p); return;
    case Command::kOvReply: OnVerifyReply(v, std::get<BlockRequest>(p.body)); return;
    case Command::kOutOfSync: OnOutOfSync(v, std::get<BlockDescription>(p.body)); return;
    case Command::kBitmap:
    case Command::kCompressedBitmap: OnBitmapPacket(v, p.command, std::get<BlobPacket>(p.body).bytes); return;
    default: ProtocolError(std::string("unexpected ") + CommandName(p.command) + " on the data socket"); return;
  }
}

void ResourceImpl::OnMetaPacket(const Packet& p) {
  switch (p.command) {
    case Command::kPing: SendMeta(0, Command::kPingAck, EmptyPacket{}); return;
    case Command::kPingAck: OnPingAck(); return;
    case Command::kDelayProbe: return;
    case Command::kBarrierAck: OnBarrierAck(std::get<BarrierAckPacket>(p.body)); return;
    case Command::kConnStChgReply:
    case Command::kStateChgReply:
      if (state_replies_void > 0) {  // answers come in the order of the questions
        --state_replies_void;
        return;
      }
      if (!state_reply_pending || state_request_connection != (p.command == Command::kConnStChgReply)) {
        ProtocolError(std::string("unexpected ") + CommandName(p.command));
        return;
      }
      state_reply_pending = false;
      state_reply = std::get<StateReply>(p.body).retcode;
      return;
    default: break;
  }
  Volume* found = ByNumber(p.volume);
  if (found == nullptr) {
    OnUnknownVolume(p, false);
    return;
  }
  Volume& v = *found;
  const auto* ack = std::get_if<BlockAck>(&p.body);
  if (ack == nullptr) {
    DropLater(Conn::kDisconnecting, true, std::string("unexpected ") + CommandName(p.command) + " on the meta socket");
    return;
  }
  const uint64_t sectors = ack->size / kSectorSize;
  if (ack->size % kSectorSize != 0 || ack->sector + sectors > v.size_sectors || ack->sector + sectors < ack->sector) {
    DropLater(Conn::kNetworkFailure, false, std::string(CommandName(p.command)) + " beyond the end of the device");
    return;
  }
  switch (p.command) {
    case Command::kRecvAck:
    case Command::kWriteAck: OnWriteAck(v, p.command, *ack); return;
    case Command::kRsWriteAck:
      if (ack->block_id == kIdSyncer) OnResyncAck(v, *ack, false);
      else OnWriteAck(v, p.command, *ack);
      return;
    case Command::kNegAck:
      if (ack->block_id == kIdSyncer) OnResyncAck(v, *ack, true);
      else OnWriteAck(v, p.command, *ack);
      return;
    case Command::kNegDreply: {
      uint16_t slot;
      AppRequest* a = FindApp(ack->block_id, v.index, ack->sector, slot);
      if (a == nullptr || !a->remote_read) {
        DropLater(Conn::kNetworkFailure, false, "P_NEG_DREPLY for a request that was never made");
        return;
      }
      a->remote_read = false;
      a->net_pending = 0;
      Log(2, v.index, "the peer cannot read sector " + std::to_string(ack->sector) + ": the read fails");
      CompleteApp(slot, 5 /* EIO */);
      return;
    }
    case Command::kNegRsDreply: OnNegResyncReply(v, *ack, false); return;
    case Command::kRsCancel: OnNegResyncReply(v, *ack, true); return;
    case Command::kRsIsInSync: OnInSync(v, *ack); return;
    case Command::kOvResult: OnVerifyResult(v, *ack); return;
    default: DropLater(Conn::kDisconnecting, true, std::string("unexpected ") + CommandName(p.command) + " on the meta socket"); return;
  }
}

void ResourceImpl::OnUuids(Volume& v, const UuidsPacket& p) {
  // A Primary that has lost its disk goes on with the peer's data only if that is the generation its users already see. An older one
  // would take back what they were told is written.
  if (v.state.role == Role::kPrimary && v.state.disk < Disk::kInconsistent) {
    // A generation that the peer began when our disk went is the same data as long as nothing was written, or only what we wrote there.
    const bool began_from_ours = WithoutRoleBit(v.exposed_uuid) == WithoutRoleBit(p.uuid[1]) && (v.exposed_on_peer || p.bits_set == 0);
    if (!v.params_done && v.exposed_uuid != 0 && WithoutRoleBit(v.exposed_uuid) != WithoutRoleBit(p.uuid[0]) && !began_from_ours) {
      char id[17];
      std::snprintf(id, sizeof id, "%016llX", static_cast<unsigned long long>(v.exposed_uuid));
      DropLater(Conn::kDisconnecting, true, std::string("Can only connect to data with current UUID=") + id +
                                                ": the peer's data is not what this diskless Primary served last; attach its disk again, or demote it");
      return;
    }
    v.exposed_uuid = p.uuid[0];
  }
  v.peer_uuids = p;
  v.have_peer_uuids = true;
  if (v.attach_answer == Volume::Answer::kAsked) v.attach_answer = Volume::Answer::kNone;
  AwaitPeerGeneration(v, v.state);
  // The peer made both of us UpToDate without a resync (new-current-uuid --clear-bitmap).
  if ((p.flags & kUuidFlagSkipInitialSync) != 0 && v.params_done && v.state.conn == Conn::kConnected && v.meta_ok() &&
      v.super_block.uuids.current == kUuidJustCreated) {
    Log(0, v.index, "Accepted new current UUID, preparing to skip initial sync");
    v.super_block.uuids = {WithRoleBit(p.uuid[0], v.state.role == Role::kPrimary), 0, 0, 0};
    v.bitmap->ClearAll();
    WriteBitmapAll(v);
    State s = v.state;
    s.disk = Disk::kUpToDate;
    s.pdsk = Disk::kUpToDate;
    Force(v, s);
    v.after_meta.send_state = true;  // what we said before may still be on its way
    MarkMeta(v);
    // The peer remembers what we said last, and a resync from us ends with it taking over just that: tell it what we have now.
    v.after_meta.send_uuids = true;
  }
}

void ResourceImpl::OnSyncUuid(Volume& v, uint64_t uuid) {
  if (conn == Conn::kTearDown) return;     // it said goodbye while this was on its way
  if (v.state.disk <= Disk::kFailed || v.attach_answer != Volume::Answer::kNone) return;  // it does not know yet that our disk is, or was, gone
  if (v.state.conn == Conn::kConnected || v.state.conn == Conn::kStartingSyncT || v.state.conn == Conn::kWFBitMapT) {
    v.early_sync_uuid = uuid;  // the answer that makes us wait for it is still on the other socket
    return;
  }
  if (v.state.conn != Conn::kWFSyncUuid && v.state.conn != Conn::kBehind) {
    ProtocolError("unexpected P_SYNC_UUID");
    return;
  }
  v.early_sync_uuid = 0;
  v.pending_sync_uuid = uuid;
  v.waiting_handler = CallHandler("before-resync-target", v.index, true);
}

void ResourceImpl::OnOutOfSync(Volume& v, const BlockDescription& p) {
  const uint64_t sectors = p.size / kSectorSize;
  if (p.size % kSectorSize != 0 || p.sector + sectors > v.size_sectors || p.sector + sectors < p.sector) {
    ProtocolError("P_OUT_OF_SYNC beyond the end of the device");
    return;
  }
  if (v.state.conn != Conn::kWFBitMapT && v.state.conn != Conn::kWFSyncUuid && v.state.conn != Conn::kBehind) {
    Log(1, v.index, std::string("P_OUT_OF_SYNC in state ") + ConnName(v.state.conn));
  }
  if (v.bitmap != nullptr) v.bitmap->SetRange({p.sector, p.sector + sectors});
}

void ResourceImpl::OnStateRequest(Volume* only, const StateRequest& p) {
  const StateRequestWord w = TranslateRequest({p.mask, p.value});
  const bool whole = only == nullptr;
  Verdict verdict = Verdict::kSuccess;
  if ((w.mask & 0x3) != 0) {
    verdict = Verdict::kNotSupported;  // nobody but our administrator changes our role
  } else if (resolve_conflicts && state_reply_pending && state_request_connection == whole) {
    verdict = Verdict::kConcurrentStateChange;
  } else {
    for (auto& v : volumes) {
      if (!whole && v.get() != only) continue;
      if (!v->params_done) {
        verdict = Verdict::kInTransientState;
        break;
      }
      State out;
      const State wanted = ApplyRequest(v->state, w);
      // A peer may ask us to take our data for outdated or inconsistent; whether there is a disk at all is not its business.
      if (wanted.disk != v->state.disk && (v->state.disk < Disk::kInconsistent || (wanted.disk != Disk::kOutdated && wanted.disk != Disk::kInconsistent))) {
        verdict = Verdict::kNotSupported;
        break;
      }
      const Verdict one = Decide(v->state, wanted, Context(*v), out);
      if (static_cast<int>(one) < 1) {
        verdict = one;
        break;
      }
    }
  }
  StateReply reply;
  if (static_cast<int>(verdict) >= 1) {
    for (auto& v : volumes) {
      if (!whole && v.get() != only) continue;
      const Verdict one = Change(*v, ApplyRequest(v->state, w));
      if (static_cast<int>(one) < 1) verdict = one;
    }
  }
  reply.retcode = static_cast<int32_t>(verdict);
  SendMeta(whole ? 0 : only->config.volume, whole ? Command::kConnStChgReply : Command::kStateChgReply, reply);
  if (!whole && static_cast<int>(verdict) >= 1) {
    if (only->state.conn == Conn::kStartingSyncS || only->state.conn == Conn::kStartingSyncT) StartForcedResync(*only);
    else if (only->state.conn == Conn::kVerifyT && only->run.started == 0) StartVerify(*only, 0);
  }
  if (whole && static_cast<int>(verdict) >= 1) {
    // The peer leaves: it closes the sockets once it has our answer.
    conn = Conn::kTearDown;
    reason = "the peer disconnected";
  }
}

}  // namespace drbdts::core
