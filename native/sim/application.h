#pragma once
// What runs on the volume: requests that overlap, their buffers, and the model that knows what they may return.
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "sim/findings.h"
#include "sim/model.h"
#include "sim/world.h"

namespace drbdts::sim {

class Application : public Observer {
 public:
  Application(World& world, Findings& findings, uint32_t volumes, uint64_t disk_bytes);
  ~Application() override;

  static constexpr size_t kOpenMax = 32;
  /// Hands a request to node `i`; sectors beyond the device are folded into it. Nothing happens where there is no device.
  void Submit(int node, core::BlockOp op, uint32_t volume, uint64_t sector, uint64_t sectors, bool fua, bool unmap);
  size_t open() const { return open_.size(); }
  size_t open(int node) const;
  /// One line about a request that is still open.
  std::string DescribeOpen() const;
  Model& model(uint32_t volume) { return *models_[volume]; }
  void ForgetUnflushed();
  /// Contents are not checked: a life whose operator throws acknowledged data away.
  bool check_contents = true;
  /// May node i have been replaced without knowing it yet? Then what it reads may be old: a promotion asks the register, and no clock tells
  /// the one that was cut off in time. It acknowledges no write, and a flush that it answers is about its own.
  std::function<bool(int node)> may_be_replaced;
  /// A write (or a flush) was acknowledged by node i.
  std::function<void(int node, uint32_t volume, uint64_t tag, bool flush)> on_acknowledged;
  /// Which nodes have every acknowledged write, a bit for each: what a flush or FUA answers for has to be durable on their disks.
  std::function<uint32_t(uint32_t volume)> holders;
  uint64_t writes = 0, reads = 0, errors = 0;

  void OnCompleted(Node& node, uint16_t volume, uint64_t tag, int error) override;
  void OnDied(Node& node, bool power) override;

 private:
  struct Open {
    core::BlockOp op;
    uint32_t volume;
    uint64_t sector;
    uint32_t bytes;
    uint64_t write = 0;       // of the model
    uint64_t begun = 0;
    uint8_t* data = nullptr;
    bool fua = false;
  };
  void CheckSafe(uint32_t volume, const char* what);
  uint8_t* TakeBuffer(uint32_t bytes);
  void GiveBuffer(uint8_t* data, uint32_t bytes);

  World& world_;
  Findings& findings_;
  std::vector<std::unique_ptr<Model>> models_;
  std::map<std::pair<int, uint64_t>, Open> open_;
};

}  // namespace drbdts::sim
