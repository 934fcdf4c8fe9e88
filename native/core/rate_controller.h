#pragma once
// How many blocks a SyncTarget (or VerifyS) asks for per 100 ms tick (drbd-protocol §7.5).
#include <array>
#include <cstdint>

namespace drbdts::core {

struct RateOptions {
  uint32_t resync_rate_kib = 250;
  uint32_t c_plan_ahead = 20;     // 0.1 s; 0 = fixed rate
  uint32_t c_delay_target = 10;   // 0.1 s
  uint32_t c_fill_target = 100;   // sectors
  uint32_t c_max_rate_kib = 102400;
  uint32_t c_min_rate_kib = 250;
  uint32_t max_buffers = 2048;    // pages
};

class RateController {
 public:
  static constexpr uint32_t kPlanMax = 300;
  void Reset(const RateOptions& options);
  void SetOptions(const RateOptions& options);
  /// Sectors arrived (data or in-sync notices).
  void Received(uint64_t sectors) { received_ += sectors; }
  /// One tick: number of 4 KiB blocks that may be requested now (>= 0).
  uint32_t Tick();
  /// What was really asked for in this tick.
  void Requested(uint64_t sectors) { in_flight_ += static_cast<int64_t>(sectors); }
  /// What was to be asked for and was not: nothing comes of it, and nothing is learned from it.
  void Cancelled(uint64_t sectors) { in_flight_ -= static_cast<int64_t>(sectors); }
  uint32_t want_kib() const { return want_kib_; }

 private:
  RateOptions options_;
  std::array<int64_t, kPlanMax> plan_{};  // corrections of the coming ticks, a ring
  uint32_t plan_at_ = 0;
  int64_t planned_ = 0;
  int64_t in_flight_ = 0;
  uint64_t received_ = 0;
  uint32_t want_kib_ = 0;
};

}  // namespace drbdts::core
