#include "addon/snapshot_value.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "addon/values.h"

namespace drbdts::addon {
namespace {

template <size_t N>
std::string Text(const std::array<char, N>& from) {
  return std::string(from.data(), strnlen(from.data(), N));
}

Napi::Object VolumeValue(Napi::Env env, const core::VolumeConfig& config, const core::VolumeSnapshot& v) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("volume", static_cast<uint32_t>(v.volume));
  o.Set("minor", v.minor);
  o.Set("device", config.device);
  o.Set("deviceUp", v.device_up);
  o.Set("disk", core::DiskName(v.state.disk));
  o.Set("peerDisk", core::DiskName(v.state.pdsk));
  o.Set("connection", core::ConnName(v.state.conn));
  o.Set("role", core::RoleName(v.state.role));
  o.Set("peerRole", core::RoleName(v.state.peer));
  o.Set("sizeSectors", Big(env, v.size_sectors));
  Napi::Array uuids = Napi::Array::New(env, 4);
  uuids.Set(0u, Hex64(v.uuids.current));
  uuids.Set(1u, Hex64(v.uuids.bitmap));
  uuids.Set(2u, Hex64(v.uuids.history0));
  uuids.Set(3u, Hex64(v.uuids.history1));
  o.Set("uuids", uuids);
  o.Set("metaFlags", v.meta_flags);
  o.Set("outOfSyncBits", Big(env, v.out_of_sync_bits));
  o.Set("resyncTotalBits", Big(env, v.resync_total_bits));
  o.Set("resyncLeftBits", Big(env, v.resync_left_bits));
  o.Set("resyncFailedBits", Big(env, v.resync_failed_bits));
  o.Set("resyncSpeedKib", v.resync_speed_kib);
  o.Set("resyncAverageKib", v.resync_average_kib);
  o.Set("resyncWantKib", v.resync_want_kib);
  o.Set("resyncFinishSeconds", static_cast<double>(v.resync_finish_s));
  o.Set("resyncStalled", v.resync_stalled);
  o.Set("flags", Text(v.flags));
  Napi::Object suspended = Napi::Object::New(env);
  suspended.Set("user", v.state.susp);
  suspended.Set("noData", v.state.susp_nod);
  suspended.Set("fencing", v.state.susp_fen);
  o.Set("suspended", suspended);
  Napi::Object resync = Napi::Object::New(env);
  resync.Set("user", v.state.user_isp);
  resync.Set("peer", v.state.peer_isp);
  resync.Set("dependency", v.state.aftr_isp);
  o.Set("resyncSuspended", resync);
  Napi::Object counters = Napi::Object::New(env);
  counters.Set("ns", Big(env, v.ns_kib));
  counters.Set("nr", Big(env, v.nr_kib));
  counters.Set("dw", Big(env, v.dw_kib));
  counters.Set("dr", Big(env, v.dr_kib));
  counters.Set("al", Big(env, v.al_writes));
  counters.Set("bm", Big(env, v.bm_writes));
  counters.Set("lo", v.lo);
  counters.Set("pe", v.pe);
  counters.Set("ua", v.ua);
  counters.Set("ap", v.ap);
  counters.Set("ep", v.ep);
  o.Set("counters", counters);
  o.Set("writeOrdering", std::string(1, v.write_ordering));
  o.Set("diskReason", Text(v.reason));
  return o;
}

}  // namespace

Napi::Object SnapshotValue(Napi::Env env, const core::ResourceConfig& config, const core::Snapshot& s) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("name", config.name);
  o.Set("protocol", std::string(1, s.protocol));
  o.Set("connection", core::ConnName(s.conn));
  o.Set("role", core::RoleName(s.role));
  o.Set("peerRole", core::RoleName(s.peer_role));
  o.Set("connectionReason", Text(s.reason));
  o.Set("agreedVersion", s.agreed_version);
  o.Set("features", s.features);
  const uint32_t count = std::min<uint32_t>(s.volume_count, static_cast<uint32_t>(config.volumes.size()));
  Napi::Array volumes = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; i++) volumes.Set(i, VolumeValue(env, config.volumes[i], s.volumes[i]));
  o.Set("volumes", volumes);
  return o;
}

}  // namespace drbdts::addon
