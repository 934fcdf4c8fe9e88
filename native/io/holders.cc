#include "io/holders.h"

#include <dirent.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "io/failure.h"

namespace drbdts::io {
namespace {

template <typename F>
void EachLine(const char* path, F&& take) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return;
  char* line = nullptr;
  size_t room = 0;
  ssize_t length = 0;
  while ((length = getline(&line, &room, file)) > 0) {
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == ' ')) line[--length] = 0;
    if (!take(static_cast<const char*>(line))) break;
  }
  std::free(line);
  std::fclose(file);
}

std::string FirstLine(const std::string& path) {
  std::string first;
  EachLine(path.c_str(), [&](const char* line) {
    first = line;
    return false;
  });
  return first;
}

template <typename F>
void EachEntry(const std::string& path, F&& take) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') take(std::string(entry->d_name));
  }
  closedir(dir);
}

std::string MountPoint(dev_t device) {
  char wanted[32];
  std::snprintf(wanted, sizeof wanted, "%u:%u", major(device), minor(device));
  std::string found;
  EachLine("/proc/self/mountinfo", [&](const char* line) {
    char number[32] = {};
    char point[PATH_MAX] = {};
    if (std::sscanf(line, "%*s %*s %31s %*s %4095s", number, point) == 2 && std::strcmp(number, wanted) == 0) {
      found = point;
      return false;
    }
    return true;
  });
  return found;
}

std::string UseOfDevice(dev_t device) {
  const std::string point = MountPoint(device);
  if (!point.empty()) return "it is mounted on " + point;
  char sys[64];
  std::snprintf(sys, sizeof sys, "/sys/dev/block/%u:%u", major(device), minor(device));
  std::string holder;
  EachEntry(std::string(sys) + "/holders", [&](const std::string& name) { holder = name; });
  if (!holder.empty()) return "it is claimed by " + holder;
  bool swap = false;
  EachLine("/proc/swaps", [&](const char* line) {
    char path[PATH_MAX] = {};
    struct stat st {};
    if (std::sscanf(line, "%4095s", path) == 1 && path[0] == '/' && stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device) swap = true;
    return !swap;
  });
  if (swap) return "it is in use as swap";
  return {};
}

}  // namespace

std::string DescribeUse(const std::string& path, const struct stat& st) {
  if (S_ISBLK(st.st_mode)) {
    std::string use = UseOfDevice(st.st_rdev);
    if (!use.empty()) return use;
    // A whole disk is also busy when one of its partitions is.
    char sys[64];
    std::snprintf(sys, sizeof sys, "/sys/dev/block/%u:%u", major(st.st_rdev), minor(st.st_rdev));
    EachEntry(sys, [&](const std::string& name) {
      unsigned ma = 0;
      unsigned mi = 0;
      if (use.empty() && !FirstLine(std::string(sys) + "/" + name + "/partition").empty() &&
          std::sscanf(FirstLine(std::string(sys) + "/" + name + "/dev").c_str(), "%u:%u", &ma, &mi) == 2) {
        const std::string part = UseOfDevice(makedev(ma, mi));
        if (!part.empty()) use = "its partition " + name + " is in use (" + part + ")";
      }
    });
    return use;
  }
  // A file below a loop device: two writers that do not know of each other.
  char resolved[PATH_MAX];
  const std::string real = realpath(path.c_str(), resolved) != nullptr ? resolved : path;
  std::string use;
  EachEntry("/sys/block", [&](const std::string& name) {
    if (use.empty() && name.rfind("loop", 0) == 0 && FirstLine("/sys/block/" + name + "/loop/backing_file") == real) {
      use = "it is attached to /dev/" + name;
    }
  });
  return use;
}

int LockHolderPid(const struct stat& st) {
  int found = 0;
  EachLine("/proc/locks", [&](const char* line) {
    int pid = 0;
    unsigned ma = 0;
    unsigned mi = 0;
    unsigned long inode = 0;
    // "1: FLOCK  ADVISORY  WRITE 4711 fd:01:123456 0 EOF"; "->" lines are waiters
    if (std::strstr(line, "->") == nullptr && std::sscanf(line, "%*s %*s %*s %*s %d %x:%x:%lu", &pid, &ma, &mi, &inode) == 4 && inode == st.st_ino &&
        ma == major(st.st_dev) && mi == minor(st.st_dev) && pid > 0) {
      found = pid;
      return false;
    }
    return true;
  });
  return found;
}

std::string DescribeLockHolder(const struct stat& st) {
  const int pid = LockHolderPid(st);
  return pid == 0 ? std::string() : ProcessName(pid) + " has locked it";
}

}  // namespace drbdts::io
