#pragma once
// The kernel's loop driver and the detached FUSE mount under it. Everything here may wait for the FUSE server: never call it on its thread.
#include <cstdint>
#include <string>

#include "frontend/device_node.h"

namespace drbdts::frontend {

/// Mounts FUSE on `fuse_fd` without a path, the root being a plain file. `*mount_fd` keeps the mount alive until something else does.
Outcome MountDetached(int fuse_fd, const std::string& source, int* mount_fd);

/// Opens the volume file of such a mount for reading, writing and direct I/O. Waits for the server. -1 and errno on failure.
int OpenMountRoot(int mount_fd);

/// Number of a loop device that is free now (another process may be faster). Returns 0 or an errno.
int FindFreeLoop(int* number);

/// /dev/loopN
std::string LoopPath(int number);

/// Opens loop device `number`, also where /dev has no node for it. -1 and errno on failure.
int OpenLoop(int number, int flags);

/// Attaches `backing_fd` with direct I/O. Returns 0 or an errno: EBUSY = somebody else took this number.
int ConfigureLoop(int loop_fd, int backing_fd, uint32_t block_bytes, const std::string& tag);

/// What a loop device is attached to: the tag given to ConfigureLoop. Returns 0 or an errno (ENXIO = not attached).
int ReadLoopTag(int loop_fd, std::string* tag);

/// The tag as the kernel keeps it: at most 63 bytes.
std::string LoopTag(const std::string& resource, unsigned volume);

/// Makes the loop device read the size of its backing file again. Returns 0 or an errno.
int RefreshLoopSize(int number);

/// Size in sectors as the kernel has it now, 0 if unknown; logical block size, 0 if unknown.
uint64_t LoopSectors(int number);
uint32_t LoopBlockBytes(int number);

/// Detaches a loop device nobody has open. EBUSY without any change when somebody has, even if he came just now. `device` is for sentences.
Outcome DetachLoop(int number, const std::string& tag, const std::string& device);

/// Lets the kernel drop a loop device whose backing is gone: now, or when its last user leaves.
void ReleaseDeadLoop(int number, const std::string& tag);

}  // namespace drbdts::frontend
