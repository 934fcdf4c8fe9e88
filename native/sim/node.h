#pragma once
// One node: the real core, its disks, its clock, and the thin edges that carry out what the core asks for.
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/meta_data.h"
#include "core/resource.h"
#include "sim/drive.h"

namespace drbdts::sim {

class World;

class Node {
 public:
  Node(World& world, int index, uint64_t disk_bytes, const core::ResourceConfig& config);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  int index() const { return index_; }
  char name() const { return static_cast<char>('A' + index_); }

  // ---- its life ----
  /// Meta-data as create-md leaves it / as on two disks that are known to be equal (no initial resync).
  void CreateMd();
  void CreateMdInSync(uint64_t current_uuid);
  /// Its disks get another size. What is at their old end stays where it is.
  void ResizeDisks(uint64_t size_bytes);
  /// The process starts. `seed` feeds the core's random numbers.
  void Start(uint64_t seed);
  /// The process is gone, with it everything in memory; with `power` the machine, and what its disks had not made durable.
  void Crash(bool power);
  /// It dies by itself when it has carried out that many more actions.
  void CrashAfter(uint64_t actions, bool power) { crash_after_ = actions, crash_power_ = power; }
  bool CrashPending() const { return crash_after_ != kNoCrash; }
  bool alive() const { return alive_; }
  uint32_t incarnation() const { return incarnation_; }

  // ---- administrator ----
  void Command(core::AdminCommand c);
  /// Runs a command to its end; returns the code.
  int Run(core::AdminCommand::Kind kind, const std::function<void(core::AdminCommand&)>& set = {});
  bool CommandsDone() const { return !alive_ || last_done + 1 >= next_command; }
  int last_code = -1000;
  uint64_t last_done = 0, next_command = 1;
  std::string last_text, last_detail;

  // ---- what status shows ----
  const core::State& state(uint32_t volume = 0) const { return snapshot_.volumes[volume].state; }
  /// As of now; brings counters up to date.
  const core::VolumeSnapshot& snap(uint32_t volume = 0);
  std::vector<std::string> log;
  std::vector<std::string> handlers;

  // ---- application ----
  uint64_t Submit(core::BlockOp op, uint64_t sector, uint32_t bytes, uint8_t* data, bool fua = false, uint16_t volume = 0, bool may_unmap = true);
  bool Done(uint64_t tag) const { return completed.count(tag) != 0; }
  std::unordered_map<uint64_t, int> completed;  // tag -> errno
  uint64_t next_tag = 1;
  bool device_up = false;

  // ---- surroundings ----
  core::ResourceConfig config;
  std::unique_ptr<core::Resource> resource;
  std::vector<std::unique_ptr<Drive>> disks;     // one per volume
  Drive& disk(uint32_t volume = 0) const { return *disks[volume]; }
  core::MetaDataLayout layout;                  // the same for every volume
  core::DiskFacts facts;                        // what the disks can do; sizes are filled in
  int handler_exit = 0;
  /// Answers a waiting handler instead of `handler_exit`; calls done(exit code) whenever it knows.
  std::function<void(const std::string& name, uint16_t volume, std::function<void(int)> done)> on_handler;
  std::string holders;                          // who holds the device
  int64_t clock_ppm = 0;                        // its monotonic clock runs this much faster
  TimeUs paused_until = 0;                      // the process gets no CPU before
  /// Calls f(action, what its flush or preflush covers) for all I/O under way.
  template <typename F>
  void ForEachOpenIo(F f) const {
    for (const uint32_t slot : io_open_) f(io_[slot].action, io_[slot].flush);
  }
  std::array<core::PageArena*, 3> arenas() const { return {arena_[0].get(), arena_[1].get(), arena_[2].get()}; }
  /// Something the edges found wrong: I/O outside the disk, two writes to one sector at once, ...
  std::string violation;

  /// The node's monotonic time.
  TimeUs Local(TimeUs global) const;
  /// When the node's clock will show that.
  TimeUs Global(TimeUs local) const;

 private:
  friend class World;
  static constexpr uint64_t kNoCrash = ~uint64_t{0};
  struct Io {
    core::Action action;
    uint64_t flush = 0;
    bool used = false;
  };
  void WriteMd(const core::SuperBlock& super_block);
  void CheckIo(const core::Action& a);

  World& world_;
  int index_;
  bool alive_ = false;
  uint32_t incarnation_ = 0;
  uint64_t crash_after_ = kNoCrash;
  bool crash_power_ = false;
  bool listening_ = false;
  std::vector<Io> io_;
  std::vector<uint32_t> io_free_, io_open_;
  std::unique_ptr<core::PageArena> arena_[3];
  std::array<std::vector<uint8_t>*, 3> memory_{};
  core::Snapshot snapshot_;
  std::vector<core::Action> carrying_;
};

}  // namespace drbdts::sim
