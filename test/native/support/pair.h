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

struct MemoryDisk {
  std::vector<uint8_t> bytes;      // what reads see
  std::vector<uint8_t> durable;    // what survives a power failure
  bool fail_reads = false, fail_writes = false, fail_meta = false;
  explicit MemoryDisk(uint64_t size) : bytes(size), durable(size) {}
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
  MemoryDisk disk;
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
  MetaDataLayout layout;

  struct Io {
    Action action;
    TimeUs due;
  };
  std::deque<Io> disk_queue;
  std::vector<std::pair<TimeUs, std::function<void()>>> later;

  uint64_t Submit(BlockOp op, uint64_t sector, uint32_t bytes, uint8_t* data, bool fua = false);
  bool Done(uint64_t tag) const { return completed.count(tag) != 0; }
  bool listening = false;

 private:
  friend class Pair;
  Pair& pair_;
  int index_;
  std::vector<uint8_t> memory_[3];
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
  TimeUs now = 1000000;
  std::mt19937_64 rng;
  TimeUs disk_delay = 50, net_delay = 30;
  bool trace = false;

 private:
  friend class Node;
  struct Pipe {  // one direction of a connection
    std::deque<uint8_t> bytes;
    bool eof = false;
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
  bool cut_ = false;
  void KillConnectionsOf(int node);
};

}  // namespace pair_test
