#include "frontend/memory.h"

#include <cerrno>

#include "core/assert.h"

namespace drbdts::frontend {
namespace {

enum NoticeKind : int { kStart, kStop, kHolders, kResized };

}  // namespace

MemoryFrontend::MemoryFrontend(BlockTarget& target, FrontendEvents& events, FrontendConfig config)
    : target_(target), events_(events), config_(std::move(config)), sectors_(config_.sectors) {}

bool MemoryFrontend::Inject(const core::BlockIo& io) {
  if (!up_ || !target_.CanAccept()) return false;
  target_.Submit(io);
  return true;
}

// Results come later and from the worker's queue, as with a real device.
void MemoryFrontend::Start() {
  worker_.Run([](Worker::Post& post) { post({kStart, 0, {}, 0}); });
}

void MemoryFrontend::Stop() {
  worker_.Run([](Worker::Post& post) { post({kStop, 0, {}, 0}); });
}

void MemoryFrontend::CheckHolders() {
  worker_.Run([](Worker::Post& post) { post({kHolders, 0, {}, 0}); });
}

void MemoryFrontend::Resize(uint64_t sectors) {
  sectors_ = sectors;
  if (up_) worker_.Run([](Worker::Post& post) { post({kResized, 0, {}, 0}); });
}

void MemoryFrontend::OnNotice() {
  for (const Notice& notice : worker_.Take()) {
    switch (notice.kind) {
      case kStart:
        if (up_) {
          events_.OnUp(EALREADY, config_.device + " is there already");
        } else {
          up_ = true;
          events_.OnUp(0, {});
        }
        break;
      case kStop:
        if (!holders_.empty()) {
          events_.OnDown(EBUSY, holders_);
        } else {
          up_ = false;
          events_.OnDown(0, {});
        }
        break;
      case kHolders:
        events_.OnHolders(holders_);
        break;
      case kResized:
        events_.OnResized(0, {});
        break;
      default:
        CHECK(false);
    }
  }
}

}  // namespace drbdts::frontend
