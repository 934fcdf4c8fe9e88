// What only scenarios do so far: packets that stop, disks that are exchanged, and the conditions they wait for or insist on.
#include <algorithm>
#include <iterator>
#include <sstream>

#include "core/generation_uuid.h"
#include "sim/content.h"
#include "sim/life.h"

namespace drbdts::sim {

using namespace core;

namespace {
constexpr uint64_t kKnownUuid = 0x1122334455667788 & ~uint64_t{1};   // of SetUp()
constexpr uint64_t kForeignWrite = uint64_t{1} << 38;                // the id of contents that no application wrote
constexpr const char* kPlain[] = {"in-sync", "idle", "equal", "differ", "disks-idle", "split-brain", "no-split-brain", "equal-uuid"};
constexpr const char* kCounts[] = {"resyncs", "errors", "swaps", "denials", "writes"};
constexpr const char* kNodeWords[] = {"cs", "role", "peer", "disk", "pdsk", "susp", "alive", "log", "no-log", "handler", "no-handler", "uuid"};
constexpr const char* kNodeCounts[] = {"code", "bits", "resynced", "open", "size", "volume"};
constexpr const char* kCommands[] = {"attach", "detach", "connect", "disconnect", "primary", "secondary", "invalidate", "invalidate-remote", "outdate", "verify", "pause-sync",
                                     "resume-sync", "suspend-io", "resume-io", "resize", "new-current-uuid", "down-up", "down", "up", "protocol", "disk-options"};
constexpr const char* kArbiterWords[] = {"slow", "lost", "lost-for A", "lost-for B", "deaf-answers", "restart", "backup", "restored", "well"};

template <size_t N>
bool In(const char* const (&names)[N], const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}
template <size_t N>
std::string List(const char* const (&names)[N]) {
  std::string all;
  for (const char* n : names) all += std::string(all.empty() ? "" : ", ") + n;
  return all;
}

/// KEY=VALUE, KEY<=NUMBER or KEY>=NUMBER.
struct Word {
  std::string key, value;
  char order = '=';
  bool valid = false;
  bool Holds(uint64_t n) const {
    const uint64_t v = std::strtoull(value.c_str(), nullptr, 10);
    return order == '<' ? n <= v : order == '>' ? n >= v : n == v;
  }
};
Word Split(const std::string& text) {
  Word w;
  const size_t eq = text.find('=');
  if (eq == std::string::npos || eq == 0 || eq + 1 == text.size()) return w;
  const bool order = text[eq - 1] == '<' || text[eq - 1] == '>';
  w.key = text.substr(0, order ? eq - 1 : eq);
  w.order = order ? text[eq - 1] : '=';
  w.value = text.substr(eq + 1);
  w.valid = true;
  return w;
}
bool Number(const std::string& s) { return !s.empty() && s.find_first_not_of("0123456789") == std::string::npos; }

std::string CheckCondition(const std::string& text) {
  const std::string expected = "expected " + List(kPlain) + ", " + List(kCounts) + " with =, <= or >= NUMBER, or A|B with " + List(kNodeWords) + ", " + List(kNodeCounts);
  std::istringstream words(text);
  std::string word;
  if (!(words >> word)) return expected;
  if (word != "A" && word != "B") {
    const Word w = Split(word);
    const bool known = In(kPlain, word) || (w.valid && In(kCounts, w.key) && Number(w.value));
    return known && !(words >> word) ? "" : "unknown condition '" + text + "'; " + expected;
  }
  int count = 0;
  for (; words >> word; ++count) {
    const Word w = Split(word);
    if (w.valid && w.key == "code" && Number(w.value[0] == '-' ? w.value.substr(1) : w.value)) continue;
    if (w.valid && In(kNodeCounts, w.key) && Number(w.value)) continue;
    if (!w.valid || w.order != '=' || !In(kNodeWords, w.key)) return "unknown condition '" + word + "'; " + expected;
    std::string value = w.value;
    bool known = true;
    if (w.key == "cs") {
      known = false;
      for (int i = 0; i <= static_cast<int>(Conn::kBehind); ++i) known = known || value == ConnName(static_cast<Conn>(i));
    } else if (w.key == "disk" || w.key == "pdsk") {
      known = false;
      for (int i = 0; i <= static_cast<int>(core::Disk::kUpToDate); ++i) known = known || value == DiskName(static_cast<core::Disk>(i));
    } else if (w.key == "role" || w.key == "peer") {
      known = value == "Primary" || value == "Secondary" || value == "Unknown";
    } else if (w.key == "susp" || w.key == "alive") {
      known = value == "yes" || value == "no";
    } else if (w.key == "uuid") {
      known = value == "same" || value == "new";
    }
    if (!known) return "'" + value + "' is no value of " + w.key;
  }
  return count == 0 ? expected : "";
}
}  // namespace

bool ParseAtPacket(const std::string& text, uint16_t& command, size_t& what) {
  std::istringstream words(text);
  std::string name, action, more;
  words >> name >> action;
  if (words >> more) return false;
  const auto found = std::find(std::begin(kAtPacketNames), std::end(kAtPacketNames), action);
  if (found == std::end(kAtPacketNames)) return false;
  what = static_cast<size_t>(found - std::begin(kAtPacketNames));
  for (uint32_t c = 0; c <= 0xffff; ++c) {
    if (name != CommandName(static_cast<core::Command>(c))) continue;
    if (name == "P_UNKNOWN") return false;
    command = static_cast<uint16_t>(c);
    return true;
  }
  return false;
}

bool ParseAtState(const std::string& text, Conn& conn, size_t& what) {
  std::istringstream words(text);
  std::string name, action, more;
  words >> name >> action;
  const auto found = std::find(std::begin(kAtStateNames), std::end(kAtStateNames), action);
  if (words >> more || found == std::end(kAtStateNames)) return false;
  what = static_cast<size_t>(found - std::begin(kAtStateNames));
  for (int i = 0; i <= static_cast<int>(Conn::kBehind); ++i) {
    conn = static_cast<Conn>(i);
    if (name == ConnName(conn)) return true;
  }
  return false;
}

std::string CheckWords(const Step& step) {
  uint16_t command;
  size_t what;
  switch (step.verb) {
    case Verb::kUntil:
    case Verb::kExpect: return CheckCondition(step.text);
    case Verb::kCommand: {
      const std::string verb = step.text.substr(0, step.text.find(' '));
      return In(kCommands, verb) ? "" : "unknown command '" + verb + "'; expected " + List(kCommands);
    }
    case Verb::kArbiter: return In(kArbiterWords, step.text) ? "" : "unknown arbiter step '" + step.text + "'; expected " + List(kArbiterWords);
    case Verb::kAtPacket: return ParseAtPacket(step.text, command, what) ? "" : "expected PACKET (P_DATA, ...) and one of " + List(kAtPacketNames) + ", got '" + step.text + "'";
    case Verb::kAtState: {
      Conn conn;
      return ParseAtState(step.text, conn, what) ? "" : "expected CONNECTION-STATE (SyncSource, ...) and one of " + List(kAtStateNames) + ", got '" + step.text + "'";
    }
    case Verb::kWrite:
    case Verb::kRead:
    case Verb::kFlush:
    case Verb::kDiscard:
    case Verb::kZero: return step.text.empty() || step.text == "A" || step.text == "B" ? "" : "unexpected '" + step.text + "'; expected A, B or KEY=NUMBER";
    default: return "";
  }
}

void Life::Load(int i, uint64_t sector, uint64_t span, TimeUs every) {
  if (load_left_ == 0) return;
  --load_left_;
  application_->Submit(i, BlockOp::kWrite, 0, sector + rng_.Below(std::max<uint64_t>(1, span / 8)) * 8, 8, false, false);
  world_->At(world_->now + every, [=, this] { Load(i, sector, span, every); });
}

void Life::Scene(const Step& step) {
  const int i = step.node < 0 ? 0 : step.node;
  Node& n = N(i);
  const bool free = !n.alive() || n.state().disk == core::Disk::kDiskless;   // nobody uses its disk
  switch (step.verb) {
    case Verb::kAtPacket: {
      PacketTrigger t;
      size_t what = 0;
      if (!ParseAtPacket(step.text, t.command, what)) break;
      t.to = i;
      t.nth = std::max<uint64_t>(1, step.argument[0]);
      t.what = static_cast<AtPacket>(what);
      t.line = step.line;
      world_->At(t);
      break;
    }
    case Verb::kAtState: {
      StateTrigger t{i, Conn::kConnected, AtState::kCheck, step.argument[0], step.argument[1], step.line};
      size_t what = 0;
      if (!ParseAtState(step.text, t.conn, what)) break;
      t.what = static_cast<AtState>(what);
      state_triggers_.push_back(t);
      break;
    }
    case Verb::kWatch: watch_until_ = world_->now + step.argument[0]; break;
    case Verb::kRelease: world_->Release(i); break;
    case Verb::kSnapshot: image_[i] = n.disk().Save(); break;
    case Verb::kRollBack:
      if (!free || image_[i].pages.empty() || !Without(i)) break;
      n.disk().Load(image_[i]);
      break;
    case Verb::kNewDisk:
      if (!free || !Without(i)) break;
      for (auto& d : n.disks) d->Load({});
      if (step.argument[0] != 0) n.CreateMdInSync(kKnownUuid);
      else n.CreateMd();
      break;
    case Verb::kDiskSize:
      if (step.argument[0] * 512 >= n.disk().size_bytes() && step.argument[0] * 512 <= kDiskBytesMax) n.ResizeDisks(step.argument[0] * 512);
      break;
    case Verb::kModifyDisk: {
      const uint64_t sectors = std::max<uint64_t>(8, step.argument[1]);
      if (step.argument[0] + sectors > n.layout.usable_sectors || !Without(i)) break;
      std::vector<uint8_t> foreign(sectors * 512);
      FillContent(foreign.data(), kForeignWrite, step.argument[0], sectors);
      n.disk().Write(step.argument[0] * 512, foreign.data(), foreign.size(), true);
      break;
    }
    case Verb::kLoad:
      load_left_ = step.argument[0];
      Load(i, step.argument[2], step.argument[3], std::max<uint64_t>(1, step.argument[1]));
      break;
    case Verb::kHandler: {
      const auto code = static_cast<int>(step.argument[0]);
      n.on_handler = [this, code, after = step.argument[1]](const std::string& name, uint16_t, std::function<void(int)> done) {
        world_->At(world_->now + after, [name, code, done] { done(name == "fence-peer" ? code : 0); });
      };
      break;
    }
    case Verb::kRemember:
      for (int k = 0; k < 2; ++k) remembered_[k] = N(k).alive() ? WithoutRoleBit(N(k).snap().uuids.current) : 0;
      break;
    default: break;
  }
}

/// Called from inside a core: what is to happen has to wait until it is done.
void Life::LookForState(int node, uint16_t volume, const State& before) {
  const Conn conn = N(node).state(volume).conn;
  if (state_triggers_.empty() || conn == before.conn) return;
  for (size_t i = 0; i < state_triggers_.size(); ++i) {
    const StateTrigger t = state_triggers_[i];
    if (t.node != node || t.conn != conn) continue;
    state_triggers_.erase(state_triggers_.begin() + static_cast<long>(i--));
    world_->At(world_->now + t.after, [this, t] {
      world_->Note(std::string("after ") + ConnName(t.conn) + " of " + N(t.node).name() + ": " + kAtStateNames[static_cast<size_t>(t.what)]);
      switch (t.what) {
        case AtState::kCrash: Die(t.node, false); break;
        case AtState::kPowerLoss: Die(t.node, true); break;
        case AtState::kReset: world_->DropAll(); break;
        case AtState::kCut:
          world_->Cut();
          if (t.heal != 0) world_->At(world_->now + t.heal, [this] { world_->Heal(); });
          break;
        case AtState::kCheck: CheckCrash("at a state"); break;
      }
    });
  }
}

bool Life::DisksEqual() {
  for (uint32_t v = 0; v < options_.volumes; ++v) {
    uint64_t sectors = std::min(N(0).layout.usable_sectors, N(1).layout.usable_sectors);
    for (int i = 0; i < 2; ++i) {
      const uint64_t size = N(i).alive() ? N(i).snap(v).size_sectors : 0;
      if (size != 0) sectors = std::min(sectors, size);
    }
    if (!std::equal(N(0).disk(v).bytes(), N(0).disk(v).bytes() + sectors * 512, N(1).disk(v).bytes())) return false;
  }
  return true;
}

bool Life::NodeCondition(Node& n, const std::string& text, std::string& why) {
  std::istringstream words(text);
  std::string word;
  if (!n.alive()) {
    why = "the node is not running";
    return words >> word && word == "alive=no";
  }
  uint32_t volume = 0;
  while (words >> word) {
    const Word w = Split(word);
    if (w.key == "volume") {
      volume = std::min<uint32_t>(static_cast<uint32_t>(std::strtoul(w.value.c_str(), nullptr, 10)), options_.volumes - 1);
      continue;
    }
    const VolumeSnapshot& snap = n.snap(volume);
    const State& s = snap.state;
    const int i = n.index();
    why = DescribeState(s) + " code " + std::to_string(n.last_code) + " bits " + std::to_string(snap.out_of_sync_bits) + " resynced " + std::to_string(will_sync_[i][volume]) +
          " open " + std::to_string(application_->open(i)) + " size " + std::to_string(snap.size_sectors);
    std::string value = w.value;
    std::replace(value.begin(), value.end(), '_', ' ');
    const auto logged = [&] { return std::any_of(n.log.begin(), n.log.end(), [&](const std::string& l) { return l.find(value) != std::string::npos; }); };
    const auto called = [&] { return std::find(n.handlers.begin(), n.handlers.end(), value) != n.handlers.end(); };
    const auto yes = [&](bool is) { return (value == "yes") == is; };
    const uint64_t current = WithoutRoleBit(snap.uuids.current);
    const bool ok = w.key == "cs"           ? value == ConnName(s.conn)
                    : w.key == "role"       ? value == RoleName(s.role)
                    : w.key == "peer"       ? value == RoleName(s.peer)
                    : w.key == "disk"       ? value == DiskName(s.disk)
                    : w.key == "pdsk"       ? value == DiskName(s.pdsk)
                    : w.key == "code"       ? value == std::to_string(n.last_code)
                    : w.key == "susp"       ? yes(s.susp || s.susp_fen || s.susp_nod)
                    : w.key == "alive"      ? yes(true)
                    : w.key == "bits"       ? w.Holds(snap.out_of_sync_bits)
                    : w.key == "resynced"   ? w.Holds(will_sync_[i][volume])
                    : w.key == "open"       ? w.Holds(application_->open(i))
                    : w.key == "size"       ? w.Holds(snap.size_sectors)
                    : w.key == "log"        ? logged()
                    : w.key == "no-log"     ? !logged()
                    : w.key == "handler"    ? called()
                    : w.key == "no-handler" ? !called()
                    : w.key == "uuid"       ? (value == "same") == (current == remembered_[i])
                                            : false;
    if (!ok) return false;
  }
  return true;
}

bool Life::Condition(const std::string& text, std::string& why) {
  std::istringstream words(text);
  std::string word, rest;
  words >> word;
  if (word == "A" || word == "B") {
    std::getline(words, rest);
    return NodeCondition(N(word == "B"), rest, why);
  }
  if (word == "in-sync") return InSync();
  if (word == "split-brain") return statistics_.split_brains != 0;
  if (word == "no-split-brain") return statistics_.split_brains == 0;
  if (word == "equal") return DisksEqual();
  if (word == "differ") return !DisksEqual();
  if (word == "disks-idle") return world_->Idle();
  if (word == "idle") return application_->open() == 0 && Finished(0) && Finished(1);
  if (word == "equal-uuid") return WithoutRoleBit(N(0).snap().uuids.current) == WithoutRoleBit(N(1).snap().uuids.current);
  const Word w = Split(word);
  const uint64_t n = w.key == "resyncs"   ? statistics_.resyncs
                     : w.key == "errors"  ? application_->errors
                     : w.key == "writes"  ? application_->writes
                     : w.key == "swaps"   ? (arbitration_ ? arbitration_->swaps : 0)
                                          : (arbitration_ ? arbitration_->denials : 0);
  why = w.key + " " + std::to_string(n);
  return w.Holds(n);
}

}  // namespace drbdts::sim
