// What status shows (drbd-protocol §8.1).
#include <algorithm>
#include <cstring>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
template <size_t N>
void CopyText(std::array<char, N>& to, const std::string& from) {
  const size_t n = std::min(from.size(), N - 1);
  std::memcpy(to.data(), from.data(), n);
  to[n] = '\0';
}
}  // namespace

void ResourceImpl::FillSnapshot(Snapshot& out) const {
  out.conn = conn;
  out.protocol = conn == Conn::kStandAlone ? ' ' : static_cast<char>('A' + static_cast<int>(config.net.protocol) - 1);
  out.role = ResourceRole();
  out.peer_role = Role::kUnknown;
  out.agreed_version = agreed_version;
  out.features = features;
  CopyText(out.reason, reason);
  out.volume_count = static_cast<uint32_t>(volumes.size());
  for (uint32_t i = 0; i < out.volume_count; ++i) {
    const Volume& v = *volumes[i];
    VolumeSnapshot& s = out.volumes[i];
    s.volume = v.config.volume;
    s.minor = v.config.minor;
    s.state = v.state;
    if (v.state.peer != Role::kUnknown && out.peer_role != Role::kPrimary) out.peer_role = v.state.peer;
    s.device_up = v.device_up;
    s.size_sectors = v.size_sectors;
    s.uuids = v.super_block.uuids;
    s.meta_flags = v.super_block.flags;
    s.out_of_sync_bits = v.bitmap != nullptr ? v.bitmap->set_count() : 0;
    const ResyncRun& r = v.run;
    const bool running = r.started != 0 && v.state.conn >= Conn::kSyncSource && v.state.conn <= Conn::kPausedSyncT;
    const uint64_t left = LeftBits(v);
    s.resync_total_bits = running ? r.total_bits : 0;
    s.resync_left_bits = running ? left : 0;
    s.resync_failed_bits = running ? r.failed_bits : 0;
    s.resync_speed_kib = s.resync_average_kib = s.resync_want_kib = 0;
    s.resync_finish_s = -1;
    s.resync_stalled = false;
    if (running) {
      const ResyncRun::Mark& old = r.marks[(r.mark + 2) % 8];
      const TimeUs span = std::max<TimeUs>(1, now > old.at ? now - old.at : 1);
      const uint64_t done = old.left_bits > left ? old.left_bits - left : 0;
      s.resync_speed_kib = static_cast<uint32_t>(done * 4 * kSecond / span);
      s.resync_finish_s = done == 0 ? -1 : static_cast<int64_t>(span / 100000 * left / done / 10);
      const TimeUs active = std::max<TimeUs>(1, now - r.started - r.paused_us - (r.paused_since != 0 ? now - r.paused_since : 0));
      s.resync_average_kib = static_cast<uint32_t>((r.total_bits > left ? r.total_bits - left : 0) * 4 * kSecond / active);
      if (v.state.conn == Conn::kSyncTarget || v.state.conn == Conn::kVerifyS) s.resync_want_kib = r.rate.want_kib();
      s.resync_stalled = done == 0 && span > 60 * kSecond;
    }
    const std::string flags = StateFlags(v.state, false);
    std::memset(s.flags.data(), 0, s.flags.size());
    std::memcpy(s.flags.data(), flags.data(), std::min<size_t>(flags.size(), 6));
    s.ns_kib = v.net_sent_sectors / 2;
    s.nr_kib = v.net_received_sectors / 2;
    s.dw_kib = v.disk_written_sectors / 2;
    s.dr_kib = v.disk_read_sectors / 2;
    s.al_writes = v.al_writes;
    s.bm_writes = v.bm_writes;
    s.lo = v.local_count;
    s.ua = v.unacked;
    s.ap = v.app_open;
    s.pe = r.requests_open;
    for (size_t slot = 0; v.app_open != 0 && slot < app.size(); ++slot) {
      const AppRequest& a = app[slot];
      if (a.phase == AppRequest::Phase::kActive && a.volume == i && a.net_pending != 0) ++s.pe;
    }
    s.ep = 1 + closed_epochs.size();
    s.write_ordering = v.config.options.disk_flushes ? 'f' : 'd';
    const bool io = (v.state.susp_fen || cutting) && !v.io_reason.empty();
    CopyText(s.reason, io ? v.io_reason : v.reason);
  }
}

}  // namespace drbdts::core
