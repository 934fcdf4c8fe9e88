// Links, the handshake up to the volumes' parameters, pings, timeouts, and the loss of the peer (drbd-protocol §1).
#include <algorithm>
#include <cstring>

#include "core/errno_text.h"
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
TimeUs Tenths(uint64_t ds) { return ds * kTenth; }

void CopyName(std::array<char, kAlgorithmNameBytes>& to, const char* from) {
  to.fill(0);
  std::memcpy(to.data(), from, std::min<size_t>(std::strlen(from), to.size() - 1));
}
const char* AlgorithmOnWire(DigestAlgorithm a) { return a == DigestAlgorithm::kNone ? "" : DigestName(a); }
char Letter(uint32_t protocol) { return protocol >= 1 && protocol <= 3 ? static_cast<char>('A' + protocol - 1) : '?'; }
}  // namespace

void ResourceImpl::OpenLink(LinkId id) {
  CHECK(id < kLinkSlots && !links[id].used);
  Link& l = links[id];
  l.used = true;
  l.stalled = l.dropped = l.identified = false;
  l.reader.Reset();
  l.rx_begin = l.rx_end = 0;
  l.payload = {};
  l.out->Clear([](uint64_t) {});
  l.out_progress = now;
}

void ResourceImpl::ReleaseLink(LinkId id) {
  Link& l = links[id];
  if (!l.used) return;
  if (l.payload) arenas.net->Give(l.payload);
  l.out->Clear([this](uint64_t cookie) {
    // A reply that will never be sent: its slot is free again.
    if ((cookie >> 32) == 1) OnReplySent(static_cast<uint16_t>(cookie));
  });
  l.used = false;
  l.dropped = true;
}

void ResourceImpl::SetConnection(Conn c) {
  if (conn == c) return;
  conn = c;
  for (auto& v : volumes) {
    State s = v->state;
    s.conn = c;
    Force(*v, s);
  }
  Changed();
}

void ResourceImpl::StartConnecting() {
  reconnect_at = kNever;
  SetConnection(Conn::kUnconnected);
  SetConnection(Conn::kWFConnection);
  connector.SetOptions({config.net.connect_int_s, config.net.ping_timeout_ds, 0});
  Connector::Outputs out;
  connector.Start(now, random, out);
  HandleConnector(out);
}

void ResourceImpl::HandleConnector(const Connector::Outputs& out) {
  for (uint32_t i = 0; i < out.count; ++i) {
    const Connector::Output& o = out.item[i];
    switch (o.kind) {
      case Connector::Output::Kind::kListen: Do(Action::Kind::kListen); break;
      case Connector::Output::Kind::kStopListen: Do(Action::Kind::kStopListen); break;
      case Connector::Output::Kind::kConnect: Do(Action::Kind::kConnect); break;
      case Connector::Output::Kind::kClose:
        if (o.silent) NoteStranger("it sent no first packet in time");
        Do(Action::Kind::kCloseLink).link = o.link;
        ReleaseLink(o.link);
        break;
      case Connector::Output::Kind::kSendInitialData:
      case Connector::Output::Kind::kSendInitialMeta: {
        Packet p;
        p.command = o.kind == Connector::Output::Kind::kSendInitialData ? Command::kInitialData : Command::kInitialMeta;
        SendPacket(o.link, p);
        links[o.link].identified = true;
        break;
      }
      case Connector::Output::Kind::kEstablished: Established(o.link, o.meta, o.resolve_conflicts); break;
    }
  }
}

void ResourceImpl::Established(LinkId data_link, LinkId meta_link, bool resolve) {
  data = data_link;
  meta = meta_link;
  resolve_conflicts = resolve;
  phase = SessionPhase::kFeatures;
  features_received = protocol_received = false;
  peer_discard_my_data = peer_dry_run = false;
  agreed_version = features = 0;
  state_reply_pending = false;
  ++connection_number;
  phase_until = now + 4 * Tenths(config.net.ping_timeout_ds);
  last_received = now;
  SendFeatures();
  for (const LinkId id : {data, meta}) {
    if (links[id].rx_begin != links[id].rx_end) Drain(id);
  }
}

void ResourceImpl::SendFeatures() {
  FeaturesPacket f;
  f.protocol_min = kProtocolMin;
  f.protocol_max = kProtocolMax;
  // Zero-out packets and integrity digests do not mix (drbd-protocol §3.3).
  f.feature_flags = kFeatureTrim | kFeatureWsame;
  if (config.net.data_integrity_alg == DigestAlgorithm::kNone) f.feature_flags |= kFeatureWzeroes;
  Packet p;
  p.command = Command::kConnectionFeatures;
  p.body = f;
  SendPacket(data, p);
}

void ResourceImpl::OnFeatures(const FeaturesPacket& f) {
  const uint32_t peer_max = f.protocol_max == 0 ? f.protocol_min : f.protocol_max;
  if (f.protocol_min > kProtocolMax || peer_max < kProtocolMin) {
    Drop(Conn::kDisconnecting, true,
         "incompatible DRBD dialects: I support " + std::to_string(kProtocolMin) + "-" + std::to_string(kProtocolMax) + ", peer supports " +
             std::to_string(f.protocol_min) + "-" + std::to_string(peer_max) + "; drbdts needs a peer of DRBD 8.4");
    return;
  }
  agreed_version = std::min(kProtocolMax, peer_max);
  uint32_t mine = kFeatureTrim | kFeatureWsame;
  if (config.net.data_integrity_alg == DigestAlgorithm::kNone) mine |= kFeatureWzeroes;
  features = f.feature_flags & mine;
  Log(0, -1, "Handshake successful: Agreed network protocol version " + std::to_string(agreed_version));
  UpdateDialect();
  if (config.net.cram_hmac_alg != DigestAlgorithm::kNone) {
    StartAuth();
  } else {
    StartParameters();
  }
}

void ResourceImpl::UpdateDialect() {
  WireDialect d;
  d.h100 = agreed_version >= 100;
  d.features = features;
  d.integrity_bytes = DigestBytes(config.net.data_integrity_alg);
  d.verify_bytes = DigestBytes(config.net.verify_alg);
  d.csums_bytes = DigestBytes(config.net.csums_alg);
  dialect = d;
  links[data].reader.SetDialect(d);
  links[meta].reader.SetDialect(d);
}

void ResourceImpl::StartAuth() {
  phase = SessionPhase::kAuthChallenge;
  phase_until = now + 4 * Tenths(config.net.ping_timeout_ds);
  random.Fill(challenge);
  Packet p;
  p.command = Command::kAuthChallenge;
  p.body = BlobPacket{challenge};
  SendPacket(data, p);
}

void ResourceImpl::OnAuth(const Packet& p) {
  const auto* blob = std::get_if<BlobPacket>(&p.body);
  const std::span<const uint8_t> key{reinterpret_cast<const uint8_t*>(config.net.shared_secret.data()), config.net.shared_secret.size()};
  if (phase == SessionPhase::kAuthChallenge) {
    if (p.command != Command::kAuthChallenge || blob == nullptr || blob->bytes.size() < 64 || blob->bytes.size() > 128) {
      Drop(Conn::kDisconnecting, true, std::string("Authentication of peer failed: expected P_AUTH_CHALLENGE, got ") + CommandName(p.command) +
                                           " (is cram-hmac-alg set on both nodes?)");
      return;
    }
    if (blob->bytes.size() == challenge.size() && std::memcmp(blob->bytes.data(), challenge.data(), challenge.size()) == 0) {
      Drop(Conn::kDisconnecting, true, "Authentication of peer failed: it sent our own challenge back");
      return;
    }
    const Digest d = ComputeHmac(config.net.cram_hmac_alg, key, blob->bytes);
    Packet answer;
    answer.command = Command::kAuthResponse;
    answer.body = BlobPacket{{d.bytes.data(), d.size}};
    SendPacket(data, answer);
    phase = SessionPhase::kAuthResponse;
    phase_until = now + 4 * Tenths(config.net.ping_timeout_ds);
    return;
  }
  const Digest expected = ComputeHmac(config.net.cram_hmac_alg, key, challenge);
  if (p.command != Command::kAuthResponse || blob == nullptr || blob->bytes.size() != expected.size) {
    Drop(Conn::kProtocolError, false, std::string("expected P_AUTH_RESPONSE, got ") + CommandName(p.command));
    return;
  }
  Digest got;
  got.size = expected.size;
  std::memcpy(got.bytes.data(), blob->bytes.data(), got.size);
  if (!EqualConstantTime(got, expected)) {
    Drop(Conn::kDisconnecting, true, "Authentication of peer failed: shared-secret differs");
    return;
  }
  Log(0, -1, "Peer authenticated using " + std::to_string(expected.size) + " bytes HMAC");
  StartParameters();
}

void ResourceImpl::StartParameters() {
  phase = SessionPhase::kParameters;
  phase_until = kNever;
  SetConnection(Conn::kWFReportParams);
  last_received = now;
  ping_due = now + config.net.ping_int_s * kSecond;
  ping_answer_until = kNever;
  pings_out = pings_sent = pings_answered = 0;
  ko_left = config.net.ko_count;
  ForgetTransferLog();
  receive_epochs.Clear();
  receive_epoch_first = 0;
  receive_epochs.Push({});

  ProtocolPacket p;
  p.protocol = static_cast<uint32_t>(config.net.protocol);
  p.after_sb_0p = static_cast<uint32_t>(config.net.after_sb_0pri);
  p.after_sb_1p = static_cast<uint32_t>(config.net.after_sb_1pri);
  p.after_sb_2p = static_cast<uint32_t>(config.net.after_sb_2pri);
  p.conn_flags = (discard_my_data ? kConnFlagDiscardMyData : 0) | (tentative ? kConnFlagDryRun : 0);
  CopyName(p.integrity_alg, AlgorithmOnWire(config.net.data_integrity_alg));
  SendData(0, Command::kProtocol, p);
  for (auto& v : volumes) {
    v->have_peer_uuids = v->have_peer_sizes = v->params_done = v->consider_resync = false;
    v->seq_out = 0;
    SendSyncParam(*v);
    SendSizes(*v, 0, false);
    if (v->state.disk >= Disk::kInconsistent && v->disk_phase == Volume::DiskPhase::kOpen) SendUuids(*v);
    // The first state still says WFConnection (drbd-protocol §1.5).
    SendState(*v, Conn::kWFConnection);
  }
}

void ResourceImpl::OnProtocol(const ProtocolPacket& p, bool update) {
  if (update) {
    config.net.after_sb_0pri = static_cast<AfterSb>(p.after_sb_0p);
    config.net.after_sb_1pri = static_cast<AfterSb>(p.after_sb_1p);
    config.net.after_sb_2pri = static_cast<AfterSb>(p.after_sb_2p);
    const auto alg = DigestByName(p.integrity_alg.data());
    if (!alg.has_value()) {
      ProtocolError("the peer switched to a data-integrity-alg that is not known here");
      return;
    }
    config.net.data_integrity_alg = *alg;
    if (p.protocol >= 1 && p.protocol <= 3) config.net.protocol = static_cast<ReplicationProtocol>(p.protocol);
    UpdateDialect();
    Log(0, -1, std::string("the peer changed the connection's options: protocol ") + Letter(p.protocol));
    Changed();
    return;
  }
  peer_discard_my_data = (p.conn_flags & kConnFlagDiscardMyData) != 0;
  peer_dry_run = (p.conn_flags & kConnFlagDryRun) != 0;
  std::string why;
  auto mirror = [](uint32_t v) -> uint32_t {
    if (v == static_cast<uint32_t>(AfterSb::kDiscardLocal)) return static_cast<uint32_t>(AfterSb::kDiscardRemote);
    if (v == static_cast<uint32_t>(AfterSb::kDiscardRemote)) return static_cast<uint32_t>(AfterSb::kDiscardLocal);
    return v;
  };
  if (p.protocol != static_cast<uint32_t>(config.net.protocol)) {
    why = std::string("incompatible protocol settings: ") + Letter(static_cast<uint32_t>(config.net.protocol)) + " here, " + Letter(p.protocol) + " on the peer";
  } else if (p.after_sb_0p != mirror(static_cast<uint32_t>(config.net.after_sb_0pri))) {
    why = "incompatible after-sb-0pri settings";
  } else if (p.after_sb_1p != mirror(static_cast<uint32_t>(config.net.after_sb_1pri))) {
    why = "incompatible after-sb-1pri settings";
  } else if (p.after_sb_2p != mirror(static_cast<uint32_t>(config.net.after_sb_2pri))) {
    why = "incompatible after-sb-2pri settings";
  } else if (peer_discard_my_data && discard_my_data) {
    why = "incompatible discard-my-data settings: both nodes offer to discard their data";
  } else if (p.two_primaries != 0) {
    why = "incompatible allow-two-primaries settings: drbdts never has two Primaries";
  } else if (std::strcmp(p.integrity_alg.data(), AlgorithmOnWire(config.net.data_integrity_alg)) != 0) {
    why = std::string("incompatible data-integrity-alg settings: '") + AlgorithmOnWire(config.net.data_integrity_alg) + "' here, '" + p.integrity_alg.data() + "' on the peer";
  }
  if (!why.empty()) {
    DropLater(Conn::kDisconnecting, true, why);
    return;
  }
  protocol_received = true;
}

void ResourceImpl::SendSyncParam(Volume& v) {
  const DiskOptions& o = v.config.options;
  SyncParamPacket p;
  p.resync_rate = o.resync_rate_kib;
  CopyName(p.verify_alg, AlgorithmOnWire(config.net.verify_alg));
  CopyName(p.csums_alg, AlgorithmOnWire(config.net.csums_alg));
  p.c_plan_ahead = o.c_plan_ahead;
  p.c_delay_target = o.c_delay_target;
  p.c_fill_target = o.c_fill_target;
  p.c_max_rate = o.c_max_rate_kib;
  SendData(v.config.volume, Command::kSyncParam89, p);
}

void ResourceImpl::SendSizes(Volume& v, uint16_t dds_flags, bool ask) {
  SizesPacket p;
  p.d_size = v.disk_phase == Volume::DiskPhase::kOpen && v.state.disk >= Disk::kNegotiating ? OwnSize(v) : 0;
  p.u_size = v.config.options.size_sectors;
  p.c_size = ask ? 0 : v.size_sectors;
  p.max_bio_size = kMaxRequestBytes;
  p.dds_flags = dds_flags;
  p.has_limits = (features & kFeatureWsame) != 0;
  p.physical_block_size = v.facts.physical_block_bytes;
  p.logical_block_size = v.facts.logical_block_bytes;
  p.io_min = v.facts.physical_block_bytes;
  p.discard_enabled = 1;
  SendData(v.config.volume, Command::kSizes, p);
}

void ResourceImpl::SendUuids(Volume& v, uint64_t extra_flags) {
  if (v.disk_phase != Volume::DiskPhase::kOpen) return;
  UuidsPacket p;
  const UuidSet& u = v.super_block.uuids;
  p.uuid = {u.current, u.bitmap, u.history0, u.history1};
  p.bits_set = v.bitmap->set_count();
  p.flags = extra_flags | (discard_my_data ? kUuidFlagDiscardMyData : 0) | (v.crashed_primary ? kUuidFlagCrashedPrimary : 0);
  if (v.state.disk == Disk::kNegotiating && (v.super_block.flags & kMdConsistent) == 0) p.flags |= kUuidFlagInconsistent;
  SendData(v.config.volume, Command::kUuids, p);
}

void ResourceImpl::SendState(Volume& v, Conn conn_shown) {
  State s = v.state;
  s.conn = conn_shown;
  if (s.disk == Disk::kAttaching) s.disk = Disk::kDiskless;  // 8.4 compares with a disk that comes back after it was told that there is none
  StatePacket p;
  p.state = EncodeState(s);
  SendData(v.config.volume, Command::kState, p);
}

bool ResourceImpl::SendPacket(LinkId link, const Packet& p, const uint8_t* payload, uint32_t payload_bytes, uint64_t cookie) {
  if (link == kNoLink || !links[link].used) return false;
  OutQueue& q = *links[link].out;
  const uint32_t room = std::holds_alternative<BlobPacket>(p.body) ? kMaxEncodedBytes + kBitmapPacketBytes : kMaxEncodedBytes;
  if (!q.Fits(room)) {
    DropLater(Conn::kNetworkFailure, false, "the peer reads too slowly: its send queue is full");
    return false;
  }
  const std::span<uint8_t> out = q.Reserve(room);
  if (q.empty()) links[link].out_progress = now;
  const uint32_t bytes = EncodePacket(p, dialect, out);
  q.Commit(bytes, payload, payload_bytes, cookie);
  return true;
}

bool ResourceImpl::SendData(uint16_t volume, Command c, PacketBody body, const uint8_t* payload, uint32_t bytes, uint64_t cookie) {
  Packet p;
  p.command = c;
  p.volume = volume;
  p.body = body;
  return SendPacket(data, p, payload, bytes, cookie);
}

bool ResourceImpl::SendMeta(uint16_t volume, Command c, PacketBody body) {
  Packet p;
  p.command = c;
  p.volume = volume;
  p.body = body;
  return SendPacket(meta, p);
}

void ResourceImpl::SendPing() {
  if (!Linked()) return;
  SendMeta(0, Command::kPing, EmptyPacket{});
  ++pings_out;
  ++pings_sent;
  ping_answer_until = now + Tenths(config.net.ping_timeout_ds);
}

void ResourceImpl::OnPingAck() {
  if (pings_out > 0) {
    --pings_out;
    ++pings_answered;
  }
  ping_answer_until = kNever;
  ping_due = now + config.net.ping_int_s * kSecond;
  for (auto& v : volumes) {
    if (v->run.finishing) FinishResync(*v);
  }
}

void ResourceImpl::OnSent(LinkId id, uint32_t bytes) {
  Link& l = links[id];
  if (!l.used) return;
  l.out_progress = now;
  if (id == data) ko_left = config.net.ko_count;
  l.out->Consume(bytes, [this](uint64_t cookie) {
    const auto slot = static_cast<uint16_t>(cookie);
    if ((cookie >> 32) == 1) {
      OnReplySent(slot);
    } else if ((cookie >> 32) == 2) {  // protocol A: handed to TCP is enough
      if (app[slot].phase == AppRequest::Phase::kActive && app[slot].net_pending > 0) {
        --app[slot].net_pending;
        app[slot].net_done = true;
        MaybeComplete(slot);
      }
    }
  });
}

void ResourceImpl::SessionTick() {
  PeerCheckTick();
  if (phase == SessionPhase::kFeatures || phase == SessionPhase::kAuthChallenge || phase == SessionPhase::kAuthResponse) {
    if (now >= phase_until) Drop(Conn::kNetworkFailure, false, "no answer from the peer during the handshake");
    return;
  }
  if (phase == SessionPhase::kParameters) {
    if (meta_gone_until != kNever) {
      if (meta_gone_until <= now) Drop(conn == Conn::kTearDown ? Conn::kTearDown : Conn::kBrokenPipe, false, "the peer closed the connection");
      return;
    }
    if (ping_answer_until <= now) {
      if (last_received + Tenths(config.net.ping_timeout_ds) <= now) {
        Drop(Conn::kNetworkFailure, false, "PingAck did not arrive in time");
        return;
      }
      ping_answer_until = now + Tenths(config.net.ping_timeout_ds);  // something else came: it lives
    }
    if (ping_answer_until == kNever && ping_due <= now) {
      const TimeUs idle = config.net.ping_int_s * kSecond;
      if (last_received + idle <= now) {
        SendPing();
        ping_due = kNever;
      } else {
        ping_due = last_received + idle;
      }
    }
    const TimeUs timeout = Tenths(config.net.timeout_ds);
    Link& d = links[data];
    if (!d.out->empty() && d.out_progress + timeout <= now && config.net.ko_count != 0) {
      d.out_progress = now;
      if (ko_left <= 1) {
        Drop(Conn::kTimeout, false, "the peer took no data for " + std::to_string(config.net.ko_count) + " times the timeout");
        return;
      }
      --ko_left;
      if (ping_answer_until == kNever) SendPing();
    }
    Link& m = links[meta];
    if (!m.out->empty() && m.out_progress + timeout <= now) {
      Drop(Conn::kNetworkFailure, false, "the peer does not read its meta socket");
      return;
    }
    if (config.net.ko_count != 0) {
      const TimeUs limit = config.net.ko_count * timeout;
      for (uint16_t s = 0; s < kAppSlots; ++s) {
        const AppRequest& a = app[s];
        if (a.phase == AppRequest::Phase::kActive && (a.net_pending > 0 || a.remote_read) && a.sent_at + limit <= now) {
          Drop(Conn::kTimeout, false, "Remote failed to finish a request within ko-count * timeout");
          return;
        }
      }
      for (const auto& v : volumes) {
        if (!v->answers_due || v->peer_generation_until > now) continue;
        Drop(Conn::kTimeout, false, "the peer did not say within ko-count * timeout that it goes on without our disk");
        return;
      }
      if (!closed_epochs.empty() && closed_epochs.Front().closed_at + limit <= now) {
        Drop(Conn::kTimeout, false, "Remote failed to answer a P_BARRIER within ko-count * timeout");
        return;
      }
    }
    ko_check = now + timeout;
    return;
  }
  if (reconnect_at <= now) StartConnecting();
}

TimeUs ResourceImpl::SessionDeadline() const {
  if (phase == SessionPhase::kParameters) {
    if (meta_gone_until != kNever) return meta_gone_until;
    // While an answer is due the next ping is not, even if its time has come.
    TimeUs d = std::min(ping_answer_until != kNever ? ping_answer_until : ping_due, check_until);
    if (app_free.size() != kAppSlots || !links[data].out->empty() || !links[meta].out->empty() || !closed_epochs.empty()) d = std::min(d, ko_check);
    return d;
  }
  if (phase != SessionPhase::kNone) return phase_until;
  return reconnect_at;
}

void ResourceImpl::OnLinkClosed(LinkId id, int error) {
  Link& l = links[id];
  if (!l.used) return;
  ReleaseLink(id);
  if (phase == SessionPhase::kNone) {
    Connector::Outputs out;
    connector.OnClosed(id, now, random, out);
    HandleConnector(out);
    return;
  }
  if (drop_pending) {
    Drop(drop_how, drop_stand_alone, drop_why);
    return;
  }
  if (id == meta && error == 0 && phase == SessionPhase::kParameters && data != kNoLink && links[data].used) {
    // What the peer said last may still lie unread on the data socket: its reason for leaving, for one.
    meta_gone_until = now + Tenths(config.net.ping_timeout_ds);
    return;
  }
  const bool early = phase == SessionPhase::kFeatures;
  std::string why = error == 0 ? "the peer closed the connection" : "connection lost: " + ErrnoText(error);
  if (early) why = "sockets of a crossed connection attempt were dropped";
  if (phase == SessionPhase::kAuthChallenge || phase == SessionPhase::kAuthResponse) {
    why = "the peer closed the connection during authentication: is the shared-secret the same on both nodes?";
  }
  Conn how = error == 0 ? Conn::kBrokenPipe : Conn::kNetworkFailure;
  if (conn == Conn::kTearDown) {
    how = Conn::kTearDown;
    why = "the peer disconnected";
  }
  Drop(how, false, why);
}

void ResourceImpl::DropLater(Conn how, bool stand_alone, const std::string& why) {
  if (drop_pending) {
    drop_stand_alone = drop_stand_alone || stand_alone;
    return;
  }
  drop_pending = true;
  drop_how = how;
  drop_stand_alone = stand_alone;
  drop_why = why;
  // Leaving for good: what the peer needs to come to the same conclusion goes out first, and it gets the time to read that (a socket that
  // is closed with unread bytes in it takes away what the peer has not read yet).
  drop_deadline = stand_alone && phase == SessionPhase::kParameters ? now + config.net.ping_timeout_ds * kTenth : now;
  ++progress;
}

void ResourceImpl::RunPendingDrop() {
  const bool unsent = data != kNoLink && links[data].used && (!links[data].out->empty() || (links[meta].used && !links[meta].out->empty()));
  const bool refused = conn == Conn::kWFReportParams && data != kNoLink && links[data].used && links[meta].used;
  if ((unsent || refused) && now < drop_deadline) return;
  drop_pending = false;
  ++progress;
  Drop(drop_how, drop_stand_alone, drop_why);
}

void ResourceImpl::Drop(Conn how, bool stand_alone, const std::string& why) {
  drop_pending = false;
  if (conn == Conn::kStandAlone && !connector.running() && phase == SessionPhase::kNone) return;
  const bool was_up = phase == SessionPhase::kParameters;
  Connector::Outputs out;
  if (connector.running()) connector.Stop(out);
  HandleConnector(out);
  for (LinkId id = 0; id < kLinkSlots; ++id) {
    if (!links[id].used) continue;
    Do(Action::Kind::kCloseLink).link = id;
    ReleaseLink(id);
  }
  const bool handshaking = phase != SessionPhase::kNone;
  phase = SessionPhase::kNone;
  data = meta = kNoLink;
  ping_due = ping_answer_until = ko_check = phase_until = meta_gone_until = kNever;
  pings_out = 0;
  EndPeerChecks(2);
  dialect = WireDialect{};
  agreed_version = features = 0;
  if (!why.empty()) {
    reason = why;
    Log(stand_alone || was_up ? 1 : 0, -1, why);
  }
  if (was_up) {
    SetConnection(how);
    for (auto& v : volumes) LostPeer(*v);
    ForgetTransferLog();
    receive_epochs.Clear();
  }
  state_replies_void = 0;
  if (state_reply_pending) {
    state_reply_pending = false;
    state_reply = static_cast<int32_t>(Verdict::kUnknownError);  // asked, connection lost: the command looks again
  }
  if (stand_alone) {
    discard_my_data = tentative = false;
    SetConnection(Conn::kStandAlone);
    reconnect_at = kNever;
  } else {
    if (was_up) discard_my_data = tentative = false;
    SetConnection(Conn::kUnconnected);
    reconnect_at = handshaking ? now + kSecond : now;
    if (was_up) reconnect_at = now + kTenth;
  }
  for (auto& v : volumes) v->kick_due = true;
  Changed();
}

/// The peer went while our disk was being attached: nobody is left to compare it with. Under users who saw newer data it stays out.
void ResourceImpl::SettleNegotiation(Volume& v) {
  State s = v.state;
  s.disk = v.disk_before_negotiating;
  if (OlderThanSeen(v)) {
    v.reason = "the connection was lost while the disk was being attached, and its users have seen newer data: attach it when the peer is back";
    Log(2, v.index, v.reason);
    s.disk = Disk::kFailed;
  }
  Force(v, s);
}

void ResourceImpl::LostPeer(Volume& v) {
  if (v.state.disk == Disk::kNegotiating) SettleNegotiation(v);
  v.have_peer_uuids = v.have_peer_sizes = v.params_done = v.consider_resync = false;
  v.bitmap_out.reset();
  v.bitmap_in.reset();
  if (v.bitmap_hold) WriteBitmapAll(v);  // written in any case: then the super block needs no longer say that everything is out of sync
  v.bitmap_out_wanted = v.bitmap_hold = false;
  v.early_sync_uuid = v.pending_sync_uuid = 0;
  v.answers_after_ping = 0;
  v.source_waits = v.use_corrected = false;
  v.waiting_handler = 0;
  v.attach_answer = Volume::Answer::kNone;
  v.after_meta.send_uuids = v.after_meta.send_state = v.after_meta.send_sizes = v.after_meta.send_sync_uuid = false;
  v.after_meta.finish_target_state = false;
  EndRun(v);
  AbortPeerRequests(v);
  for (uint16_t s = 0; s < kAppSlots; ++s) {
    if (app[s].phase != AppRequest::Phase::kFree && app[s].volume == v.index) AbortNetwork(s);
  }
  if (v.meta_ok()) WriteBitmapSoon(v);
  if (v.fence_open && !v.fence_running && v.state.role == Role::kPrimary && v.state.susp_fen) AskForFencing(v);
}

}  // namespace drbdts::core
