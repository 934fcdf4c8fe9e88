#pragma once
// Who has a disk? Sentences for refusals, found in /proc and /sys. Allocates and blocks: not for the data path.
#include <sys/stat.h>

#include <string>

namespace drbdts::io {

/// "it is mounted on /srv", "it is claimed by dm-0", "it is in use as swap", "it is attached to /dev/loop3"; empty if nothing was found.
/// `path` is where the disk was opened, `st` its fstat.
std::string DescribeUse(const std::string& path, const struct stat& st);
/// "drbdtsd (pid 4711) has locked it"; empty if /proc/locks names nobody.
std::string DescribeLockHolder(const struct stat& st);
/// Process that holds an flock or OFD lock on this inode, 0 if unknown.
int LockHolderPid(const struct stat& st);

}  // namespace drbdts::io
