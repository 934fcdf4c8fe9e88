// What an application, an operator and an arbiter do in a life.
#include <algorithm>
#include <sstream>
#include <utility>

#include "sim/checkers/acknowledged.h"
#include "sim/life.h"

namespace drbdts::sim {

using namespace core;
using Kind = AdminCommand::Kind;
using CoreDisk = core::Disk;

void Life::Io(const Step& step) {
  static constexpr BlockOp ops[] = {BlockOp::kWrite, BlockOp::kRead, BlockOp::kFlush, BlockOp::kDiscard, BlockOp::kWriteZeroes};
  int node = step.text == "A" ? 0 : step.text == "B" ? 1 : -1;
  if (node < 0) {
    const bool up[2] = {N(0).alive() && N(0).device_up, N(1).alive() && N(1).device_up};
    node = up[0] && up[1] ? static_cast<int>(rng_.Below(2)) : up[1] ? 1 : 0;
  }
  const bool flag = step.argument[3] != 0;
  application_->Submit(node, ops[static_cast<size_t>(step.verb)], static_cast<uint32_t>(step.argument[0]), step.argument[1], step.argument[2], flag, flag);
}

void Life::Die(int i, bool power) {
  if (!N(i).alive()) return;
  N(i).Crash(power);
}

void Life::Bring(int i) {
  AdminCommand c;
  c.kind = Kind::kAttach;
  N(i).Command(c);
  c.kind = Kind::kConnect;
  N(i).Command(c);
}

void Life::Start(int i) {
  world_->Note(std::string("start of ") + N(i).name());
  for (auto& d : N(i).disks) d->fail_reads = d->fail_writes = d->fail_meta = d->full = false;
  // A Primary that lost its power and comes back before the other took over is the source of the resync (rule 40).
  for (uint32_t v = 0; v < options_.volumes && powerless_primary_ == i; ++v) {
    if ((served_[v] >> (1 - i) & 1) == 0) application_->model(v).ForgetUnflushed();
  }
  if (powerless_primary_ == i) powerless_primary_ = -1;
  N(i).paused_until = 0;
  N(i).log.clear();
  N(i).Start(options_.seed * 1000 + ++starts_);
  Bring(i);
}

int Life::Command(int i, Kind kind, const std::function<void(AdminCommand&)>& set) {
  AdminCommand c;
  c.kind = kind;
  if (set) set(c);
  if (!N(i).alive()) return -1000;
  const uint64_t id = N(i).next_command;
  N(i).last_code = -1000;
  N(i).Command(c);
  if (!std::exchange(waits_, true)) return 1;
  world_->Until([&] { return N(i).last_done >= id || !N(i).alive() || findings_.any(); }, 60 * kSec);
  return N(i).alive() && N(i).last_done >= id ? N(i).last_code : -1000;
}

void Life::Promote(int i, bool force) {
  const int before = last_primary_;
  const bool in_sync = InSync();
  forcing_ = alone_->forcing = force;
  const int code = Command(i, Kind::kPrimary, [force](AdminCommand& c) { c.force = force; });
  forcing_ = alone_->forcing = false;
  if (code < 1) return;
  for (uint32_t v = 0; v < options_.volumes && Primary(i); ++v) {
    if (N(i).state(v).conn < Conn::kConnected && N(i).device_up) served_[v] |= 1u << i;
  }
  // Protocols A and B acknowledge what only the Primary has.
  if (options_.protocol != ReplicationProtocol::kC && before == 1 - i && !in_sync) application_->ForgetUnflushed();
  if (application_->check_contents && application_->open() == 0 && Holds(i) && N(i).state().disk == CoreDisk::kUpToDate && !findings_.any()) {
    CheckAcknowledged(*world_, *application_, findings_, i, "after promotion");
  }
}

/// `now`: while requests may be open.
void Life::Demote(int i, bool now) {
  if (!now) world_->Until([&] { return application_->open(i) == 0 || findings_.any() || !N(i).alive(); }, 5 * kSec);
  if ((application_->open(i) != 0 && !now) || !Primary(i)) return;
  Command(i, Kind::kSecondary);
}

/// The service goes to this node, or to the other one if that is the better.
void Life::Elect(int first) {
  if (options_.rules != Rules::kOracle) {
    if (N(first).alive() && Finished(first) && !Primary(first)) Promote(first);
    return;
  }
  for (const int k : {first, 1 - first}) {
    if (Primary(0) || Primary(1) || !N(k).alive() || !Finished(k) || findings_.any()) continue;
    // What a node believes of its connection may be out of date: both must see it. And a disk that is out cannot make up for the other's.
    const bool together = N(0).state().conn >= Conn::kConnected && N(1).state().conn >= Conn::kConnected && HoldersInReach();
    // A node that says itself that it has not the data may be asked all the same: it has to refuse.
    const CoreDisk disk = N(k).state().disk;
    const bool refuses = options_.volumes == 1 && (disk == CoreDisk::kInconsistent || disk == CoreDisk::kOutdated) && N(k).state().conn < Conn::kConnected;
    bool attached = true;
    for (uint32_t v = 0; v < options_.volumes; ++v) attached = attached && N(k).state(v).disk >= CoreDisk::kInconsistent;
    if (!(Holds(k) && attached) && !together && !refuses) continue;
    if (Apart() == (2u >> k) && !together && !rng_.Chance(20)) continue;  // would be a split brain of our own making
    Promote(k);
  }
}

void Life::Attach(int i) {
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    if (!N(i).alive() || N(i).state(v).disk != CoreDisk::kDiskless) continue;
    Command(i, Kind::kAttach, [v](AdminCommand& c) { c.volume = static_cast<int>(v); });
  }
}

void Life::Mend(int i) {
  for (auto& d : N(i).disks) d->fail_reads = d->fail_writes = d->fail_meta = d->full = false;
  if (N(i).alive() && Finished(i)) Attach(i);
}

void Life::Admin(const Step& step) {
  const int i = step.node, other = 1 - i;
  if (!N(i).alive() || !Finished(i)) return;
  std::istringstream words(step.text);
  std::string verb, word;
  words >> verb;
  AdminCommand flags;
  const uint64_t sectors = step.argument[1];
  std::string argument;
  waits_ = true;
  bool now = false;
  while (words >> word) {
    if (word == "force") flags.force = true;
    else if (word == "discard-my-data") flags.discard_my_data = true;
    else if (word == "clear-bitmap") flags.clear_bitmap = true;
    else if (word == "tentative") flags.tentative = true;
    else if (word == "assume-clean") flags.assume_clean = true;
    else if (word == "async") waits_ = false;
    else if (word == "now") now = true;
    else argument = word;
  }
  const auto set = [flags, sectors](AdminCommand& c) {
    c.force = flags.force, c.discard_my_data = flags.discard_my_data, c.clear_bitmap = flags.clear_bitmap, c.tentative = flags.tentative, c.assume_clean = flags.assume_clean;
    c.sectors = sectors;
  };
  const bool careful = options_.rules != Rules::kAnarchy;
  const bool connected = N(i).state().conn == Conn::kConnected;
  // A command that may cost a node its data: only where somebody else has it.
  const auto risky = [&](int loser, Kind kind) {
    if (careful && !Without(loser)) return;
    trouble_ = true;
    risked_ |= 1u << loser;
    risky_ = i;
    marks_may_stay_ = marks_may_stay_ || kind == Kind::kInvalidate || kind == Kind::kInvalidateRemote;
    if (Command(i, kind, set) < 1) Keep(loser);
    else if (careful && !InSync()) Without(loser);  // while it was under way both may have been seen complete once more
  };
  if (verb == "attach" && flags.force) Command(i, Kind::kAttach);  // also where there is nothing to attach
  else if (verb == "attach") Attach(i);
  else if (verb == "detach") risky(i, Kind::kDetach);
  else if (verb == "connect") {
    if (flags.discard_my_data && careful) {
      // A switch for after a split brain: harmless where there was none, but a resync as target all the same.
      if (!Holds(other) || Primary(i)) return;
      risky(i, Kind::kConnect);
    } else {
      Command(i, Kind::kConnect, set);
    }
  } else if (verb == "disconnect") Command(i, Kind::kDisconnect, set);
  else if (verb == "primary") Promote(i, flags.force);
  else if (verb == "secondary") Demote(i, now);
  else if (verb == "invalidate") {
    if (!options_.big() && (!careful || (Holds(other) && connected))) risky(i, Kind::kInvalidate);
  } else if (verb == "invalidate-remote") {
    if (!options_.big() && (!careful || (Holds(i) && connected))) risky(other, Kind::kInvalidateRemote);
  } else if (verb == "outdate") {
    if (!careful || Holds(other)) risky(i, Kind::kOutdate);
  } else if (verb == "verify") {
    if (options_.big()) return;
    marks_may_stay_ = true;
    Command(i, Kind::kVerify);
  } else if (verb == "pause-sync") Command(i, Kind::kPauseSync);
  else if (verb == "resume-sync") Command(i, Kind::kResumeSync);
  else if (verb == "suspend-io") Command(i, Kind::kSuspendIo);
  else if (verb == "resume-io") {
    // Thawing what is frozen because the peer may serve is `--force` by another name.
    if (!careful || !N(i).state().susp_fen) Command(i, Kind::kResumeIo);
  } else if (verb == "resize") Command(i, Kind::kResize, set);
  else if (verb == "new-current-uuid") {
    if (!careful && (N(i).state().conn == Conn::kConnected || !flags.clear_bitmap)) Command(i, Kind::kNewCurrentUuid, set);
    else if (careful && InSync()) Command(i, Kind::kNewCurrentUuid);
  } else if (verb == "down-up") {
    if (Primary(i)) return;
    if (Command(i, Kind::kDown) >= 1) Bring(i);
  } else if (verb == "down") {
    Command(i, Kind::kDown);
  } else if (verb == "up") {
    Bring(i);
  } else if (verb == "protocol") {
    if (argument.empty() || options_.rules == Rules::kArbiter || !N(0).alive() || !N(1).alive() || !Finished(other)) return;
    const auto p = static_cast<ReplicationProtocol>(argument[0] - 'A' + 1);
    if (p != ReplicationProtocol::kC) options_.protocol = p;  // from here on acknowledged means less
    for (const int k : {i, other}) {
      if (!N(k).alive()) continue;
      NetOptions net = N(k).config.net;
      net.protocol = p;
      N(k).config.net.protocol = p;
      Command(k, Kind::kNetOptions, [&net](AdminCommand& c) { c.net = net; });
    }
  } else if (verb == "disk-options") {
    for (VolumeConfig& v : N(i).config.volumes) {
      v.options.resync_rate_kib *= 2;
      const bool waits = waits_;
      Command(i, Kind::kDiskOptions, [&v](AdminCommand& c) { c.volume = v.volume, c.disk = v.options; });
      waits_ = waits;
    }
    waits_ = true;
  } else {
    findings_.Report("scenario", "line " + std::to_string(step.line) + ": unknown command '" + verb + "'");
  }
}

void Life::ArbiterStep(const Step& step) {
  if (!arbitration_) return;
  const TimeUs until = world_->now + (step.argument[0] == 0 ? kSec : step.argument[0]);
  const std::string& t = step.text;
  if (t == "slow") arbitration_->slow_until = until;
  else if (t == "lost") arbitration_->lost_until[0] = arbitration_->lost_until[1] = until;
  else if (t == "lost-for A") arbitration_->lost_until[0] = until;
  else if (t == "lost-for B") arbitration_->lost_until[1] = until;
  else if (t == "deaf-answers") arbitration_->deaf_until = until;
  else if (t == "restart") arbitration_->Restart();
  else if (t == "backup") arbitration_->Backup();
  else if (t == "restored") {
    arbitration_->Restore();
    arbitration_->Backup();
  } else if (t == "well") {
    arbitration_->slow_until = arbitration_->deaf_until = arbitration_->lost_until[0] = arbitration_->lost_until[1] = 0;
  } else {
    findings_.Report("scenario", "line " + std::to_string(step.line) + ": unknown arbiter step '" + t + "'; expected slow, lost, lost-for A|B, deaf-answers, restart, backup, restored, well");
  }
}

/// Both nodes get the protocol that one of them has: a change reached only one.
void Life::AlignProtocol() {
  bool differs = false;
  for (int i = 0; i < 2; ++i) {
    for (const std::string& l : N(i).log) differs = differs || l.find("incompatible protocol settings") != std::string::npos;
  }
  if (!differs || N(0).state().conn >= Conn::kConnected) return;
  for (int i = 0; i < 2; ++i) {
    NetOptions net = N(i).config.net;
    net.protocol = N(i).config.net.protocol = options_.protocol;
    Command(i, Kind::kNetOptions, [&net](AdminCommand& c) { c.net = net; });
  }
}

/// Connects what stands alone; a split brain loses the side that holds less.
void Life::Solve() {
  AlignProtocol();
  if (N(0).state().conn != Conn::kStandAlone && N(1).state().conn != Conn::kStandAlone) return;
  int victim = -1;
  if (split_brain_ != 0) {
    // The choice concerns the volumes that went apart; the others find their source by themselves.
    victim = !Holds(0, split_brain_) ? 0 : !Holds(1, split_brain_) ? 1 : Primary(0) ? 1 : 0;
    if (Primary(victim)) Demote(victim);
    if (!Without(victim, split_brain_) && options_.rules == Rules::kOracle) findings_.Report("acknowledged", "both sides of a split brain hold acknowledged data that the other lacks");
  }
  split_brain_ = 0;
  for (int i = 0; i < 2; ++i) {
    if (!Primary(i)) continue;
    // A Primary that would have to become the target, one whose disk is gone and whose peer has something else, or one of two.
    bool told = false;
    for (const std::string& l : N(i).log) {
      told = told || l.find("but I am primary") != std::string::npos || l.find("or demote it") != std::string::npos;
    }
    if (told || (options_.rules == Rules::kAnarchy && (N(i).state().conn == Conn::kStandAlone || Primary(1 - i)))) Demote(i);
  }
  for (int i = 0; i < 2; ++i) {
    if (N(i).state().conn == Conn::kStandAlone) {
      Command(i, Kind::kConnect, [&](AdminCommand& c) { c.discard_my_data = i == victim; });
    } else if (i == victim) {
      Command(i, Kind::kDisconnect);
      Command(i, Kind::kConnect, [](AdminCommand& c) { c.discard_my_data = true; });
    }
  }
}

}  // namespace drbdts::sim
