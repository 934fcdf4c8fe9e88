#pragma once
// Disk operations in flight: continues short transfers, retries what the kernel asks to retry, falls back where a disk cannot unmap.
#include <cstdint>
#include <memory>
#include <vector>

#include "core/resource_api.h"
#include "io/memory.h"
#include "io/ring.h"

namespace drbdts::io {

enum class DiskOp : uint8_t { kRead, kWrite, kFlush, kDiscard, kZero };

struct DiskRequest {
  DiskOp op = DiskOp::kRead;
  uint16_t volume = 0;
  int fd = -1;
  int preflush_fd = -1;    // this disk is flushed before the request starts
  bool dsync = false;      // durable when done (not for kRead and kFlush)
  bool may_unmap = false;  // kZero
  core::IoId io = 0;
  uint64_t offset_bytes = 0;
  uint64_t bytes = 0;
  uint8_t* data = nullptr;
};

/// Told of every finished request, once. error: errno, 0 = success.
class DiskSink {
 public:
  virtual ~DiskSink() = default;
  virtual void OnDiskDone(uint16_t volume, core::IoId io, int error, const DiskRequest& request) = 0;
};

class DiskQueue {
 public:
  /// Memory for `slots` requests is taken now; a peer that causes more makes it grow.
  DiskQueue(Ring& ring, DiskSink& sink, uint32_t slots);
  void Start(const DiskRequest& request);
  /// A completion with TagKind::kDisk.
  void OnCompletion(const Tag& tag, int32_t result);
  /// To be called when everything else of this turn has been started and sent. A flush that is the only request in flight, of a disk whose
  /// flushes are quick, is then done on this thread: the detour over the kernel's workers costs two wake-ups, as much as the flush itself.
  void RunDeferredFlush();
  uint32_t in_flight() const { return in_flight_; }
  uint32_t in_flight(uint16_t volume) const { return volume < core::kMaxVolumes ? per_volume_[volume] : 0; }

 private:
  enum class Phase : uint8_t { kPreflush, kTransfer, kPunch, kZeroRange, kWriteZeroes, kSync };
  struct Slot {
    DiskRequest request;
    uint64_t done = 0;
    Phase phase = Phase::kTransfer;
    uint32_t next_free = 0;
    uint64_t flush_started_us = 0;
  };
  static Phase FirstPhase(const DiskRequest& request);
  void Issue(uint32_t index);
  void Step(uint32_t index, int32_t result);
  void Finish(uint32_t index, int error);
  void NoteFlush(uint64_t took_us);

  Ring& ring_;
  DiskSink& sink_;
  std::vector<Slot> slots_;
  LockedMemory zeroes_;
  uint32_t first_free_ = 0;
  uint32_t in_flight_ = 0;
  uint32_t per_volume_[core::kMaxVolumes] = {};
  uint32_t deferred_flush_ = ~uint32_t{0};
  uint32_t quick_flushes_ = 0;  // in a row
};

}  // namespace drbdts::io
