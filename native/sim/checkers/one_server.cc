#include "sim/checkers/one_server.h"

namespace drbdts::sim {

using namespace core;

namespace {
bool Access(const State& s) { return s.disk == core::Disk::kUpToDate || (s.conn >= Conn::kConnected && s.pdsk == core::Disk::kUpToDate); }
/// What the super block says if the power goes now.
bool Durable(const Node& n, uint32_t volume, SuperBlock& out) {
  const auto decoded = DecodeSuperBlock(std::span<const uint8_t, kMetaBlockBytes>(n.disk(volume).durable() + n.layout.super_block_sector * 512, kMetaBlockBytes));
  if (decoded.ok()) out = decoded.value();
  return decoded.ok();
}
bool Alone(const State& s) { return s.conn < Conn::kConnected || s.pdsk < core::Disk::kInconsistent; }
bool InSync(const State& s) { return s.conn >= Conn::kConnected && s.disk == core::Disk::kUpToDate && s.pdsk == core::Disk::kUpToDate; }
}  // namespace

void OneServerChecker::OnStarted(Node& node) {
  for (size_t v = 0; v < apart_.size(); ++v) lost_at_[At(node, v)] = alone_at_[At(node, v)] = node.next_tag;
}

void OneServerChecker::OnLog(Node&, int volume, const std::string& text) {
  if (text.find("Split-Brain") == std::string::npos) return;
  for (size_t v = 0; v < reported_.size(); ++v) {
    if (volume < 0 || v == static_cast<size_t>(volume)) reported_[v] = 1;
  }
}

void OneServerChecker::OnState(Node& node, uint16_t volume, const State& before) {
  const State& s = node.state(volume);
  // What was handed in while there was access may still be answered after it is gone.
  uint64_t& lost_at = lost_at_[At(node, volume)];
  if (Access(s)) lost_at = 0;
  else if (Access(before) || lost_at == 0) lost_at = node.next_tag;
  if (s.conn < Conn::kConnected || (SyncsToPeer(s.conn) && !SyncsToPeer(before.conn))) followed_[volume] &= ~(1u << node.index());
  const bool was_target = before.conn == Conn::kSyncTarget || before.conn == Conn::kPausedSyncT;
  if (was_target && s.conn == Conn::kConnected && s.disk == core::Disk::kUpToDate) {
    only_[volume] = reported_[volume] = 0;
    if (SyncsToPeer(world_.node(1 - node.index()).state(volume).conn)) followed_[volume] = 2u >> node.index();
  }
  if (s.conn == Conn::kSyncTarget && !was_target && only_[volume] == 3 && reported_[volume] == 0 && !trouble) {
    findings_.Report("generations", std::string("both nodes acknowledged writes without each other, and node ") + node.name() + " becomes the target of a resync without a word of Split-Brain, volume " +
                                        std::to_string(volume));
  }
  if (before.role == Role::kPrimary && s.role != Role::kPrimary) demoted_at_[At(node, volume)] = world_.events;
  uint64_t& alone_at = alone_at_[At(node, volume)];
  if (!Alone(s)) alone_at = 0;
  else if (alone_at == 0) alone_at = node.next_tag;
  const State& o = world_.node(1 - node.index()).state(volume);
  if (InSync(s) && InSync(o) && s.conn == Conn::kConnected && o.conn == Conn::kConnected) {
    apart_[volume] = only_[volume] = followed_[volume] = reported_[volume] = 0;
    if (s.role == Role::kPrimary && o.role == Role::kPrimary) findings_.Report("one server", "both nodes are Primary and Connected, volume " + std::to_string(volume));
  }
}

void OneServerChecker::OnCompleted(Node& node, uint16_t volume, uint64_t tag, int error) {
  if (error != 0) return;
  const State& s = node.state(volume);
  // The answer may have been given, and the demotion have followed, in one go.
  if (s.role != Role::kPrimary && world_.events > demoted_at_[At(node, volume)]) findings_.Report("served", std::string("node ") + node.name() + " answers a request and is no longer Primary: " + DescribeState(s));
  const uint64_t lost_at = lost_at_[At(node, volume)];
  if (lost_at == 0 || tag < lost_at) return;
  findings_.Report("served", std::string("node ") + node.name() + " answers a request without access to UpToDate data: " + DescribeState(s));
}

void OneServerChecker::OwnGeneration(int node, uint32_t volume) {
  SuperBlock own, other;
  if (!Durable(world_.node(node), volume, own) || !Durable(world_.node(1 - node), volume, other)) return;
  if ((other.flags & kMdConsistent) == 0 || WithoutRoleBit(own.uuids.current) != WithoutRoleBit(other.uuids.current)) return;
  // It was the source of a resync, died, and cannot know that the target was just done. Its marks are complete all the same.
  if (own.uuids.bitmap != 0 && WithoutRoleBit(own.uuids.bitmap) == WithoutRoleBit(other.uuids.history0)) return;
  findings_.Report("generations", std::string("node ") + world_.node(node).name() + " acknowledges a write alone under an identifier that the disk of the other has, too, volume " +
                                      std::to_string(volume) + " " + DescribeState(world_.node(node).state(volume)));
}

void OneServerChecker::Acknowledged(int node, uint32_t volume, uint64_t tag, bool flush) {
  const State& s = world_.node(node).state(volume);
  if (s.conn >= Conn::kConnected && s.pdsk == core::Disk::kUpToDate) return;  // the peer has it, too
  if (s.susp_fen) return;  // frozen: it answers only what both had before
  const uint64_t alone_at = alone_at_[At(world_.node(node), volume)];
  if (!flush && !arbiter_ && !trouble && s.disk == core::Disk::kUpToDate && alone_at != 0 && tag >= alone_at) OwnGeneration(node, volume);
  apart_[volume] |= 1u << node;
  only_[volume] |= 1u << node & ~followed_[volume];
  if (arbiter_ && apart_[volume] == 3) {
    findings_.Report("one server", "both nodes acknowledged writes without each other under an arbiter, volume " + std::to_string(volume) + ", last node " +
                                       std::string(1, "AB"[node]) + " " + DescribeState(s));
  }
}

}  // namespace drbdts::sim
