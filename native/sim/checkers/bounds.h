#pragma once
// Rule: memory and queues stay within what was set aside. No batch of actions outgrows its reserve, edges are never asked for I/O outside
// the disk or for two writes to one sector at once, time never stands still, and after `down` every buffer is free again.
#include "sim/findings.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace drbdts::sim {

class BoundsChecker : public Observer {
 public:
  static constexpr size_t kActionsMax = 2048;    // what a core of the simulator reserves for one batch
  BoundsChecker(World& world, Findings& findings) : world_(world), findings_(findings) {}
  /// After every step of the world.
  void Look();
  /// Both nodes are down: nothing may be held.
  void AfterDown();

 private:
  World& world_;
  Findings& findings_;
};

}  // namespace drbdts::sim
