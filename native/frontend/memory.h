#pragma once
// A front end without a kernel: requests are function calls. For tests of everything above and below it.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/block_io.h"
#include "frontend/frontend.h"
#include "frontend/worker.h"

namespace drbdts::frontend {

class MemoryFrontend final : public Frontend {
 public:
  struct Completion {
    uint64_t tag = 0;
    int error = 0;
  };

  MemoryFrontend(BlockTarget& target, FrontendEvents& events, FrontendConfig config);

  /// Hands a request to the target as an application would. False if it cannot take it now, or the device is not up. `data` of reads and writes is
  /// the caller's and has to be page aligned.
  bool Inject(const core::BlockIo& io);
  /// What was completed since the last call, in order.
  std::vector<Completion> TakeCompletions() { return std::exchange(completions_, {}); }
  /// Somebody holds the device (a sentence), or nobody (empty).
  void SetHolders(std::string sentence) { holders_ = std::move(sentence); }
  uint64_t sectors() const { return sectors_; }

  void Start() override;
  void Stop() override;
  void CheckHolders() override;
  void Resize(uint64_t sectors) override;
  void Abandon() override { up_ = false; }
  void Complete(uint64_t tag, int error) override { completions_.push_back({tag, error}); }
  int request_fd() const override { return -1; }
  int notice_fd() const override { return worker_.notice_fd(); }
  bool OnReadable(uint32_t) override { return true; }
  void OnNotice() override;
  bool up() const override { return up_; }

 private:
  BlockTarget& target_;
  FrontendEvents& events_;
  const FrontendConfig config_;
  Worker worker_;
  std::vector<Completion> completions_;
  std::string holders_;
  uint64_t sectors_ = 0;
  bool up_ = false;
};

}  // namespace drbdts::frontend
