#pragma once
// One line of a schedule: what happens from outside, and how long after the line before. A random life and a scenario file are both a list
// of these; leaving any out leaves the others meaningful, which is what shrinking needs.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/state.h"
#include "core/units.h"
#include "sim/options.h"

namespace drbdts::sim {

enum class Verb : uint8_t {
  kWrite, kRead, kFlush, kDiscard, kZero,
  kReset, kResetAll, kStall, kBlackHole, kStorm, kCut, kHeal,
  kCrash, kCrashAt, kPower, kPowerAt, kBlackout, kStart, kRevive,
  kElect, kMove, kDemote, kCommand,
  kFault, kMend, kSlow, kDiskStall, kFull, kPause, kWait, kCheck, kArbiter,
  kUntil, kExpect,
  kAtPacket, kAtState, kWatch, kRelease, kSnapshot, kRollBack, kNewDisk, kDiskSize, kModifyDisk, kLoad, kHandler, kRemember,
};

struct Step {
  core::TimeUs delay_us = 0;      // from the step before
  Verb verb = Verb::kWait;
  int node = -1;                  // 0 = A, 1 = B, -1 = none
  std::array<uint64_t, 4> argument{};
  std::string text;               // kCommand: verb and flags; kArbiter: what; kUntil, kExpect: condition
  int line = 0;                   // of the scenario file
};

/// What is wrong with the free words of a step (conditions, commands, packets), and what was expected. Empty: nothing.
std::string CheckWords(const Step& step);
/// The packet of that name (P_DATA, ...), and what is to happen; false if there is none.
bool ParseAtPacket(const std::string& text, uint16_t& command, size_t& what);
/// `CONNECTION-STATE WHAT` of kAtState; false if it is not that.
bool ParseAtState(const std::string& text, core::Conn& conn, size_t& what);
/// `+DELAY_US VERB [NODE] [WORD...] [KEY=NUMBER...]`
std::string PrintStep(const Step& step);
/// Empty, or what is wrong with the line and what was expected.
std::string ParseStep(const std::string& line, Step& out);
/// The schedule of a random life.
std::vector<Step> DrawSteps(const Options& options);

struct Scenario {
  Options options;
  std::vector<Step> steps;
};
/// Lines: `# comment`, `option NAME VALUE`, steps. Empty, or `LINE: what was expected`.
std::string ParseScenario(const std::string& text, Scenario& out);
std::string PrintScenario(const Scenario& scenario);

}  // namespace drbdts::sim
