#pragma once
// Runs one core::Resource on a thread of its own: feeds it events, carries out its actions. One io_uring for disks, sockets and devices.
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/resource.h"
#include "engine/links.h"
#include "engine/mailbox.h"
#include "engine/worker.h"
#include "frontend/frontend.h"
#include "io/disk_queue.h"
#include "io/memory.h"
#include "io/ring.h"

namespace drbdts::engine {

struct EngineConfig {
  core::ResourceConfig resource;
  std::vector<frontend::KeptFd> kept;  // owned from now on
  std::string notify_socket;
};

/// Made, used and destroyed by one owner thread; the data thread is inside.
class ResourceThread final : public LogSink, public io::DiskSink {
 public:
  /// Takes all memory, starts the thread and waits until it can serve. Null and a failure if it cannot.
  static std::unique_ptr<ResourceThread> Start(EngineConfig config, Waker& waker, io::Failure& failure);
  /// Ends the thread if it still runs.
  ~ResourceThread() override;
  ResourceThread(const ResourceThread&) = delete;
  ResourceThread& operator=(const ResourceThread&) = delete;

  /// Hands a command over; false if 256 are waiting already.
  bool Post(std::unique_ptr<Command> command);
  /// The data thread ends: devices stay with their keeper, disk I/O under way is waited for. Event kStopped follows; then call Join().
  void RequestStop();
  void Join();

  Mailbox& mailbox() { return *mailbox_; }
  const core::ResourceConfig& config() const { return config_.resource; }

 private:
  struct VolumeIo;
  ResourceThread(EngineConfig config, Waker& waker);

  // LogSink, io::DiskSink
  void Log(int level, int volume, std::string_view text) override;
  void OnDiskDone(uint16_t volume, core::IoId io, int error, const io::DiskRequest& request) override;

  void Run();
  io::Failure SetUp();
  void Loop();
  void Drain();
  void TearDown();
  uint32_t Harvest();
  void Dispatch(const io::Completion& completion);
  void TakeCommands();
  void TakeWorkerResults();
  void CarryOut();
  void Do(core::Action& action);
  void StartDisk(const core::Action& action, io::DiskOp op, bool meta);
  void OpenDisk(uint16_t volume);
  void CloseDisk(uint16_t volume);
  void DeviceUp(uint16_t volume, uint64_t sectors);
  void PumpFrontends();
  void FollowFds(VolumeIo& v);
  void DisposeFrontends();
  bool FrontendCanProgress() const;
  void Emit(const core::Action& action);
  Event* ReserveEvent(Event::Kind kind);
  void PublishSnapshot(core::TimeUs now);
  void PublishWhenDue(core::TimeUs now);
  core::TimeUs WaitTime(core::TimeUs now) const;

  EngineConfig config_;
  Waker& waker_;
  std::unique_ptr<Mailbox> mailbox_;
  io::LockedMemory memory_;
  std::unique_ptr<core::PageArena> device_arena_;
  std::unique_ptr<core::PageArena> net_arena_;
  std::unique_ptr<core::PageArena> sync_arena_;
  std::unique_ptr<core::Resource> resource_;
  std::unique_ptr<io::Ring> ring_;
  std::unique_ptr<io::DiskQueue> disk_queue_;
  std::unique_ptr<Links> links_;
  std::unique_ptr<Worker> worker_;
  std::vector<std::unique_ptr<VolumeIo>> volumes_;
  std::vector<core::Action> batch_;
  core::Snapshot scratch_;
  int mailbox_event_ = -1;
  bool stopping_ = false;
  bool draining_ = false;
  bool wake_due_ = false;
  bool changed_due_ = false;
  bool active_since_publish_ = false;
  core::TimeUs published_at_ = 0;
  core::TimeUs misaligned_logged_at_ = 0;
  io::Failure start_failure_;
  std::atomic<int> started_{0};  // 1 serving, -1 could not
  std::thread thread_;
};

}  // namespace drbdts::engine
