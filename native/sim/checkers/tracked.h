#pragma once
// Rule: every block in which the two disks really differ is marked on the disk of at least one node, in its bitmap or by an extent of its
// activity log, so that a crash now loses no knowledge of it. Read from the disks alone, as a recovering node would.
#include <cstdint>
#include <vector>

#include "sim/findings.h"
#include "sim/world.h"

namespace drbdts::sim {

class TrackedChecker {
 public:
  TrackedChecker(World& world, Findings& findings) : world_(world), findings_(findings) {}
  /// Compares volume by volume; `when` goes into the finding.
  void Check(const char* when);
  uint64_t checks = 0;

 private:
  struct Marks {
    std::vector<uint8_t> bits;   // one per 4 KiB block
    bool everything = false;     // full sync asked for, or a log that says nothing: the node takes all as different
  };
  Marks Read(const Drive& drive, const core::MetaDataLayout& layout) const;
  World& world_;
  Findings& findings_;
};

}  // namespace drbdts::sim
