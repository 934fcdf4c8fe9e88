#pragma once
// Rules: two nodes that are connected are never both Primary. With an arbiter, two nodes never both acknowledge writes: once a node
// acknowledged one without its peer, the other acknowledges none until they are Connected and UpToDate again. And only a node with access to
// UpToDate data answers reads and writes: an Outdated or Inconsistent disk is never served.
#include <vector>

#include "sim/findings.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace drbdts::sim {

class OneServerChecker : public Observer {
 public:
  OneServerChecker(World& world, Findings& findings, uint32_t volumes, bool arbiter)
      : world_(world), findings_(findings), arbiter_(arbiter), apart_(volumes), lost_at_(2 * volumes) {}
  void OnState(Node& node, uint16_t volume, const core::State& before) override;
  void OnCompleted(Node& node, uint16_t volume, uint64_t tag, int error) override;
  /// A write, discard or flush was acknowledged.
  void Acknowledged(int node, uint32_t volume);
  void OnStarted(Node& node) override;

 private:
  World& world_;
  Findings& findings_;
  bool arbiter_;
  std::vector<uint32_t> apart_;      // who acknowledged without the other since both were the same
  std::vector<uint64_t> lost_at_;    // first tag that was handed in without access to UpToDate data; 0: there is access
};

}  // namespace drbdts::sim
