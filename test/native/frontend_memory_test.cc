#include "frontend/memory.h"

#include "frontend_suite.h"

namespace drbdts::test {
namespace {

class MemoryRig final : public Rig {
 public:
  explicit MemoryRig(uint64_t bytes)
      : target_(bytes), frontend_(target_, events_, {"r0", 0, 0, "/dev/drbd0", {}, bytes / 512, 512, {}, {}}), buffer_(MapMemory(1 << 20)) {
    target_.frontend = &frontend_;
  }
  ~MemoryRig() override { munmap(buffer_.data(), buffer_.size()); }
  frontend::Frontend& frontend() override { return frontend_; }
  RamTarget& target() override { return target_; }
  Recorder& events() override { return events_; }
  void Do(std::function<void()> task) override {
    task();
    pollfd entry{frontend_.notice_fd(), POLLIN, 0};
    // Everything asked for here is answered by exactly one notice, soon.
    while (poll(&entry, 1, 100) > 0) frontend_.OnNotice();
  }
  int Write(uint64_t offset, const std::vector<uint8_t>& data) override {
    std::memcpy(buffer_.data(), data.data(), data.size());
    return Run(core::BlockOp::kWrite, offset, data.size());
  }
  int Read(uint64_t offset, std::vector<uint8_t>& data) override {
    int error = Run(core::BlockOp::kRead, offset, data.size());
    std::memcpy(data.data(), buffer_.data(), data.size());
    return error;
  }
  int Flush() override { return Run(core::BlockOp::kFlush, 0, 0); }
  int Discard(uint64_t offset, uint64_t bytes) override { return Run(core::BlockOp::kDiscard, offset, bytes); }
  int Zero(uint64_t offset, uint64_t bytes) override { return Run(core::BlockOp::kWriteZeroes, offset, bytes); }
  uint64_t SizeBytes() override { return frontend_.sectors() * 512; }
  void Hold() override { frontend_.SetHolders("/dev/drbd0 is held open by dd (pid 1)"); }
  void LetGo() override { frontend_.SetHolders({}); }

 private:
  int Run(core::BlockOp op, uint64_t offset, uint64_t bytes) {
    core::BlockIo io;
    io.tag = ++tag_;
    io.op = op;
    io.sector = offset / 512;
    io.bytes = static_cast<uint32_t>(bytes);
    io.data = buffer_.data();
    if (!frontend_.Inject(io)) return EAGAIN;
    target_.Drain();
    auto done = frontend_.TakeCompletions();
    REQUIRE(done.size() == 1);
    CHECK(done[0].tag == tag_);
    return done[0].error;
  }

  RamTarget target_;
  Recorder events_;
  frontend::MemoryFrontend frontend_;
  std::span<uint8_t> buffer_;
  uint64_t tag_ = 0;
};

TEST_CASE("front end in memory") {
  MemoryRig rig(32 << 20);
  RunFrontendSuite(rig, 512);
}

TEST_CASE("front end in memory takes nothing while it is down or the volume is frozen") {
  MemoryRig rig(32 << 20);
  CHECK(rig.Flush() == EAGAIN);
  REQUIRE(rig.Start().error == 0);
  rig.target().frozen = true;
  CHECK(rig.Flush() == EAGAIN);
  rig.target().frozen = false;
  CHECK(rig.Flush() == 0);
}

}  // namespace
}  // namespace drbdts::test
