#pragma once
// Rule: every block in which the two disks really differ is marked on the disk of at least one node, in its bitmap or by an extent of its
// activity log, so that a crash now loses no knowledge of it. Read from the disks alone, as a recovering node would: the log counts only where
// the super block says that the node was Primary. Two forms:
// - both processes end now: what the disks show, and each write under way done or not;
// - both nodes lose their power now: any subset of what is not durable survives, and each meta-data write under way is done or not (if it asks
//   for a preflush, done means that the flush before it is done, too). None may leave a log that is needed and cannot be read, be it that the
//   write was torn.
#include <cstdint>
#include <vector>

#include "sim/findings.h"
#include "sim/world.h"

namespace drbdts::sim {

class TrackedChecker {
 public:
  enum class Loss : uint8_t { kProcesses, kPower };
  TrackedChecker(World& world, Findings& findings) : world_(world), findings_(findings) {}
  /// Compares volume by volume; `when` goes into the finding.
  void Check(const char* when, Loss loss = Loss::kProcesses);
  uint64_t checks = 0;

 private:
  struct Marks {
    std::vector<uint8_t> bits;   // one per 4 KiB block
    bool everything = false;     // full sync asked for, or a log that says nothing: the node takes all as different
    bool unreadable = false;     // the log is needed and damaged
  };
  enum class Part : uint8_t { kAll, kFirstHalf, kSecondHalf, kEvenSectors };
  /// One node's disk, with what may become of it.
  struct Side {
    const Node* node;
    const Drive* drive;
    const core::MetaDataLayout* layout;
    const uint8_t* base;         // what is there if nothing else survives
    bool power;
    uint64_t hardened = 0;       // writes up to this one are durable after all
  };
  Marks Read(const Side& side, const core::Action* done, Part part = Part::kAll) const;
  bool ReportUnreadable(const char* when, const Side& side, uint32_t volume, const Marks& marks);
  void Candidates(const Side& side, const Side& other, uint32_t volume, uint64_t usable);
  void Contents(const Side& side, uint32_t volume, uint64_t sector, std::vector<const uint8_t*>& out) const;
  bool Differs(const Side& a, const Side& b, uint32_t volume, uint64_t block, uint64_t usable, uint64_t& sector) const;
  bool Report(const char* when, const Side& a, const Side& b, uint32_t volume, uint64_t usable, const Marks& ma, const Marks& mb);

  World& world_;
  Findings& findings_;
  std::vector<uint32_t> candidates_;   // blocks
  std::vector<uint8_t> listed_;
};

}  // namespace drbdts::sim
