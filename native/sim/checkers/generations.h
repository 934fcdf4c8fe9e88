#pragma once
// Rule: a current generation identifier that both nodes shared while Connected and UpToDate, and that was replaced by another such one,
// never is the shared current identifier again.
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "sim/findings.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace drbdts::sim {

class GenerationsChecker {
 public:
  GenerationsChecker(World& world, Findings& findings, uint32_t volumes) : world_(world), findings_(findings), volumes_(volumes) {}
  /// To be called when the nodes are Connected, UpToDate and at rest.
  void AtRest();

 private:
  struct PerVolume {
    uint64_t current = 0;
    std::unordered_set<uint64_t> retired;
  };
  World& world_;
  Findings& findings_;
  std::vector<PerVolume> volumes_;
};

}  // namespace drbdts::sim
