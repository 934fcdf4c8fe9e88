#pragma once
// Clocks in nanoseconds, and the number of the protocol that needs them.
#include <time.h>

#include <cstdint>

namespace drbdts::net {

constexpr int kVrrpProtocol = 112;

inline int64_t Nanoseconds(const timespec& t) { return static_cast<int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec; }
inline int64_t ClockNow(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return Nanoseconds(now);
}
/// Stands still while the machine sleeps: for waiting.
inline int64_t MonotonicNow() { return ClockNow(CLOCK_MONOTONIC); }
/// Goes on while the machine sleeps: for judging how old something is.
inline int64_t BootNow() { return ClockNow(CLOCK_BOOTTIME); }
inline int64_t WallNow() { return ClockNow(CLOCK_REALTIME); }

}  // namespace drbdts::net
