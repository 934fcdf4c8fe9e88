#pragma once
// A shorter schedule that still fails in the same way.
#include <functional>
#include <string>

#include "sim/step.h"

namespace drbdts::sim {

/// Leaves out ever smaller parts of the schedule, then makes delays and sizes simpler, as long as the finding stays the same rule. `play`
/// returns the finding of a scenario, empty if none. `progress` is told the number of steps left, may be null.
Scenario Shrink(Scenario scenario, const std::function<std::string(const Scenario&)>& play, const std::function<void(size_t)>& progress);

}  // namespace drbdts::sim
