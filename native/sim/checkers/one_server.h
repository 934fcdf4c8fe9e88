#pragma once
// Rules:
// - Two nodes that are connected are never both Primary. With an arbiter, two nodes never both acknowledge writes: once a node acknowledged one
//   without its peer, the other acknowledges none until they are Connected and UpToDate again.
// - Only a Primary, and only one with access to UpToDate data, answers reads and writes: an Outdated or Inconsistent disk is never served.
// - A node that acknowledges a write that was handed in when the peer was gone has begun a generation of its own on disk: no other copy that could
//   be served, be it by force, has its current identifier. Not promised: what was under way when the connection went is answered at once, as the
//   peer may have it; with an arbiter a peer that is known to be out may keep our identifier, as the register keeps it from serving and the marks
//   decide when the two meet; a source that died cannot know that its target was done at that moment; and disks that were invalidated, detached or
//   failed may not have written down yet that they are not good.
// - Where both acknowledged without each other, no resync takes that back without a word: a node says Split-Brain before. A target that has finished
//   has what its source acknowledged until then, though the source may die before it hears of it.
#include <string>
#include <vector>

#include "sim/findings.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace drbdts::sim {

class OneServerChecker : public Observer {
 public:
  OneServerChecker(World& world, Findings& findings, uint32_t volumes, bool arbiter)
      : world_(world), findings_(findings), arbiter_(arbiter), apart_(volumes), only_(volumes), followed_(volumes), reported_(volumes), lost_at_(2 * volumes), demoted_at_(2 * volumes), alone_at_(2 * volumes) {}
  void OnState(Node& node, uint16_t volume, const core::State& before) override;
  void OnCompleted(Node& node, uint16_t volume, uint64_t tag, int error) override;
  /// A write or discard, or a flush, was acknowledged.
  void Acknowledged(int node, uint32_t volume, uint64_t tag, bool flush);
  void OnStarted(Node& node) override;
  void OnLog(Node& node, int volume, const std::string& text) override;
  /// A disk was lost or given up: identifiers do not tell the whole story until all is well again.
  bool trouble = false;

 private:
  void OwnGeneration(int node, uint32_t volume);
  size_t At(const Node& node, size_t volume) const { return static_cast<size_t>(node.index()) * apart_.size() + volume; }
  World& world_;
  Findings& findings_;
  bool arbiter_;
  std::vector<uint32_t> apart_;      // who acknowledged without the other since both were the same
  std::vector<uint32_t> only_;       // who acknowledged what the other's disk has not got since
  std::vector<uint32_t> followed_;   // whose target has finished, as long as it does not leave the connection: what it acknowledges is on both disks
  std::vector<uint8_t> reported_;    // a node said "Split-Brain" since then
  std::vector<uint64_t> lost_at_;    // first tag that was handed in without access to UpToDate data; 0: there is access
  std::vector<uint64_t> demoted_at_; // events of the world by then
  std::vector<uint64_t> alone_at_;   // first tag that was handed in when no peer would get it; 0: there is one
};

}  // namespace drbdts::sim
