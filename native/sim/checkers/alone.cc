#include "sim/checkers/alone.h"

#include "core/meta_data.h"

namespace drbdts::sim {

using namespace core;
using CoreDisk = core::Disk;

void AloneChecker::OnState(Node& node, uint16_t volume, const State& before) {
  const State& s = node.state(volume);
  CoreDisk& best = best_[static_cast<size_t>(node.index()) * best_.size() / 2 + volume];
  const auto report = [&](const std::string& what) {
    findings_.Report("alone", std::string("the disk of node ") + node.name() + " volume " + std::to_string(volume) + " " + what + ": " + DescribeState(s));
  };
  if (s.disk == CoreDisk::kAttaching && before.disk != CoreDisk::kAttaching) {
    const auto decoded = DecodeSuperBlock(
        std::span<const uint8_t, kMetaBlockBytes>(node.disk(volume).bytes() + node.layout.super_block_sector * 512, kMetaBlockBytes));
    const uint32_t flags = decoded.ok() ? decoded.value().flags : kMdConsistent | kMdWasUpToDate | kMdPeerOutdated;
    best = (flags & kMdConsistent) == 0      ? CoreDisk::kInconsistent
           : (flags & kMdWasUpToDate) == 0   ? CoreDisk::kOutdated
           : fencing_ && (flags & kMdPeerOutdated) == 0 ? CoreDisk::kConsistent
                                             : CoreDisk::kUpToDate;
    return;
  }
  // Several changes may come as one: they may have met, and parted at once.
  const bool apart = before.conn < Conn::kWFReportParams && s.conn < Conn::kConnected;
  if (!apart || forcing || before.disk == s.disk) return;
  if (before.disk == CoreDisk::kAttaching && s.disk > best) report(std::string("comes back better than its super block says (") + DiskName(best) + ")");
  if ((before.disk == CoreDisk::kInconsistent || before.disk == CoreDisk::kOutdated) && s.disk > before.disk) report(std::string("was ") + DiskName(before.disk) + " and gets better by itself");
}

}  // namespace drbdts::sim
