#include "frontend/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

namespace drbdts::frontend {
namespace {

constexpr unsigned kLoopMajor = 7;
constexpr int kDetachWaitMs = 10000;

std::string ReadSysfs(int number, const char* file) {
  std::string path = "/sys/block/loop" + std::to_string(number) + "/" + file;
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  char text[256];
  ssize_t length = read(fd, text, sizeof text);
  close(fd);
  while (length > 0 && text[length - 1] == '\n') --length;
  return length > 0 ? std::string(text, static_cast<size_t>(length)) : std::string();
}

uint64_t ReadSysfsNumber(int number, const char* file) {
  std::string text = ReadSysfs(number, file);
  return text.empty() ? 0 : std::strtoull(text.c_str(), nullptr, 10);
}

Outcome Failed(int error, const std::string& what) { return {error, what + ": " + std::strerror(error)}; }

void PauseMs(long ms) {
  timespec pause{ms / 1000, (ms % 1000) * 1000000};
  nanosleep(&pause, nullptr);
}

}  // namespace

Outcome MountDetached(int fuse_fd, const std::string& source, int* mount_fd) {
  int context = fsopen("fuse", FSOPEN_CLOEXEC);
  if (context < 0) return Failed(errno, "the kernel cannot mount FUSE (modprobe fuse)");
  const std::string fd = std::to_string(fuse_fd);
  const std::string user = std::to_string(geteuid());
  const std::string group = std::to_string(getegid());
  const std::pair<const char*, const char*> options[] = {
      {"source", source.c_str()}, {"fd", fd.c_str()}, {"rootmode", "100000"}, {"user_id", user.c_str()}, {"group_id", group.c_str()}};
  int error = 0;
  for (const auto& [key, value] : options) {
    if (error == 0 && fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) != 0) error = errno;
  }
  if (error == 0 && fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) error = errno;
  int mount = -1;
  if (error == 0) {
    mount = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (mount < 0) error = errno;
  }
  close(context);
  if (error != 0) return Failed(error, "cannot mount FUSE for the volume");
  *mount_fd = mount;
  return {};
}

int OpenMountRoot(int mount_fd) {
  std::string path = "/proc/self/fd/" + std::to_string(mount_fd);
  return open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
}

int FindFreeLoop(int* number) {
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return errno;
  int found = ioctl(control, LOOP_CTL_GET_FREE);
  int error = found < 0 ? errno : 0;
  close(control);
  if (error == 0) *number = found;
  return error;
}

std::string LoopPath(int number) { return "/dev/loop" + std::to_string(number); }

int OpenLoop(int number, int flags) {
  dev_t device = makedev(kLoopMajor, static_cast<unsigned>(number));
  std::string path = LoopPath(number);
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode) && info.st_rdev == device) return open(path.c_str(), flags | O_CLOEXEC);
  // No devtmpfs here (a container): a node of our own, gone again at once.
  std::string own = "/dev/.drbdts-loop" + std::to_string(number) + "-" + std::to_string(getpid());
  unlink(own.c_str());
  if (mknod(own.c_str(), S_IFBLK | 0600, device) != 0) return -1;
  int fd = open(own.c_str(), flags | O_CLOEXEC);
  int error = errno;
  unlink(own.c_str());
  errno = error;
  return fd;
}

int ConfigureLoop(int loop_fd, int backing_fd, uint32_t block_bytes, const std::string& tag) {
  loop_config config{};
  config.fd = static_cast<uint32_t>(backing_fd);
  config.block_size = block_bytes;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO;
  std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), tag.c_str(), LO_NAME_SIZE - 1);
  return ioctl(loop_fd, LOOP_CONFIGURE, &config) == 0 ? 0 : errno;
}

std::string LoopTag(const std::string& resource, unsigned volume) {
  std::string end = "/" + std::to_string(volume);
  return ("drbdts:" + resource).substr(0, LO_NAME_SIZE - 1 - end.size()) + end;
}

int ReadLoopTag(int loop_fd, std::string* tag) {
  loop_info64 info{};
  if (ioctl(loop_fd, LOOP_GET_STATUS64, &info) != 0) return errno;
  const char* name = reinterpret_cast<const char*>(info.lo_file_name);
  *tag = std::string(name, strnlen(name, LO_NAME_SIZE));
  return 0;
}

int RefreshLoopSize(int number) {
  int fd = OpenLoop(number, O_RDONLY);
  if (fd < 0) return errno;
  // Asking for the status makes the kernel fetch the file's attributes, which LOOP_SET_CAPACITY of older kernels does not.
  loop_info64 info{};
  int error = ioctl(fd, LOOP_GET_STATUS64, &info) != 0 || ioctl(fd, LOOP_SET_CAPACITY, 0) != 0 ? errno : 0;
  close(fd);
  return error;
}

uint64_t LoopSectors(int number) { return ReadSysfsNumber(number, "size"); }

uint32_t LoopBlockBytes(int number) { return static_cast<uint32_t>(ReadSysfsNumber(number, "queue/logical_block_size")); }

void ReleaseDeadLoop(int number, const std::string& tag) {
  int fd = OpenLoop(number, O_RDONLY);
  if (fd < 0) return;
  std::string found;
  if (ReadLoopTag(fd, &found) == 0 && found == tag) ioctl(fd, LOOP_CLR_FD, 0);
  close(fd);
}

Outcome DetachLoop(int number, const std::string& tag, const std::string& device) {
  // Exclusive: fails while mounted, used for swap or by another block device, and keeps all that away from now on.
  int fd = OpenLoop(number, O_RDWR | O_EXCL);
  if (fd < 0) return Failed(errno, "cannot open " + device + " for removing it");
  std::string found;
  int error = ReadLoopTag(fd, &found);
  if (error == 0 && found != tag) error = ENXIO;
  if (error == ENXIO) {
    close(fd);
    return {};  // not ours any more: nothing to detach
  }
  if (error == 0 && ioctl(fd, LOOP_CLR_FD, 0) != 0) error = errno;
  if (error != 0) {
    close(fd);
    return Failed(error, "cannot detach " + device);
  }
  // With another opener LOOP_CLR_FD only promises to detach later, when the last one leaves. Then the device is still attached: take the promise
  // back and refuse.
  loop_info64 info{};
  if (ioctl(fd, LOOP_GET_STATUS64, &info) == 0) {
    info.lo_flags &= ~static_cast<uint32_t>(LO_FLAGS_AUTOCLEAR);
    if (ioctl(fd, LOOP_SET_STATUS64, &info) != 0) {
      error = errno;
      close(fd);
      return Failed(error, device + " was opened while it was removed, and will vanish when it is closed");
    }
    close(fd);
    return {EBUSY, device + " was opened by somebody just now"};
  }
  close(fd);  // the kernel detaches here
  for (int waited_ms = 0; !ReadSysfs(number, "loop/backing_file").empty(); waited_ms += 10) {
    if (waited_ms >= kDetachWaitMs) return {ETIMEDOUT, "the kernel does not let go of " + LoopPath(number)};
    PauseMs(10);
  }
  return {};
}

}  // namespace drbdts::frontend
