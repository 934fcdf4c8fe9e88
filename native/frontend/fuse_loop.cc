#include "frontend/fuse_loop.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/assert.h"
#include "frontend/attachment.h"
#include "frontend/device_node.h"

namespace drbdts::frontend {
namespace {

constexpr uint32_t kMaxPayloadBytes = 1u << 20;
constexpr uint32_t kMaxPages = kMaxPayloadBytes / core::PageArena::kPageBytes;
// Requests are read into one piece of memory after the other, cut from a larger run: small requests then lie side by side instead of splitting the
// arena into pieces too short for a large one.
constexpr uint32_t kReservePages = 2 * kMaxPages;
// The disk shall start on a large request while the next one is copied from the kernel.
constexpr size_t kBytesPerCall = 128 * 1024;
constexpr uint32_t kSlots = 1024;  // the kernel keeps at most kMaxBackground data requests open, and a few others
constexpr uint16_t kMaxBackground = 512;
constexpr uint16_t kCongestion = 384;
constexpr uint32_t kPiecesInFlight = 8;
constexpr uint32_t kFileBlockBytes = 4096;
constexpr uint64_t kAttributesValidSeconds = 365ull * 24 * 3600;
constexpr uint32_t kPunchHole = 0x03;  // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
constexpr uint32_t kZeroRange = 0x11;  // FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE

}  // namespace

FuseLoop::FuseLoop(BlockTarget& target, FrontendEvents& events, FrontendConfig config)
    : target_(target), events_(events), config_(std::move(config)), sectors_(config_.sectors), slots_(kSlots) {
  worker_ = std::make_unique<Worker>(MakeAttachment(config_, &kept_fds_));
  for (uint32_t i = kSlots; i-- > 0;) {
    slots_[i].next = free_slot_;
    free_slot_ = i;
  }
  PlaceSecondarySign(config_.device, config_.resource, config_.volume);
}

FuseLoop::~FuseLoop() {
  if (!abandoned_) RemoveSecondarySign(config_.device);
  CloseKept();
  GiveReserve();
  CloseFuse();
}

uint64_t FuseLoop::SizeBytes() const { return sectors_ * 512 / config_.block_bytes * config_.block_bytes; }

// ---- phases ----

void FuseLoop::Start() {
  if (phase_ != Phase::kIdle) {
    events_.OnUp(EALREADY, config_.device + " is there already");
    return;
  }
  if (config_.block_bytes != 512 && config_.block_bytes != 4096) {
    events_.OnUp(EINVAL, "block size must be 512 or 4096, not " + std::to_string(config_.block_bytes));
    return;
  }
  ++connection_;
  phase_ = Phase::kStarting;
  stop_wanted_ = false;
  applied_sectors_ = sectors_;
  if (!kept_fds_.empty()) {
    kept_fds_.clear();  // the worker's now
    worker_->Run({kTakeOver, -1, sectors_});
    return;
  }
  fuse_fd_ = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  int job_fd = fuse_fd_ < 0 ? -1 : DuplicateFd(fuse_fd_);
  if (job_fd < 0) {
    int error = errno;
    CloseFuse();
    GoIdle();
    events_.OnUp(error, "cannot open /dev/fuse (modprobe fuse): " + std::string(std::strerror(error)));
    return;
  }
  worker_->Run({kMakeFresh, job_fd, sectors_});
}

void FuseLoop::Stop() {
  if (phase_ == Phase::kIdle) {
    events_.OnDown(0, {});
    return;
  }
  if (phase_ == Phase::kStarting) {
    stop_wanted_ = true;  // as soon as it is there
    return;
  }
  if (phase_ != Phase::kUp) return;  // on its way out: OnDown comes
  phase_ = Phase::kStopping;
  worker_->Run({kRemove, -1, 0});
}

void FuseLoop::CheckHolders() {
  if (!up()) {
    events_.OnHolders({});
    return;
  }
  scan_again_ = scanning_;
  if (std::exchange(scanning_, true)) return;
  worker_->Run({kScanHolders, -1, 0});
}

void FuseLoop::Resize(uint64_t sectors) {
  sectors_ = sectors;
  // Otherwise done by Start(), or when the device turns out to be or to stay up, or after the resize under way.
  if (phase_ == Phase::kUp && !resizing_) TellSize();
}

void FuseLoop::TellSize() {
  applied_sectors_ = sectors_;
  int job_fd = DuplicateFd(fuse_fd_);
  if (job_fd < 0) {
    events_.OnResized(errno, "no file descriptor free for resizing " + config_.device);
    return;
  }
  resizing_ = true;
  worker_->Run({kResizeLoop, job_fd, sectors_});
}

void FuseLoop::Abandon() {
  abandoned_ = true;
  CloseKept();
  GiveReserve();
  CloseFuse();
  phase_ = Phase::kIdle;
}

/// Descriptors not taken over in this life; the service manager has its own copies.
void FuseLoop::CloseKept() {
  for (int fd : kept_fds_) close(fd);
  kept_fds_.clear();
}

void FuseLoop::CloseFuse() {
  serving_ = false;
  if (fuse_fd_ >= 0) close(std::exchange(fuse_fd_, -1));
  ++connection_;  // whatever is still on its way gets no answer
  while (waiting_head_ != kNone) {
    uint32_t index = PopWaiting();
    slots_[index].next_byte = slots_[index].end_byte;
    if (slots_[index].in_flight == 0) Finish(index);
  }
}

void FuseLoop::GoIdle() {
  phase_ = Phase::kIdle;
  GiveReserve();
  PlaceSecondarySign(config_.device, config_.resource, config_.volume);
}

void FuseLoop::OnNotice() {
  woken_ = false;
  worker_->Quieten();
  for (Notice notice; worker_->TakeNotice(&notice);) OnNotice(notice);
  if (waiting_head_ != kNone) SubmitWaiting();
}

void FuseLoop::OnNotice(const Notice& notice) {
  switch (notice.kind) {
    case kServe:
      if (phase_ != Phase::kStarting) {  // abandoned meanwhile
        if (notice.value >= 0) close(notice.value);
        break;
      }
      if (notice.value >= 0) fuse_fd_ = notice.value;
      serving_ = fuse_fd_ >= 0;
      break;
    case kStarted:
      if (phase_ != Phase::kStarting) break;  // abandoned meanwhile
      phase_ = Phase::kUp;
      events_.OnUp(0, notice.detail);
      if (phase_ == Phase::kUp && sectors_ != applied_sectors_) Resize(sectors_);
      if (std::exchange(stop_wanted_, false)) Stop();
      break;
    case kStartFailed:
      if (phase_ == Phase::kIdle) break;
      CloseFuse();
      GoIdle();
      events_.OnUp(notice.error, notice.detail);
      if (std::exchange(stop_wanted_, false)) Stop();
      break;
    case kStopped:
      if (phase_ == Phase::kIdle) break;
      CloseFuse();
      GoIdle();
      events_.OnDown(0, {});
      break;
    case kStopRefused:
      if (phase_ != Phase::kStopping) break;
      phase_ = Phase::kUp;
      events_.OnDown(notice.error, notice.detail);
      if (phase_ == Phase::kUp && sectors_ != applied_sectors_) Resize(sectors_);
      break;
    case kHolders:
      scanning_ = false;
      events_.OnHolders(notice.detail);
      if (std::exchange(scan_again_, false)) CheckHolders();
      break;
    case kResized:
      resizing_ = false;
      events_.OnResized(notice.error, notice.detail);
      if (phase_ == Phase::kUp && sectors_ != applied_sectors_) Resize(sectors_);
      break;
    case kCleaned:
      if (phase_ != Phase::kGone) break;
      GoIdle();
      events_.OnDown(ENODEV, notice.detail);
      break;
    default:
      CHECK(false);
  }
}

void FuseLoop::OnConnectionLost() {
  if (phase_ == Phase::kUp) {
    phase_ = Phase::kGone;
    CloseFuse();
    worker_->Run({kCleanLost, -1, 0});
  } else {
    // While starting or stopping the worker finds out itself; no more requests from here.
    serving_ = false;
  }
}

// ---- requests ----

bool FuseLoop::EnsureReserve() {
  if (reserve_.count >= kMaxPages) return true;
  GiveReserve();
  reserve_ = target_.arena().Take(kReservePages);
  if (!reserve_) reserve_ = target_.arena().Take(kMaxPages);
  return static_cast<bool>(reserve_);
}

void FuseLoop::GiveReserve() {
  if (reserve_) target_.arena().Give(reserve_);
  reserve_ = {};
}

core::Buffer FuseLoop::CutReserve(uint32_t pages) {
  CHECK(pages > 0 && pages <= reserve_.count);
  core::Buffer cut{reserve_.page, pages};
  reserve_.page += pages;
  reserve_.count -= pages;
  return cut;
}

bool FuseLoop::OnReadable(uint32_t budget) {
  if (!serving_) return true;
  if (!SubmitWaiting()) return false;
  size_t bytes = 0;
  for (; budget > 0 && bytes < kBytesPerCall; --budget) {
    // While the device is being made its attributes must be answered even if the volume takes no requests yet; data requests then wait here.
    if (free_slot_ == kNone || (phase_ == Phase::kUp && !target_.CanAccept()) || !EnsureReserve()) return false;
    // The header goes into a place of its own, so the payload starts on a page: it can go to disk and socket as it lies.
    iovec vectors[2] = {{header_, sizeof header_}, {target_.arena().Bytes(reserve_).data(), kMaxPayloadBytes}};
    ssize_t length = readv(fuse_fd_, vectors, 2);
    if (length < 0) {
      if (errno == EAGAIN) return true;
      if (errno == EINTR || errno == ENOENT) continue;  // ENOENT: the request was taken back
      OnConnectionLost();
      return true;
    }
    Dispatch(static_cast<size_t>(length));
    bytes += static_cast<size_t>(length);
    if (!serving_) return true;
  }
  return false;
}

void FuseLoop::Dispatch(size_t length) {
  fuse_in_header header;
  if (length < sizeof header) return;
  std::memcpy(&header, header_, sizeof header);
  switch (header.opcode) {
    case FUSE_READ:
      OnRead(header);
      break;
    case FUSE_WRITE:
      OnWrite(header, length);
      break;
    case FUSE_FSYNC:
      Queue(TakeSlot(header.unique, core::BlockOp::kFlush));
      break;
    case FUSE_FALLOCATE:
      OnFallocate(header);
      break;
    case FUSE_INIT:
      OnInit(header);
      break;
    case FUSE_GETATTR:
      ReplyAttributes(header.unique);
      break;
    case FUSE_OPEN: {
      fuse_open_out out{};
      out.fh = 1;
      out.open_flags = kFopenDirectIo | kFopenParallelDirectWrites;
      Reply(header.unique, 0, &out, sizeof out);
      break;
    }
    case FUSE_STATFS:
      ReplyStatfs(header.unique);
      break;
    case FUSE_RELEASE:
    case FUSE_DESTROY:
      Reply(header.unique, 0);
      break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
      break;  // never answered
    default:
      Reply(header.unique, ENOSYS);
  }
}

void FuseLoop::OnInit(const fuse_in_header& header) {
  // major, minor, readahead, flags, flags2
  uint32_t in[5];
  std::memcpy(in, header_ + sizeof(fuse_in_header), sizeof in);
  if (in[0] != FUSE_KERNEL_VERSION || in[1] < kFuseMinorNeeded) {
    Reply(header.unique, EPROTO);
    return;
  }
  const uint64_t offered = in[3] | ((in[3] & kFuseInitExt) != 0 ? static_cast<uint64_t>(in[4]) << 32 : 0);
  const uint64_t wanted =
      FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS | kFuseInitExt | kFuseHasResend;
  const uint64_t agreed = offered & wanted;
  fuse_init_out out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = std::min(in[1], kFuseMinorSpoken);
  out.max_readahead = in[2];
  out.flags = static_cast<uint32_t>(agreed);
  out.flags2 = static_cast<uint32_t>(agreed >> 32);
  out.max_background = kMaxBackground;
  out.congestion_threshold = kCongestion;
  out.max_write = kMaxPayloadBytes;
  out.max_pages = kMaxPages;
  out.time_gran = 1;
  Reply(header.unique, 0, &out, sizeof out);
}

void FuseLoop::ReplyAttributes(uint64_t unique) {
  fuse_attr_out out{};
  // For ever: a process killed while it asks for them would have to wait for the next life to answer.
  out.attr_valid = kAttributesValidSeconds;
  out.attr.ino = kFuseRootNode;
  out.attr.size = SizeBytes();
  out.attr.blocks = SizeBytes() / 512;
  out.attr.mode = S_IFREG | 0600;
  out.attr.nlink = 1;
  out.attr.uid = geteuid();
  out.attr.gid = getegid();
  out.attr.blksize = kFileBlockBytes;
  Reply(unique, 0, &out, sizeof out);
}

void FuseLoop::ReplyStatfs(uint64_t unique) {
  // Loop takes the block size as its discard granularity and offers no discard at all without an answer.
  fuse_statfs_out out{};
  out.st.blocks = SizeBytes() / kFileBlockBytes;
  out.st.files = 1;
  out.st.bsize = kFileBlockBytes;
  out.st.frsize = kFileBlockBytes;
  out.st.namelen = 255;
  Reply(unique, 0, &out, sizeof out);
}

void FuseLoop::OnRead(const fuse_in_header& header) {
  fuse_read_in in;
  std::memcpy(&in, header_ + sizeof header, sizeof in);
  const uint64_t size = SizeBytes();
  if (in.offset % 512 != 0 || in.size % 512 != 0 || in.size > kMaxPayloadBytes) {
    Reply(header.unique, EINVAL);
    return;
  }
  const uint32_t bytes = in.offset >= size ? 0 : static_cast<uint32_t>(std::min<uint64_t>(in.size, size - in.offset));
  if (bytes == 0) {
    Reply(header.unique, 0);  // the end of the file
    return;
  }
  uint32_t index = TakeSlot(header.unique, core::BlockOp::kRead);
  Slot& slot = slots_[index];
  slot.next_byte = in.offset;
  slot.end_byte = in.offset + bytes;
  slot.bytes = bytes;
  slot.buffer = CutReserve((bytes + core::PageArena::kPageBytes - 1) / core::PageArena::kPageBytes);
  Queue(index);
}

void FuseLoop::OnWrite(const fuse_in_header& header, size_t length) {
  fuse_write_in in;
  std::memcpy(&in, header_ + sizeof header, sizeof in);
  const uint64_t size = SizeBytes();
  if (in.offset % 512 != 0 || in.size % 512 != 0 || in.size == 0 || in.size > kMaxPayloadBytes || length != kFuseWriteHeaderBytes + in.size) {
    Reply(header.unique, EINVAL);
    return;
  }
  if (in.offset > size || in.size > size - in.offset) {
    Reply(header.unique, ENOSPC);
    return;
  }
  uint32_t index = TakeSlot(header.unique, core::BlockOp::kWrite);
  Slot& slot = slots_[index];
  slot.next_byte = in.offset;
  slot.end_byte = in.offset + in.size;
  slot.bytes = in.size;
  slot.buffer = CutReserve((in.size + core::PageArena::kPageBytes - 1) / core::PageArena::kPageBytes);
  Queue(index);
}

void FuseLoop::OnFallocate(const fuse_in_header& header) {
  fuse_fallocate_in in;
  std::memcpy(&in, header_ + sizeof header, sizeof in);
  const uint64_t size = SizeBytes();
  if (in.mode != kPunchHole && in.mode != kZeroRange) {
    Reply(header.unique, EOPNOTSUPP);
    return;
  }
  if (in.offset % 512 != 0 || in.length % 512 != 0 || in.offset > size || in.length > size - in.offset) {
    Reply(header.unique, EINVAL);
    return;
  }
  if (in.length == 0) {
    Reply(header.unique, 0);
    return;
  }
  // Loop sends a punched hole for a discard, but also for "write zeroes, you may deallocate" (ext4 relies on it for its inode tables): the two look
  // the same, so the range must read back as zeroes. A zeroed range is sent only when the blocks must stay allocated: no unmapping there.
  uint32_t index = TakeSlot(header.unique, core::BlockOp::kWriteZeroes);
  Slot& slot = slots_[index];
  slot.may_unmap = in.mode == kPunchHole;
  slot.next_byte = in.offset;
  slot.end_byte = in.offset + in.length;
  Queue(index);
}

void FuseLoop::Reply(uint64_t unique, int error, const void* data, size_t bytes) {
  // An error number the kernel does not know would make it refuse the answer, and the request would wait for ever.
  if (error < 0 || error > 511) error = EIO;
  if (error != 0) bytes = 0;
  fuse_out_header header{static_cast<uint32_t>(sizeof(fuse_out_header) + bytes), -error, unique};
  iovec vectors[2] = {{&header, sizeof header}, {const_cast<void*>(data), bytes}};
  ssize_t written;
  do {
    written = writev(fuse_fd_, vectors, bytes == 0 ? 1 : 2);
  } while (written < 0 && errno == EINTR);
  // ENOENT: the request was taken back. ENODEV: the device is gone, the next read says so.
}

uint32_t FuseLoop::TakeSlot(uint64_t unique, core::BlockOp op) {
  uint32_t index = free_slot_;
  CHECK(index != kNone);
  Slot& slot = slots_[index];
  free_slot_ = slot.next;
  uint32_t generation = slot.generation + 1;
  slot = Slot{};
  slot.unique = unique;
  slot.op = op;
  slot.generation = generation;
  slot.connection = connection_;
  return index;
}

/// Appends a request to the waiting list and submits what the target takes.
void FuseLoop::Queue(uint32_t index) {
  Slot& slot = slots_[index];
  slot.waiting = true;
  slot.next = kNone;
  if (waiting_tail_ == kNone) {
    waiting_head_ = index;
  } else {
    slots_[waiting_tail_].next = index;
  }
  waiting_tail_ = index;
  SubmitWaiting();
}

/// Submits waiting requests in order. False if the target takes no more.
bool FuseLoop::SubmitWaiting() {
  while (waiting_head_ != kNone) {
    if (!target_.CanAccept()) return false;
    SubmitPieces(PopWaiting());
  }
  return true;
}

void FuseLoop::SubmitPieces(uint32_t index) {
  Slot& slot = slots_[index];
  core::BlockIo io;
  io.tag = static_cast<uint64_t>(slot.generation) << 32 | index;
  io.op = slot.op;
  io.may_unmap = slot.may_unmap;
  if (slot.op != core::BlockOp::kWriteZeroes) {
    io.sector = slot.next_byte / 512;
    io.bytes = slot.bytes;
    io.data = slot.buffer ? target_.arena().Bytes(slot.buffer).data() : nullptr;
    slot.next_byte = slot.end_byte;
    slot.in_flight = 1;
    target_.Submit(io);
    return;
  }
  // Pieces may complete inside Submit(): they must not finish the request under our feet.
  slot.submitting = true;
  while (slot.next_byte < slot.end_byte && slot.in_flight < kPiecesInFlight && target_.CanAccept()) {
    io.sector = slot.next_byte / 512;
    io.bytes = static_cast<uint32_t>(std::min<uint64_t>(slot.end_byte - slot.next_byte, core::kMaxDiscardPieceBytes));
    slot.next_byte += io.bytes;
    ++slot.in_flight;
    target_.Submit(io);
  }
  slot.submitting = false;
  if (slot.next_byte < slot.end_byte) {
    if (slot.in_flight < kPiecesInFlight) WaitFirst(index);  // the target is full; otherwise the next completion goes on
  } else if (slot.in_flight == 0) {
    Finish(index);
  }
}

void FuseLoop::WaitFirst(uint32_t index) {
  Slot& slot = slots_[index];
  slot.waiting = true;
  slot.next = waiting_head_;
  waiting_head_ = index;
  if (waiting_tail_ == kNone) waiting_tail_ = index;
}

uint32_t FuseLoop::PopWaiting() {
  uint32_t index = waiting_head_;
  Slot& slot = slots_[index];
  waiting_head_ = slot.next;
  if (waiting_head_ == kNone) waiting_tail_ = kNone;
  slot.waiting = false;
  slot.next = kNone;
  return index;
}

void FuseLoop::Complete(uint64_t tag, int error) {
  uint32_t index = static_cast<uint32_t>(tag);
  CHECK(index < kSlots);
  Slot& slot = slots_[index];
  CHECK(slot.generation == static_cast<uint32_t>(tag >> 32) && slot.in_flight > 0);
  --slot.in_flight;
  if (error != 0 && slot.error == 0) slot.error = error;
  // After an error, or when nobody waits for the answer any more, the rest is not tried.
  if (slot.error != 0 || slot.connection != connection_) slot.next_byte = slot.end_byte;
  if (!slot.submitting && !slot.waiting) {
    if (slot.next_byte < slot.end_byte) {
      WaitFirst(index);  // more pieces to submit, but not from inside a completion
    } else if (slot.in_flight == 0) {
      Finish(index);
    }
  }
  if (waiting_head_ != kNone && !woken_) {
    woken_ = true;
    worker_->Wake();
  }
}

void FuseLoop::Finish(uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.connection == connection_ && fuse_fd_ >= 0) {
    if (slot.error != 0) {
      Reply(slot.unique, slot.error);
    } else if (slot.op == core::BlockOp::kRead) {
      Reply(slot.unique, 0, target_.arena().Bytes(slot.buffer).data(), slot.bytes);
    } else if (slot.op == core::BlockOp::kWrite) {
      fuse_write_out out{slot.bytes, 0};
      Reply(slot.unique, 0, &out, sizeof out);
    } else {
      Reply(slot.unique, 0);
    }
  }
  if (slot.buffer) target_.arena().Give(slot.buffer);
  slot.buffer = {};
  slot.next = free_slot_;
  free_slot_ = index;
}

}  // namespace drbdts::frontend
