// The tables of what the lives reached, and one line for each thing that cannot be reached.
#include <cstring>
#include <iterator>

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
    {"*", "Disconnecting", "passed through within one call of the core: nothing can come in between"},
    {"*", "Timeout", "passed through within one call of the core: nothing can come in between"},
    {"*", "BrokenPipe", "passed through within one call of the core: nothing can come in between"},
    {"*", "NetworkFailure", "passed through within one call of the core: nothing can come in between"},
    {"*", "ProtocolError", "passed through within one call of the core: nothing can come in between"},
    {"*", "StartingSyncS", "passed through within one call of the core: nothing can come in between"},
    {"*", "StartingSyncT", "passed through within one call of the core: nothing can come in between"},
    {"P_UNPLUG_REMOTE", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_SYNC_PARAM", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_SUPERSEDED", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_DELAY_PROBE", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_RETRY_WRITE", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_WSAME", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_RS_CANCEL", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_RS_THIN_REQ", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_RS_DEALLOCATED", "*", "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    {"P_*", "StandAlone", "there is no link"},
    {"link *", "StandAlone", "there is no link"},
    {"P_*", "Unconnected", "there is no link"},
    {"link *", "Unconnected", "there is no link"},
    {"P_INITIAL_*", "*", "only while a connection is made, in WFConnection"},
    {"P_CONNECTION_FEATURES", "*", "only while a connection is made, in WFConnection"},
    {"P_AUTH_*", "*", "only while a connection is made, in WFConnection"},
    {"P_*", "WFConnection", "before the handshake is over only its own packets are read"},
    {"connected", "*", "links are made in WFConnection only"},
    {"accepted", "*", "links are made in WFConnection only"},
    {"connect failed", "*", "links are made in WFConnection only"},
    {"P_OV_*", "WFReportParams", "verify begins Connected and ends with the connection"},
    {"P_OV_*", "WFBitMap*", "verify begins Connected and ends with the connection"},
    {"P_OV_*", "WFSyncUUID", "verify begins Connected and ends with the connection"},
    {"P_OV_*", "TearDown", "verify begins Connected and ends with the connection"},
    {"P_RS_DATA_R*", "WFReportParams", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_RS_DATA_R*", "Verify*", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_RS_WRITE_ACK", "WFReportParams", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_RS_WRITE_ACK", "Verify*", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_RS_IS_IN_SYNC", "WFReportParams", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_RS_IS_IN_SYNC", "Verify*", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_CSUM_RS_REQUEST", "WFReportParams", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_CSUM_RS_REQUEST", "Verify*", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_NEG_RS_DREPLY", "WFReportParams", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_NEG_RS_DREPLY", "Verify*", "there is no resync in this state, and none before it on this connection that could still answer"},
    {"P_DATA*", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_BARRIER*", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_RECV_ACK", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_WRITE_ACK", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_TRIM", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_ZEROES", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_NEG_*", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_OUT_OF_SYNC", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_STATE_CHG_REPLY", "WFReportParams", "not sent before the parameters are exchanged"},
    {"P_CONN_ST_CHG_REPLY", "WFReportParams", "not sent before the parameters are exchanged"},
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
    {34, "same current identifier; we as source missed the end of a resync", nullptr},
    {35, "same current identifier; the peer as source missed the end of a resync", nullptr},
    {36, "same current identifier; only we track a difference", nullptr},
    {37, "same current identifier; only the peer tracks a difference", nullptr},
    {40, "same current identifier, both Secondary", nullptr},
    {41, "same current identifier, one is Primary", nullptr},
    {50, "our current is the peer's bitmap identifier", nullptr},
    {51, "our current is in the peer's history: it missed that we took P_SYNC_UUID", nullptr},
    {60, "our current is older than the peer's history", nullptr},
    {70, "the peer's current is our bitmap identifier", nullptr},
    {71, "the peer's current is in our history: we missed that it took P_SYNC_UUID", nullptr},
    {80, "the peer's current is older than our history", nullptr},
    {90, "same bitmap identifier: split brain", nullptr},
    {100, "same history: split brain", nullptr},
    {110, "nothing in common", nullptr},
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
