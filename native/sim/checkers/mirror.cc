#include "sim/checkers/mirror.h"

#include <cstdlib>

namespace drbdts::sim {

namespace {
bool After(const std::string& text, const char* prefix, std::string& rest) {
  const std::string p = prefix;
  if (text.compare(0, p.size(), p) != 0) return false;
  rest = text.substr(p.size());
  return true;
}
}  // namespace

void MirrorChecker::OnLog(Node& node, int volume, const std::string& text) {
  if (volume < 0 || static_cast<size_t>(volume) >= said_.size()) return;
  Said& s = said_[static_cast<size_t>(volume)];
  const int me = node.index(), other = 1 - me;
  std::string rest;
  if (After(text, "drbd_sync_handshake: self ", rest)) {
    s.self[me] = rest.substr(0, 67);
    s.has[me] = false;
  } else if (After(text, "peer ", rest) && rest.size() > 67) {
    s.peer[me] = rest.substr(0, 67);
  } else if (After(text, "uuid_compare()=", rest)) {
    ++handshakes;
    s.value[me] = std::atoi(rest.c_str());
    s.has[me] = true;
    // Only if both looked at the same two sets: one of them may have moved on in between.
    if (!s.has[other] || s.self[me] != s.peer[other] || s.peer[me] != s.self[other]) return;
    s.has[0] = s.has[1] = false;
    const int a = s.value[0], b = s.value[1];
    const bool symmetric = a == -b || (a == b && (a == 100 || a == -100 || a <= -1000));
    if (!symmetric) {
      s.doubt = "handshake of volume " + std::to_string(volume) + " with A=" + s.self[0] + " B=" + s.self[1] + ": A says " + std::to_string(a) +
                                     ", B says " + std::to_string(b);
    }
  }
}

void MirrorChecker::OnState(Node& node, uint16_t volume, const core::State& before) {
  using core::Conn;
  const core::State &now = node.state(volume), &peer = world_.node(1 - node.index()).state(volume);
  if ((before.conn == Conn::kSyncSource || before.conn == Conn::kPausedSyncS) && now.conn == Conn::kConnected && now.pdsk == core::Disk::kUpToDate &&
      (peer.conn == Conn::kSyncTarget || peer.conn == Conn::kPausedSyncT)) {
    findings_.Report("mirror", std::string("node ") + node.name() + " takes the resync of volume " + std::to_string(volume) + " as done while the other still is " + core::ConnName(peer.conn));
  }
  Said& s = said_[volume];
  const core::Conn c = node.state(volume).conn;
  if (c < core::Conn::kWFReportParams) s.Forget(node.index());
  else if (!s.doubt.empty() && (c == core::Conn::kSyncSource || c == core::Conn::kSyncTarget)) findings_.Report("mirror", s.doubt);
}

void MirrorChecker::OnStarted(Node& node) {
  for (Said& s : said_) s.Forget(node.index());
}

}  // namespace drbdts::sim
