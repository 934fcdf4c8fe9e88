// Who must have what: the books that a careful operator keeps, and the losses that follow from what the life did.
#include "sim/life.h"

namespace drbdts::sim {

using namespace core;
using CoreDisk = core::Disk;

bool Life::Holds(int i, uint32_t volumes) const {
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    if ((volumes >> v & 1) != 0 && (holders_[v] >> i & 1) == 0) return false;
  }
  return true;
}

/// Of every volume somebody who has it all takes part, with its disk: when the nodes see each other, the better data win.
bool Life::HoldersInReach() {
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    bool any = false;
    for (int i = 0; i < 2; ++i) any = any || ((holders_[v] >> i & 1) != 0 && N(i).alive() && N(i).state(v).disk >= CoreDisk::kInconsistent);
    if (!any) return false;
  }
  return true;
}

/// Node i no longer counts as having the data of these volumes; false if that would leave nobody.
bool Life::Without(int i, uint32_t volumes) {
  if (options_.rules == Rules::kAnarchy) {
    trouble_ = true;
    return true;
  }
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    if ((volumes >> v & 1) != 0 && (holders_[v] & ~(1u << i)) == 0) return false;
  }
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    if ((volumes >> v & 1) == 0) continue;
    spared_[v] = holders_[v];
    set_aside_[v] |= holders_[v] & 1u << i;
    holders_[v] &= ~(1u << i);
  }
  trouble_ = true;  // a Primary without its disk and a peer that goes its own way may part, too
  return true;
}

/// A command that would have taken its data was refused: it has what it had, unless something was acknowledged without it meanwhile.
void Life::Keep(int i) {
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    if (N(i).alive() && N(i).state(v).disk == CoreDisk::kUpToDate) holders_[v] |= spared_[v] & 1u << i;
  }
}

void Life::OnAcknowledged(int node, uint32_t volume, uint64_t tag, bool flush) {
  const State& s = N(node).state(volume);
  one_server_->Acknowledged(node, volume, tag, flush);
  uint32_t has = 0;
  if (s.disk == CoreDisk::kUpToDate) has |= 1u << node;
  if (s.conn >= Conn::kConnected && s.pdsk == CoreDisk::kUpToDate) has |= 1u << (1 - node);
  spared_[volume] &= has;
  if ((has & holders_[volume]) != 0) {
    holders_[volume] &= has;
  } else if (has != 0) {  // a fault that was expected to cost a node its disks did not
    holders_[volume] = has;
    for (uint32_t v = 0; v < options_.volumes; ++v) {
      if (v != volume && N(node).state(v).disk == CoreDisk::kUpToDate) holders_[v] |= set_aside_[v] & 1u << node;
    }
  }
  set_aside_[volume] &= has;
  if (LostAlready(volume)) application_->model(volume).DoubtUnflushed();
}

/// After OnAcknowledged: the only node that had it lost its power before we knew.
bool Life::LostAlready(uint32_t volume) const { return (holders_[volume] & ~lost_power_) == 0; }

void Life::OnCompleted(Node& node, uint16_t volume, uint64_t, int error) {
  if (error == 0 && node.state(volume).conn < Conn::kConnected) served_[volume] |= 1u << node.index();
}

void Life::OnDied(Node& node, bool power) {
  const int i = node.index();
  const bool served = (was_primary_ >> i & 1) != 0;
  ++(power ? statistics_.power_losses : statistics_.crashes);
  world_->Note(std::string(power ? "power loss of " : "crash of ") + node.name());
  for (uint32_t v = 0; v < options_.volumes && power; ++v) {
    // Alone as Primary its generation rules when it comes back, with what its cache did not lose.
    if ((Apart() >> i & 1) != 0) application_->model(v).ForgetUnflushed();
    else if ((holders_[v] & ~(1u << i)) == 0) application_->model(v).DoubtUnflushed();  // a Primary without a disk is still there, and may flush
    if ((holders_[v] & ~(1u << i)) != 0) holders_[v] &= ~(1u << i);
    set_aside_[v] &= ~(1u << i);
    spared_[v] &= ~(1u << i);
  }
  if (power) lost_power_ |= 1u << i;
  if (power && (served || last_primary_ == i)) powerless_primary_ = i;
  if (options_.protocol != ReplicationProtocol::kC) application_->ForgetUnflushed();
  for (uint32_t v = 0; v < options_.volumes && served; ++v) application_->model(v).ForgetDoubtful();
  if (served) last_primary_ = i;
  was_primary_ &= ~(1u << i);
  CheckCrash("after a crash");
}

}  // namespace drbdts::sim
