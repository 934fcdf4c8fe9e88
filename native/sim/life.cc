#include "sim/life.h"

#include <cstdlib>

#include "sim/checkers/acknowledged.h"
#include "sim/checkers/equal.h"

namespace drbdts::sim {

using namespace core;
using Kind = AdminCommand::Kind;
using CoreDisk = core::Disk;

namespace {
constexpr uint64_t kFirstUuid = 0x1122334455667788;
constexpr TimeUs kDrainLimit = 600 * kSec, kConvergeLimit = 900 * kSec;

bool Good(const State& s) { return s.conn == Conn::kConnected && s.disk == CoreDisk::kUpToDate && s.pdsk == CoreDisk::kUpToDate; }
}  // namespace

void Statistics::Add(const Statistics& o) {
  lives += o.lives, found += o.found, steps += o.steps, events += o.events, writes += o.writes, reads += o.reads, errors += o.errors, crashes += o.crashes;
  power_losses += o.power_losses, resyncs += o.resyncs, split_brains += o.split_brains, handshakes += o.handshakes, swaps += o.swaps, denials += o.denials;
  tracked_checks += o.tracked_checks, parted += o.parted;
}

Life::Life(const Scenario& scenario, Coverage* coverage, bool trace)
    : options_(scenario.options), steps_(scenario.steps), complaints_(findings_),
      rng_(scenario.options.seed * 0xa0761d6478bd642full + 11) {
  world_ = std::make_unique<World>(options_.disk_bytes, options_.seed, [this](ResourceConfig& c, int) { Configure(options_, c); });
  world_->trace = trace;
  world_->disk_delay = options_.disk_delay_us == 0 ? 1 : options_.disk_delay_us;
  world_->net_delay = options_.net_delay_us;
  if (options_.window_bytes != 0) world_->Rough(options_.window_bytes);
  mirror_ = std::make_unique<MirrorChecker>(*world_, findings_, options_.volumes);
  application_ = std::make_unique<Application>(*world_, findings_, options_.volumes, options_.disk_bytes);
  application_->check_contents = options_.rules != Rules::kAnarchy;
  application_->on_acknowledged = [this](int node, uint32_t volume, uint64_t tag, bool flush) { OnAcknowledged(node, volume, tag, flush); };
  application_->holders = [this](uint32_t volume) { return holders_[volume]; };
  if (options_.rules == Rules::kArbiter) application_->may_be_replaced = [this](int node) { return (Apart() >> (1 - node) & 1) != 0; };
  one_server_ = std::make_unique<OneServerChecker>(*world_, findings_, options_.volumes, options_.rules == Rules::kArbiter);
  generations_ = std::make_unique<GenerationsChecker>(*world_, findings_, options_.volumes);
  tracked_ = std::make_unique<TrackedChecker>(*world_, findings_);
  world_->on_step = [this] {
    if (world_->now < watch_until_) CheckCrash("while watched");
  };
  const bool fencing = options_.rules == Rules::kArbiter || options_.fencing != core::Fencing::kDontCare;
  alone_ = std::make_unique<AloneChecker>(*world_, findings_, options_.volumes, fencing);
  bounds_ = std::make_unique<BoundsChecker>(*world_, findings_);
  if (options_.rules == Rules::kArbiter) arbitration_ = std::make_unique<Arbitration>(*world_, options_.volumes);
  world_->observers = {this, application_.get(), mirror_.get(), &complaints_, one_server_.get(), alone_.get()};
  if (arbitration_) world_->observers.push_back(arbitration_.get());
  if (coverage != nullptr) world_->observers.push_back(coverage);
  for (int i = 0; i < 2; ++i) {
    N(i).facts.can_discard = N(i).facts.discard_zeroes = options_.discard;
    N(i).clock_ppm = options_.clock_ppm[i];
  }
}

Life::~Life() = default;

std::string Life::Run() {
  SetUp();
  for (const Step& step : steps_) {
    if (Over()) break;
    ++statistics_.steps;
    Advance(step.delay_us);
    if (!Over()) Do(step);
  }
  if (!Over()) Wind();
  if (!Over() && !parted_) LastRites();
  Statistics& s = statistics_;
  s.lives = 1;
  s.events = world_->events;
  s.writes = application_->writes;
  s.reads = application_->reads;
  s.errors = application_->errors;
  s.handshakes = mirror_->handshakes;
  s.tracked_checks = tracked_->checks;
  s.parted = parted_;
  s.found = findings_.any();
  if (arbitration_) s.swaps = arbitration_->swaps, s.denials = arbitration_->denials;
  if (!findings_.any()) return "";
  std::string what = findings_.first();
  for (int i = 0; i < 2; ++i) {
    if (N(i).alive()) {
      what += std::string("\n  ") + N(i).name() + ": " + DescribeState(N(i).state()) + "; last command " + std::to_string(N(i).last_code) + " " + N(i).last_text + " " +
              N(i).last_detail;
    }
  }
  return what;
}

void Life::SetUp() {
  if (options_.disk_bytes_b != 0) N(1).ResizeDisks(options_.disk_bytes_b);
  for (int i = 0; i < 2; ++i) {
    if (options_.full_first_sync || options_.blank) N(i).CreateMd();
    else N(i).CreateMdInSync(kFirstUuid & ~uint64_t{1});
    Bring(i);
  }
  if (options_.blank) return;
  if (options_.full_first_sync) {
    if (!world_->Until([&] { return N(0).state().conn == Conn::kConnected && N(1).state().conn == Conn::kConnected && Finished(0) && Finished(1); }, 120 * kSec)) {
      findings_.Report("ends", "the nodes do not find each other at the start");
      return;
    }
    Promote(0, true);
  }
  if (!world_->Until([&] { return InSync(); }, 300 * kSec)) {
    findings_.Report("ends", "the nodes do not become Connected and UpToDate at the start");
    return;
  }
  if (arbitration_) arbitration_->Backup();
  if (!Primary(0)) Promote(0);
}

void Life::Look() {
  bounds_->Look();
}

void Life::Advance(TimeUs duration) {
  if (duration == 0) return;
  const auto over = std::make_shared<bool>(false);
  world_->At(world_->now + duration, [over] { *over = true; });
  while (!*over && !findings_.any() && world_->Step()) Look();
}

bool Life::InSync() {
  for (int i = 0; i < 2; ++i) {
    if (!N(i).alive()) return false;
    for (uint32_t v = 0; v < options_.volumes; ++v) {
      if (!Good(N(i).state(v))) return false;
    }
  }
  return true;
}

/// A volume has no good copy.
bool Life::BothBad() {
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    if (N(0).alive() && N(1).alive() && N(0).state(v).disk == CoreDisk::kInconsistent && N(1).state(v).disk == CoreDisk::kInconsistent) return true;
  }
  return false;
}

/// InSync, and nothing under way.
bool Life::Quiet() {
  if (application_->open() != 0) world_->Until([&] { return application_->open() == 0 || findings_.any(); }, 5 * kSec);
  // Protocols A and B answer before the peer has it all: look twice.
  int idle = options_.protocol == ReplicationProtocol::kC ? 1 : 0;
  for (int i = 0; i < 50 && application_->open() == 0 && InSync() && !findings_.any(); ++i) {
    idle = world_->Idle() ? idle + 1 : 0;
    if (idle == 2) return true;
    world_->For(2 * world_->disk_delay + 1000);
  }
  return false;
}

/// What a crash right now would leave.
void Life::CheckCrash(const char* when) {
  if (options_.rules == Rules::kAnarchy || trouble_ || findings_.any()) return;
  tracked_->Check(when);
  if (!findings_.any()) tracked_->Check(when, TrackedChecker::Loss::kPower);
}

void Life::CheckNow() {
  CheckCrash("at a check");
  for (uint32_t v = 0; v < options_.volumes && application_->check_contents; ++v) {
    for (int i = 0; i < 2; ++i) {
      if ((holders_[v] >> i & 1) != 0) CheckDurable(*world_, *application_, findings_, i, v, "at a check");
    }
  }
  if (!InSync() || !Quiet()) return;
  CheckEqual(*world_, findings_, "while Connected and idle");
  generations_->AtRest();
  for (int i = 0; i < 2 && application_->check_contents; ++i) {
    if (Primary(i)) CheckAcknowledged(*world_, *application_, findings_, i, "while Connected and idle");
  }
}

void Life::OnLog(Node& node, int volume, const std::string& text) {
  if (text.rfind("Began resync as", 0) == 0 && volume >= 0 && volume < 2) {
    const size_t at = text.find('[');
    if (at != std::string::npos) will_sync_[node.index()][volume] = std::strtoull(text.c_str() + at + 1, nullptr, 10);
  }
  if (text.find("uuid_compare()=-100 ") == 0 || text.find("uuid_compare()=100 ") == 0) {
    if (options_.rules == Rules::kOracle && Apart() != 3 && !trouble_) findings_.Report("generations", "identifiers of a split brain (" + text + ") though only one node was Primary apart from the other");
  }
  if (text.find("Split-Brain detected but") != std::string::npos) {
    if (volume >= 0) split_brain_ |= 1u << volume;  // said once more of the connection
    ++statistics_.split_brains;
    if (options_.rules == Rules::kArbiter && !trouble_) findings_.Report("one server", "split brain under an arbiter");
    if (options_.rules == Rules::kOracle && Apart() != 3 && !trouble_) findings_.Report("generations", "split brain though only one node was Primary apart from the other");
  }
  if (options_.rules != Rules::kAnarchy && text.find("Unrelated data") != std::string::npos) findings_.Report("generations", "unrelated data, though both came from one");
}

void Life::OnState(Node& node, uint16_t volume, const State& before) {
  const int i = node.index();
  const State& s = node.state(volume);
  LookForState(i, volume, before);
  one_server_->trouble = trouble_ || options_.rules == Rules::kAnarchy;
  if (s.conn == Conn::kSyncTarget && before.conn != Conn::kSyncTarget) ++statistics_.resyncs;
  if (before.role == Role::kPrimary && s.role != Role::kPrimary) {
    last_primary_ = i;
    application_->model(volume).ForgetDoubtful();
  }
  if (before.role != Role::kPrimary && s.role == Role::kPrimary && !forcing_ && before.conn < Conn::kConnected && s.conn < Conn::kConnected &&
      (before.disk == CoreDisk::kInconsistent || before.disk == CoreDisk::kOutdated)) {
    findings_.Report("served", std::string("node ") + node.name() + " becomes Primary alone, without force, on a disk that was not UpToDate: " + DescribeState(before));
  }
  was_primary_ = s.role == Role::kPrimary ? was_primary_ | 1u << i : was_primary_ & ~(1u << i);
  // Several changes may come as one: it may have been Primary and alone for a moment in between.
  if ((s.role == Role::kPrimary || before.role == Role::kPrimary) && s.conn < Conn::kConnected) apart_[volume] |= 1u << i;
  // The one who had everything is gone, too, and the register lets this one serve: with what its cache did not lose.
  if (s.role == Role::kPrimary && before.role != Role::kPrimary && (lost_power_ >> i & 1) != 0) application_->ForgetUnflushed();
  // Protocols A and B acknowledge what only the socket has; without a disk of its own the node has nothing to send again.
  if (options_.protocol != ReplicationProtocol::kC && (s.role == Role::kPrimary || before.role == Role::kPrimary) && s.disk != CoreDisk::kUpToDate &&
      before.conn >= Conn::kConnected && s.conn < Conn::kConnected) {
    application_->model(volume).ForgetUnflushed();
  }
  // Who is replaced while it is cut off is gone, too: what it showed of writes that nobody acknowledged binds nobody.
  if (s.role == Role::kPrimary && before.role != Role::kPrimary && N(1 - i).state(volume).role == Role::kPrimary) application_->model(volume).ForgetSeen();
  if (!Good(s) || !Good(N(1 - i).state(volume))) return;
  if (Finished(risky_)) risked_ = 0;
  served_[volume] = 0;
  for (int k = 0; k < 2; ++k) {
    const Drive& d = N(k).disk(volume);
    if ((risked_ >> k & 1) != 0) continue;  // it still looks well, and will not be
    if (!d.fail_reads && !d.fail_writes && !d.fail_meta && !d.full) holders_[volume] |= 1u << k;
  }
  bool faulty = false;
  for (int k = 0; k < 2; ++k) {
    for (const auto& d : N(k).disks) faulty = faulty || d->fail_reads || d->fail_writes || d->fail_meta || d->full;
  }
  if (InSync() && !faulty && risked_ == 0) {
    apart_[0] = apart_[1] = lost_power_ = 0;
    split_brain_ = 0;
    trouble_ = false;
  }
}

void Life::Do(const Step& step) {
  if (world_->trace) world_->Note(PrintStep(step));
  const int i = step.node < 0 ? 0 : step.node;
  switch (step.verb) {
    case Verb::kWrite:
    case Verb::kRead:
    case Verb::kFlush:
    case Verb::kDiscard:
    case Verb::kZero: Io(step); break;
    case Verb::kReset: world_->ResetOne(); break;
    case Verb::kResetAll: world_->DropAll(); break;
    case Verb::kStall:
      world_->Stall(i, world_->now + step.argument[0]);
      if (step.argument[1] != 0) world_->Stall(1 - i, world_->now + step.argument[0]);
      break;
    case Verb::kBlackHole: world_->BlackHole(); break;
    case Verb::kStorm:
      for (uint64_t n = 0; n < step.argument[0] && n < 100 && !findings_.any(); ++n) {
        world_->DropAll();
        Advance(1 + rng_.Below(step.argument[1] + 1));
      }
      break;
    case Verb::kCut: world_->Cut(); break;
    case Verb::kHeal: world_->Heal(); break;
    case Verb::kCrash: Die(i, false); break;
    case Verb::kPower: Die(i, true); break;
    case Verb::kCrashAt:
    case Verb::kPowerAt:
      if (N(i).alive()) N(i).CrashAfter(step.argument[0], step.verb == Verb::kPowerAt);
      break;
    case Verb::kBlackout: {
      if (step.argument[0] != 0) {  // both processes, neither machine: nothing that was answered may be gone
        Die(0, false);
        Die(1, false);
        break;
      }
      // Whoever comes back first may go on: what neither disk had made durable is gone.
      const bool both = holders_[0] == 3 && (options_.volumes == 1 || holders_[1] == 3);
      if (both) application_->ForgetUnflushed();
      Die(0, true);
      Die(1, true);
      if (both) holders_[0] = holders_[1] = 3;
      break;
    }
    case Verb::kStart:
      if (!N(i).alive()) Start(i);
      break;
    case Verb::kRevive: {
      const int dead = !N(i).alive() ? i : 1 - i;
      if (!N(dead).alive()) Start(dead);
      else if (!Primary(0) && !Primary(1)) Elect(i);
      break;
    }
    case Verb::kElect: Elect(i); break;
    case Verb::kMove:
      for (int from = 0; from < 2; ++from) {
        if (!Primary(from) || !InSync()) continue;
        Demote(from);
        if (!Primary(from) && InSync() && Holds(1 - from) && !findings_.any()) Promote(1 - from);
        break;
      }
      break;
    case Verb::kDemote:
      for (int n = 0; n < 2; ++n) {
        if (Primary(n)) Demote(n);
      }
      break;
    case Verb::kCommand: Admin(step); break;
    case Verb::kFault: {
      if (!N(i).alive() || !Without(i)) break;
      Drive& d = N(i).disk(static_cast<uint32_t>(step.argument[0]) % options_.volumes);
      d.fail_reads = (step.argument[1] & 1) != 0;
      d.fail_writes = (step.argument[1] & 2) != 0;
      d.fail_meta = (step.argument[1] & 4) != 0;
      break;
    }
    case Verb::kMend: Mend(i); break;
    case Verb::kSlow:
      for (auto& d : N(i).disks) d->slow_until = world_->now + step.argument[0], d->slow_by = step.argument[1];
      break;
    case Verb::kDiskStall:
      for (auto& d : N(i).disks) d->stalled_until = world_->now + step.argument[0];
      break;
    case Verb::kFull: {
      if (!N(i).alive() || !Without(i)) break;
      Drive* d = &N(i).disk(0);
      d->full = true;
      world_->At(world_->now + step.argument[0], [d] { d->full = false; });
      break;
    }
    case Verb::kPause: N(i).paused_until = world_->now + step.argument[0]; break;
    case Verb::kWait: break;
    case Verb::kCheck: CheckNow(); break;
    case Verb::kArbiter: ArbiterStep(step); break;
    case Verb::kAtPacket:
    case Verb::kAtState:
    case Verb::kWatch:
    case Verb::kRelease:
    case Verb::kSnapshot:
    case Verb::kRollBack:
    case Verb::kNewDisk:
    case Verb::kDiskSize:
    case Verb::kModifyDisk:
    case Verb::kLoad:
    case Verb::kHandler:
    case Verb::kRemember: Scene(step); break;
    case Verb::kUntil: {
      std::string why;
      const bool reached = world_->Until([&] { return Condition(step.text, why) || findings_.any(); }, 300 * kSec);
      if (!reached) findings_.Report("scenario", "line " + std::to_string(step.line) + ": never came: " + step.text + (why.empty() ? "" : " (" + why + ")"));
      break;
    }
    case Verb::kExpect: {
      std::string why;
      if (!Condition(step.text, why)) findings_.Report("scenario", "line " + std::to_string(step.line) + ": not so: " + step.text + (why.empty() ? "" : " (" + why + ")"));
      break;
    }
  }
}

// ---- the faults stop ----

void Life::Wind() {
  world_->Note("the faults stop");
  world_->Heal();
  load_left_ = 0;
  for (const PacketTrigger& t : world_->TakeTriggers()) {
    if (t.line == 0) continue;
    findings_.Report("scenario", "line " + std::to_string(t.line) + ": " + core::CommandName(static_cast<core::Command>(t.command)) + " never came");
  }
  for (const StateTrigger& t : state_triggers_) {
    if (t.line != 0) findings_.Report("scenario", "line " + std::to_string(t.line) + ": " + core::ConnName(t.conn) + " never came");
  }
  state_triggers_.clear();
  for (int i = 0; i < 2; ++i) {
    world_->Release(i);
    world_->Stall(i, 0);
    N(i).paused_until = 0;
    if (N(i).CrashPending()) N(i).CrashAfter(~uint64_t{0}, false);
    for (auto& d : N(i).disks) d->slow_until = d->stalled_until = 0;
  }
  if (arbitration_) arbitration_->slow_until = arbitration_->deaf_until = arbitration_->lost_until[0] = arbitration_->lost_until[1] = 0;
  for (int i = 0; i < 2; ++i) {
    for (auto& d : N(i).disks) d->fail_reads = d->fail_writes = d->fail_meta = d->full = false;
    if (!N(i).alive()) Start(i);
  }
  const auto idle = [&] { return (application_->open() == 0 && Finished(0) && Finished(1)) || findings_.any(); };
  const TimeUs drain = world_->now + kDrainLimit;
  while (!world_->Until(idle, 20 * kSec) && world_->now < drain) {
    for (int i = 0; i < 2; ++i) {
      if (!N(i).alive()) Start(i);   // a node that fenced itself
      else if (N(i).state().susp && Finished(i)) Command(i, Kind::kResumeIo);
      // A restart without the disk: it may be the only one that has everything, and the other one has to wait for it.
      bool needed = false;
      for (uint32_t v = 0; arbitration_ && v < options_.volumes; ++v) {
        needed = needed || (arbitration_->OnlyMember(i, v) && N(i).alive() && N(i).state(v).disk == CoreDisk::kDiskless);
      }
      if (needed && Finished(i)) Attach(i);
    }
  }
  if (Over()) return;
  if (!idle()) {
    findings_.Report("ends", application_->open() != 0 ? std::to_string(application_->open()) + " requests never end, the first: " + application_->DescribeOpen() : "a command never ends");
    return;
  }
  const TimeUs limit = world_->now + kConvergeLimit;
  while (!world_->Until([&] { return InSync() || findings_.any(); }, 30 * kSec)) {
    if (Over()) return;
    if (world_->now > limit) {
      // Several disks were lost one after the other, and the generations went apart, or a log was torn by failing writes: that is for
      // the administrator to decide, and the node said so.
      for (int i = 0; i < 2; ++i) {
        for (const std::string& l : N(i).log) {
          for (const char* why : {"stays unattached", "Can only attach to", "activity log is damaged"}) {
            if ((trouble_ || options_.rules == Rules::kAnarchy) && l.find(why) != std::string::npos) parted_ = true;
          }
          if (options_.rules == Rules::kAnarchy && l.find("Unrelated data") != std::string::npos) parted_ = true;
        }
      }
      if (options_.rules == Rules::kAnarchy && N(0).state().disk <= CoreDisk::kInconsistent && N(1).state().disk <= CoreDisk::kInconsistent) parted_ = true;
      if (!parted_) findings_.Report("ends", "the pair does not become Connected and UpToDate");
      return;
    }
    for (int i = 0; i < 2; ++i) {
      if (!N(i).alive()) {
        Start(i);
        continue;
      }
      Attach(i);
      if (N(i).state().susp) Command(i, Kind::kResumeIo);
    }
    ResumeSync();
    Solve();
    if (options_.rules == Rules::kAnarchy && !InSync()) {
      const bool served = Primary(0) || Primary(1);
      // Two bad copies of a volume: somebody has to say which is to be kept, also when a volume beside it is served.
      if (!served || BothBad()) Promote(served ? (Primary(0) ? 0 : 1) : static_cast<int>(rng_.Below(2)), true);
    }
  }
  if (Over()) return;
  world_->Note("converged");
  bool quiet = false;
  for (int i = 0; i < 60 && !(quiet = Quiet()) && !findings_.any(); ++i) {
    ResumeSync();  // a connection that was dead all along is noticed only now
    world_->For(kSec);
  }
  if (!quiet) {
    findings_.Report("ends", "the pair never comes to rest");
    return;
  }
  CheckEqual(*world_, findings_, "at the end");
  generations_->AtRest();
  for (int i = 0; i < 2 && application_->check_contents; ++i) CheckAcknowledged(*world_, *application_, findings_, i, "at the end");
}

void Life::ResumeSync() {
  for (int i = 0; i < 2; ++i) {
    bool paused = false;
    for (uint32_t v = 0; N(i).alive() && v < options_.volumes; ++v) paused = paused || N(i).state(v).user_isp;
    if (paused) Command(i, Kind::kResumeSync);
  }
}

void Life::LastRites() {
  for (int i = 0; i < 2; ++i) {
    if (Primary(i)) Demote(i);
  }
  for (int i = 0; i < 2 && !Over(); ++i) {
    if (Command(i, Kind::kDown) < 1) findings_.Report("ends", std::string("down fails on node ") + N(i).name() + " at the end");
  }
  if (Over()) return;
  world_->For(kSec);
  bounds_->AfterDown();
  for (int i = 0; i < 2; ++i) Bring(i);
  if (!world_->Until([&] { return InSync() || findings_.any(); }, 120 * kSec)) findings_.Report("ends", "not Connected and UpToDate after down and up of both");
  if (Over()) return;
  // An invalidate that the connection did not outlive leaves its marks, as does a verify that could not read the other disk, and no resync
  // follows from them alone.
  for (uint32_t v = 0; v < options_.volumes && !marks_may_stay_; ++v) {
    if (N(0).snap(v).out_of_sync_bits != 0 || N(1).snap(v).out_of_sync_bits != 0) findings_.Report("tracked", "bits are set after a clean down and up");
  }
  CheckEqual(*world_, findings_, "after down and up");
}

}  // namespace drbdts::sim
