#pragma once
#include <time.h>

#include "core/units.h"

namespace drbdts::engine {

/// CLOCK_MONOTONIC in microseconds.
inline core::TimeUs Now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<core::TimeUs>(t.tv_sec) * 1000000 + static_cast<core::TimeUs>(t.tv_nsec) / 1000;
}

}  // namespace drbdts::engine
