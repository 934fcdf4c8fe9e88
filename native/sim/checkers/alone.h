#pragma once
// Rule: a disk does not get better by being left alone. What comes back from an attach without a peer is no better than its super block says:
// Inconsistent, Outdated, and with fencing no more than Consistent, as somebody may have gone on without it. And without a peer nothing but
// `primary --force` makes an Inconsistent or Outdated disk UpToDate.
#include <vector>

#include "sim/findings.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace drbdts::sim {

class AloneChecker : public Observer {
 public:
  AloneChecker(World& world, Findings& findings, uint32_t volumes, bool fencing) : world_(world), findings_(findings), best_(2 * volumes, core::Disk::kUpToDate), fencing_(fencing) {}
  void OnState(Node& node, uint16_t volume, const core::State& before) override;
  /// A promotion with --force is under way.
  bool forcing = false;

 private:
  World& world_;
  Findings& findings_;
  std::vector<core::Disk> best_;     // per node and volume: what the disk that is being attached may be at most
  bool fencing_;
};

}  // namespace drbdts::sim
