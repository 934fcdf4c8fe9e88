#pragma once
// The names of the device in the file system: the node, the links, and the sign that stands there while the volume is Secondary.
#include <sys/types.h>

#include <string>
#include <vector>

namespace drbdts::frontend {

/// How a step of making or removing a device ended: errno (0 = success) and a sentence saying what to do about it.
struct Outcome {
  int error = 0;
  std::string detail;
  bool ok() const { return error == 0; }
};

/// Makes the block device node `path` (with its directories), replacing a node of loop devices or a sign left by an earlier life. Anything else
/// standing there is refused with EEXIST. Mode and owner are those of `model` (e.g. /dev/loop7) if it exists. In one step: `path` is never absent.
Outcome MakeDeviceNode(const std::string& path, dev_t number, const std::string& model);

/// Makes symbolic links to `device`; refused with EEXIST where something that is not a link stands.
Outcome MakeLinks(const std::string& device, const std::vector<std::string>& links);

/// Removes the node if it still is that device.
void RemoveDeviceNode(const std::string& path, dev_t number);

/// Removes links that lead to `device`, and directories that became empty by it.
void RemoveLinks(const std::string& device, const std::vector<std::string>& links);

/// The number of the loop device node at `path`, or -1.
int LoopNumberOfNode(const std::string& path);

/// Puts a dangling link at `path` whose target is a sentence: `ls -l` shows why the device is not there, opening fails with ENOENT, and nobody
/// can make a plain file there by writing to it (resources/docs/decisions/0003-secondary-open.md). Does nothing where something else stands.
void PlaceSecondarySign(const std::string& path, const std::string& resource, unsigned volume);
void RemoveSecondarySign(const std::string& path);

}  // namespace drbdts::frontend
