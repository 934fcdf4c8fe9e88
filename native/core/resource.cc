// Public surface of a resource, logging, timers, and the settling after each event.
#include "core/resource.h"

#include "core/resource_impl.h"

namespace drbdts::core {

Resource::Resource(const ResourceConfig& config, const Arenas& arenas, const std::array<uint8_t, 32>& seed, const Limits& limits)
    : impl_(std::make_unique<ResourceImpl>(config, arenas, seed, limits)) {}
Resource::~Resource() = default;

namespace {
// Every entry point: set the clock, act, settle.
struct Entry {
  ResourceImpl& r;
  Entry(ResourceImpl& impl, TimeUs now) : r(impl) {
    if (now > r.now) r.now = now;
  }
  ~Entry() { r.Settle(); }
};
}  // namespace

void Resource::OnCommand(uint64_t id, const AdminCommand& command, TimeUs now) {
  Entry e(*impl_, now);
  impl_->Enqueue(id, command);
}
void Resource::OnHandlerDone(uint64_t id, int exit_code, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnHandlerDone(id, exit_code);
}
void Resource::OnTick(TimeUs now) {
  Entry e(*impl_, now);
  impl_->Tick();
}
void Resource::OnRequest(uint16_t volume, const BlockIo& io, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnRequest(volume, io);
}
bool Resource::CanAccept(uint16_t) const { return !impl_->app_free.empty(); }
void Resource::OnDeviceUp(uint16_t volume, int error, const std::string& detail, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnDeviceUp(impl_->V(volume), error, detail);
}
void Resource::OnDeviceDown(uint16_t volume, int error, const std::string& detail, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnDeviceDown(impl_->V(volume), error, detail);
}
void Resource::OnDeviceOpen(uint16_t volume, const std::string& holders, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnDeviceOpen(impl_->V(volume), holders);
}
void Resource::OnDiskOpened(uint16_t volume, int error, const std::string& detail, const DiskFacts& facts, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnDiskOpened(impl_->V(volume), error, detail, facts);
}
void Resource::OnDiskClosed(uint16_t volume, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnDiskClosed(impl_->V(volume));
}
void Resource::OnDiskDone(IoId io, int error, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnDiskDone(io, error);
}
void Resource::OnConnected(LinkId link, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OpenLink(link);
  Connector::Outputs out;
  impl_->connector.OnConnected(link, impl_->now, impl_->random, out);
  impl_->HandleConnector(out);
}
void Resource::OnConnectFailed(int error, TimeUs now) {
  Entry e(*impl_, now);
  (void)error;
  Connector::Outputs out;
  impl_->connector.OnConnectFailed(impl_->now, impl_->random, out);
  impl_->HandleConnector(out);
}
void Resource::OnAccepted(LinkId link, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OpenLink(link);
  Connector::Outputs out;
  impl_->connector.OnAccepted(link, impl_->now, impl_->random, out);
  impl_->HandleConnector(out);
}
void Resource::OnLinkClosed(LinkId link, int error, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnLinkClosed(link, error);
}
std::span<uint8_t> Resource::ReceiveInto(LinkId link) { return impl_->ReceiveInto(link); }
void Resource::OnReceived(LinkId link, uint32_t bytes, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnReceived(link, bytes);
}
uint32_t Resource::SendPieces(LinkId link, std::span<IoSlice> out) const {
  const Link& l = impl_->links[link];
  return l.used ? l.out->Peek(out) : 0;
}
void Resource::OnSent(LinkId link, uint32_t bytes, TimeUs now) {
  Entry e(*impl_, now);
  impl_->OnSent(link, bytes);
}
std::vector<Action>& Resource::actions() { return impl_->actions; }
TimeUs Resource::deadline() const { return impl_->Deadline(); }
void Resource::FillSnapshot(Snapshot& out, TimeUs now) const {
  if (now > impl_->now) impl_->now = now;
  impl_->FillSnapshot(out);
}

namespace {
alignas(4096) uint8_t zero_bytes[kMaxRequestBytes];  // to write zeroes to a peer that knows no better
}  // namespace

ResourceImpl::ResourceImpl(const ResourceConfig& c, const Arenas& a, const std::array<uint8_t, 32>& seed, const Limits& limits)
    : config(c), arenas(a), random(seed), connector(ConnectorOptions{}), app(kAppSlots, AppRequest{}), peer(kPeerSlots, PeerRequest{}), transfer_log(limits.logged_writes),
      zeroes(zero_bytes) {
  CHECK(config.volumes.size() <= kMaxVolumes);
  CHECK(a.device != nullptr && a.net != nullptr && a.sync != nullptr);
  [[maybe_unused]] static volatile uint8_t seen;
  for (size_t i = 0; i < sizeof zero_bytes; i += 4096) seen = zero_bytes[i];
  ReserveTouched(actions, limits.actions);
  for (uint16_t i = 0; i < config.volumes.size(); ++i) {
    volumes.push_back(std::make_unique<Volume>(i, config.volumes[i]));
    volumes.back()->peer_waiting.reserve(kPeerSlots);
    volumes.back()->resync_durable.reserve(kPeerSlots);
    volumes.back()->al_evicted.reserve(2 * kAlUpdatesPerBlock);
  }
  app_free.reserve(kAppSlots);
  for (uint16_t i = kAppSlots; i-- > 0;) app_free.push_back(i);
  peer_free.reserve(kPeerSlots);
  for (uint16_t i = kPeerSlots; i-- > 0;) peer_free.push_back(i);
  for (Link& l : links) {
    l.rx = TouchedMemory<uint8_t>(limits.receive_bytes);
    l.out = std::make_unique<OutQueue>(limits.send_ring_bytes, limits.send_pieces);
  }
  queue.reserve(32);
}

Action& ResourceImpl::Do(Action::Kind kind, uint16_t volume) {
  Action& a = actions.emplace_back();
  ++progress;
  a.kind = kind;
  a.volume = volume;
  return a;
}

void ResourceImpl::Log(int level, int volume, std::string text) {
  Action& a = Do(Action::Kind::kLog, volume < 0 ? 0xffff : static_cast<uint16_t>(volume));
  a.error = level;
  a.text = std::move(text);
}

uint64_t ResourceImpl::CallHandler(const char* name, uint16_t volume, bool wait) {
  Action& a = Do(Action::Kind::kHandler, volume);
  a.id = next_handler++;
  a.text = name;
  a.wait = wait;
  return a.id;
}

Volume* ResourceImpl::ByNumber(uint16_t volume_number) {
  for (auto& v : volumes) {
    if (v->config.volume == volume_number) return v.get();
  }
  return nullptr;
}

void ResourceImpl::Tick() {
  if (connector.running() && connector.deadline() <= now) {
    Connector::Outputs out;
    connector.OnTick(now, random, out);
    HandleConnector(out);
  }
  SessionTick();
  TransferLogTick();
  for (auto& v : volumes) {
    if (v->run.next_tick <= now) ResyncTick(*v);
    if (v->resync_flush_at <= now) ResyncFlush(*v);
    if (v->lazy_write_at <= now) {
      v->lazy_write_at = kNever;
      WriteBitmapAll(*v);
    }
    if (!v->peer_waiting.empty()) KickPeer(*v);
  }
  if (command_wakeup <= now) command_wakeup = kNever;
}

TimeUs ResourceImpl::Deadline() const {
  TimeUs d = kNever;
  auto take = [&d](TimeUs t) {
    if (t < d) d = t;
  };
  if (connector.running()) take(connector.deadline());
  take(SessionDeadline());
  if (drop_pending) take(drop_deadline);
  if (unsettled) take(now);
  take(TransferLogDeadline());
  take(command_wakeup);
  for (const auto& v : volumes) {
    take(v->run.next_tick);
    take(v->resync_flush_at);
    take(v->lazy_write_at);
    for (const uint16_t s : v->peer_waiting) {
      if (peer[s].not_before > now) take(peer[s].not_before);
    }
  }
  return d;
}

void ResourceImpl::Settle() {
  // Until nothing moves any more: what one part did may be what another waited for.
  unsettled = true;
  for (int round = 0; round < 32 && unsettled; ++round) {
    const uint64_t before = progress;
    if (drop_pending) RunPendingDrop();
    for (auto& p : volumes) {
      Volume& v = *p;
      MetaPump(v);
      BitmapPump(v);
      if (v.answers_due) AnswerWaiting(v);
      if (v.kick_due) {
        v.kick_due = false;
        KickPeer(v);
        Kick(v);
        ++progress;
      }
      LogPump(v);
      if (v.bitmap_out != nullptr || v.bitmap_out_wanted) BitmapPumpOut(v);
      CheckResyncDone(v);
      CloseDiskWhenIdle(v);
    }
    PumpReceiveEpochs();
    if (close_after_send) CloseEpoch();
    if (busy || !queue.empty()) Advance();
    unsettled = progress != before;
  }
  if (changed) {
    changed = false;
    Do(Action::Kind::kChanged);
  }
}

void ResourceImpl::OnDiskDone(IoId io, int error) {
  const auto kind = static_cast<IoKind>(io >> 56);
  const auto volume = static_cast<uint16_t>(io >> 40 & 0xffff);
  const auto index = static_cast<uint32_t>(io);
  Volume& v = V(volume);
  CHECK(v.io_in_flight > 0);
  --v.io_in_flight;
  switch (kind) {
    case IoKind::kAppWrite: ++v.writes_done; [[fallthrough]];
    case IoKind::kAppRead:
    case IoKind::kAppFlush: OnAppIo(kind, static_cast<uint16_t>(index), error); break;
    case IoKind::kForecastFlush: OnForecastFlushed(v, error); break;
    case IoKind::kPeer: ++v.writes_done; OnPeerIo(static_cast<uint16_t>(index), error); break;
    case IoKind::kPeerFlush: OnPeerFlushDone(v, index, error); break;
    case IoKind::kResyncFlush: OnResyncFlushed(v, error); break;
    case IoKind::kSuperBlock:
    case IoKind::kAlBlock:
    case IoKind::kBitmapPages: OnMetaIo(v, kind, index, error); break;
    case IoKind::kAttach: OnAttachIo(v, index, error); break;
  }
}

}  // namespace drbdts::core
