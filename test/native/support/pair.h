#pragma once
// Two nodes of the real core on memory disks and a memory network, in virtual time. For tests of the core.
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/meta_data.h"
#include "core/resource.h"

namespace pair_test {

using namespace drbdts::core;

/// Bytes of a disk; costs memory only where something was written.
class Image {
 public:
  explicit Image(uint64_t size);
  ~Image();
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  uint8_t* data() const { return bytes_; }
  uint64_t size() const { return size_; }
  uint8_t& operator[](uint64_t i) const { return bytes_[i]; }
  uint8_t* begin() const { return bytes_; }
  uint8_t* end() const { return bytes_ + size_; }

 private:
  uint8_t* bytes_;
  uint64_t size_;
};

/// A disk with a volatile cache. A flush makes durable exactly the writes that were complete when it was issued; everything else may or
/// may not survive a power failure, sector by sector.
class MemoryDisk {
 public:
  explicit MemoryDisk(uint64_t size);
  /// A write is complete. data == nullptr: zeroes.
  void Write(uint64_t offset_bytes, const uint8_t* data, uint64_t count, bool dsync);
  struct Flushing {
    struct Sector {
      uint64_t sector, sequence;
      std::array<uint8_t, 512> content;
    };
    std::vector<Sector> sectors;
  };
  Flushing BeginFlush() const;
  void EndFlush(const Flushing& f);
  /// The power goes: each sector that is not safe keeps its new content or falls back to the durable one.
  void PowerLoss(std::mt19937_64& rng);
  /// Everything as it stands is durable (set-up of a test).
  void Settle();

  Image bytes;    // what reads see
  Image durable;  // what survives a power failure for certain
  std::vector<bool> touched;  // 4 KiB pages ever written
  bool fail_reads = false, fail_writes = false, fail_meta = false;

 private:
  uint64_t sequence_ = 0;
  std::map<uint64_t, uint64_t> dirty_;      // sector -> last write
  std::map<uint64_t, uint64_t> synced_;     // sector -> last durable write
};

class Pair;

class Node {
 public:
  Node(Pair& pair, int index, uint64_t disk_bytes, const ResourceConfig& config);
  void CreateMd();
  void Start(uint64_t seed);
  void Crash(bool power_loss, std::mt19937_64& rng);  // the process (or the machine) is gone
  /// Runs a command to its end; returns the code.
  int Run(AdminCommand::Kind kind, const std::function<void(AdminCommand&)>& set = {});
  void Command(AdminCommand c);
  State state(uint32_t volume = 0) const;
  const VolumeSnapshot& snap(uint32_t volume = 0);

  bool alive = false;
  std::vector<std::unique_ptr<MemoryDisk>> disks;  // one per volume
  MemoryDisk& disk;                                // of volume 0
  ResourceConfig config;
  std::unique_ptr<Resource> resource;
  std::vector<std::string> log;
  std::vector<std::string> handlers;
  int last_code = -1000;
  uint64_t last_done = 0;
  uint64_t next_command = 1;
  std::string last_text, last_detail;
  std::map<uint64_t, int> completed;  // tag -> error
  uint64_t next_tag = 1;
  std::map<uint64_t, std::vector<uint8_t>*> buffers;
  bool device_up = false;
  int handler_exit = 0;
  std::string holders;
  MetaDataLayout layout;  // the same for every volume
  DiskFacts facts;        // what the disks can do; sizes are filled in
  /// Called for every request that completes.
  std::function<void(uint16_t volume, uint64_t tag, int error)> on_complete;
  /// Something the harness itself found wrong.
  std::vector<std::string> violations;
  TimeUs disk_slow_until = 0;  // I/O issued before this takes `disk_slow` longer
  TimeUs disk_slow = 0;
  std::array<PageArena*, 3> arenas() const { return {arena_[0].get(), arena_[1].get(), arena_[2].get()}; }
  /// Meta-data of two disks that are known to be equal: no initial resync.
  void CreateMdInSync(uint64_t current_uuid);

  struct Io {
    Action action;
    TimeUs due;
    MemoryDisk::Flushing flush;
  };
  std::deque<Io> disk_queue;
  std::vector<std::pair<TimeUs, std::function<void()>>> later;

  uint64_t Submit(BlockOp op, uint64_t sector, uint32_t bytes, uint8_t* data, bool fua = false, uint16_t volume = 0, bool may_unmap = true);
  bool Done(uint64_t tag) const { return completed.count(tag) != 0; }
  bool listening = false;

 private:
  friend class Pair;
  Pair& pair_;
  int index_;
  void WriteMd(const SuperBlock& super_block);
  std::unique_ptr<Image> memory_[3];
  std::unique_ptr<PageArena> arena_[3];
  Snapshot snapshot_;
};

class Pair {
 public:
  explicit Pair(uint64_t disk_bytes, uint64_t seed, const std::function<void(ResourceConfig&, int)>& configure = {});
  Node& a() { return *node_[0]; }
  Node& b() { return *node_[1]; }
  Node& node(int i) { return *node_[i]; }
  /// Lets the world go on until the condition holds; false after `limit` of virtual time.
  bool Until(const std::function<bool()>& condition, TimeUs limit = 120 * TimeUs{1000000});
  void For(TimeUs duration);
  void Cut() { cut_ = true; DropAll(); }
  void Heal() { cut_ = false; }
  /// Every TCP connection is reset.
  void DropAll();
  bool Step();  // one thing happens; false if nothing can before the limit
  /// One of the TCP connections is reset (both ends hear of it; what was under way is lost).
  void ResetOne();
  /// Nothing reaches node `to` until then; nothing is lost.
  void Stall(int to, TimeUs until) { stall_until_[to] = until; }
  /// Random delivery: chunks of any size, the connections out of step with each other, a bounded socket buffer.
  void Rough(uint64_t window) { rough_ = true, window_ = window; }
  /// Called when a direction is quiet, at a packet boundary: bytes it returns are put on the wire to `to`.
  std::function<std::vector<uint8_t>(int to)> inject;
  /// May change bytes on their way.
  std::function<void(int to, uint8_t* bytes, size_t count)> tamper;
  bool livelock = false;
  TimeUs now = 1000000;
  std::mt19937_64 rng;
  TimeUs disk_delay = 50, net_delay = 30;
  bool trace = false;

 private:
  friend class Node;
  struct Pipe {  // one direction of a connection
    std::vector<uint8_t> bytes;
    size_t head = 0;
    bool eof = false;
    bool lost = false;  // the machine at this end lost its power: nobody answers
    TimeUs hold_until = 0;
    size_t size() const { return bytes.size() - head; }
    bool empty() const { return size() == 0; }
    void clear() { bytes.clear(), head = 0; }
  };
  struct Connection {
    bool open = true;
    LinkId link[2] = {kNoLink, kNoLink};
    bool closed[2] = {false, false};
    Pipe to[2];  // bytes on their way to node i
  };
  void Carry(Node& n);
  void Execute(Node& n, const Action& a);
  void CloseFrom(int node, LinkId link);
  void Network();
  LinkId FreeLink(int node) const;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::unique_ptr<Node> node_[2];
  bool cut_ = false, rough_ = false;
  uint64_t window_ = ~uint64_t{0};
  TimeUs stall_until_[2] = {0, 0};
  uint32_t still_ = 0;  // steps without time going on
  void KillConnectionsOf(int node, bool silently);
  void Reset(Connection& c);
};

}  // namespace pair_test
