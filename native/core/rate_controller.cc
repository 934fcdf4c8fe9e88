// Feedback control of resync and verify requests (drbd-protocol §7.5). All numbers are sectors per tick of 100 ms unless named otherwise.
#include "core/rate_controller.h"

#include <algorithm>

#include "core/units.h"

namespace drbdts::core {

namespace {

constexpr int64_t kTicksPerSecond = 10;
constexpr int64_t kSectorsPerKib = 2;
constexpr int64_t kKibPerBlock = kBlockSize / 1024;

constexpr int64_t SectorsPerTick(int64_t kib_per_second) { return kib_per_second * kSectorsPerKib / kTicksPerSecond; }

}  // namespace

void RateController::Reset(const RateOptions& options) {
  options_ = options;
  options_.c_plan_ahead = std::min(options.c_plan_ahead, kPlanMax);
  plan_.fill(0);
  plan_at_ = 0;
  planned_ = 0;
  in_flight_ = 0;
  received_ = 0;
  want_kib_ = 0;
}

void RateController::SetOptions(const RateOptions& options) {
  const uint32_t slots = std::min(options.c_plan_ahead, kPlanMax);
  if (slots != options_.c_plan_ahead) {
    // Corrections planned over another span mean nothing; what is on its way still does.
    plan_.fill(0);
    plan_at_ = 0;
    planned_ = 0;
  }
  options_ = options;
  options_.c_plan_ahead = slots;
}

uint32_t RateController::Tick() {
  const int64_t in = static_cast<int64_t>(received_);
  received_ = 0;
  // More can arrive than was asked for (a late answer after a restart); the balance must not go below nothing in flight.
  in_flight_ = std::max<int64_t>(in_flight_ - in, 0);

  int64_t blocks = 0;
  const int64_t slots = options_.c_plan_ahead;
  if (slots == 0) {
    blocks = options_.resync_rate_kib / (kTicksPerSecond * kKibPerBlock);
    want_kib_ = options_.resync_rate_kib;
  } else {
    int64_t want = 0;
    if (in_flight_ + in == 0) {
      want = SectorsPerTick(options_.resync_rate_kib) * slots;  // nothing to learn from yet
    } else if (options_.c_fill_target != 0) {
      want = options_.c_fill_target;
    } else {
      want = in * options_.c_delay_target;
    }
    const int64_t step = (want - in_flight_ - planned_) / slots;
    for (int64_t i = 0; i < slots; ++i) plan_[static_cast<size_t>(i)] += step;
    planned_ += step * slots;
    const int64_t due = plan_[plan_at_];
    plan_[plan_at_] = 0;
    plan_at_ = (plan_at_ + 1) % options_.c_plan_ahead;
    planned_ -= due;

    const int64_t sectors = std::clamp<int64_t>(in + due, 0, SectorsPerTick(options_.c_max_rate_kib));
    blocks = sectors / kSectorsPerBlock;
    want_kib_ = static_cast<uint32_t>(blocks * kTicksPerSecond * kKibPerBlock);
  }
  // The peer's replies must find receive buffers here.
  const int64_t room = static_cast<int64_t>(options_.max_buffers / 2) - in_flight_ / kSectorsPerBlock;
  return static_cast<uint32_t>(std::clamp<int64_t>(blocks, 0, std::max<int64_t>(room, 0)));
}

}  // namespace drbdts::core
