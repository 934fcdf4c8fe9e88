#pragma once
// Configuration as the core uses it: DRBD's options under their names, in DRBD's units.
#include <cstdint>
#include <string>
#include <vector>

#include "core/digest.h"
#include "core/generation_uuid.h"
#include "core/meta_data.h"
#include "core/state.h"

namespace drbdts::core {

enum class ReplicationProtocol : uint8_t { kA = 1, kB = 2, kC = 3 };
enum class OnIoError : uint8_t { kPassOn, kCallLocalIoError, kDetach };

struct NetOptions {
  ReplicationProtocol protocol = ReplicationProtocol::kC;
  uint32_t timeout_ds = 60;       // 0.1 s
  uint32_t connect_int_s = 10;
  uint32_t ping_int_s = 10;
  uint32_t ping_timeout_ds = 5;   // 0.1 s
  uint32_t ko_count = 7;          // 0 = off
  uint32_t max_buffers = 2048;    // pages
  uint32_t max_epoch_size = 2048; // writes
  uint32_t sndbuf_size = 0;       // bytes, 0 = kernel decides
  uint32_t rcvbuf_size = 0;
  DigestAlgorithm cram_hmac_alg = DigestAlgorithm::kNone;
  std::string shared_secret;      // at most 63 bytes
  DigestAlgorithm data_integrity_alg = DigestAlgorithm::kNone;
  DigestAlgorithm verify_alg = DigestAlgorithm::kNone;
  DigestAlgorithm csums_alg = DigestAlgorithm::kNone;
  bool use_rle = true;
  AfterSb after_sb_0pri = AfterSb::kDisconnect;
  AfterSb after_sb_1pri = AfterSb::kDisconnect;
  AfterSb after_sb_2pri = AfterSb::kDisconnect;
  bool always_asbp = false;
  RrConflict rr_conflict = RrConflict::kDisconnect;
  bool tcp_cork = true;
};

struct DiskOptions {
  OnIoError on_io_error = OnIoError::kDetach;
  Fencing fencing = Fencing::kDontCare;
  uint32_t resync_rate_kib = 250;
  uint32_t c_plan_ahead = 20;
  uint32_t c_delay_target = 10;
  uint32_t c_fill_target = 100;
  uint32_t c_max_rate_kib = 102400;
  uint32_t c_min_rate_kib = 250;
  uint32_t al_extents = kAlExtentsDefault;
  bool al_updates = true;
  bool md_flushes = true;
  bool disk_flushes = true;
  uint64_t size_sectors = 0;  // 0 = all there is
};

struct VolumeConfig {
  uint16_t volume = 0;
  uint32_t minor = 0;
  std::string device;
  std::vector<std::string> links;
  std::string disk;
  std::string meta_disk;  // empty = internal
  MetaDataPlace place;
  DiskOptions options;
  bool memory_frontend = false;
};

struct Endpoint {
  uint8_t family = 4;
  std::string host;
  uint16_t port = 7788;
};

struct ResourceConfig {
  std::string name;
  std::string peer_name;
  Endpoint local;
  Endpoint peer;
  NetOptions net;
  std::vector<VolumeConfig> volumes;
};

}  // namespace drbdts::core
