#include "engine/worker.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace drbdts::engine {

static_assert(core::kMaxVolumes * 2 <= 32, "an open and a close per volume fit");

Worker::Worker() : job_event_(eventfd(0, EFD_CLOEXEC)), done_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (ok()) thread_ = std::thread([this] { Run(); });
}

Worker::~Worker() {
  stop_.store(true);
  if (job_event_ >= 0) eventfd_write(job_event_, 1);
  if (thread_.joinable()) thread_.join();
  if (job_event_ >= 0) close(job_event_);
  if (done_event_ >= 0) close(done_event_);
}

bool Worker::Post(WorkerJob&& job) {
  WorkerJob* slot = jobs_.Reserve();
  if (slot == nullptr) return false;
  *slot = std::move(job);
  jobs_.Publish();
  eventfd_write(job_event_, 1);
  return true;
}

bool Worker::Take(WorkerJob& job) {
  eventfd_t count = 0;
  eventfd_read(done_event_, &count);
  WorkerJob* slot = done_.Front();
  if (slot == nullptr) return false;
  job = std::move(*slot);
  done_.Release();
  return true;
}

void Worker::Run() {
  pthread_setname_np(pthread_self(), "drbdts-worker");
  while (!stop_.load()) {
    eventfd_t count = 0;
    eventfd_read(job_event_, &count);
    while (WorkerJob* slot = jobs_.Front()) {
      if (stop_.load()) return;
      WorkerJob job = std::move(*slot);
      jobs_.Release();
      if (job.kind == WorkerJob::Kind::kOpen) {
        job.disk = io::Disk::Open(*job.spec, job.failure);
      } else {
        job.disk.reset();
      }
      // There is always room: a volume has at most one open and one close under way, and both rings hold two per volume.
      if (WorkerJob* out = done_.Reserve()) {
        *out = std::move(job);
        done_.Publish();
      }
      eventfd_write(done_event_, 1);
    }
  }
}

}  // namespace drbdts::engine
