#include "io/ring.h"

#include <cerrno>

namespace drbdts::io {

Ring::~Ring() {
  if (open_) io_uring_queue_exit(&ring_);
}

Failure Ring::Open(uint32_t entries) {
  // The first set is the cheapest (completions are only processed when this thread asks), the others are for older kernels.
  const uint32_t attempts[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN, 0};
  int error = 0;
  for (uint32_t flags : attempts) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = entries * 4;
    error = -io_uring_queue_init_params(entries, &ring_, &params);
    if (error == 0) {
      open_ = true;
      io_uring_ring_dontfork(&ring_);
      return {};
    }
    if (error != EINVAL) break;
  }
  const bool forbidden = error == EPERM || error == ENOSYS;
  return SystemFailure(forbidden ? core::ErrorCode::kIo : core::ErrorCode::kNoMemory, error, "cannot make an", "io_uring",
                       forbidden ? "allow io_uring on this host: sysctl kernel.io_uring_disabled=0 (or a kernel of 5.19 or newer)"
                                 : "raise the limit of locked memory (LimitMEMLOCK=infinity) or free memory");
}

io_uring_sqe* Ring::Next(const Tag& tag) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {  // full: the kernel takes what is there
    Submit();
    sqe = io_uring_get_sqe(&ring_);
  }
  sqe->user_data = EncodeTag(tag);
  unsubmitted_++;
  return sqe;
}

// The io_uring_prep_* helpers of liburing 2.3 clear user_data in some versions, so the tag is set after them.
void Ring::Read(int fd, void* data, uint32_t bytes, uint64_t offset, const Tag& tag) {
  io_uring_sqe* sqe = Next(tag);
  io_uring_prep_read(sqe, fd, data, bytes, offset);
  sqe->user_data = EncodeTag(tag);
}

void Ring::Write(int fd, const void* data, uint32_t bytes, uint64_t offset, bool dsync, const Tag& tag) {
  io_uring_sqe* sqe = Next(tag);
  io_uring_prep_write(sqe, fd, data, bytes, offset);
  if (dsync) sqe->rw_flags = RWF_DSYNC;
  sqe->user_data = EncodeTag(tag);
}

void Ring::Flush(int fd, const Tag& tag) {
  io_uring_sqe* sqe = Next(tag);
  io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
  sqe->user_data = EncodeTag(tag);
}

void Ring::Fallocate(int fd, int mode, uint64_t offset, uint64_t bytes, const Tag& tag) {
  io_uring_sqe* sqe = Next(tag);
  io_uring_prep_fallocate(sqe, fd, mode, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  sqe->user_data = EncodeTag(tag);
}

void Ring::Poll(int fd, uint32_t events, const Tag& tag) {
  io_uring_sqe* sqe = Next(tag);
  io_uring_prep_poll_multishot(sqe, fd, events);
  sqe->user_data = EncodeTag(tag);
}

void Ring::RemovePoll(const Tag& tag) {
  const Tag ignored{TagKind::kIgnore, 0, 0};
  io_uring_sqe* sqe = Next(ignored);
  io_uring_prep_poll_remove(sqe, EncodeTag(tag));
  sqe->user_data = EncodeTag(ignored);
}

void Ring::Submit() {
  // EBUSY/EAGAIN: the kernel has no room now; what is not taken stays in the queue and goes with the next call.
  io_uring_submit(&ring_);
  unsubmitted_ = io_uring_sq_ready(&ring_);
}

void Ring::SubmitAndWait(core::TimeUs timeout_us) {
  if (timeout_us == 0) {
    io_uring_submit_and_get_events(&ring_);
  } else if (timeout_us == core::kNever) {
    io_uring_submit_and_wait(&ring_, 1);
  } else {
    __kernel_timespec limit{};
    limit.tv_sec = static_cast<int64_t>(timeout_us / 1000000);
    limit.tv_nsec = static_cast<long long>(timeout_us % 1000000 * 1000);
    io_uring_cqe* first = nullptr;
    io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
  }
  unsubmitted_ = io_uring_sq_ready(&ring_);
}

uint32_t Ring::Take(Completion* out, uint32_t room) {
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  uint32_t count = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (count == room) break;
    out[count++] = Completion{DecodeTag(cqe->user_data), cqe->res, (cqe->flags & IORING_CQE_F_MORE) != 0};
  }
  io_uring_cq_advance(&ring_, count);
  return count;
}

}  // namespace drbdts::io
