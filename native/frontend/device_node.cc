#include "frontend/device_node.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace drbdts::frontend {
namespace {

constexpr unsigned kLoopMajor = 7;
constexpr char kSignStart[] = "volume ";
constexpr char kSignMiddle[] = " is Secondary on this node: ";
constexpr int kMaxEmptyParents = 3;

std::string DirectoryOf(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

std::string Sibling(const std::string& path) {
  size_t slash = path.rfind('/');
  return path.substr(0, slash + 1) + "." + path.substr(slash + 1) + ".drbdts-new";
}

int MakeDirectories(const std::string& directory) {
  for (size_t at = 1; at != std::string::npos;) {
    at = directory.find('/', at);
    std::string part = directory.substr(0, at);
    if (mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return errno;
    if (at != std::string::npos) ++at;
  }
  return 0;
}

std::string ReadLink(const std::string& path) {
  char target[4096];
  ssize_t length = readlink(path.c_str(), target, sizeof target);
  return length < 0 ? std::string() : std::string(target, static_cast<size_t>(length));
}

bool IsSign(const std::string& path) {
  std::string target = ReadLink(path);
  return target.compare(0, sizeof kSignStart - 1, kSignStart) == 0 && target.find(kSignMiddle) != std::string::npos;
}

Outcome Failed(int error, const std::string& what) { return {error, what + ": " + std::strerror(error)}; }

}  // namespace

int LoopNumberOfNode(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISBLK(info.st_mode) || major(info.st_rdev) != kLoopMajor) return -1;
  return static_cast<int>(minor(info.st_rdev));
}

Outcome MakeDeviceNode(const std::string& path, dev_t number, const std::string& model) {
  if (path.empty() || path[0] != '/') return {EINVAL, "the device needs an absolute path, not '" + path + "'"};
  struct stat info;
  if (lstat(path.c_str(), &info) == 0 && LoopNumberOfNode(path) < 0 && !IsSign(path)) {
    std::string what = S_ISBLK(info.st_mode) ? "another driver's block device" : S_ISREG(info.st_mode) ? "a plain file" : "something else";
    return {EEXIST, path + " is taken by " + what + ": remove it or choose another device name"};
  }
  if (int error = MakeDirectories(DirectoryOf(path)); error != 0) return Failed(error, "cannot make the directory of " + path);
  struct stat like;
  bool have_model = stat(model.c_str(), &like) == 0 && S_ISBLK(like.st_mode);
  mode_t mode = have_model ? (like.st_mode & 0777) : 0660;
  std::string fresh = Sibling(path);
  unlink(fresh.c_str());
  if (mknod(fresh.c_str(), S_IFBLK | 0600, number) != 0) return Failed(errno, "cannot make the device node " + path);
  int error = 0;
  if (have_model && chown(fresh.c_str(), like.st_uid, like.st_gid) != 0) error = errno;
  if (error == 0 && chmod(fresh.c_str(), mode) != 0) error = errno;
  if (error == 0 && rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    unlink(fresh.c_str());
    return Failed(error, "cannot make the device node " + path);
  }
  return {};
}

Outcome MakeLinks(const std::string& device, const std::vector<std::string>& links) {
  for (const std::string& link : links) {
    if (link.empty() || link[0] != '/') return {EINVAL, "a link to the device needs an absolute path, not '" + link + "'"};
    struct stat info;
    if (lstat(link.c_str(), &info) == 0 && !S_ISLNK(info.st_mode)) return {EEXIST, link + " is taken: remove it, it has to be a link to " + device};
    if (int error = MakeDirectories(DirectoryOf(link)); error != 0) return Failed(error, "cannot make the directory of " + link);
    std::string fresh = Sibling(link);
    unlink(fresh.c_str());
    if (symlink(device.c_str(), fresh.c_str()) != 0) return Failed(errno, "cannot make the link " + link);
    if (rename(fresh.c_str(), link.c_str()) != 0) {
      int error = errno;
      unlink(fresh.c_str());
      return Failed(error, "cannot make the link " + link);
    }
  }
  return {};
}

void RemoveDeviceNode(const std::string& path, dev_t number) {
  struct stat info;
  if (lstat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode) && info.st_rdev == number) unlink(path.c_str());
}

void RemoveLinks(const std::string& device, const std::vector<std::string>& links) {
  std::string keep = DirectoryOf(device) + "/";
  for (const std::string& link : links) {
    if (ReadLink(link) != device) continue;
    unlink(link.c_str());
    std::string directory = DirectoryOf(link);
    for (int i = 0; i < kMaxEmptyParents; ++i, directory = DirectoryOf(directory)) {
      // Never the directory the device itself lives in, nor one above it.
      if (keep.compare(0, directory.size() + 1, directory + "/") == 0 || rmdir(directory.c_str()) != 0) break;
    }
  }
}

void PlaceSecondarySign(const std::string& path, const std::string& resource, unsigned volume) {
  struct stat info;
  if (path.empty() || path[0] != '/' || (lstat(path.c_str(), &info) == 0 && !IsSign(path))) return;
  // The slash makes the first words the name of a directory that does not exist: O_CREAT cannot follow the link.
  std::string text = kSignStart + resource + "/" + std::to_string(volume) + kSignMiddle + "drbdts primary " + resource;
  std::string fresh = Sibling(path);
  unlink(fresh.c_str());
  if (symlink(text.c_str(), fresh.c_str()) != 0) return;
  if (rename(fresh.c_str(), path.c_str()) != 0) unlink(fresh.c_str());
}

void RemoveSecondarySign(const std::string& path) {
  if (IsSign(path)) unlink(path.c_str());
}

}  // namespace drbdts::frontend
