// Life of the data thread: start, loop, end. What the core's actions do: actions.cc.
#include "engine/resource_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/volume_io.h"

namespace drbdts::engine {
namespace {

constexpr uint64_t kMiB = 1u << 20;
// Requests from above: loop's queue depth (128) of its largest request would be more than any sane size, so 24 MiB holds 128 requests of 128 KiB
// and what reading ahead from the device needs; when it is full the device waits.
constexpr uint64_t kDeviceArenaBytes = 24 * kMiB;
// What the peer may have outstanding with us: twice max-buffers' default (2048 pages), so that a burst never waits for one slow write.
constexpr uint64_t kNetArenaBytes = 16 * kMiB;
// Resync, verify, activity log and bitmap pages: eight 1 MiB resync requests and their meta-data.
constexpr uint64_t kSyncArenaBytes = 12 * kMiB;

constexpr uint32_t kRingEntries = 4096;
constexpr uint32_t kDiskSlots = 4096;      // more than the core has requests
constexpr uint32_t kReceiveBudget = 32;    // calls per turn and link
constexpr uint32_t kActionRoom = 8192;     // like the core's own list: the two change places
constexpr core::TimeUs kPublishSoonUs = 10000;
constexpr core::TimeUs kPublishLazilyUs = 200000;
constexpr core::TimeUs kDrainUs = 10 * 1000000;
constexpr uint32_t kDiskLockWaitMs = 3000;

}  // namespace

ResourceThread::ResourceThread(EngineConfig config, Waker& waker) : config_(std::move(config)), waker_(waker), mailbox_(std::make_unique<Mailbox>()) {
  mlock(mailbox_.get(), sizeof *mailbox_);
  mailbox_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

std::unique_ptr<ResourceThread> ResourceThread::Start(EngineConfig config, Waker& waker, io::Failure& failure) {
  std::unique_ptr<ResourceThread> self(new ResourceThread(std::move(config), waker));
  const core::ResourceConfig& resource = self->config_.resource;
  io::SocketAddress address;
  for (const core::Endpoint* endpoint : {&resource.local, &resource.peer}) {
    if (!io::ParseAddress(*endpoint, address)) {
      failure = io::Failure{core::ErrorCode::kInvalidArgument, EINVAL, "not an IPv" + std::to_string(endpoint->family) + " address: " + endpoint->host,
                            resource.name, "write the address as numbers"};
      return nullptr;
    }
  }
  if (self->mailbox_event_ < 0) {
    failure = io::SystemFailure(core::ErrorCode::kIo, errno, "cannot make an", "eventfd", "raise the limit of open files (LimitNOFILE)");
    return nullptr;
  }
  self->memory_ = io::LockedMemory(kDeviceArenaBytes + kNetArenaBytes + kSyncArenaBytes);
  if (self->memory_.data() == nullptr) {
    failure = io::Failure{core::ErrorCode::kNoMemory, ENOMEM, "no memory for the buffers of " + resource.name, resource.name, "free 52 MiB of memory"};
    return nullptr;
  }
  const std::span<uint8_t> bytes = self->memory_.bytes();
  self->device_arena_ = std::make_unique<core::PageArena>(bytes.subspan(0, kDeviceArenaBytes));
  self->net_arena_ = std::make_unique<core::PageArena>(bytes.subspan(kDeviceArenaBytes, kNetArenaBytes));
  self->sync_arena_ = std::make_unique<core::PageArena>(bytes.subspan(kDeviceArenaBytes + kNetArenaBytes, kSyncArenaBytes));
  std::array<uint8_t, 32> seed{};
  if (getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) {
    failure = io::SystemFailure(core::ErrorCode::kIo, errno, "cannot read", "random numbers", "check the kernel's log (dmesg)");
    return nullptr;
  }
  self->resource_ = std::make_unique<core::Resource>(
      resource, core::Arenas{self->device_arena_.get(), self->net_arena_.get(), self->sync_arena_.get()}, seed);
  self->batch_.reserve(kActionRoom);
  for (uint16_t i = 0; i < resource.volumes.size(); i++) {
    const core::VolumeConfig& volume = resource.volumes[i];
    auto v = std::make_unique<VolumeIo>(i, *self->resource_, *self->device_arena_);
    v->spec = io::DiskSpec{volume.disk, volume.meta_disk, volume.place, kDiskLockWaitMs, false};
    self->volumes_.push_back(std::move(v));
  }
  self->PublishSnapshot(Now());
  self->thread_ = std::thread([raw = self.get()] { raw->Run(); });
  self->started_.wait(0);
  if (self->started_.load() < 0) {
    failure = self->start_failure_;
    return nullptr;
  }
  return self;
}

ResourceThread::~ResourceThread() {
  if (thread_.joinable()) {
    RequestStop();
    thread_.join();
  }
  while (Command** command = mailbox_->commands.Front()) {
    delete *command;
    mailbox_->commands.Release();
  }
  while (Command** command = mailbox_->spent.Front()) {
    delete *command;
    mailbox_->spent.Release();
  }
  if (mailbox_event_ >= 0) close(mailbox_event_);
  for (const frontend::KeptFd& kept : config_.kept) {
    if (kept.fd >= 0) close(kept.fd);
  }
}

bool ResourceThread::Post(std::unique_ptr<Command> command) {
  while (Command** spent = mailbox_->spent.Front()) {
    delete *spent;
    mailbox_->spent.Release();
  }
  Command** slot = mailbox_->commands.Reserve();
  if (slot == nullptr) return false;
  *slot = command.release();
  mailbox_->commands.Publish();
  eventfd_write(mailbox_event_, 1);
  return true;
}

void ResourceThread::RequestStop() {
  auto stop = std::make_unique<Command>();
  stop->kind = Command::Kind::kStop;
  while (!Post(std::move(stop))) {  // the data thread empties the queue in every turn
    poll(nullptr, 0, 1);
    stop = std::make_unique<Command>();
    stop->kind = Command::Kind::kStop;
  }
}

void ResourceThread::Join() {
  if (thread_.joinable()) thread_.join();
}

// ---- on the data thread from here on ----

io::Failure ResourceThread::SetUp() {
  const io::ThreadSetup setup = io::SetUpDataThread("drbdts-" + config_.resource.name);
  ring_ = std::make_unique<io::Ring>();
  io::Failure failure = ring_->Open(kRingEntries);
  if (failure.failed()) return failure;
  disk_queue_ = std::make_unique<io::DiskQueue>(*ring_, *this, kDiskSlots);
  links_ = std::make_unique<Links>(*ring_, *resource_, *this, config_.resource.local, config_.resource.peer);
  links_->SetOptions(config_.resource.net);
  worker_ = std::make_unique<Worker>();
  if (!worker_->ok()) return io::SystemFailure(core::ErrorCode::kIo, errno, "cannot make an", "eventfd", "raise the limit of open files (LimitNOFILE)");
  ring_->Poll(mailbox_event_, POLLIN, {io::TagKind::kMailbox, 0, 0});
  ring_->Poll(worker_->done_fd(), POLLIN, {io::TagKind::kWorker, 0, 0});
  if (!memory_.locked() || !setup.stack_locked) {
    Log(1, -1, "buffers could not be locked in memory (raise LimitMEMLOCK): keep the device free of swap files");
  }
  return {};
}

void ResourceThread::Run() {
  start_failure_ = SetUp();
  const bool good = !start_failure_.failed();
  started_.store(good ? 1 : -1);
  started_.notify_all();
  if (good) {
    Loop();
    Drain();
  }
  TearDown();
  if (!good) return;
  if (Event* event = ReserveEvent(Event::Kind::kStopped)) {
    CopyText(event->text, "stopped as asked");
    mailbox_->results.Publish();
  }
  waker_.Wake();
}

void ResourceThread::Loop() {
  while (!stopping_) {
    if (Harvest() != 0) active_since_publish_ = true;
    TakeCommands();
    const core::TimeUs now = Now();
    if (resource_->deadline() <= now) resource_->OnTick(now);
    if (links_->deadline() <= now) links_->OnTick(now);
    CarryOut();
    PumpFrontends();
    CarryOut();
    links_->Receive(kReceiveBudget, Now());
    CarryOut();
    if (links_->HasOutput()) {
      // The disk works while the (often longer) send runs.
      if (ring_->has_unsubmitted()) ring_->Submit();
      links_->Send(Now());
      CarryOut();
    }
    DisposeFrontends();
    PublishWhenDue(Now());
    if (wake_due_) {
      wake_due_ = false;
      waker_.Wake();
    }
    if (stopping_) break;
    disk_queue_->RunDeferredFlush();
    ring_->SubmitAndWait(WaitTime(Now()));
  }
}

core::TimeUs ResourceThread::WaitTime(core::TimeUs now) const {
  if (!resource_->actions().empty() || FrontendCanProgress() || links_->CanProgress()) return 0;
  core::TimeUs until = std::min(resource_->deadline(), links_->deadline());
  if (changed_due_) until = std::min(until, published_at_ + kPublishSoonUs);
  if (active_since_publish_) until = std::min(until, published_at_ + kPublishLazilyUs);
  if (until == core::kNever) return core::kNever;
  return until <= now ? 0 : until - now;
}

uint32_t ResourceThread::Harvest() {
  io::Completion completions[128];
  uint32_t total = 0;
  for (;;) {
    const uint32_t count = ring_->Take(completions, std::size(completions));
    for (uint32_t i = 0; i < count; i++) Dispatch(completions[i]);
    total += count;
    // Enough for one turn: what they caused has to be carried out.
    if (count < std::size(completions) || total >= 1024) return total;
  }
}

void ResourceThread::Dispatch(const io::Completion& completion) {
  switch (completion.tag.kind) {
    case io::TagKind::kIgnore: return;
    case io::TagKind::kDisk: disk_queue_->OnCompletion(completion.tag, completion.result); return;
    case io::TagKind::kSocket: links_->OnSocket(completion, Now()); return;
    case io::TagKind::kListener: links_->OnListener(completion, Now()); return;
    case io::TagKind::kMailbox:
      if (!completion.more && !draining_) ring_->Poll(mailbox_event_, POLLIN, completion.tag);
      return;
    case io::TagKind::kWorker:
      if (!completion.more && !draining_) ring_->Poll(worker_->done_fd(), POLLIN, completion.tag);
      if (!draining_) TakeWorkerResults();
      return;
    case io::TagKind::kFrontendRequest:
    case io::TagKind::kFrontendNotice: {
      if (completion.tag.index >= volumes_.size()) return;
      VolumeIo& v = *volumes_[completion.tag.index];
      if (v.device == nullptr || v.generation != completion.tag.generation) return;
      const bool request = completion.tag.kind == io::TagKind::kFrontendRequest;
      if (!completion.more && completion.result >= 0) ring_->Poll(request ? v.request_fd : v.notice_fd, POLLIN, completion.tag);
      if (request) {
        v.readable = true;
      } else {
        v.device->OnNotice();
        FollowFds(v);
      }
      return;
    }
  }
}

void ResourceThread::TakeCommands() {
  eventfd_t count = 0;
  if (mailbox_->commands.Front() == nullptr) return;
  eventfd_read(mailbox_event_, &count);
  while (Command** slot = mailbox_->commands.Front()) {
    Command* command = *slot;
    mailbox_->commands.Release();
    switch (command->kind) {
      case Command::Kind::kAdmin:
        if (command->admin.kind == core::AdminCommand::Kind::kNetOptions) links_->SetOptions(command->admin.net);
        resource_->OnCommand(command->id, command->admin, Now());
        break;
      case Command::Kind::kHandlerDone: resource_->OnHandlerDone(command->id, command->exit_code, Now()); break;
      case Command::Kind::kStop: stopping_ = true; break;
    }
    if (Command** spent = mailbox_->spent.Reserve()) {
      *spent = command;
      mailbox_->spent.Publish();
    } else {
      delete command;
    }
  }
}

void ResourceThread::PublishSnapshot(core::TimeUs now) {
  resource_->FillSnapshot(scratch_, now);
  mailbox_->snapshot.Write(scratch_);
  published_at_ = now;
  active_since_publish_ = false;
}

void ResourceThread::PublishWhenDue(core::TimeUs now) {
  const core::TimeUs age = now - published_at_;
  if (changed_due_ && age >= kPublishSoonUs) {
    changed_due_ = false;
    PublishSnapshot(now);
    mailbox_->changed.store(true);
    wake_due_ = true;
  } else if (active_since_publish_ && age >= kPublishLazilyUs) {
    PublishSnapshot(now);
  }
}

/// The next life must be able to rely on the locks: they go when the last disk I/O is done, so that is waited for. Nothing is answered any more:
/// what was not acknowledged is sent again, by the kernel to the next life and by us to the peer's bitmap.
void ResourceThread::Drain() {
  draining_ = true;
  for (auto& v : volumes_) {
    if (v->device != nullptr) v->device->Abandon();
    v->dispose = v->device != nullptr;
  }
  DisposeFrontends();
  links_->CloseAll();
  const core::TimeUs until = Now() + kDrainUs;
  disk_queue_->RunDeferredFlush();
  ring_->SubmitAndWait(0);
  Harvest();
  while (disk_queue_->in_flight() > 0) {
    const core::TimeUs now = Now();
    if (now >= until) break;
    ring_->SubmitAndWait(until - now);
    Harvest();
  }
  PublishSnapshot(Now());
}

void ResourceThread::TearDown() {
  // Disk I/O that hangs in the kernel still points into the buffers.
  if (disk_queue_ != nullptr && disk_queue_->in_flight() > 0) memory_.Leak();
  worker_.reset();
  links_.reset();
  for (auto& v : volumes_) {
    v->device.reset();
    v->disk.reset();
  }
  disk_queue_.reset();
  ring_.reset();
}

}  // namespace drbdts::engine
