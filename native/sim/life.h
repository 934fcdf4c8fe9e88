#pragma once
// One life of a pair: it is set up, steps happen to it, then the faults stop, and it has to come to rest. See docs/simulator.md.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/application.h"
#include "sim/arbiter.h"
#include "sim/checkers/alone.h"
#include "sim/checkers/bounds.h"
#include "sim/checkers/complaints.h"
#include "sim/checkers/generations.h"
#include "sim/checkers/mirror.h"
#include "sim/checkers/one_server.h"
#include "sim/checkers/tracked.h"
#include "sim/coverage.h"
#include "sim/step.h"
#include "sim/world.h"

namespace drbdts::sim {

struct Statistics {
  uint64_t lives = 0, found = 0, steps = 0, events = 0, writes = 0, reads = 0, errors = 0, crashes = 0, power_losses = 0, resyncs = 0, split_brains = 0, handshakes = 0,
           swaps = 0, denials = 0, tracked_checks = 0;
  uint64_t parted = 0;         // lives that ended where only an operator can go on (several disks lost one after the other), and said so
  void Add(const Statistics& o);
};

/// What happens a while after a node has come into a connection state.
enum class AtState : uint8_t { kCrash, kPowerLoss, kReset, kCut, kCheck };
inline constexpr const char* kAtStateNames[] = {"crash", "power-loss", "reset", "cut", "check"};

class Life : private Observer {
 public:
  Life(const Scenario& scenario, Coverage* coverage, bool trace);
  ~Life() override;
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;
  /// Plays it to its end. Empty, or what was found.
  std::string Run();
  const Statistics& statistics() const { return statistics_; }
  World& world() { return *world_; }

 private:
  void SetUp();
  void Do(const Step& step);
  void Advance(TimeUs duration);
  void Wind();                 // the faults stop; everything must come to rest
  void ResumeSync();
  void LastRites();            // down and up again
  bool Over() { Look(); return findings_.any(); }
  void Look();

  // ---- what happens (life_steps.cc) ----
  void Io(const Step& step);
  void Die(int node, bool power);
  void Start(int node);
  void Bring(int node);
  int Command(int node, core::AdminCommand::Kind kind, const std::function<void(core::AdminCommand&)>& set = {});
  void Admin(const Step& step);
  void ArbiterStep(const Step& step);
  void Elect(int node);
  void Promote(int node, bool force = false);
  void Demote(int node, bool now = false);
  void Attach(int node);
  void Mend(int node);
  void CheckNow();
  void CheckCrash(const char* when);
  void AlignProtocol();
  void Solve();
  // ---- scenarios (life_scenes.cc) ----
  void Scene(const Step& step);
  void LookForState(int node, uint16_t volume, const core::State& before);
  void Load(int node, uint64_t sector, uint64_t span, core::TimeUs every);
  bool Condition(const std::string& text, std::string& why);
  bool NodeCondition(Node& n, const std::string& words, std::string& why);
  bool DisksEqual();

  // ---- who must have what (life_holders.cc) ----
  static constexpr uint32_t kAllVolumes = 3;
  bool Without(int node, uint32_t volumes = kAllVolumes);
  void Keep(int node);
  bool Holds(int node, uint32_t volumes = kAllVolumes) const;
  bool HoldersInReach();
  uint32_t Apart() const { return apart_[0] | apart_[1]; }
  bool LostAlready(uint32_t volume) const;
  void OnAcknowledged(int node, uint32_t volume, uint64_t tag, bool flush);

  void OnLog(Node& node, int volume, const std::string& text) override;
  void OnState(Node& node, uint16_t volume, const core::State& before) override;
  void OnCompleted(Node& node, uint16_t volume, uint64_t tag, int error) override;
  void OnDied(Node& node, bool power) override;

  bool BothBad();
  bool InSync();
  bool Quiet();
  bool Finished(int i) { return world_->node(i).CommandsDone(); }
  Node& N(int i) { return world_->node(i); }
  bool Primary(int i) { return N(i).alive() && N(i).state().role == core::Role::kPrimary; }

  Options options_;
  const std::vector<Step>& steps_;
  Statistics statistics_;
  Findings findings_;
  std::unique_ptr<World> world_;
  std::unique_ptr<Application> application_;
  std::unique_ptr<Arbitration> arbitration_;
  std::unique_ptr<MirrorChecker> mirror_;
  ComplaintsChecker complaints_;
  std::unique_ptr<OneServerChecker> one_server_;
  std::unique_ptr<AloneChecker> alone_;
  std::unique_ptr<GenerationsChecker> generations_;
  std::unique_ptr<TrackedChecker> tracked_;
  std::unique_ptr<BoundsChecker> bounds_;
  Rng rng_;

  uint32_t holders_[2] = {3, 3};     // per volume: who has every acknowledged write
  uint32_t risked_ = 0;              // whose data a command may take that is still under way on node risky_
  int risky_ = 0;
  uint32_t set_aside_[2] = {0, 0};   // who was taken out of those because of a fault or command that may not have cost it anything
  uint32_t spared_[2] = {0, 0};      // per volume: who still has it all if the command that is under way is refused
  uint32_t served_[2] = {0, 0};      // per volume: who was promoted or answered anything without the other since they last were one
  uint32_t apart_[2] = {0, 0};       // per volume: who was Primary without the other since they last were one
  uint32_t was_primary_ = 0;         // who was Primary in its last life
  uint32_t lost_power_ = 0;          // whose cache was lost since they last were one
  int last_primary_ = -1, powerless_primary_ = -1;
  uint32_t split_brain_ = 0;         // volumes
  bool trouble_ = false, marks_may_stay_ = false, parted_ = false;
  bool waits_ = true;                // the next command is waited for
  struct StateTrigger {
    int node;
    core::Conn conn;
    AtState what;
    core::TimeUs after, heal;
    int line;                        // of the scenario that asked for it
  };
  std::vector<StateTrigger> state_triggers_;
  core::TimeUs watch_until_ = 0;
  uint64_t load_left_ = 0;
  Drive::Image image_[2];            // volume 0 as of the last snapshot
  uint64_t remembered_[2] = {0, 0};  // current identifiers
  uint64_t will_sync_[2][2] = {};    // node, volume: bits of the resync that was begun last
  uint64_t starts_ = 0;
  bool forcing_ = false;             // a promotion with --force is under way
};

}  // namespace drbdts::sim
