#pragma once
// The in-sync-set register and what each node's daemon does with it: the other half of `fencing resource-and-stonith`.
//
// The register holds {epoch, in_sync} per volume and knows one operation, compare-and-swap on the epoch. A node goes on without its peer
// only after it swapped the peer out; a peer comes back in while both are connected and UpToDate. An answer that did not come means
// nothing: the swap may have happened, may still happen, or not. A member that lost its disk hands over to a peer that has everything; to
// one that was swapped out and not made complete since nobody hands over, however good its disk says it is.
//
// A register that was restarted may have been restored from an old copy, and cannot tell. (One whose process alone was restarted can: to the
// nodes that is the same as messages that get lost.) So it takes no swap until those who must know
// vouch for a record: a Primary that is alone by its own record, or both nodes, and then the higher epoch is the truth: nobody acted on
// anything newer.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/observer.h"
#include "sim/world.h"

namespace drbdts::sim {

struct Record {
  uint64_t epoch = 1;
  uint32_t in_sync = 3;      // bit per node
  int by = -1;               // who swapped it in; -1: nobody
  /// Both are not in, and it is this node that took the other copy, or its own, out: nobody else may undo that.
  bool MayGrow(int node) const { return in_sync != 3 && (by == node || (by == -1 && (in_sync & 1u << node) != 0)); }
  /// It is alone in by its own word: nobody else can change that behind its back.
  bool AloneBySelf(int node) const { return in_sync == 1u << node && MayGrow(node); }
};

class Register {
 public:
  explicit Register(uint32_t volumes) : cells_(volumes) {}
  struct Answer {
    bool done = false;       // the swap was made
    bool vouched = true;
    uint64_t incarnation = 0;
    Record record;
  };
  Answer Read(uint32_t volume) const { return {false, cells_[volume].vouched, incarnation_, cells_[volume].record}; }
  Answer Swap(uint32_t volume, uint64_t incarnation, uint64_t expected_epoch, uint32_t in_sync, int node);
  /// `alone`: the node serves, and nobody else can be in.
  Answer Vouch(uint32_t volume, uint64_t incarnation, int node, const Record& record, bool alone);
  void Restart();
  /// As it was a while ago.
  void Restore();
  /// Keeps a copy for Restore().
  void Backup();

 private:
  struct Cell {
    Record record, old;
    bool vouched = true;
    bool said[2] = {false, false};
    Record by[2];
  };
  std::vector<Cell> cells_;
  uint64_t incarnation_ = 1;
};

/// The register, the way to it, and an agent on each node.
class Arbitration : public Observer {
 public:
  Arbitration(World& world, uint32_t volumes);

  // ---- faults ----
  TimeUs slow_until = 0;             // answers take up to seconds
  TimeUs lost_until[2] = {0, 0};     // node i cannot reach it
  TimeUs deaf_until = 0;             // requests arrive, answers do not
  void Restart() { register_.Restart(); }
  void Restore() { register_.Restore(); }
  void Backup() { register_.Backup(); }

  /// What the register says; without a disk there nobody can serve.
  bool OnlyMember(int node, uint32_t volume) { return register_.Read(volume).record.in_sync == 1u << node; }

  uint64_t swaps = 0, denials = 0;

  void OnState(Node& node, uint16_t volume, const core::State& before) override;

 private:
  struct Agent {
    Record known;                    // on stable storage: survives every crash
    uint64_t incarnation = 0;        // of the register, as last read
    bool grow_may_happen = false;    // a swap that takes the peer back in was sent; its answer is not known
    bool asking = false;             // a request is under way
    std::vector<std::function<void(int)>> fence;  // who waits for a disk to be out
    bool fence_self = false;         // our own, else the peer's
    TimeUs fence_since = 0;
    uint32_t life = 0;               // incarnation of the node's process
    bool peer_lacks = true;          // we may have acknowledged without the peer since both were complete
    TimeUs cut_off_since = 0;        // it serves, frozen, without any good copy in reach
  };
  enum class Ask : uint8_t { kRead, kSwapOut, kHandOver, kSwapBoth, kVouch };
  Agent& Of(int node, uint32_t volume) { return agents_[static_cast<size_t>(node) * volumes_ + volume]; }
  void Look();
  void NewLife(int node, uint32_t volume);
  void Look(int node, uint32_t volume);
  void SelfFence(int node, uint32_t volume);
  bool PeerHasAll(int node, uint32_t volume);
  bool MustHandOver(int node, uint32_t volume);
  bool ServesAlone(int node, uint32_t volume);
  void Send(int node, uint32_t volume, Ask what);
  void OnAnswer(int node, uint32_t volume, Ask what, const Register::Answer& answer);
  void EndFence(int node, uint32_t volume, int exit_code);

  World& world_;
  uint32_t volumes_;
  Register register_;
  std::vector<Agent> agents_;
};

}  // namespace drbdts::sim
