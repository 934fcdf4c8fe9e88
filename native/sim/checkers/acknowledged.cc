#include "sim/checkers/acknowledged.h"

namespace drbdts::sim {

void CheckAcknowledged(World& world, Application& application, Findings& findings, int node, const char* when) {
  Node& n = world.node(node);
  for (uint32_t v = 0; v < n.disks.size(); ++v) {
    if (n.state(v).disk != core::Disk::kUpToDate) continue;
    Model& model = application.model(v);
    const uint64_t at = model.Now();
    for (const uint64_t sector : model.sectors()) {
      const std::string bad = model.Check(n.disk(v).bytes() + sector * 512, sector, at);
      if (bad.empty()) continue;
      findings.Report("acknowledged", std::string(when) + ": disk of node " + n.name() + " volume " + std::to_string(v) + ": " + bad);
      return;
    }
  }
}

void CheckDurable(World& world, Application& application, Findings& findings, int node, uint32_t volume, const char* when) {
  Node& n = world.node(node);
  const Model& model = application.model(volume);
  for (const uint64_t sector : model.sectors()) {
    const std::string bad = model.CheckDurable(n.disk(volume).durable() + sector * 512, sector);
    if (bad.empty()) continue;
    findings.Report("acknowledged", std::string(when) + ": a loss of power would take from node " + n.name() + " volume " + std::to_string(volume) + " what was flushed: " + bad);
    return;
  }
}

}  // namespace drbdts::sim
