#pragma once
// The block device without a kernel module: a FUSE file without a mount point under a loop device, served by the resource's own thread.
//
//   application -> /dev/drbd0 (block device 7:N) -> loop -> FUSE -> /dev/fuse -> OnReadable() -> BlockTarget -> Complete() -> /dev/fuse -> ...
//
// Phases: kIdle -Start-> kStarting -> kUp -Stop-> kStopping -> kIdle (or back to kUp when refused). kGone: the kernel ended the connection under us.
// Whatever may wait for our own answers (attach, detach, resize, /proc) runs on the worker; requests are answered here meanwhile.
//
// Restart: the descriptor of /dev/fuse is stored with the service manager before any request can be read. A later life takes it over, asks the kernel
// to send again what was not answered (a write may so be executed twice, with the same data), and goes on. The caller must make sure that the
// disk I/O of the earlier life has ended before Start().
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/block_io.h"
#include "core/page_arena.h"
#include "frontend/frontend.h"
#include "frontend/fuse_abi.h"
#include "frontend/worker.h"

namespace drbdts::frontend {

class FuseLoop final : public Frontend {
 public:
  FuseLoop(BlockTarget& target, FrontendEvents& events, FrontendConfig config);
  ~FuseLoop() override;

  void Start() override;
  void Stop() override;
  void CheckHolders() override;
  void Resize(uint64_t sectors) override;
  void Abandon() override;
  void Complete(uint64_t tag, int error) override;
  int request_fd() const override { return serving_ ? fuse_fd_ : -1; }
  int notice_fd() const override { return worker_->notice_fd(); }
  bool OnReadable(uint32_t budget) override;
  void OnNotice() override;
  bool up() const override { return phase_ == Phase::kUp || phase_ == Phase::kStopping; }

 private:
  enum class Phase : uint8_t { kIdle, kStarting, kUp, kStopping, kGone };
  static constexpr uint32_t kNone = UINT32_MAX;

  /// One request of the kernel between reading and answering. Reads, writes and flushes are one piece; discards and zeroing as many as needed.
  struct Slot {
    uint64_t unique = 0;
    uint64_t next_byte = 0;  // first byte not submitted yet
    uint64_t end_byte = 0;
    core::Buffer buffer;
    uint32_t bytes = 0;       // of a read or write
    uint32_t generation = 0;  // in the tag: a completion of an earlier request cannot be taken for this one's
    uint32_t connection = 0;
    uint32_t in_flight = 0;
    uint32_t next = kNone;  // in the free list or the waiting list
    int error = 0;
    core::BlockOp op = core::BlockOp::kRead;
    bool may_unmap = false;
    bool waiting = false;
    bool submitting = false;
  };

  bool EnsureReserve();
  void GiveReserve();
  core::Buffer CutReserve(uint32_t pages);
  void Dispatch(size_t length);
  void OnInit(const fuse_in_header& header);
  void OnRead(const fuse_in_header& header);
  void OnWrite(const fuse_in_header& header, size_t length);
  void OnFallocate(const fuse_in_header& header);
  void ReplyAttributes(uint64_t unique);
  void ReplyStatfs(uint64_t unique);
  void Reply(uint64_t unique, int error, const void* data = nullptr, size_t bytes = 0);
  uint32_t TakeSlot(uint64_t unique, core::BlockOp op);
  void Queue(uint32_t index);
  bool SubmitWaiting();
  void SubmitPieces(uint32_t index);
  void WaitFirst(uint32_t index);
  uint32_t PopWaiting();
  void Finish(uint32_t index);
  void OnConnectionLost();
  void OnNotice(const Notice& notice);
  void TellSize();
  void CloseKept();
  void CloseFuse();
  void GoIdle();
  uint64_t SizeBytes() const;

  BlockTarget& target_;
  FrontendEvents& events_;
  const FrontendConfig config_;
  std::vector<int> kept_fds_;  // this volume's, until Start()
  std::unique_ptr<Worker> worker_;

  Phase phase_ = Phase::kIdle;
  int fuse_fd_ = -1;
  bool serving_ = false;  // mounted: requests may come
  bool abandoned_ = false;
  bool stop_wanted_ = false;  // Stop() came while starting
  bool scanning_ = false;
  bool scan_again_ = false;
  bool resizing_ = false;
  uint64_t sectors_ = 0;
  uint64_t applied_sectors_ = 0;  // what the kernel was told
  uint32_t connection_ = 0;  // counts Start()s: answers go only to the connection the request came from

  std::vector<Slot> slots_;
  uint32_t free_slot_ = kNone;
  uint32_t waiting_head_ = kNone;
  uint32_t waiting_tail_ = kNone;
  bool woken_ = false;
  core::Buffer reserve_;  // where the next request's payload lands; cut from the front
  alignas(8) uint8_t header_[kFuseWriteHeaderBytes] = {};
};

}  // namespace drbdts::frontend
