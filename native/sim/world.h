#pragma once
// Two nodes, the network between them, and time. One event at a time, all of it from one seed.
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "sim/network.h"
#include "sim/node.h"
#include "sim/observer.h"
#include "sim/random.h"

namespace drbdts::sim {

inline constexpr TimeUs kMs = 1000, kSec = 1000000;

class World {
 public:
  World(uint64_t disk_bytes, uint64_t seed, const std::function<void(core::ResourceConfig&, int)>& configure = {});
  ~World();
  Node& a() { return *node_[0]; }
  Node& b() { return *node_[1]; }
  Node& node(int i) { return *node_[i]; }

  TimeUs now = kSec;
  Rng rng;
  std::vector<Observer*> observers;
  bool trace = false;
  std::function<void()> on_step;   // something happened
  uint64_t events = 0;       // things handed to a core
  bool livelock = false;     // a core asked to be called again and again without time going on

  /// One thing happens; false if nothing ever will.
  bool Step();
  /// Lets the world go on until the condition holds; false after `limit` of time without it.
  bool Until(const std::function<bool()>& condition, TimeUs limit = 120 * kSec);
  void For(TimeUs duration);
  /// Calls `f` then. It belongs to nobody: crashes do not take it away.
  void At(TimeUs when, std::function<void()> f);
  /// Nothing under way on either disk or between the nodes.
  bool Idle() const;
  void Note(const std::string& what);

  // ---- network ----
  TimeUs disk_delay = 50, net_delay = 30;
  /// No connection is possible until healed; those that exist are reset.
  void Cut() { cut_ = true, DropAll(); }
  void Heal() { cut_ = false; }
  bool cut() const { return cut_; }
  /// Every TCP connection is reset / one of them is; both ends hear of it.
  void DropAll();
  void ResetOne();
  /// Nothing reaches node `to` until then; nothing is lost.
  void Stall(int to, TimeUs until) { stall_until_[to] = until; }
  bool Stalled() const { return now < stall_until_[0] || now < stall_until_[1]; }
  /// The connections vanish without a word: neither end hears anything on them any more.
  void BlackHole();
  /// When the nth packet of that kind from now on is about to reach node `to`, that happens; the packet itself does not arrive.
  void At(const PacketTrigger& trigger) { triggers_.push_back(trigger); }
  /// Lets the streams to node `to` go on that stand still before a packet.
  void Release(int to);
  /// Those that were not met. Clears them.
  std::vector<PacketTrigger> TakeTriggers() { return std::exchange(triggers_, {}); }
  /// Random delivery: chunks of any size, the connections out of step with each other, a bounded socket buffer.
  void Rough(uint64_t window_bytes) { rough_ = true, window_ = window_bytes; }
  /// Called when a direction is quiet, at a packet boundary: bytes it returns are put on the wire to `to`.
  std::function<std::vector<uint8_t>(int to)> inject;
  /// May change bytes on their way.
  std::function<void(int to, uint8_t* bytes, size_t count)> tamper;

 private:
  friend class Node;
  enum class What : uint8_t { kDisk, kCall };
  struct Event {
    TimeUs due;
    uint64_t order;
    What what;
    int8_t node;             // -1: the world's own
    uint32_t slot;
    uint32_t incarnation;
    bool operator<(const Event& o) const { return due != o.due ? due > o.due : order > o.order; }  // heap: earliest on top
  };
  void Push(TimeUs due, What what, int node, uint32_t slot, uint32_t incarnation);
  uint32_t Keep(std::function<void()> f);
  void Later(Node& n, TimeUs delay, std::function<void()> f);
  void Fire(const Event& e);
  void DiskDone(Node& n, uint32_t slot);
  void Carry(Node& n);
  void Execute(Node& n, const core::Action& a);
  void SendOutput(Node& n);
  void Network();
  void Deliver(Connection& c, int to);
  uint64_t UpToTrigger(Connection& c, int to);
  void CloseFrom(int node, LinkId link);
  void KillConnectionsOf(int node, bool silently);
  void Reset(Connection& c);
  void Connect(Node& n);
  void Refresh(Node& n);
  void BuryTheDead();
  LinkId FreeLink(int node) const;
  void Tell(Node& n, Input what, uint16_t volume = 0);
  TimeUs DueOf(const Node& n) const;

  std::unique_ptr<Node> node_[2];
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<PacketTrigger> triggers_;
  std::vector<Event> heap_;
  std::vector<std::function<void()>> calls_;
  std::vector<uint32_t> calls_free_;
  uint64_t order_ = 0;
  bool cut_ = false, rough_ = false;
  uint64_t window_ = ~uint64_t{0};
  TimeUs stall_until_[2] = {0, 0};
  uint32_t still_ = 0;       // steps without time going on
  bool dying_[2] = {false, false};
};

}  // namespace drbdts::sim
