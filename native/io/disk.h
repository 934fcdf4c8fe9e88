#pragma once
// The backing disk of one volume: data device and meta-data device, opened for direct I/O, locked and measured. Opening blocks.
#include <cstdint>
#include <memory>
#include <string>

#include "core/meta_data.h"
#include "core/resource_api.h"
#include "io/failure.h"

namespace drbdts::io {

struct DiskSpec {
  std::string disk;       // block device, partition or regular file
  std::string meta_disk;  // empty = internal
  core::MetaDataPlace place;
  // How long to wait for a lock that somebody holds: the disk I/O of a process that was killed may run on for seconds after its end.
  uint32_t lock_wait_ms = 0;
  bool read_only = false;  // for looking only: shared lock, no claim
};

/// Open descriptors; closing them gives up the locks once the last I/O on them is done.
class Disk {
 public:
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  /// Opens, locks and measures. Failures: kNotFound (no such file), kInvalidArgument (neither block device nor regular file, no direct
  /// I/O), kBusy (mounted, claimed or locked; the detail names the holder), kMetaDataTooSmall, kIo.
  static std::unique_ptr<Disk> Open(const DiskSpec& spec, Failure& failure);

  int data_fd() const { return data_fd_; }
  int meta_fd() const { return meta_fd_ >= 0 ? meta_fd_ : data_fd_; }
  bool data_is_block_device() const { return block_device_; }
  const core::DiskFacts& facts() const { return facts_; }

  /// Looks at the sizes again, of the open descriptors; facts() has them afterwards. Does not block. Returns 0 or an errno.
  int MeasureAgain();

 private:
  Disk() = default;
  int data_fd_ = -1;
  int meta_fd_ = -1;  // -1: internal
  bool block_device_ = false;
  core::DiskFacts facts_;
};

/// Reads or writes all of it with O_DIRECT on an open descriptor; data, offset and bytes aligned to the logical block. Blocks.
/// Returns 0 or an errno (EIO at the end of the device).
int ReadFully(int fd, void* data, uint64_t bytes, uint64_t offset);
int WriteFully(int fd, const void* data, uint64_t bytes, uint64_t offset);

}  // namespace drbdts::io
