// The schedule of a random life, from its options and its seed.
#include "sim/step.h"
#include "sim/world.h"

namespace drbdts::sim {

namespace {

class Draw {
 public:
  explicit Draw(const Options& o) : o_(o), r_(o.seed * 0xd1342543de82ef95ull + 3) {
    const Weights& w = o.weights;
    const std::pair<uint32_t, void (Draw::*)()> table[] = {
        {w.io, &Draw::Io}, {w.reset_one, &Draw::ResetOne}, {w.reset_all, &Draw::ResetAll}, {w.stall, &Draw::Stall}, {w.black_hole, &Draw::BlackHole},
        {w.crash, &Draw::Crash}, {w.crash_at_action, &Draw::CrashAt}, {w.power, &Draw::Power}, {w.blackout, &Draw::Blackout}, {w.revive, &Draw::Revive},
        {w.move, &Draw::Move}, {w.admin, &Draw::Admin}, {w.disk_error, &Draw::DiskError}, {w.disk_mend, &Draw::DiskMend}, {w.disk_slow, &Draw::DiskSlow},
        {w.disk_stall, &Draw::DiskStall}, {w.disk_full, &Draw::DiskFull}, {w.pause, &Draw::Pause}, {w.wait, &Draw::Wait}, {w.check, &Draw::Check},
        {w.arbiter, &Draw::Arbiter}, {w.storm, &Draw::Storm}};
    for (const auto& [weight, f] : table) {
      total_ += weight;
      if (weight != 0) table_.push_back({total_, f});
    }
  }
  std::vector<Step> Run() {
    for (uint32_t i = 0; i < o_.steps; ++i) {
      const uint64_t dice = r_.Below(total_);
      for (const auto& [upto, f] : table_) {
        if (dice >= upto) continue;
        (this->*f)();
        break;
      }
      delay_ = r_.Chance(70) ? r_.Below(2000) : r_.Below(300 * kMs);
    }
    return std::move(out_);
  }

 private:
  Step& Add(Verb verb, int node = -1) {
    Step& s = out_.emplace_back();
    s.delay_us = delay_;
    s.verb = verb;
    s.node = node;
    delay_ = 0;
    return s;
  }
  int Node() { return static_cast<int>(r_.Below(2)); }

  void Io() {
    const uint64_t burst = 1 + r_.Below(r_.Chance(20) ? 32 : 6);
    for (uint64_t b = 0; b < burst; ++b) {
      const uint64_t dice = r_.Below(100);
      Step& s = Add(dice < 55 ? Verb::kWrite : dice < 78 ? Verb::kRead : dice < 90 ? Verb::kFlush : dice < 95 ? Verb::kDiscard : Verb::kZero);
      s.argument[0] = r_.Below(o_.volumes);
      if (s.verb == Verb::kFlush) continue;
      uint64_t sectors = r_.Chance(70) ? 8 : r_.Chance(80) ? 1 + r_.Below(64) : 1 + r_.Below(r_.Chance(15) ? 2048 : 256);
      if (r_.Chance(70)) sectors = (sectors + 7) / 8 * 8;
      // A hot spot makes them overlap; a big device gets one place per activity log extent.
      uint64_t sector = r_.Chance(60) ? r_.Below(o_.steps > 60 ? 512 : 2048) : r_.Below(o_.disk_bytes / 512);
      if (o_.big() && r_.Chance(60)) sector = r_.Below(o_.disk_bytes / 512 / 8192) * 8192;
      if (r_.Chance(70)) sector = sector / 8 * 8;
      if (r_.Chance(3)) sector = o_.disk_bytes / 512;  // folded to the end of the device
      s.argument[1] = sector;
      s.argument[2] = sectors;
      if (s.verb == Verb::kWrite) s.argument[3] = r_.Chance(8);
      if (s.verb == Verb::kZero) s.argument[3] = r_.Chance(50);
    }
  }
  void ResetOne() { Add(Verb::kReset); }
  void ResetAll() { Add(Verb::kResetAll); }
  void Stall() {
    Step& s = Add(Verb::kStall, Node());
    s.argument[0] = r_.Below(r_.Chance(50) ? 300 * kMs : 12 * kSec);
    s.argument[1] = r_.Chance(50);
  }
  void BlackHole() { Add(Verb::kBlackHole); }
  void Storm() {
    Step& s = Add(Verb::kStorm);
    s.argument[0] = 2 + r_.Below(12);
    s.argument[1] = 1000 + r_.Below(600 * kMs);
  }
  void Crash() { Add(Verb::kCrash, Node()); }
  void Power() { Add(Verb::kPower, Node()); }
  void CrashAt() {
    Step& s = Add(r_.Chance(60) ? Verb::kCrashAt : Verb::kPowerAt, Node());
    s.argument[0] = 1 + r_.Below(r_.Chance(50) ? 20 : 400);
  }
  void Blackout() {
    Add(Verb::kBlackout).argument[0] = r_.Chance(40);
    if (!r_.Chance(60)) return;
    const int node = Node();  // one of them goes on alone, with what it has on its disk
    delay_ = r_.Below(20 * kMs);
    Add(Verb::kStart, node);
    delay_ = 20 * kMs + r_.Below(200 * kMs);
    Add(Verb::kElect, node);
  }
  void Revive() {
    const int node = Node();
    Add(Verb::kRevive, node);
    if (!r_.Chance(15) || o_.weights.crash_at_action == 0) return;
    Add(r_.Chance(50) ? Verb::kCrashAt : Verb::kPowerAt, node).argument[0] = 1 + r_.Below(60);  // it dies while it recovers
  }
  void Move() {
    const int node = Node();
    Add(r_.Chance(50) ? Verb::kMove : r_.Chance(75) ? Verb::kElect : Verb::kDemote, node);
    if (!r_.Chance(15) || o_.weights.power == 0) return;
    delay_ = r_.Below(30 * kMs);
    Add(Verb::kPower, node);  // before anything is flushed in the new role
  }
  void Admin() {
    static const char* const words[] = {"disconnect", "connect", "connect", "detach", "attach", "invalidate", "invalidate-remote", "verify", "pause-sync",
                                        "resume-sync", "suspend-io", "resume-io", "down-up", "outdate", "new-current-uuid", "resize", "protocol A", "protocol B",
                                        "protocol C", "connect discard-my-data", "disconnect force"};
    static const char* const wild[] = {"primary force", "invalidate", "primary", "secondary", "outdate", "new-current-uuid clear-bitmap"};
    Step& s = Add(Verb::kCommand, Node());
    s.text = o_.rules == Rules::kAnarchy && r_.Chance(30) ? wild[r_.Below(std::size(wild))] : words[r_.Below(std::size(words))];
  }
  void DiskError() {
    Step& s = Add(Verb::kFault, Node());
    s.argument[0] = r_.Below(o_.volumes);
    s.argument[1] = 1 + r_.Below(7);
  }
  void DiskMend() { Add(Verb::kMend, Node()); }
  void DiskSlow() {
    Step& s = Add(Verb::kSlow, Node());
    s.argument[0] = r_.Below(3 * kSec);
    s.argument[1] = r_.Below(r_.Chance(30) ? 2 * kSec : 50 * kMs);
  }
  void DiskStall() { Add(Verb::kDiskStall, Node()).argument[0] = r_.Below(20 * kSec); }
  void DiskFull() { Add(Verb::kFull, Node()).argument[0] = r_.Below(10 * kSec); }
  void Pause() { Add(Verb::kPause, Node()).argument[0] = r_.Below(r_.Chance(50) ? 500 * kMs : 30 * kSec); }
  void Wait() {
    delay_ += r_.Below(20 * kSec);
    Add(Verb::kWait);
  }
  void Check() { Add(Verb::kCheck); }
  void Arbiter() {
    static const char* const words[] = {"slow", "lost", "lost-for A", "lost-for B", "restart", "restored", "deaf-answers", "well"};
    Step& s = Add(Verb::kArbiter);
    s.text = words[r_.Below(std::size(words))];
    s.argument[0] = r_.Below(20 * kSec);
  }

  const Options& o_;
  Rng r_;
  std::vector<Step> out_;
  core::TimeUs delay_ = 0;
  uint64_t total_ = 0;
  std::vector<std::pair<uint64_t, void (Draw::*)()>> table_;
};

}  // namespace

std::vector<Step> DrawSteps(const Options& options) { return Draw(options).Run(); }

}  // namespace drbdts::sim
