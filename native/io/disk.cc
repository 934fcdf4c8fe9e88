#include "io/disk.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "io/dio_alignment.h"
#include "io/holders.h"

namespace drbdts::io {
namespace {

using core::ErrorCode;

constexpr uint32_t kLockPollMs = 20;
constexpr uint64_t kIndexedSlotBytes = uint64_t{128} << 20;  // drbd-protocol §4.1

struct Opened {
  int fd = -1;
  struct stat st {};
  uint64_t sectors = 0;
};

/// Calls `attempt` until it succeeds, the error is not `busy_errno`, or time is up. Returns 0 or the errno.
template <typename F>
int Patiently(uint32_t wait_ms, int busy_errno, F&& attempt) {
  for (uint32_t waited = 0;; waited += kLockPollMs) {
    const int error = attempt();
    if (error != busy_errno || waited >= wait_ms) return error;
    poll(nullptr, 0, kLockPollMs);
  }
}

Failure Busy(int error, const std::string& path, const std::string& why, const char* remedy) {
  return Failure{ErrorCode::kBusy, error, path + " is in use: " + (why.empty() ? "another program holds it" : why), path, remedy};
}

Failure OpenOne(const std::string& path, const DiskSpec& spec, bool claim, Opened& out) {
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) {
    return SystemFailure(errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo, errno, "cannot open", path,
                         "check the path in the configuration and that the device is there (lsblk)");
  }
  if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)) {
    return Failure{ErrorCode::kInvalidArgument, ENOTBLK, path + " is neither a block device nor a regular file", path,
                   "give a disk, partition, logical volume or file"};
  }
  const int mode = (spec.read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC | (S_ISBLK(st.st_mode) && claim && !spec.read_only ? O_EXCL : 0);
  int error = Patiently(spec.lock_wait_ms, EBUSY, [&] {
    out.fd = open(path.c_str(), mode);
    return out.fd >= 0 ? 0 : errno;
  });
  if (error == EBUSY) return Busy(error, path, DescribeUse(path, st), "unmount it, or end whatever uses it, and try again");
  if (error == EINVAL) {
    return Failure{ErrorCode::kInvalidArgument, error, path + " lies on a file system without direct I/O", path,
                   "use a block device, or a file on ext4 or xfs"};
  }
  if (error != 0) {
    return SystemFailure(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, error, "cannot open", path,
                         error == EACCES || error == EPERM ? "run as root" : "check the device and the kernel's log (dmesg)");
  }
  if (fstat(out.fd, &out.st) != 0) return SystemFailure(ErrorCode::kIo, errno, "cannot examine", path, "check the kernel's log (dmesg)");
  if (S_ISREG(out.st.st_mode) && !spec.read_only) {
    const std::string use = DescribeUse(path, out.st);
    if (!use.empty()) return Busy(EBUSY, path, use, "detach it (losetup -d) and try again");
  }
  uint64_t bytes = static_cast<uint64_t>(out.st.st_size);
  if (S_ISBLK(out.st.st_mode) && ioctl(out.fd, BLKGETSIZE64, &bytes) != 0) {
    return SystemFailure(ErrorCode::kIo, errno, "cannot measure", path, "check the kernel's log (dmesg)");
  }
  out.sectors = bytes / core::kSectorSize;
  return {};
}

/// The whole of it, exclusively or shared.
Failure LockWhole(const Opened& opened, const std::string& path, const DiskSpec& spec, bool exclusive) {
  const int error = Patiently(spec.lock_wait_ms, EWOULDBLOCK, [&] {
    return flock(opened.fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 ? 0 : errno;
  });
  if (error == EWOULDBLOCK) {
    return Busy(error, path, DescribeLockHolder(opened.st), "one daemon at a time may use a disk: detach the volume there, or end that process");
  }
  if (error != 0) return SystemFailure(ErrorCode::kIo, error, "cannot lock", path, "use a file system that knows locks");
  return {};
}

/// One slot of an indexed meta-disk: several volumes share the device, each has its own 128 MiB.
Failure LockSlot(const Opened& opened, const std::string& path, const DiskSpec& spec) {
  Failure failure = LockWhole(opened, path, spec, false);
  if (failure.failed()) return failure;
  struct flock range {};
  range.l_type = spec.read_only ? F_RDLCK : F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(spec.place.index * kIndexedSlotBytes);
  range.l_len = static_cast<off_t>(kIndexedSlotBytes);
  const int error = Patiently(spec.lock_wait_ms, EAGAIN, [&] { return fcntl(opened.fd, F_OFD_SETLK, &range) == 0 ? 0 : errno; });
  if (error == EAGAIN || error == EACCES) {
    return Busy(error, path, "slot " + std::to_string(spec.place.index) + " is locked by another volume", "give every volume a slot of its own");
  }
  if (error != 0) return SystemFailure(ErrorCode::kIo, error, "cannot lock", path, "use a file system that knows locks");
  return {};
}

std::string SysfsQueue(dev_t device) {
  char path[96];
  std::snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(device), minor(device));
  // A partition has no queue of its own; its disk is the directory above.
  const std::string own = std::string(path) + "/queue/";
  return access(own.c_str(), F_OK) == 0 ? own : std::string(path) + "/../queue/";
}

uint64_t ReadNumber(const std::string& path) {
  uint64_t value = 0;
  if (std::FILE* file = std::fopen(path.c_str(), "re")) {
    unsigned long long v = 0;
    if (std::fscanf(file, "%llu", &v) == 1) value = v;
    std::fclose(file);
  }
  return value;
}

void MeasureBlockDevice(const Opened& opened, core::DiskFacts& facts) {
  int logical = 512;
  unsigned physical = 512;
  if (ioctl(opened.fd, BLKSSZGET, &logical) == 0 && logical >= 512) facts.logical_block_bytes = static_cast<uint32_t>(logical);
  if (ioctl(opened.fd, BLKPBSZGET, &physical) == 0 && physical >= 512) facts.physical_block_bytes = physical;
  const std::string queue = SysfsQueue(opened.st.st_rdev);
  // Discards are made with fallocate, which on a block device is "write zeroes, unmapping": so both are needed, and zeroes come back.
  facts.can_discard = ReadNumber(queue + "discard_max_bytes") > 0 && ReadNumber(queue + "write_zeroes_max_bytes") > 0;
  facts.discard_zeroes = facts.can_discard;
  facts.rotational = ReadNumber(queue + "rotational") != 0;
}

void MeasureFile(const Opened& opened, const DiskSpec& spec, core::DiskFacts& facts) {
  uint32_t align = StatxDirectIoAlignment(opened.fd);
  if (align == 0) {
    void* block = nullptr;
    if (posix_memalign(&block, 4096, 4096) == 0) {
      align = pread(opened.fd, block, 512, 512) == 512 ? 512 : 4096;
      std::free(block);
    }
  }
  facts.logical_block_bytes = align <= 512 ? 512 : align;
  facts.physical_block_bytes = opened.st.st_blksize >= 4096 ? 4096 : static_cast<uint32_t>(opened.st.st_blksize);
  if (facts.physical_block_bytes < facts.logical_block_bytes) facts.physical_block_bytes = facts.logical_block_bytes;
  if (!spec.read_only) {
    // A hole behind the end changes nothing, but tells whether the file system can make one.
    const off_t end = static_cast<off_t>((static_cast<uint64_t>(opened.st.st_size) + 4095) & ~uint64_t{4095});
    facts.can_discard = fallocate(opened.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, 4096) == 0;
    facts.discard_zeroes = facts.can_discard;
  }
  facts.rotational = ReadNumber(SysfsQueue(opened.st.st_dev) + "rotational") != 0;
}

}  // namespace

Disk::~Disk() {
  if (meta_fd_ >= 0) close(meta_fd_);
  if (data_fd_ >= 0) close(data_fd_);
}

std::unique_ptr<Disk> Disk::Open(const DiskSpec& spec, Failure& failure) {
  std::unique_ptr<Disk> disk(new Disk);
  Opened data;
  failure = OpenOne(spec.disk, spec, true, data);
  disk->data_fd_ = data.fd;
  if (!failure.failed()) failure = LockWhole(data, spec.disk, spec, !spec.read_only);
  if (failure.failed()) return nullptr;
  disk->block_device_ = S_ISBLK(data.st.st_mode);
  core::DiskFacts& facts = disk->facts_;
  facts.backing_sectors = data.sectors;
  facts.meta_sectors = data.sectors;
  if (disk->block_device_) {
    MeasureBlockDevice(data, facts);
  } else {
    MeasureFile(data, spec, facts);
  }
  if (spec.place.kind == core::MetaDataPlace::Kind::kInternal || spec.meta_disk.empty()) return disk;

  const bool indexed = spec.place.kind == core::MetaDataPlace::Kind::kIndexed;
  Opened meta;
  failure = OpenOne(spec.meta_disk, spec, !indexed, meta);
  disk->meta_fd_ = meta.fd;
  if (!failure.failed() && meta.st.st_dev == data.st.st_dev && meta.st.st_ino == data.st.st_ino) {
    failure = Failure{ErrorCode::kInvalidArgument, EINVAL, spec.meta_disk + " is the data disk itself", spec.meta_disk,
                      "write `internal` as meta-disk to keep meta-data at the end of the data disk"};
  }
  if (!failure.failed()) failure = indexed ? LockSlot(meta, spec.meta_disk, spec) : LockWhole(meta, spec.meta_disk, spec, !spec.read_only);
  if (failure.failed()) return nullptr;
  facts.meta_sectors = meta.sectors;
  return disk;
}

int Disk::MeasureAgain() {
  const auto sectors_of = [](int fd, uint64_t& sectors) {
    struct stat st {};
    if (fstat(fd, &st) != 0) return errno;
    uint64_t bytes = static_cast<uint64_t>(st.st_size);
    if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &bytes) != 0) return errno;
    sectors = bytes / core::kSectorSize;
    return 0;
  };
  core::DiskFacts now = facts_;
  int error = sectors_of(data_fd_, now.backing_sectors);
  if (error == 0) error = sectors_of(meta_fd(), now.meta_sectors);
  if (error == 0) facts_ = now;
  return error;
}

int ReadFully(int fd, void* data, uint64_t bytes, uint64_t offset) {
  auto* p = static_cast<uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t n = pread(fd, p, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;
    p += n;
    bytes -= static_cast<uint64_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

int WriteFully(int fd, const void* data, uint64_t bytes, uint64_t offset) {
  const auto* p = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t n = pwrite(fd, p, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;
    p += n;
    bytes -= static_cast<uint64_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

}  // namespace drbdts::io
