#pragma once
// Rule: what was acknowledged (protocol C) can be read after every sequence of failures that the life allows; a flush or FUA that was
// answered holds over a loss of power; reads never go back in time. Reads are judged as they complete, and what is durable when a flush or FUA is
// answered (application.cc); here the disk of a node that says UpToDate is judged whole.
#include "sim/application.h"
#include "sim/findings.h"
#include "sim/world.h"

namespace drbdts::sim {

/// Call it while no request is open.
void CheckAcknowledged(World& world, Application& application, Findings& findings, int node, const char* when);
/// The same for what would be left after a loss of power, of what was flushed. At any time, of a node that has every acknowledged write.
void CheckDurable(World& world, Application& application, Findings& findings, int node, uint32_t volume, const char* when);

}  // namespace drbdts::sim
