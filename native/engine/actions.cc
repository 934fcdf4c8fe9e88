// What the core's actions do to disks, sockets, devices and the owner.
#include <poll.h>

#include <cerrno>
#include <string>
#include <utility>

#include "engine/volume_io.h"
#include "frontend/factory.h"
#include "frontend/notify.h"

namespace drbdts::engine {
namespace {
constexpr uint32_t kFrontendBudget = 64;  // requests per turn and volume, so that sockets and disks get theirs
// So many are taken before the disk is given them. With all of them at once, disk and processor take turns in waiting for each other; with one at a
// time, each costs a system call and a notification of the disk.
constexpr uint32_t kFrontendSlice = 4;
constexpr uint64_t kFrontendBytes = 128 * 1024;  // per turn and volume: the peer shall start on large requests while more are taken
constexpr core::TimeUs kSecondUs = 1000000;
}  // namespace

void ResourceThread::CarryOut() {
  std::vector<core::Action>& pending = resource_->actions();
  while (!pending.empty()) {
    batch_.swap(pending);  // carrying out may add new ones
    for (core::Action& action : batch_) Do(action);
    batch_.clear();
  }
}

void ResourceThread::Do(core::Action& action) {
  using Kind = core::Action::Kind;
  switch (action.kind) {
    case Kind::kDiskRead: return StartDisk(action, io::DiskOp::kRead, false);
    case Kind::kDiskWrite: return StartDisk(action, io::DiskOp::kWrite, false);
    case Kind::kDiskFlush: return StartDisk(action, io::DiskOp::kFlush, false);
    case Kind::kDiskDiscard: return StartDisk(action, io::DiskOp::kDiscard, false);
    case Kind::kDiskZero: return StartDisk(action, io::DiskOp::kZero, false);
    case Kind::kMetaRead: return StartDisk(action, io::DiskOp::kRead, true);
    case Kind::kMetaWrite: return StartDisk(action, io::DiskOp::kWrite, true);
    case Kind::kOpenDisk: return OpenDisk(action.volume);
    case Kind::kCloseDisk: return CloseDisk(action.volume);
    case Kind::kListen: return links_->StartListening(Now());
    case Kind::kStopListen: return links_->StopListening();
    case Kind::kConnect: return links_->Connect(Now());
    case Kind::kCloseLink: return links_->Close(action.link);
    case Kind::kComplete: {
      VolumeIo& v = *volumes_[action.volume];
      if (v.device != nullptr) {
        v.device->Complete(action.tag, action.error);
        FollowFds(v);
      }
      return;
    }
    case Kind::kDeviceUp: return DeviceUp(action.volume, action.bytes);
    case Kind::kDeviceDown: {
      VolumeIo& v = *volumes_[action.volume];
      if (v.device == nullptr) {
        resource_->OnDeviceDown(action.volume, 0, {}, Now());
        return;
      }
      v.device->Stop();
      FollowFds(v);
      return;
    }
    case Kind::kDeviceCheckOpen: {
      VolumeIo& v = *volumes_[action.volume];
      if (v.device == nullptr) {
        resource_->OnDeviceOpen(action.volume, {}, Now());
        return;
      }
      v.device->CheckHolders();
      FollowFds(v);
      return;
    }
    case Kind::kDeviceResize: {
      VolumeIo& v = *volumes_[action.volume];
      if (v.device != nullptr) v.device->Resize(action.bytes);
      FollowFds(v);
      return;
    }
    case Kind::kHandler:
    case Kind::kLog:
    case Kind::kChanged:
    case Kind::kCommandDone: return Emit(action);
  }
}

void ResourceThread::StartDisk(const core::Action& action, io::DiskOp op, bool meta) {
  const VolumeIo& v = *volumes_[action.volume];
  if (v.disk == nullptr) {
    resource_->OnDiskDone(action.io, ENODEV, Now());
    return;
  }
  io::DiskRequest request;
  request.op = op;
  request.volume = action.volume;
  request.fd = meta ? v.disk->meta_fd() : v.disk->data_fd();
  if (action.preflush) request.preflush_fd = v.disk->data_fd();
  request.dsync = action.dsync;
  request.may_unmap = action.may_unmap;
  request.io = action.io;
  request.offset_bytes = action.offset_bytes;
  request.bytes = action.bytes;
  request.data = action.data;
  disk_queue_->Start(request);
}

void ResourceThread::OnDiskDone(uint16_t volume, core::IoId io, int error, const io::DiskRequest& request) {
  if (draining_) return;
  const core::TimeUs now = Now();
  if (error == EINVAL && now - misaligned_logged_at_ >= kSecondUs) {
    misaligned_logged_at_ = now;
    Log(2, volume,
        "the disk refused a request of " + std::to_string(request.bytes) + " bytes at byte " + std::to_string(request.offset_bytes) +
            " (Invalid argument): is it smaller than the disk's block of " + std::to_string(volumes_[volume]->block_bytes) + " bytes?");
  }
  resource_->OnDiskDone(io, error, now);
  VolumeIo& v = *volumes_[volume];
  if (v.close_due && disk_queue_->in_flight(volume) == 0) CloseDisk(volume);
}

void ResourceThread::OpenDisk(uint16_t volume) {
  VolumeIo& v = *volumes_[volume];
  if (v.disk != nullptr && !v.close_due) {  // in use: whether it has grown
    const int error = v.disk->MeasureAgain();
    resource_->OnDiskOpened(volume, error, error == 0 ? "" : "the disk cannot be measured", v.disk->facts(), Now());
    return;
  }
  if (v.close_due) {
    resource_->OnDiskOpened(volume, EBUSY, "the disk is still open", {}, Now());
    return;
  }
  WorkerJob job;
  job.kind = WorkerJob::Kind::kOpen;
  job.volume = volume;
  job.spec = &v.spec;
  if (!worker_->Post(std::move(job))) resource_->OnDiskOpened(volume, EAGAIN, "too many disks are being opened", {}, Now());
}

void ResourceThread::CloseDisk(uint16_t volume) {
  VolumeIo& v = *volumes_[volume];
  v.close_due = disk_queue_->in_flight(volume) > 0;
  if (v.close_due) return;
  if (v.disk == nullptr) {
    resource_->OnDiskClosed(volume, Now());
    return;
  }
  WorkerJob job;
  job.kind = WorkerJob::Kind::kClose;
  job.volume = volume;
  job.disk = std::move(v.disk);
  if (!worker_->Post(std::move(job))) {
    job.disk.reset();
    resource_->OnDiskClosed(volume, Now());
  }
}

void ResourceThread::TakeWorkerResults() {
  WorkerJob job;
  while (worker_->Take(job)) {
    VolumeIo& v = *volumes_[job.volume];
    if (job.kind == WorkerJob::Kind::kClose) {
      resource_->OnDiskClosed(job.volume, Now());
      continue;
    }
    if (job.disk == nullptr) {
      const int error = job.failure.os_errno != 0 ? job.failure.os_errno : EIO;
      resource_->OnDiskOpened(job.volume, error, job.failure.detail, {}, Now());
      continue;
    }
    v.disk = std::move(job.disk);
    const core::DiskFacts facts = v.disk->facts();
    v.block_bytes = facts.logical_block_bytes;
    resource_->OnDiskOpened(job.volume, 0, {}, facts, Now());
  }
}

void ResourceThread::DeviceUp(uint16_t volume, uint64_t sectors) {
  VolumeIo& v = *volumes_[volume];
  if (v.device != nullptr) {
    resource_->OnDeviceUp(volume, EEXIST, "the device exists already", Now());
    return;
  }
  const core::VolumeConfig& config = config_.resource.volumes[volume];
  frontend::FrontendConfig setup;
  setup.resource = config_.resource.name;
  setup.volume = config.volume;
  setup.minor = config.minor;
  setup.device = config.device;
  setup.links = config.links;
  setup.sectors = sectors;
  setup.block_bytes = v.block_bytes;
  setup.notify_socket = config_.notify_socket;
  std::vector<frontend::KeptFd> others;
  for (frontend::KeptFd& kept : config_.kept) {
    frontend::KeptName name;
    const bool ours = frontend::ParseKeptName(kept.name, &name) && name.resource == setup.resource && name.volume == config.volume;
    (ours ? setup.kept : others).push_back(std::move(kept));
  }
  config_.kept = std::move(others);
  v.dispose = false;
  v.readable = true;  // a device taken over may have requests waiting
  v.device = frontend::MakeFrontend(config.memory_frontend ? "memory" : "fuse_loop", v, v, std::move(setup));
  v.device->Start();
  FollowFds(v);
}

void ResourceThread::FollowFds(VolumeIo& v) {
  const int request_fd = v.device == nullptr || v.dispose ? -1 : v.device->request_fd();
  const int notice_fd = v.device == nullptr || v.dispose ? -1 : v.device->notice_fd();
  if (request_fd == v.request_fd && notice_fd == v.notice_fd) return;
  const io::Tag old_request{io::TagKind::kFrontendRequest, v.generation, v.index};
  const io::Tag old_notice{io::TagKind::kFrontendNotice, v.generation, v.index};
  // A poll keeps its file open: a device could not go away while one is left.
  if (v.request_fd >= 0) ring_->RemovePoll(old_request);
  if (v.notice_fd >= 0) ring_->RemovePoll(old_notice);
  v.generation = (v.generation + 1) & io::kTagGenerationMask;
  v.request_fd = request_fd;
  v.notice_fd = notice_fd;
  if (request_fd >= 0) ring_->Poll(request_fd, POLLIN, {io::TagKind::kFrontendRequest, v.generation, v.index});
  if (notice_fd >= 0) ring_->Poll(notice_fd, POLLIN, {io::TagKind::kFrontendNotice, v.generation, v.index});
}

void ResourceThread::PumpFrontends() {
  for (auto& p : volumes_) {
    VolumeIo& v = *p;
    if (v.device == nullptr || v.dispose || !v.readable || !v.CanAccept()) continue;
    v.taken_bytes = 0;
    for (uint32_t taken = 0; taken < kFrontendBudget && v.taken_bytes < kFrontendBytes; taken += kFrontendSlice) {
      v.readable = !v.device->OnReadable(kFrontendSlice);
      FollowFds(v);
      if (!v.readable || !v.CanAccept()) break;
      CarryOut();
      if (v.device == nullptr || v.dispose) break;
      if (ring_->has_unsubmitted()) ring_->Submit();
    }
  }
}

bool ResourceThread::FrontendCanProgress() const {
  for (const auto& v : volumes_) {
    if (v->device != nullptr && (v->dispose || (v->readable && v->CanAccept()))) return true;
  }
  return false;
}

void ResourceThread::DisposeFrontends() {
  for (auto& p : volumes_) {
    VolumeIo& v = *p;
    if (v.device == nullptr || !v.dispose) continue;
    FollowFds(v);
    ring_->Submit();  // polls have to be gone before the descriptors are closed
    v.device.reset();
    v.dispose = false;
    v.readable = false;
  }
}

Event* ResourceThread::ReserveEvent(Event::Kind kind) {
  Event* event = kind == Event::Kind::kLog ? mailbox_->logs.Reserve() : mailbox_->results.Reserve();
  if (event == nullptr) return nullptr;
  event->kind = kind;
  event->wait = false;
  event->volume = -1;
  event->code = 0;
  event->id = 0;
  event->text[0] = 0;
  event->detail[0] = 0;
  wake_due_ = true;
  return event;
}

void ResourceThread::Log(int level, int volume, std::string_view text) {
  Event* event = ReserveEvent(Event::Kind::kLog);
  if (event == nullptr) {
    mailbox_->lost_logs.fetch_add(1);
    wake_due_ = true;
    return;
  }
  event->code = level;
  event->volume = volume;
  CopyText(event->text, text);
  mailbox_->logs.Publish();
}

void ResourceThread::Emit(const core::Action& action) {
  const int volume = action.volume < volumes_.size() ? action.volume : -1;
  switch (action.kind) {
    case core::Action::Kind::kChanged: changed_due_ = true; return;
    case core::Action::Kind::kLog: return Log(action.error, volume, action.text);
    case core::Action::Kind::kHandler: {
      Event* event = ReserveEvent(Event::Kind::kHandler);
      if (event == nullptr) {  // nobody takes events: the handler counts as failed
        if (action.wait) resource_->OnHandlerDone(action.id, 127, Now());
        return;
      }
      event->id = action.id;
      event->wait = action.wait;
      event->volume = volume;
      CopyText(event->text, action.text);
      CopyText(event->detail, action.detail);
      mailbox_->results.Publish();
      return;
    }
    default: break;
  }
  // kCommandDone: whoever reads the snapshot after the answer sees what the command did.
  PublishSnapshot(Now());
  Event* event = ReserveEvent(Event::Kind::kCommandDone);
  if (event == nullptr) return;  // not reached: the owner allows fewer commands at a time than there are slots
  event->id = action.id;
  event->code = action.error;
  CopyText(event->text, action.text);
  CopyText(event->detail, action.detail);
  mailbox_->results.Publish();
}

}  // namespace drbdts::engine
