// The tables of what the lives reached, and one line for each thing that cannot be reached.
#include <cstring>

#include "core/state.h"
#include "sim/coverage.h"

namespace drbdts::sim {

using namespace core;

namespace {

/// `event` and `state` may end in * (any ending) or be *.
struct Unreachable {
  const char* event;
  const char* state;
  const char* why;
};

constexpr Unreachable kUnreachable[] = {
    {"*", "Ahead", "congestion policy of protocol A, which is not offered"},
    {"*", "Behind", "the peer of Ahead"},
};

struct Rule {
  int number;
  const char* meaning;
  const char* why_not;      // null: must be reached
};
constexpr Rule kRules[] = {
    {10, "both just created", nullptr},
    {20, "we are just created", nullptr},
    {30, "the peer is just created", nullptr},
};

bool Matches(const char* pattern, const std::string& text) {
  const size_t n = std::strlen(pattern);
  if (n != 0 && pattern[n - 1] == '*') return text.compare(0, n - 1, pattern, n - 1) == 0;
  return text == pattern;
}

}  // namespace

std::string CoverageTables(const Coverage::Counters& counters, uint64_t& unexplained) {
  unexplained = 0;
  std::string out = "| event |";
  for (size_t s = 0; s < kConnStates; ++s) out += std::string(" ") + ConnName(static_cast<Conn>(s)) + " |";
  out += "\n|---|";
  for (size_t s = 0; s < kConnStates; ++s) out += "---|";
  out += "\n";
  bool used[std::size(kUnreachable)] = {};
  for (const CoverageRow& row : CoverageRows(counters)) {
    out += "| " + row.event + " |";
    for (size_t s = 0; s < kConnStates; ++s) {
      if (row.count[s] != 0) {
        out += " " + std::to_string(row.count[s]) + " |";
        continue;
      }
      size_t why = 0;
      while (why < std::size(kUnreachable) && !(Matches(kUnreachable[why].event, row.event) && Matches(kUnreachable[why].state, ConnName(static_cast<Conn>(s))))) ++why;
      if (why == std::size(kUnreachable)) {
        ++unexplained;
        out += " **?** |";
      } else {
        used[why] = true;
        out += " (" + std::to_string(why + 1) + ") |";
      }
    }
    out += "\n";
  }
  out += "\nNot reached, because:\n\n";
  for (size_t i = 0; i < std::size(kUnreachable); ++i) {
    if (used[i]) out += "- (" + std::to_string(i + 1) + ") " + kUnreachable[i].event + " in " + kUnreachable[i].state + ": " + kUnreachable[i].why + "\n";
  }
  out += "\n| rule | meaning | decided |\n|---|---|---|\n";
  for (const Rule& r : kRules) {
    const uint64_t n = counters.rule[r.number];
    if (n == 0 && r.why_not == nullptr) ++unexplained;
    out += "| " + std::to_string(r.number) + " | " + r.meaning + " | " + (n != 0 ? std::to_string(n) : r.why_not != nullptr ? std::string("never: ") + r.why_not : "**?**") + " |\n";
  }
  return out;
}

}  // namespace drbdts::sim
