#pragma once
// Who keeps the device from being removed: looks at all processes, mount namespaces, swap areas and stacked devices.
#include <string>
#include <vector>

namespace drbdts::frontend {

/// One sentence like `/dev/drbd0 is held open by mysqld (pid 4711), mounted on /store (ext4)`; empty if nobody holds it. Reads /proc and /sys only:
/// never opens the device, so it cannot wait for it. `names`: other paths of the device (links).
std::string DescribeHolders(int loop_number, const std::string& device, const std::vector<std::string>& names);

}  // namespace drbdts::frontend
