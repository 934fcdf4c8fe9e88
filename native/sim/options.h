#pragma once
// What a life is played with. Drawn from the seed ("swarm": each life leaves most faults out and has more of the others), or written in a
// scenario.
#include <cstdint>
#include <string>
#include <vector>

#include "core/options.h"
#include "sim/random.h"

namespace drbdts::sim {

enum class Rules : uint8_t {
  kOracle,    // `arbiter none`, and an operator who knows what every node has: never a split brain of his own making
  kArbiter,   // fencing resource-and-stonith and an in-sync-set register; anybody may try to promote any node at any time
  kAnarchy,   // `arbiter none`, and an operator who promotes, forces and invalidates as he likes
};

/// Weights of what may happen, in thousandths of all steps; 0: never in this life.
struct Weights {
  uint32_t io = 560, reset_one = 40, reset_all = 20, stall = 20, black_hole = 8, crash = 30, crash_at_action = 30, power = 25, blackout = 12, revive = 95,
           move = 40, admin = 100, disk_error = 15, disk_mend = 15, disk_slow = 15, disk_stall = 6, disk_full = 4, pause = 10, wait = 25, check = 20, arbiter = 0,
           storm = 5;
};

struct Options {
  uint64_t seed = 1;
  Rules rules = Rules::kOracle;
  uint64_t disk_bytes = 2u << 20;
  uint32_t volumes = 1;
  core::ReplicationProtocol protocol = core::ReplicationProtocol::kC;
  bool rle = true, csums = false, sha1 = false, integrity = false, auth = false, discard = true, fixed_rate = true, al_updates = true;
  uint32_t max_epoch_size = 2048, al_extents = 67, ping_int_s = 10, timeout_ds = 60, max_buffers = 2048;
  uint64_t window_bytes = 0;         // 0: orderly delivery
  uint64_t disk_delay_us = 50;
  uint64_t net_delay_us = 30;        // one way
  int64_t clock_ppm[2] = {0, 0};
  uint32_t steps = 60;
  bool full_first_sync = false;      // starts with create-md and --force instead of two equal disks
  // For scenarios; never drawn.
  bool blank = false;                // starts with create-md, and nothing more is done
  uint64_t disk_bytes_b = 0;         // another size for B's disk; 0: the same
  uint32_t resync_rate_kib = 0;
  core::Fencing fencing = core::Fencing::kDontCare;
  core::AfterSb after_sb[3] = {core::AfterSb::kDisconnect, core::AfterSb::kDisconnect, core::AfterSb::kDisconnect};
  Weights weights;

  /// Has many more extents than the activity log has slots.
  bool big() const { return disk_bytes > (20u << 20); }
};

/// The options of a random life.
Options DrawOptions(uint64_t seed);
/// One line per option that differs from the default: `option NAME VALUE`.
std::vector<std::string> DescribeOptions(const Options& options);
/// Sets an option by its name in DescribeOptions. Empty, or what was expected instead.
std::string SetOption(Options& options, const std::string& name, const std::string& value);
/// The nodes' configuration.
void Configure(const Options& options, core::ResourceConfig& config);

}  // namespace drbdts::sim
