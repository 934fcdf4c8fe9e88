#pragma once
// Which (connection state x event) pairs and which rules of the identifier comparison the lives have reached. Plain counters: they live in
// memory that several processes share.
#include <cstdint>
#include <string>
#include <vector>

#include "sim/observer.h"

namespace drbdts::sim {

inline constexpr size_t kConnStates = 24;

class Coverage : public Observer {
 public:
  static constexpr size_t kPackets = 0x44, kRules = 128, kWords = 3 * 9 * 9 * kConnStates;
  struct Counters {
    uint64_t packet[kPackets][kConnStates];   // command, state before it
    uint64_t input[kInputs][kConnStates];
    uint64_t rule[kRules];
    uint64_t word[kWords];                    // role, disk, pdsk, conn
    void Add(const Counters& o);
  };
  /// `counters`: zeroed memory that outlives this.
  explicit Coverage(Counters& counters) : counters_(counters) {}
  void OnPacket(Node& node, core::Command command, uint16_t volume, bool alone) override;
  void OnInput(Node& node, Input what, uint16_t volume) override;
  void OnLog(Node& node, int volume, const std::string& text) override;
  void OnState(Node& node, uint16_t volume, const core::State& before) override;

 private:
  Counters& counters_;
};

/// One event's row: its name and how often it came in each connection state.
struct CoverageRow {
  std::string event;
  const uint64_t* count;      // kConnStates
};
/// All rows, packets first; also those with no count.
std::vector<CoverageRow> CoverageRows(const Coverage::Counters& counters);
/// Different states (role, disks, connection) seen.
uint64_t StatesReached(const Coverage::Counters& counters);
/// The tables as Markdown: state x event, then the rules. What was not reached is explained, or marked UNEXPLAINED.
std::string CoverageTables(const Coverage::Counters& counters, uint64_t& unexplained);

}  // namespace drbdts::sim
