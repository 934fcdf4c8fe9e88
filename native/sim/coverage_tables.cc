// The tables of what the lives reached, and one line for each thing that cannot be reached.
#include <iterator>
#include <string_view>

#include "core/state.h"
#include "sim/coverage.h"

namespace drbdts::sim {

using namespace core;

namespace {

/// Patterns, separated by |; one may hold one * (anything).
struct Unreachable {
  const char* events;
  const char* states;
  const char* why;
};

// The first line that matches counts. "Here" is the node that the event comes to. What a kernel peer sends and this implementation does not is
// met by the tests against a kernel (test/interop); what nobody may send, in any state, by "a hostile peer" (resource_random_test.cc).
constexpr Unreachable kUnreachable[] = {
    // States that nothing can meet.
    {"*", "Ahead", "congestion policy of protocol A, which is not offered"},
    {"*", "Behind", "the peer of Ahead"},
    {"*", "Disconnecting|Timeout|BrokenPipe|NetworkFailure|ProtocolError|StartingSyncS|StartingSyncT", "passed through within one call of the core: nothing can come in between"},
    // Packets of others.
    {"P_UNPLUG_REMOTE|P_SYNC_PARAM|P_SUPERSEDED|P_DELAY_PROBE|P_RETRY_WRITE|P_WSAME|P_RS_CANCEL|P_RS_THIN_REQ|P_RS_DEALLOCATED", "*",
     "this implementation never sends it; kernel peers do, and the tests against them meet it"},
    // Connections.
    {"P_*|link *", "StandAlone|Unconnected", "there is no link"},
    {"P_INITIAL_*|P_CONNECTION_FEATURES|P_AUTH_*", "*", "only while a connection is made, in WFConnection"},
    {"P_*", "WFConnection", "before the handshake is over only its own packets are read"},
    {"connected|accepted", "*", "an attempt that succeeds is for a connector that waits for it, in WFConnection, or was stopped, in StandAlone; any other state is later than that"},
    {"connect failed", "*", "the answer comes to the connector that waits for it; one that comes later, after the process stood still, is looked at by nobody"},
    {"P_PROTOCOL", "*", "the first packet after authentication, once per connection"},
    {"P_*_CHG_REQ|P_PROTOCOL_UPDATE|P_SYNC_PARAM89", "TearDown", "the peer is busy with its disconnect, and its commands run one after the other"},
    {"P_*_CHG_REPLY", "TearDown", "the peer closes both sockets as soon as it has our consent; its own answer would have to overtake that"},
    // Before the handshake is over.
    {"P_OV_*|P_RS_*|P_CSUM_RS_REQUEST|P_DATA*|P_BARRIER*|P_RECV_ACK|P_WRITE_ACK|P_NEG_*|P_TRIM|P_ZEROES|P_OUT_OF_SYNC|P_SYNC_UUID|P_*_CHG_REPLY", "WFReportParams",
     "nothing of the kind is asked for or sent before the parameters are exchanged"},
    // Writes.
    {"P_DATA|P_TRIM|P_ZEROES", "WFBitMapS|WFBitMapT",
     "both sides of a bitmap exchange send no writes: the source reports P_OUT_OF_SYNC, the target holds its requests; before it the disk in question is known not to be UpToDate"},
    {"P_RECV_ACK|P_WRITE_ACK|P_NEG_ACK", "WFBitMapT", "the attach that begins the exchange waits until every write that the peer has is answered"},
    {"P_NEG_ACK", "WFSyncUUID", "a peer that could not write has no disk to copy from"},
    {"P_OUT_OF_SYNC", "WFBitMapS|SyncSource|SyncTarget|Verify*|PausedSync*",
     "sent by the source of a bitmap exchange only, behind the state and ahead of the identifier that begin and end it on the same socket"},
    // Reads of the peer's disk by a Primary that has no good one.
    {"P_DATA_REPLY|P_NEG_DREPLY", "TearDown", "a Primary that reads from the peer does not let it go"},
    {"P_DATA_REQUEST", "TearDown", "a Primary that reads from the peer does not leave it"},
    {"P_DATA_REPLY|P_NEG_DREPLY", "WFBitMapS", "the peer's disk was closed in between, which waits for its I/O; the answer went out before the attach"},
    {"P_DATA_REQUEST", "WFBitMapS", "asked before the attach that begins the exchange, on the same socket; during it requests are held"},
    {"P_DATA_REQUEST", "WFBitMapT|WFSyncUUID|SyncTarget|PausedSyncT", "who reads from here has no good disk, and then this one does not become a target"},
    // Resync: its packets on the data socket stand between those that begin and end it.
    {"P_RS_DATA_REPLY", "WFBitMapS|WFBitMapT|WFSyncUUID|SyncSource|PausedSyncS|Verify*", "comes before whatever begins the next resync, or a verify, on the same socket"},
    {"P_RS_DATA_REQUEST|P_CSUM_RS_REQUEST", "WFBitMapS|WFBitMapT|WFSyncUUID|SyncTarget|PausedSyncT|Verify*", "comes before whatever begins the next resync, or a verify, on the same socket"},
    {"P_BITMAP|P_COMPRESSED_BITMAP", "WFSyncUUID|SyncSource|SyncTarget|PausedSyncS|PausedSyncT|Verify*", "the last one ends the exchange, on the same socket as what follows"},
    {"P_UUIDS", "WFBitMapS|WFBitMapT|SyncTarget|PausedSyncT", "sent by a node that shakes hands or is Connected: ahead of the P_STATE and the P_SYNC_UUID that begin exchange and resync"},
    {"P_SIZES", "WFBitMapT", "asked for and answered ahead of the P_STATE that begins the exchange"},
    {"P_SYNC_UUID", "WFBitMapS|WFBitMapT|SyncSource|SyncTarget|PausedSyncS|PausedSyncT|Verify*", "one per resync, to a target that has sent its bitmap and does nothing before it has come"},
    // Resync: acknowledgements, on the other socket.
    {"P_RS_WRITE_ACK|P_NEG_RS_DREPLY|P_RS_IS_IN_SYNC", "Verify*", "a resync does not end before a ping after the last of them is answered"},
    {"P_RS_WRITE_ACK", "WFBitMapT|WFSyncUUID", "the peer was the target of the resync; it has nothing to be a source of before that is over"},
    {"P_RS_IS_IN_SYNC|P_NEG_RS_DREPLY", "WFBitMapS|SyncSource|PausedSyncS", "here was the target of the resync; it has nothing to be a source of before that is over"},
    {"P_RS_IS_IN_SYNC|P_NEG_RS_DREPLY", "WFSyncUUID", "no bitmap is sent before a ping behind all that is left of the resync before is answered"},
    // Verify.
    {"P_OV_*", "WFBitMapS|WFBitMapT|WFSyncUUID|SyncSource|SyncTarget|PausedSync*", "verify ends with a ping, or with a disk; what is left comes before whatever begins a resync"},
    {"P_OV_REQUEST|P_OV_RESULT", "VerifyS", "only VerifyT is asked and told; who began the last verify knows that it is over"},
    {"P_OV_REPLY", "VerifyT", "only VerifyS is answered"},
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

bool MatchesOne(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return text == pattern;
  return text.starts_with(pattern.substr(0, star)) && text.substr(star).ends_with(pattern.substr(star + 1));
}

bool Matches(std::string_view patterns, std::string_view text) {
  for (;;) {
    const size_t end = patterns.find('|');
    if (MatchesOne(patterns.substr(0, end), text)) return true;
    if (end == std::string_view::npos) return false;
    patterns.remove_prefix(end + 1);
  }
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
      while (why < std::size(kUnreachable) && !(Matches(kUnreachable[why].events, row.event) && Matches(kUnreachable[why].states, ConnName(static_cast<Conn>(s))))) ++why;
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
    if (used[i]) out += "- (" + std::to_string(i + 1) + ") " + kUnreachable[i].events + " in " + kUnreachable[i].states + ": " + kUnreachable[i].why + "\n";
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
