#include "sim/arbiter.h"

#include <algorithm>

namespace drbdts::sim {

using namespace core;

namespace {
// Exit codes of fence-peer: the peer is out; nobody could be asked; we are out ourselves.
constexpr int kPeerIsOut = 7, kUnreachable = 5, kWeAreOut = 6;
constexpr TimeUs kLookEvery = 100 * kMs, kPatience = 3 * kSec, kCutOff = 10 * kSec;
}  // namespace

Register::Answer Register::Swap(uint32_t volume, uint64_t incarnation, uint64_t expected_epoch, uint32_t in_sync, int node) {
  Cell& c = cells_[volume];
  if (!c.vouched || incarnation != incarnation_ || c.record.epoch != expected_epoch) return Read(volume);
  c.record = {expected_epoch + 1, in_sync, node};
  Answer a = Read(volume);
  a.done = true;
  return a;
}

Register::Answer Register::Vouch(uint32_t volume, uint64_t incarnation, int node, const Record& record, bool alone) {
  Cell& c = cells_[volume];
  if (c.vouched || incarnation != incarnation_) return Read(volume);
  c.said[node] = true;
  c.by[node] = record;
  if (!alone && !(c.said[0] && c.said[1])) return Read(volume);
  Record truth = alone ? record : c.by[0].epoch >= c.by[1].epoch ? c.by[0] : c.by[1];
  if (truth.epoch < c.record.epoch) truth = c.record;
  c.record = truth;
  c.vouched = true;
  Answer a = Read(volume);
  a.done = true;
  return a;
}

void Register::Restart() {
  ++incarnation_;
  for (Cell& c : cells_) c.vouched = c.said[0] = c.said[1] = false;
}

void Register::Backup() {
  for (Cell& c : cells_) c.old = c.record;
}

void Register::Restore() {
  for (Cell& c : cells_) c.record = c.old;
  Restart();
}

Arbitration::Arbitration(World& world, uint32_t volumes) : world_(world), volumes_(volumes), register_(volumes), agents_(2 * volumes) {
  for (int i = 0; i < 2; ++i) {
    world.node(i).on_handler = [this, i](const std::string& name, uint16_t volume, std::function<void(int)> done) {
      if (name != "fence-peer" && name != "fence-self") {
        done(0);
        return;
      }
      Agent& a = Of(i, volume);
      NewLife(i, volume);
      // A promotion may ask while the handler of an earlier loss still runs: every script ends, an outdated question without a result.
      const bool self = name == "fence-self";
      if (self != a.fence_self) EndFence(i, volume, kUnreachable);
      if (a.fence.empty()) a.fence_since = world_.now;
      a.fence.push_back(std::move(done));
      a.fence_self = self;
      Look(i, volume);
    };
  }
  Look();
}

void Arbitration::Look() {
  for (int i = 0; i < 2; ++i) {
    for (uint32_t v = 0; v < volumes_; ++v) Look(i, v);
  }
  world_.At(world_.now + kLookEvery, [this] { Look(); });
}

void Arbitration::SelfFence(int node, uint32_t volume) {
  world_.At(world_.now + world_.rng.Below(kSec), [this, node, volume, life = world_.node(node).incarnation()] {
    Node& n = world_.node(node);
    if (n.alive() && n.incarnation() == life && n.state(volume).susp_fen) n.Crash(world_.rng.Chance(50));
  });
}

void Arbitration::EndFence(int node, uint32_t volume, int exit_code) {
  Agent& a = Of(node, volume);
  if (a.fence.empty()) return;
  const auto fence = std::move(a.fence);
  a.fence.clear();
  Node& n = world_.node(node);
  const bool serves = n.state(volume).role == Role::kPrimary;
  if (exit_code == kPeerIsOut && !a.fence_self) a.peer_lacks = true;
  if (exit_code == kWeAreOut) {
    ++denials;
    // It may not go on, and what it holds cannot be taken away under its users: the node fences itself.
    if (serves) SelfFence(node, volume);
  }
  for (const auto& done : fence) done(exit_code);
}

/// A new process knows what is on stable storage, and reads before it acts.
void Arbitration::NewLife(int node, uint32_t volume) {
  Agent& a = Of(node, volume);
  if (a.life == world_.node(node).incarnation()) return;
  a.life = world_.node(node).incarnation();
  a.asking = false;
  a.fence.clear();
  a.incarnation = 0;
  a.cut_off_since = 0;
  a.peer_lacks = true;
}

void Arbitration::Look(int node, uint32_t volume) {
  Node& n = world_.node(node);
  Agent& a = Of(node, volume);
  NewLife(node, volume);
  if (!n.alive()) {
    a.fence.clear();
    return;
  }
  if (world_.now < n.paused_until || a.asking) return;
  const State& s = n.state(volume);
  const uint32_t me = 1u << node;
  const bool together = s.conn == Conn::kConnected && s.disk == core::Disk::kUpToDate && s.pdsk == core::Disk::kUpToDate;
  // A good disk that is not in counts as little as none, whatever it says of itself.
  const bool own = s.disk == core::Disk::kUpToDate && (s.conn < Conn::kConnected || (a.known.in_sync & me) != 0);
  const bool peers = s.conn >= Conn::kConnected && s.pdsk == core::Disk::kUpToDate && PeerHasAll(node, volume);
  const bool cut_off = s.role == Role::kPrimary && s.susp_fen && !own && !peers;
  if (!cut_off) a.cut_off_since = 0;
  else if (a.cut_off_since == 0) a.cut_off_since = world_.now;
  else if (world_.now > a.cut_off_since + kCutOff) SelfFence(node, volume);
  if (!a.fence.empty()) {
    if (together) {
      EndFence(node, volume, kUnreachable);  // nobody is out
      return;
    }
    // About our own disk the record alone says nothing: the peer, which is in, may be about to take us in.
    if (!a.fence_self && a.known.AloneBySelf(node) && !a.grow_may_happen && a.incarnation != 0 && s.role == Role::kPrimary) {
      EndFence(node, volume, kPeerIsOut);    // it never came back in
      return;
    }
    if (s.role != Role::kPrimary && world_.now > a.fence_since + kPatience) {
      EndFence(node, volume, kUnreachable);
      return;
    }
    Send(node, volume, Ask::kRead);
    return;
  }
  if (together && (a.known.in_sync != 3 || a.incarnation == 0)) Send(node, volume, Ask::kRead);
  else if (MustHandOver(node, volume)) Send(node, volume, Ask::kRead);
  else if (world_.rng.Below(5) == 0) Send(node, volume, Ask::kRead);  // has it been restarted?
}

/// By its own record, and nothing under way can change that.
bool Arbitration::ServesAlone(int node, uint32_t volume) {
  const State& s = world_.node(node).state(volume);
  const Agent& a = Of(node, volume);
  return a.known.AloneBySelf(node) && !a.grow_may_happen && s.role == Role::kPrimary && s.disk == core::Disk::kUpToDate && !s.susp_fen;
}

/// The peer is in, or we are alone and acknowledged nothing since both were complete.
bool Arbitration::PeerHasAll(int node, uint32_t volume) {
  const Agent& a = Of(node, volume);
  return (a.known.in_sync & 3u & ~(1u << node)) != 0 || !a.peer_lacks;
}

void Arbitration::OnState(Node& node, uint16_t volume, const State&) {
  const State& s = node.state(volume);
  if (s.conn == Conn::kConnected && s.disk == core::Disk::kUpToDate && s.pdsk == core::Disk::kUpToDate) Of(node.index(), volume).peer_lacks = false;
}

/// A member whose disk is not good while it sees one that lacks nothing, as the record says or because the two disks were compared. After a
/// restart without the disk nobody knows whether one that is no member has what this one acknowledged alone.
bool Arbitration::MustHandOver(int node, uint32_t volume) {
  const State& s = world_.node(node).state(volume);
  const bool has_all = PeerHasAll(node, volume) || s.disk >= core::Disk::kInconsistent;
  return (Of(node, volume).known.in_sync & 1u << node) != 0 && has_all && s.disk != core::Disk::kUpToDate && s.conn >= Conn::kConnected && s.pdsk == core::Disk::kUpToDate;
}

void Arbitration::Send(int node, uint32_t volume, Ask what) {
  Node& n = world_.node(node);
  Agent& a = Of(node, volume);
  a.asking = true;
  const uint32_t me = 1u << node;
  const uint32_t wanted = what == Ask::kHandOver || a.fence_self ? 3 & ~me : me;
  const Record record = a.known;
  const uint64_t incarnation = a.incarnation;
  const uint32_t life = n.incarnation();
  const bool alone = ServesAlone(node, volume);
  if (what == Ask::kSwapBoth) a.grow_may_happen = true;
  const auto delay = [this] { return 100 + world_.rng.Below(world_.now < slow_until ? 4 * kSec : 5 * kMs); };
  const TimeUs there = world_.now + delay();
  const bool arrives = world_.now >= lost_until[node];
  const auto give_up = [this, node, volume, life] {
    Agent& b = Of(node, volume);
    if (b.life == life) b.asking = false;
  };
  if (!arrives) {
    world_.At(world_.now + 500 * kMs, give_up);
    return;
  }
  // What is on its way arrives, whatever becomes of the one who sent it.
  world_.At(there, [=, this] {
    Register::Answer answer;
    switch (what) {
      case Ask::kRead: answer = register_.Read(volume); break;
      case Ask::kSwapOut:
      case Ask::kHandOver: answer = register_.Swap(volume, incarnation, record.epoch, wanted, node); break;
      case Ask::kSwapBoth: answer = register_.Swap(volume, incarnation, record.epoch, 3, node); break;
      case Ask::kVouch: answer = register_.Vouch(volume, incarnation, node, record, alone); break;
    }
    if (answer.done && what != Ask::kVouch) ++swaps;
    if (world_.now < deaf_until || world_.now < lost_until[node]) {
      world_.At(world_.now + 500 * kMs, give_up);
      return;
    }
    world_.At(world_.now + delay(), [=, this] {
      Node& m = world_.node(node);
      Agent& b = Of(node, volume);
      if (!m.alive() || m.incarnation() != life || b.life != life) return;
      b.asking = false;
      if (world_.now < m.paused_until) {  // it reads the answer when it runs again
        b.asking = true;
        world_.At(m.paused_until, [=, this] {
          Agent& c = Of(node, volume);
          if (c.life != life || !world_.node(node).alive()) return;
          c.asking = false;
          OnAnswer(node, volume, what, answer);
        });
        return;
      }
      OnAnswer(node, volume, what, answer);
    });
  });
}

void Arbitration::OnAnswer(int node, uint32_t volume, Ask what, const Register::Answer& answer) {
  Node& n = world_.node(node);
  Agent& a = Of(node, volume);
  const State& s = n.state(volume);
  const uint32_t me = 1u << node;
  const bool together = s.conn == Conn::kConnected && s.disk == core::Disk::kUpToDate && s.pdsk == core::Disk::kUpToDate;
  a.incarnation = answer.incarnation;
  if (!answer.vouched) {
    if (what != Ask::kVouch) Send(node, volume, Ask::kVouch);
    return;
  }
  if (answer.record.epoch < a.known.epoch) return;  // older than what we know to have been: not to be believed
  a.known = answer.record;
  const bool swapped = what == Ask::kSwapOut && answer.done;
  // What an earlier question took out of the set is no answer to one about the other disk.
  const bool swapped_out = swapped && a.known.in_sync == (a.fence_self ? 3 & ~me : me);
  if (a.known.in_sync == 3 || swapped) a.grow_may_happen = false;
  if (!a.fence.empty()) {
    if (together) EndFence(node, volume, kUnreachable);
    else if (swapped_out) EndFence(node, volume, kPeerIsOut);
    else if (a.fence_self && a.known.in_sync == me && a.peer_lacks) return;   // nobody else has it all
    else if (!a.fence_self && s.disk < core::Disk::kInconsistent) EndFence(node, volume, kUnreachable);  // the peer's may be the only one left
    else if (a.fence_self || (a.known.in_sync & me) != 0) Send(node, volume, Ask::kSwapOut);  // also when the record says so already: what is under way must not undo it
    else if (s.conn < Conn::kConnected) EndFence(node, volume, kWeAreOut);
    else if (s.disk != core::Disk::kUpToDate) EndFence(node, volume, kUnreachable);  // it has lost its own since it asked
    return;                                      // connected: the peer, which is in, hands over
  }
  // Who took a copy out takes it in again: a member whose peer has given up its own has not heard of it, maybe.
  if (together && a.known.MayGrow(node)) Send(node, volume, Ask::kSwapBoth);
  else if (MustHandOver(node, volume) && what != Ask::kHandOver) Send(node, volume, Ask::kHandOver);
}

}  // namespace drbdts::sim
