#include "sim/checkers/one_server.h"

namespace drbdts::sim {

using namespace core;

namespace {
bool Access(const State& s) { return s.disk == core::Disk::kUpToDate || (s.conn >= Conn::kConnected && s.pdsk == core::Disk::kUpToDate); }
bool InSync(const State& s) { return s.conn >= Conn::kConnected && s.disk == core::Disk::kUpToDate && s.pdsk == core::Disk::kUpToDate; }
}  // namespace

void OneServerChecker::OnStarted(Node& node) {
  for (size_t v = 0; v < apart_.size(); ++v) lost_at_[static_cast<size_t>(node.index()) * apart_.size() + v] = node.next_tag;
}

void OneServerChecker::OnState(Node& node, uint16_t volume, const State& before) {
  const State& s = node.state(volume);
  // What was handed in while there was access may still be answered after it is gone.
  uint64_t& lost_at = lost_at_[static_cast<size_t>(node.index()) * apart_.size() + volume];
  if (Access(s)) lost_at = 0;
  else if (Access(before) || lost_at == 0) lost_at = node.next_tag;
  const State& o = world_.node(1 - node.index()).state(volume);
  if (InSync(s) && InSync(o) && s.conn == Conn::kConnected && o.conn == Conn::kConnected) {
    apart_[volume] = 0;
    if (s.role == Role::kPrimary && o.role == Role::kPrimary) findings_.Report("one server", "both nodes are Primary and Connected, volume " + std::to_string(volume));
  }
}

void OneServerChecker::OnCompleted(Node& node, uint16_t volume, uint64_t tag, int error) {
  if (error != 0) return;
  const State& s = node.state(volume);
  const uint64_t lost_at = lost_at_[static_cast<size_t>(node.index()) * apart_.size() + volume];
  if (lost_at == 0 || tag < lost_at) return;
  findings_.Report("served", std::string("node ") + node.name() + " answers a request without access to UpToDate data: " + DescribeState(s));
}

void OneServerChecker::Acknowledged(int node, uint32_t volume) {
  const State& s = world_.node(node).state(volume);
  if (s.conn >= Conn::kConnected && s.pdsk == core::Disk::kUpToDate) return;  // the peer has it, too
  if (s.susp_fen) return;  // frozen: it answers only what both had before
  apart_[volume] |= 1u << node;
  if (arbiter_ && apart_[volume] == 3) {
    findings_.Report("one server", "both nodes acknowledged writes without each other under an arbiter, volume " + std::to_string(volume) + ", last node " +
                                       std::string(1, "AB"[node]) + " " + DescribeState(s));
  }
}

}  // namespace drbdts::sim
