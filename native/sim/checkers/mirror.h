#pragma once
// Rule: when two nodes shake hands, both come to mirror-image results: what one takes as +1 the other takes as -1, and a split brain, a
// resync that is not needed, or unrelated data are seen by both (drbd-protocol §6.3). And a source takes a resync as done when its target has: not
// while that one still is a target.
#include <map>
#include <string>
#include <vector>

#include "sim/findings.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace drbdts::sim {

class MirrorChecker : public Observer {
 public:
  MirrorChecker(World& world, Findings& findings, uint32_t volumes) : world_(world), findings_(findings), said_(volumes) {}
  void OnLog(Node& node, int volume, const std::string& text) override;
  void OnState(Node& node, uint16_t volume, const core::State& before) override;
  void OnStarted(Node& node) override;
  uint64_t handshakes = 0;

 private:
  struct Said {
    int value[2] = {0, 0};
    bool has[2] = {false, false};
    std::string self[2], peer[2];
    std::string doubt;       // what differed; a finding once data flow on it (crossed sockets make connections that die before)
    /// Its connection is gone: what it said belongs to no other. The peer may not have got that far.
    void Forget(int node) {
      has[node] = false;
      doubt.clear();
    }
  };
  World& world_;
  Findings& findings_;
  std::vector<Said> said_;
};

}  // namespace drbdts::sim
