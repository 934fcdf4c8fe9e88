#include "frontend/holders.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "frontend/loop_device.h"

namespace drbdts::frontend {
namespace {

constexpr unsigned kLoopMajor = 7;
constexpr size_t kMaxNamed = 6;

struct Scan {
  unsigned minor_number = 0;
  std::vector<std::string> names;    // every path of the device
  std::vector<std::string> openers;  // `mysqld (pid 4711)`
  std::vector<std::string> uses;     // `mounted on /store (ext4)`
};

std::vector<std::string> List(const std::string& directory) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> handle(opendir(directory.c_str()), closedir);
  if (!handle) return names;
  while (dirent* entry = readdir(handle.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string ReadLink(const std::string& path) {
  char target[4096];
  ssize_t length = readlink(path.c_str(), target, sizeof target);
  return length < 0 ? std::string() : std::string(target, static_cast<size_t>(length));
}

/// /proc writes space, tab, newline and backslash as \ooo.
std::string Unescape(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && std::isdigit(static_cast<unsigned char>(text[i + 1]))) {
      result += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

bool IsDevice(const std::string& path, unsigned minor_number) {
  // Cached attributes will do: a real stat of a file on a dead network mount would never come back.
  struct statx info;
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &info) != 0) return false;
  return S_ISBLK(info.stx_mode) && info.stx_rdev_major == kLoopMajor && info.stx_rdev_minor == minor_number;
}

void AddOnce(std::vector<std::string>& list, const std::string& text) {
  if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

std::string Process(const std::string& pid) { return FirstLine("/proc/" + pid + "/comm") + " (pid " + pid + ")"; }

void ScanOpenFiles(Scan& scan, const std::string& pid) {
  std::string directory = "/proc/" + pid + "/fd/";
  for (const std::string& fd : List(directory)) {
    std::string target = ReadLink(directory + fd);
    if (target.empty() || target[0] != '/' || !IsDevice(directory + fd, scan.minor_number)) continue;
    AddOnce(scan.openers, Process(pid));
    return;
  }
}

void ScanMounts(Scan& scan, const std::string& pid, bool own_namespace) {
  const std::string number = std::to_string(kLoopMajor) + ":" + std::to_string(scan.minor_number);
  std::ifstream file("/proc/" + pid + "/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // id parent major:minor root mount-point options [optional...] - type source super-options
    std::istringstream words(line);
    std::string id, parent, device, root, point, options, word, type, source;
    words >> id >> parent >> device >> root >> point >> options;
    while (words >> word && word != "-") {
    }
    words >> type >> source;
    // btrfs and the like show an anonymous device number (0:x): there the source tells. Nowhere else: another namespace may have a
    // device of its own by this name.
    bool is_source = device.compare(0, 2, "0:") == 0 && std::find(scan.names.begin(), scan.names.end(), Unescape(source)) != scan.names.end();
    if (device != number && !is_source) continue;
    std::string text = "mounted on " + Unescape(point) + " (" + type + ")";
    if (own_namespace) {
      AddOnce(scan.uses, text);
    } else if (std::find(scan.uses.begin(), scan.uses.end(), text) == scan.uses.end()) {
      AddOnce(scan.uses, text + " in the mount namespace of " + Process(pid));
    }
  }
}

void ScanProcesses(Scan& scan) {
  const std::string self = std::to_string(getpid());
  const std::string own_namespace = ReadLink("/proc/self/ns/mnt");
  std::set<std::string> seen{own_namespace};
  ScanMounts(scan, "self", true);
  for (const std::string& pid : List("/proc")) {
    if (!std::isdigit(static_cast<unsigned char>(pid[0]))) continue;
    std::string space = ReadLink("/proc/" + pid + "/ns/mnt");
    if (!space.empty() && seen.insert(space).second) ScanMounts(scan, pid, false);
    if (pid != self) ScanOpenFiles(scan, pid);
  }
}

void ScanSwaps(Scan& scan) {
  std::ifstream file("/proc/swaps");
  std::string line;
  std::getline(file, line);  // heading
  while (std::getline(file, line)) {
    std::string path = Unescape(line.substr(0, line.find_first_of(" \t")));
    if (!path.empty() && IsDevice(path, scan.minor_number)) AddOnce(scan.uses, "used for swapping");
  }
}

void ScanStackedDevices(Scan& scan) {
  for (const std::string& holder : List("/sys/block/loop" + std::to_string(scan.minor_number) + "/holders")) {
    std::string name = FirstLine("/sys/block/" + holder + "/dm/name");
    AddOnce(scan.uses, "used by " + holder + (name.empty() ? "" : " (" + name + ")"));
  }
  for (const std::string& block : List("/sys/block")) {
    if (block.compare(0, 4, "loop") != 0) continue;
    std::string file = FirstLine("/sys/block/" + block + "/loop/backing_file");
    if (std::find(scan.names.begin(), scan.names.end(), file) != scan.names.end()) AddOnce(scan.uses, "used by /dev/" + block);
  }
}

std::string Join(const std::vector<std::string>& parts) {
  std::string text;
  size_t shown = std::min(parts.size(), kMaxNamed);
  for (size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + parts[i];
  if (parts.size() > shown) text += " and " + std::to_string(parts.size() - shown) + " more";
  return text;
}

}  // namespace

std::string DescribeHolders(int loop_number, const std::string& device, const std::vector<std::string>& names) {
  Scan scan;
  scan.minor_number = static_cast<unsigned>(loop_number);
  scan.names = names;
  scan.names.push_back(device);
  scan.names.push_back(LoopPath(loop_number));
  ScanProcesses(scan);
  ScanSwaps(scan);
  ScanStackedDevices(scan);
  if (scan.openers.empty() && scan.uses.empty()) return {};
  std::string text = device + " is ";
  if (!scan.openers.empty()) text += "held open by " + Join(scan.openers);
  if (!scan.uses.empty()) text += (scan.openers.empty() ? "" : ", ") + Join(scan.uses);
  return text;
}

}  // namespace drbdts::frontend
