#include "io/disk_queue.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace drbdts::io {
namespace {
constexpr uint32_t kNoSlot = ~uint32_t{0};
constexpr uint64_t kZeroesBytes = 256 * 1024;  // one piece when zeroes have to be written out
constexpr uint64_t kMaxTransferBytes = 1u << 30;
constexpr uint64_t kQuickFlushUs = 1000;  // a thread may stand still that long
constexpr uint32_t kQuickEnough = 4;      // that many quick ones in a row before it does

uint64_t NowUs() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000 + static_cast<uint64_t>(t.tv_nsec) / 1000;
}
}  // namespace

DiskQueue::DiskQueue(Ring& ring, DiskSink& sink, uint32_t slots) : ring_(ring), sink_(sink), slots_(slots), zeroes_(kZeroesBytes) {
  for (uint32_t i = 0; i < slots; i++) slots_[i].next_free = i + 1 == slots ? kNoSlot : i + 1;
}

void DiskQueue::Start(const DiskRequest& request) {
  if (first_free_ == kNoSlot) {
    const auto old = static_cast<uint32_t>(slots_.size());
    slots_.resize(old * 2);
    for (uint32_t i = old; i < old * 2; i++) slots_[i].next_free = i + 1 == old * 2 ? kNoSlot : i + 1;
    first_free_ = old;
  }
  const uint32_t index = first_free_;
  Slot& slot = slots_[index];
  first_free_ = slot.next_free;
  slot.request = request;
  slot.done = 0;
  slot.phase = request.preflush_fd >= 0 ? Phase::kPreflush : FirstPhase(request);
  in_flight_++;
  if (request.volume < core::kMaxVolumes) per_volume_[request.volume]++;
  if (request.op == DiskOp::kFlush) {
    slot.flush_started_us = NowUs();
    if (in_flight_ == 1 && quick_flushes_ >= kQuickEnough && deferred_flush_ == kNoSlot) {
      deferred_flush_ = index;
      return;
    }
  }
  Issue(index);
}

void DiskQueue::RunDeferredFlush() {
  if (deferred_flush_ == kNoSlot) return;
  const uint32_t index = deferred_flush_;
  deferred_flush_ = kNoSlot;
  if (in_flight_ != 1) {
    Issue(index);
    return;
  }
  const int error = fdatasync(slots_[index].request.fd) == 0 ? 0 : errno;
  if (error == EINTR) {
    Issue(index);
    return;
  }
  NoteFlush(NowUs() - slots_[index].flush_started_us);
  Finish(index, error);
}

void DiskQueue::NoteFlush(uint64_t took_us) { quick_flushes_ = took_us < kQuickFlushUs ? std::min(quick_flushes_ + 1, 2 * kQuickEnough) : 0; }

DiskQueue::Phase DiskQueue::FirstPhase(const DiskRequest& request) {
  switch (request.op) {
    case DiskOp::kRead:
    case DiskOp::kWrite: break;
    case DiskOp::kFlush: return Phase::kSync;
    case DiskOp::kDiscard: return Phase::kPunch;
    case DiskOp::kZero: return request.may_unmap ? Phase::kPunch : Phase::kZeroRange;
  }
  return Phase::kTransfer;
}

void DiskQueue::Issue(uint32_t index) {
  const Slot& slot = slots_[index];
  const DiskRequest& r = slot.request;
  const Tag tag{TagKind::kDisk, 0, index};
  const uint64_t left = r.bytes - slot.done;
  const uint64_t at = r.offset_bytes + slot.done;
  switch (slot.phase) {
    case Phase::kPreflush: ring_.Flush(r.preflush_fd, tag); break;
    case Phase::kTransfer: {
      const auto bytes = static_cast<uint32_t>(std::min(left, kMaxTransferBytes));
      if (r.op == DiskOp::kRead) {
        ring_.Read(r.fd, r.data + slot.done, bytes, at, tag);
      } else {
        ring_.Write(r.fd, r.data + slot.done, bytes, at, r.dsync, tag);
      }
      break;
    }
    case Phase::kPunch: ring_.Fallocate(r.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, r.offset_bytes, r.bytes, tag); break;
    case Phase::kZeroRange: ring_.Fallocate(r.fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, r.offset_bytes, r.bytes, tag); break;
    case Phase::kWriteZeroes: ring_.Write(r.fd, zeroes_.data(), static_cast<uint32_t>(std::min(left, zeroes_.size())), at, r.dsync, tag); break;
    case Phase::kSync: ring_.Flush(r.fd, tag); break;
  }
}

void DiskQueue::OnCompletion(const Tag& tag, int32_t result) {
  if (tag.index < slots_.size()) Step(tag.index, result);
}

void DiskQueue::Step(uint32_t index, int32_t result) {
  Slot& slot = slots_[index];
  const DiskRequest& r = slot.request;
  if (result == -EAGAIN || result == -EINTR) {
    Issue(index);
    return;
  }
  switch (slot.phase) {
    case Phase::kPreflush:
      if (result < 0) return Finish(index, -result);
      slot.phase = FirstPhase(r);
      return Issue(index);
    case Phase::kTransfer:
    case Phase::kWriteZeroes:
      if (result < 0) return Finish(index, -result);
      if (result == 0 && slot.done < r.bytes) return Finish(index, EIO);  // the disk ends before the request does
      slot.done += static_cast<uint64_t>(result);
      if (slot.done < r.bytes) return Issue(index);
      return Finish(index, 0);
    case Phase::kPunch:
    case Phase::kZeroRange:
      if (result < 0) {
        const bool unable = result == -EOPNOTSUPP || result == -ENODEV || result == -ENOSYS;
        if (!unable || r.op == DiskOp::kDiscard) return Finish(index, -result);
        slot.phase = slot.phase == Phase::kPunch ? Phase::kZeroRange : Phase::kWriteZeroes;
        return Issue(index);
      }
      if (!r.dsync) return Finish(index, 0);
      slot.phase = Phase::kSync;
      return Issue(index);
    case Phase::kSync:
      if (r.op == DiskOp::kFlush) NoteFlush(NowUs() - slot.flush_started_us);
      return Finish(index, result < 0 ? -result : 0);
  }
}

void DiskQueue::Finish(uint32_t index, int error) {
  Slot& slot = slots_[index];
  const DiskRequest request = slot.request;
  slot.next_free = first_free_;
  first_free_ = index;
  in_flight_--;
  if (request.volume < core::kMaxVolumes) per_volume_[request.volume]--;
  sink_.OnDiskDone(request.volume, request.io, error, request);
}

}  // namespace drbdts::io
