#pragma once
// The thread for what blocks: opening and closing disks. One per resource, for the life of the resource.
#include <array>
#include <cstdint>
#include <memory>
#include <thread>

#include "core/resource_api.h"
#include "engine/spsc_ring.h"
#include "io/disk.h"

namespace drbdts::engine {

struct WorkerJob {
  enum class Kind : uint8_t { kNone, kOpen, kClose };
  Kind kind = Kind::kNone;
  uint16_t volume = 0;
  const io::DiskSpec* spec = nullptr;  // kOpen; stays valid
  std::unique_ptr<io::Disk> disk;      // kOpen: the result; kClose: what to close
  io::Failure failure;                 // kOpen
};

class Worker {
 public:
  Worker();
  /// Waits for the job at hand; jobs not begun are dropped.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  bool ok() const { return job_event_ >= 0 && done_event_ >= 0; }
  /// False when too much is waiting already (more than two jobs per volume).
  bool Post(WorkerJob&& job);
  /// Becomes readable when a job is done.
  int done_fd() const { return done_event_; }
  /// The next job that is done; false if none.
  bool Take(WorkerJob& job);

 private:
  void Run();
  SpscRing<WorkerJob, 32> jobs_;
  SpscRing<WorkerJob, 32> done_;
  int job_event_ = -1;
  int done_event_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace drbdts::engine
