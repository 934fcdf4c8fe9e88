#pragma once
// Rule: two disks that both nodes call UpToDate while they are Connected hold the same, outside requests under way.
#include "sim/findings.h"
#include "sim/world.h"

namespace drbdts::sim {

/// Call it while nothing is under way.
void CheckEqual(World& world, Findings& findings, const char* when);

}  // namespace drbdts::sim
