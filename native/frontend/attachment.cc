#include "frontend/attachment.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <utility>

#include "core/assert.h"
#include "frontend/device_node.h"
#include "frontend/fuse_abi.h"
#include "frontend/holders.h"
#include "frontend/loop_device.h"
#include "frontend/notify.h"

namespace drbdts::frontend {
namespace {

constexpr unsigned kLoopMajor = 7;
constexpr int kLoopAttempts = 64;
constexpr int kRemoveAttempts = 20;
constexpr unsigned kRemovePauseUs = 100000;
/// A look into /proc that found nobody counts for that long: who comes later is noticed when the device is taken away.
constexpr uint64_t kScanValidMs = 1000;

uint64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

dev_t LoopDevice(int number) { return makedev(kLoopMajor, static_cast<unsigned>(number)); }

int WriteNotification(int fuse_fd, int32_t code, const void* data, size_t bytes) {
  fuse_out_header header{static_cast<uint32_t>(sizeof(fuse_out_header) + bytes), code, 0};
  iovec vectors[2] = {{&header, sizeof header}, {const_cast<void*>(data), bytes}};
  return writev(fuse_fd, vectors, bytes == 0 ? 1 : 2) < 0 ? errno : 0;
}

/// The device as the worker sees it: only the worker touches it while a command runs.
struct Plan {
  FrontendConfig config;
  std::string tag;
  std::vector<KeptFd> kept;  // this volume's
  int loop_number = -1;
  uint64_t sectors = 0;
  uint64_t nobody_ms = 0;  // when a scan last found no holder; 0: it did not

  std::string KeptNameFor(int number) const { return FormatKeptName({config.resource, config.volume, number, config.block_bytes}); }
  void Forget(int number) const {
    // The manager being away is no reason to fail here: a descriptor whose device is gone is told from a good one by the next life.
    if (!config.notify_socket.empty()) RemoveStoredFd(config.notify_socket, KeptNameFor(number));
  }
  void RemoveNames(int number) const {
    RemoveLinks(config.device, config.links);
    RemoveDeviceNode(config.device, LoopDevice(number));
  }
  Outcome MakeNames(int number) const {
    Outcome outcome = MakeDeviceNode(config.device, LoopDevice(number), LoopPath(number));
    return outcome.ok() ? MakeLinks(config.device, config.links) : outcome;
  }
};

/// A device of an earlier life whose descriptor is lost (no keeper, or it gave up): every I/O on it fails. It goes now, or when its last user leaves.
void ClearStale(const Plan& plan) {
  if (int number = LoopNumberOfNode(plan.config.device); number >= 0) ReleaseDeadLoop(number, plan.tag);
}

/// Attaches a free loop device to the mounted file; the descriptor is stored under that number before.
Outcome AttachLoop(Plan& plan, int fuse_fd, int backing_fd, bool stored) {
  for (int attempt = 0; attempt < kLoopAttempts; ++attempt) {
    if (attempt > 0) {
      int number = -1;
      if (int error = FindFreeLoop(&number); error != 0) return {error, "no free loop device: " + std::string(std::strerror(error))};
      int before = plan.loop_number;
      plan.loop_number = number;
      if (stored && number != before) {
        int error = StoreFd(plan.config.notify_socket, plan.KeptNameFor(number), fuse_fd);
        plan.Forget(before);
        if (error != 0) return {error, "the service manager does not store the device's descriptor: " + std::string(std::strerror(error))};
      }
    }
    int loop_fd = OpenLoop(plan.loop_number, O_RDWR);
    int error = loop_fd < 0 ? errno : ConfigureLoop(loop_fd, backing_fd, plan.config.block_bytes, plan.tag);
    if (loop_fd >= 0) close(loop_fd);
    if (error == 0) return {};
    if (error != EBUSY && error != ENXIO) return {error, "cannot attach " + LoopPath(plan.loop_number) + ": " + std::strerror(error)};
  }
  return {EBUSY, "other programs take every free loop device first"};
}

Outcome MakeDevice(Plan& plan, int fuse_fd, Worker::Post& post) {
  ClearStale(plan);
  const bool stored = !plan.config.notify_socket.empty();
  if (int error = FindFreeLoop(&plan.loop_number); error != 0) {
    return {error, "no free loop device (modprobe loop): " + std::string(std::strerror(error))};
  }
  if (stored) {
    // Before the mount, so before the first request can be read.
    int error = StoreFd(plan.config.notify_socket, plan.KeptNameFor(plan.loop_number), fuse_fd);
    if (error != 0) return {error, "the service manager does not store the device's descriptor: " + std::string(std::strerror(error))};
  }
  int mount_fd = -1;
  Outcome outcome = MountDetached(fuse_fd, plan.tag, &mount_fd);
  if (outcome.ok()) {
    post({kServe, 0, -1, {}});
    int backing_fd = OpenMountRoot(mount_fd);
    if (backing_fd < 0) {
      outcome = {errno, "cannot open the volume's file: " + std::string(std::strerror(errno))};
    } else {
      outcome = AttachLoop(plan, fuse_fd, backing_fd, stored);
      close(backing_fd);
    }
    close(mount_fd);
    if (outcome.ok()) {
      outcome = plan.MakeNames(plan.loop_number);
      if (!outcome.ok()) {
        plan.RemoveNames(plan.loop_number);
        DetachLoop(plan.loop_number, plan.tag, plan.config.device);
      }
    }
  }
  if (!outcome.ok() && stored) plan.Forget(plan.loop_number);
  return outcome;
}

/// Finds the loop device of a taken-over connection among `numbers`, the ones its stored names tell.
Outcome FindOwnLoop(Plan& plan, int fuse_fd, const std::vector<int>& numbers) {
  for (int number : numbers) {
    int loop_fd = OpenLoop(number, O_RDONLY);
    if (loop_fd < 0) continue;
    std::string tag;
    int error = ReadLoopTag(loop_fd, &tag);
    close(loop_fd);
    if (error != 0 || tag != plan.tag) continue;
    plan.loop_number = number;
    for (int other : numbers) {
      if (other != number) plan.Forget(other);
    }
    if (LoopSectors(number) != plan.sectors) {
      fuse_notify_inval_inode_out changed{kFuseRootNode, -1, 0};
      WriteNotification(fuse_fd, FUSE_NOTIFY_INVAL_INODE, &changed, sizeof changed);
      if (int resize_error = RefreshLoopSize(number); resize_error != 0) return {resize_error, "cannot resize " + LoopPath(number)};
    }
    Outcome outcome = plan.MakeNames(number);
    uint32_t block_bytes = LoopBlockBytes(number);
    if (outcome.ok() && block_bytes != plan.config.block_bytes) {
      outcome.detail = "the device keeps its block size of " + std::to_string(block_bytes) + " bytes until it is made anew";
    }
    return outcome;
  }
  return {ENODEV, "the device of the earlier life is not attached any more"};
}

Outcome TakeOver(Plan& plan, Worker::Post& post) {
  // Usually one descriptor. Several only if the earlier life died while it changed loop numbers, or could not reach the service manager.
  int fuse_fd = -1;
  int error = ENODEV;
  std::vector<int> numbers;
  for (const KeptFd& kept : std::exchange(plan.kept, {})) {
    int flags = fcntl(kept.fd, F_GETFL);
    if (flags >= 0) fcntl(kept.fd, F_SETFL, flags | O_NONBLOCK);
    KeptName name;
    ParseKeptName(kept.name, &name);
    int resend_error = WriteNotification(kept.fd, kFuseNotifyResend, nullptr, 0);
    if (resend_error == 0) numbers.push_back(name.loop_number);
    if (resend_error == 0 && fuse_fd < 0) {
      fuse_fd = kept.fd;
      continue;
    }
    close(kept.fd);
    if (resend_error != 0) {
      error = resend_error;
      RemoveStoredFd(plan.config.notify_socket, kept.name);
    }
  }
  if (fuse_fd < 0) {
    if (int number = LoopNumberOfNode(plan.config.device); number >= 0) plan.RemoveNames(number);
    if (error == EINVAL || error == EOPNOTSUPP) {
      return {error, "this kernel cannot resend requests (Linux 6.9 can): the device of the earlier life is lost"};
    }
    return {error, "the device of the earlier life is gone: " + std::string(std::strerror(error))};
  }
  int own_fd = DuplicateFd(fuse_fd);
  post({kServe, 0, fuse_fd, {}});  // before the checks: they may need answers
  Outcome outcome = FindOwnLoop(plan, own_fd, numbers);
  if (own_fd >= 0) close(own_fd);
  if (!outcome.ok()) {
    for (int number : numbers) plan.Forget(number);
  }
  return outcome;
}

std::string Scan(Plan& plan) {
  std::string holders = DescribeHolders(plan.loop_number, plan.config.device, plan.config.links);
  plan.nobody_ms = holders.empty() ? NowMs() : 0;
  return holders;
}

/// One attempt. `*passing` when what is in the way will be gone soon: udev looking at the device, or somebody too quick to be seen.
Outcome TryRemoveDevice(Plan& plan, bool* passing) {
  // On a busy host a scan takes long, and who wants the device removed has asked for one just now.
  const bool asked = plan.nobody_ms != 0 && NowMs() - plan.nobody_ms < kScanValidMs;
  plan.nobody_ms = 0;
  std::string holders = asked ? std::string() : Scan(plan);
  *passing = holders.find("(udev-worker)") != std::string::npos || holders.find("systemd-udevd") != std::string::npos;
  if (!holders.empty()) return {EBUSY, holders};
  Outcome outcome = DetachLoop(plan.loop_number, plan.tag, plan.config.device);
  if (outcome.error == EBUSY) {
    holders = Scan(plan);
    plan.nobody_ms = 0;
    *passing = holders.empty();
    outcome.detail = holders;
    if (holders.empty()) outcome.detail = plan.config.device + " is in use by a process or mount that cannot be seen from here (another container?)";
  }
  return outcome;
}

Outcome RemoveDevice(Plan& plan) {
  bool passing = false;
  Outcome outcome = TryRemoveDevice(plan, &passing);
  for (int attempt = 1; attempt < kRemoveAttempts && !outcome.ok() && passing; ++attempt) {
    usleep(kRemovePauseUs);
    outcome = TryRemoveDevice(plan, &passing);
  }
  if (!outcome.ok()) return outcome;
  plan.RemoveNames(plan.loop_number);
  plan.Forget(plan.loop_number);
  return {};
}

void Post(Worker::Post& post, AttachNotice good, AttachNotice bad, const Outcome& outcome, int value) {
  post({outcome.ok() ? good : bad, outcome.error, value, outcome.detail});
}

void Handle(Plan& plan, const Command& command, Worker::Post& post) {
  switch (command.kind) {
    case kMakeFresh: {
      plan.sectors = command.sectors;
      Outcome outcome = MakeDevice(plan, command.fd, post);
      close(command.fd);
      Post(post, kStarted, kStartFailed, outcome, plan.loop_number);
      break;
    }
    case kTakeOver: {
      plan.sectors = command.sectors;
      Outcome outcome = TakeOver(plan, post);
      Post(post, kStarted, kStartFailed, outcome, plan.loop_number);
      break;
    }
    case kRemove:
      Post(post, kStopped, kStopRefused, RemoveDevice(plan), 0);
      break;
    case kScanHolders:
      post({kHolders, 0, 0, Scan(plan)});
      break;
    case kResizeLoop: {
      fuse_notify_inval_inode_out changed{kFuseRootNode, -1, 0};
      int error = WriteNotification(command.fd, FUSE_NOTIFY_INVAL_INODE, &changed, sizeof changed);
      close(command.fd);
      if (error == 0) error = RefreshLoopSize(plan.loop_number);
      post({kResized, error, 0, error == 0 ? "" : "cannot resize " + LoopPath(plan.loop_number) + ": " + std::strerror(error)});
      break;
    }
    case kCleanLost:
      plan.RemoveNames(plan.loop_number);
      ReleaseDeadLoop(plan.loop_number, plan.tag);
      plan.Forget(plan.loop_number);
      post({kCleaned, ENODEV, 0,
            LoopPath(plan.loop_number) + " under " + plan.config.device + " was detached or its FUSE connection aborted by somebody else"});
      break;
    default:
      CHECK(false);
  }
}

}  // namespace

int DuplicateFd(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }

Worker::Handler MakeAttachment(const FrontendConfig& config, std::vector<int>* kept_fds) {
  auto plan = std::make_shared<Plan>();
  plan->config = config;
  plan->tag = LoopTag(config.resource, config.volume);
  for (const KeptFd& kept : config.kept) {
    KeptName name;
    if (kept.fd < 0 || !ParseKeptName(kept.name, &name) || name.resource != config.resource || name.volume != config.volume) continue;
    fcntl(kept.fd, F_SETFD, FD_CLOEXEC);  // a program started by us must not keep the device alive
    plan->kept.push_back(kept);
    kept_fds->push_back(kept.fd);
  }
  return [plan](const Command& command, Worker::Post& post) { Handle(*plan, command, post); };
}

}  // namespace drbdts::frontend
