#include "sim/coverage.h"

#include <cstdlib>

#include "sim/node.h"

namespace drbdts::sim {

using namespace core;

namespace {
size_t Index(core::Command c) {
  const auto n = static_cast<size_t>(c);
  if (n < 0x40) return n;
  return c == core::Command::kInitialMeta ? 0x40 : c == core::Command::kInitialData ? 0x41 : c == core::Command::kConnectionFeatures ? 0x42 : 0x43;
}
core::Command FromIndex(size_t i) {
  static constexpr core::Command more[] = {core::Command::kInitialMeta, core::Command::kInitialData, core::Command::kConnectionFeatures};
  return i < 0x40 ? static_cast<core::Command>(i) : more[i - 0x40];
}
/// The state that the event meets: that of its own volume.
size_t ConnOf(Node& node, uint16_t volume) { return static_cast<size_t>(node.state(volume < node.config.volumes.size() ? volume : 0).conn); }
}  // namespace

void Coverage::Counters::Add(const Counters& o) {
  auto* to = reinterpret_cast<uint64_t*>(this);
  const auto* from = reinterpret_cast<const uint64_t*>(&o);
  for (size_t i = 0; i < sizeof *this / sizeof *to; ++i) to[i] += from[i];
}

void Coverage::OnPacket(Node& node, core::Command command, uint16_t volume, bool alone) {
  if (alone) ++counters_.packet[Index(command)][ConnOf(node, volume)];
}

void Coverage::OnInput(Node& node, Input what, uint16_t volume) { ++counters_.input[static_cast<size_t>(what)][ConnOf(node, volume)]; }

void Coverage::OnLog(Node&, int, const std::string& text) {
  static const std::string prefix = "uuid_compare()=";
  if (text.compare(0, prefix.size(), prefix) != 0) return;
  const size_t at = text.find("by rule ");
  if (at == std::string::npos) return;
  const auto rule = static_cast<size_t>(std::atoi(text.c_str() + at + 8));
  if (rule < kRules) ++counters_.rule[rule];
}

void Coverage::OnState(Node& node, uint16_t volume, const State&) {
  const State& s = node.state(volume);
  ++counters_.word[((static_cast<size_t>(s.role) * 9 + static_cast<size_t>(s.disk)) * 9 + static_cast<size_t>(s.pdsk)) * kConnStates + static_cast<size_t>(s.conn)];
}

std::vector<CoverageRow> CoverageRows(const Coverage::Counters& c) {
  std::vector<CoverageRow> rows;
  for (size_t i = 0; i < Coverage::kPackets - 1; ++i) {
    const std::string name = CommandName(FromIndex(i));
    if (name != "P_UNKNOWN") rows.push_back({name, c.packet[i]});
  }
  for (size_t i = 0; i < kInputs; ++i) rows.push_back({kInputNames[i], c.input[i]});
  return rows;
}

uint64_t StatesReached(const Coverage::Counters& c) {
  uint64_t n = 0;
  for (const uint64_t w : c.word) n += w != 0;
  return n;
}

}  // namespace drbdts::sim
