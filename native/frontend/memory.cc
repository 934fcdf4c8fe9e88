#include "frontend/memory.h"

#include <cerrno>

#include "core/assert.h"

namespace drbdts::frontend {
namespace {

enum Kind : int { kStart, kStop, kHolders, kResized };

}  // namespace

// Results come later and from another thread, as with a real device.
MemoryFrontend::MemoryFrontend(BlockTarget& target, FrontendEvents& events, FrontendConfig config)
    : target_(target),
      events_(events),
      config_(std::move(config)),
      worker_([](const Command& command, Worker::Post& post) { post({command.kind, 0, 0, {}}); }),
      sectors_(config_.sectors) {}

bool MemoryFrontend::Inject(const core::BlockIo& io) {
  if (!up_ || !target_.CanAccept()) return false;
  target_.Submit(io);
  return true;
}

void MemoryFrontend::Start() { worker_.Run({kStart, -1, 0}); }

void MemoryFrontend::Stop() { worker_.Run({kStop, -1, 0}); }

void MemoryFrontend::CheckHolders() { worker_.Run({kHolders, -1, 0}); }

void MemoryFrontend::Resize(uint64_t sectors) {
  sectors_ = sectors;
  if (up_) worker_.Run({kResized, -1, 0});
}

void MemoryFrontend::OnNotice() {
  worker_.Quieten();
  for (Notice notice; worker_.TakeNotice(&notice);) {
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
