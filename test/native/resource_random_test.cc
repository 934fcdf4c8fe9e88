// Lives of a pair of nodes under seeded random schedules: application I/O while processes die, the power fails, the network misbehaves,
// disks fail and an administrator types commands. What was acknowledged must be readable, the disks must be equal when the nodes say so,
// and everything must come to an end once the faults stop.
//
// DRBDTS_SEED=n replays one life (TRACE=1 shows its log), DRBDTS_LIVES=n runs that many from there on.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <unordered_map>

#include <unistd.h>

#include "core/wire_codec.h"
#include "support/pair.h"

#undef CHECK
#include <doctest/doctest.h>

using namespace pair_test;
using Kind = AdminCommand::Kind;

namespace {

constexpr TimeUs kMs = 1000, kSec = 1000000;

volatile uint64_t running_seed = 0;

std::string Str(const State& s) { return DescribeState(s); }

/// What may be read: for each sector every value that the acknowledgements so far do not rule out.
class Model {
 public:
  struct Value {
    uint64_t id = 0;  // 0: zeroes
    uint64_t submitted = 0, ended = 0;
    enum class Fate : uint8_t { kOpen, kAcknowledged, kDurable, kPerhaps } fate = Fate::kDurable;
  };
  struct Write {
    uint64_t sector = 0, sectors = 0, submitted = 0, key = 0;
    bool zero = false, fua = false;
  };

  uint64_t Now() { return ++clock_; }

  uint64_t Submit(uint64_t sector, uint64_t sectors, bool zero, bool fua) {
    const uint64_t key = ++last_id_;
    writes_[key] = {sector, sectors, Now(), key, zero, fua};
    for (uint64_t s = sector; s < sector + sectors; ++s) {
      Value v;
      v.id = key;
      v.submitted = clock_;
      v.ended = ~uint64_t{0};
      v.fate = Value::Fate::kOpen;
      At(s).push_back(v);
    }
    return key;
  }
  bool IsZero(uint64_t id) const {
    const auto w = zero_.find(id);
    return w != zero_.end();
  }
  void SetZero(uint64_t id) { zero_[id] = true; }

  void Ended(uint64_t key, bool acknowledged) {
    const Write w = writes_[key];
    writes_.erase(key);
    Now();
    for (uint64_t s = w.sector; s < w.sector + w.sectors; ++s) {
      for (Value& v : At(s)) {
        if (v.id != key) continue;
        v.ended = clock_;
        v.fate = acknowledged ? Value::Fate::kAcknowledged : Value::Fate::kPerhaps;
      }
      if (acknowledged && w.fua) Safe(s, key);
    }
    if (acknowledged && !w.fua) unsafe_.push_back(w);
    if (acknowledged && !w.fua) unsafe_.back().submitted = clock_;  // from here on: when it was acknowledged
  }
  /// A flush that was submitted at `at` succeeded.
  void Flushed(uint64_t at) {
    std::vector<Write> left;
    for (const Write& w : unsafe_) {
      if (w.submitted >= at) {
        left.push_back(w);
        continue;
      }
      for (uint64_t s = w.sector; s < w.sector + w.sectors; ++s) Safe(s, w.key);
    }
    unsafe_ = left;
  }
  /// What was acknowledged but never flushed may be gone.
  void ForgetUnsafe() {
    for (const Write& w : unsafe_) {
      for (uint64_t s = w.sector; s < w.sector + w.sectors; ++s) {
        for (Value& v : At(s)) {
          if (v.id == w.key && v.fate == Value::Fate::kAcknowledged) v.fate = Value::Fate::kPerhaps;
        }
      }
    }
    unsafe_.clear();
  }

  static uint64_t Word(uint64_t id, uint64_t sector, uint64_t word) { return word == 0 ? id : id * 0x9e3779b97f4a7c15ull ^ sector << 20 ^ word; }
  static void Fill(uint8_t* data, uint64_t id, uint64_t sector, uint64_t sectors) {
    for (uint64_t s = 0; s < sectors; ++s) {
      for (uint64_t w = 0; w < 64; ++w) {
        const uint64_t x = Word(id, sector + s, w);
        std::memcpy(data + s * 512 + w * 8, &x, 8);
      }
    }
  }

  /// Empty if that may stand there for a read that was submitted at `at`.
  std::string Check(const uint8_t* data, uint64_t sector, uint64_t at) {
    uint64_t id;
    std::memcpy(&id, data, 8);
    uint8_t want[512] = {};
    if (id != 0) Fill(want, id, sector, 1);
    if (std::memcmp(want, data, 512) != 0) return "sector " + std::to_string(sector) + ": bytes nobody wrote";
    const auto found = sectors_.find(sector);
    if (found == sectors_.end()) return id == 0 ? "" : "sector " + std::to_string(sector) + ": written by nobody, holds " + std::to_string(id);
    const std::vector<Value>& all = found->second;
    bool known = false;
    for (const Value& v : all) {
      if (v.id != id && !(id == 0 && IsZero(v.id))) continue;
      known = true;
      bool over = false;
      for (const Value& o : all) {
        over = over || ((o.fate == Value::Fate::kAcknowledged || o.fate == Value::Fate::kDurable) && o.ended < at && o.submitted > v.ended);
      }
      if (!over) return "";
    }
    std::string text = "sector " + std::to_string(sector) + ": holds " + std::to_string(id) + (known ? ", which was overwritten;" : ", ruled out;");
    for (const Value& v : all) {
      text += " " + std::to_string(v.id) + "[" + std::to_string(v.submitted) + ".." + (v.ended == ~uint64_t{0} ? "open" : std::to_string(v.ended)) + " " +
              "oadp"[static_cast<int>(v.fate)] + (IsZero(v.id) ? "z]" : "]");
    }
    return text;
  }
  const std::unordered_map<uint64_t, std::vector<Value>>& sectors() const { return sectors_; }

 private:
  std::vector<Value>& At(uint64_t s) {
    auto& v = sectors_[s];
    if (v.empty()) v.push_back(Value{});
    return v;
  }
  void Safe(uint64_t s, uint64_t key) {
    auto& all = At(s);
    for (Value& v : all) {
      if (v.id == key && v.fate == Value::Fate::kAcknowledged) v.fate = Value::Fate::kDurable;
    }
  }
  uint64_t clock_ = 0, last_id_ = 0;
  std::unordered_map<uint64_t, std::vector<Value>> sectors_;
  std::unordered_map<uint64_t, Write> writes_;
  std::unordered_map<uint64_t, bool> zero_;
  std::vector<Write> unsafe_;
};

struct Failure {
  std::string what;
};

class Life {
 public:
  explicit Life(uint64_t seed) : seed_(seed), rng_(seed * 0x9e3779b97f4a7c15ull + 1) {}

  /// Runs it; empty or what went wrong.
  std::string Run() {
    try {
      Prepare();
      const int events = 20 + static_cast<int>(R(120));
      for (int i = 0; i < events; ++i) Event();
      End();
    } catch (const Failure& f) {
      return f.what;
    }
    return "";
  }

  std::string description;

 private:
  uint64_t R(uint64_t n) { return n == 0 ? 0 : rng_() % n; }
  bool Chance(uint64_t percent) { return R(100) < percent; }
  [[noreturn]] void Fail(const std::string& what) {
    std::string all = what;
    for (int i = 0; i < 2; ++i) {
      if (N(i).alive) all += std::string("\n  ") + "AB"[i] + ": " + Str(N(i).state()) + " last command " + std::to_string(N(i).last_code) + " " + N(i).last_text + " " + N(i).last_detail;
    }
    throw Failure{all};
  }
  void Note(const std::string& what) {
    if (p_->trace) std::fprintf(stderr, "%12.6f *: %s\n", static_cast<double>(p_->now) / 1e6, what.c_str());
  }
  Node& N(int i) { return p_->node(i); }

  void Prepare() {
    big_ = Chance(25);
    volumes_ = Chance(25) ? 2 : 1;
    const uint64_t disk = big_ ? (uint64_t{300 + R(60)} << 20) + R(2000) * 512 : (uint64_t{1 + R(12)} << 20) + R(9000) * 512;
    const auto protocol = static_cast<ReplicationProtocol>(Chance(70) ? 3 : 1 + R(2));
    const bool rle = Chance(50), csums = Chance(30), integrity = Chance(15), auth = Chance(10);
    const uint32_t epoch_size = Chance(30) ? 1 + static_cast<uint32_t>(R(8)) : 2048;
    const uint32_t al = big_ ? 67 : 67 + static_cast<uint32_t>(R(100));
    const uint32_t ping_int = 1 + static_cast<uint32_t>(R(10)), timeout = 20 + static_cast<uint32_t>(R(40));
    const bool fixed_rate = Chance(70);
    safe_protocol_ = protocol == ReplicationProtocol::kC;
    p_ = std::make_unique<Pair>(disk, seed_, [&](ResourceConfig& c, int) {
      c.net.protocol = protocol;
      c.net.use_rle = rle;
      c.net.csums_alg = csums ? DigestAlgorithm::kSha1 : DigestAlgorithm::kNone;
      c.net.verify_alg = DigestAlgorithm::kCrc32c;
      c.net.data_integrity_alg = integrity ? DigestAlgorithm::kCrc32c : DigestAlgorithm::kNone;
      if (auth) {
        c.net.cram_hmac_alg = DigestAlgorithm::kSha1;
        c.net.shared_secret = "secret";
      }
      c.net.max_epoch_size = epoch_size;
      c.net.ping_int_s = ping_int;
      c.net.timeout_ds = timeout;
      c.net.connect_int_s = 3;
      if (!fixed_rate) {
        c.volumes[0].options.c_plan_ahead = 20;
        c.volumes[0].options.c_max_rate_kib = 102400;
        c.volumes[0].options.resync_rate_kib = 4096;
      }
      c.volumes[0].options.al_extents = al;
      while (c.volumes.size() < volumes_) {
        VolumeConfig v = c.volumes[0];
        v.volume = static_cast<uint16_t>(c.volumes.size());
        v.minor = v.volume;
        v.device = "/dev/drbd" + std::to_string(v.volume);
        c.volumes.push_back(v);
      }
    });
    p_->trace = getenv("TRACE") != nullptr;
    description = "disk " + std::to_string(disk) + " volumes " + std::to_string(volumes_) + " protocol " + "?ABC"[static_cast<int>(protocol)] +
                  (csums ? " csums" : "") + (integrity ? " integrity" : "") + (rle ? " rle" : "");
    if (Chance(80)) p_->Rough(Chance(50) ? 4096 + R(100000) : 1u << 20);
    p_->disk_delay = 20 + R(Chance(20) ? 5000 : 200);
    const bool discard = Chance(80);
    for (int i = 0; i < 2; ++i) {
      N(i).facts.can_discard = N(i).facts.discard_zeroes = discard;
      N(i).CreateMdInSync(0x1122334455667788 & ~1ull);
      N(i).on_complete = [this, i](uint16_t v, uint64_t tag, int error) { Completed(i, v, tag, error); };
    }
    model_.resize(volumes_);
    for (uint32_t v = 0; v < volumes_; ++v) holders_[v] = 3;
    Bring(0);
    Bring(1);
    if (!p_->Until([&] { return InSync(); }, 120 * kSec)) Fail("the nodes do not find each other at the start");
    Promote(0);
  }

  bool InSync() {
    if (!N(0).alive || !N(1).alive) return false;
    for (uint32_t v = 0; v < volumes_; ++v) {
      for (int i = 0; i < 2; ++i) {
        const State s = N(i).state(v);
        if (s.conn != Conn::kConnected || s.disk != Disk::kUpToDate || s.pdsk != Disk::kUpToDate) return false;
      }
    }
    return true;
  }

  /// Takes notice of who has what.
  void Look() {
    for (int i = 0; i < 2; ++i) {
      if (!N(i).violations.empty()) Fail(std::string("node ") + "AB"[i] + ": " + N(i).violations[0]);
      for (; seen_log_[i] < N(i).log.size(); ++seen_log_[i]) {
        const std::string& l = N(i).log[seen_log_[i]];
        for (const char* bad : {"ProtocolError", "failed to find", "bad bytes", "unexpected", "nobody asked", "never made", "not the oldest", "beyond the end",
                                "was not agreed", "before the handshake", "bad bitmap", "no room for resync", "more writes in flight", "send queue is full",
                                "Digest integrity", "epochs than this", "outside the device"}) {
          if (l.find(bad) != std::string::npos) Fail(std::string("node ") + "AB"[i] + " logged: " + l);
        }
        if (l.find("Split-Brain detected but") != std::string::npos) {
          split_brain_ = true;
          if (apart_ != 3 && !trouble_) Fail("split brain though only one node was Primary apart from the other");
        }
        if (l.find("Unrelated data") != std::string::npos) Fail("unrelated data");
      }
    }
    if (p_->livelock) Fail("time stands still: the core asks to be called again and again");
    for (int i = 0; i < 2; ++i) {
      if (!N(i).alive) continue;
      for (uint32_t v = 0; v < volumes_; ++v) {
        const State s = N(i).state(v);
        if (s.role == Role::kPrimary && s.conn < Conn::kConnected) apart_ |= 1u << i;
      }
    }
    if (N(0).alive && N(1).alive) {
      bool all = true;
      for (uint32_t v = 0; v < volumes_; ++v) {
        const State a = N(0).state(v), b = N(1).state(v);
        auto good = [](const State& s) { return s.conn == Conn::kConnected && s.disk == Disk::kUpToDate && s.pdsk == Disk::kUpToDate; };
        if (good(a) && good(b)) {
          for (int i = 0; i < 2; ++i) {
            const MemoryDisk& d = *N(i).disks[v];
            if (!d.fail_reads && !d.fail_writes && !d.fail_meta) holders_[v] |= 1u << i;
          }
          if (a.role == Role::kPrimary && b.role == Role::kPrimary) Fail("both nodes are Primary while connected");
        } else {
          all = false;
        }
      }
      if (all) apart_ = 0, split_brain_ = trouble_ = false;
    }
  }

  /// Node i no longer counts as having volume v's data; false if that would leave nobody.
  bool Without(int i) {
    for (uint32_t v = 0; v < volumes_; ++v) {
      if ((holders_[v] & ~(1u << i)) == 0) return false;
    }
    for (uint32_t v = 0; v < volumes_; ++v) holders_[v] &= ~(1u << i);
    trouble_ = true;  // a Primary without its disk and a peer that goes its own way may part, too
    return true;
  }
  /// A command that would have taken its data was refused.
  void Keep(int i) {
    for (uint32_t v = 0; v < volumes_; ++v) {
      if (N(i).alive && N(i).state(v).disk == Disk::kUpToDate) holders_[v] |= 1u << i;
    }
  }
  void Attach(int i) {
    for (uint32_t v = 0; v < volumes_; ++v) {
      if (N(i).alive && N(i).state(v).disk == Disk::kDiskless) Do(i, Kind::kAttach, [&](AdminCommand& c) { c.volume = static_cast<int>(v); });
    }
  }
  bool Holds(int i) {
    for (uint32_t v = 0; v < volumes_; ++v) {
      if ((holders_[v] >> i & 1) == 0) return false;
    }
    return true;
  }

  // ---- application ----
  struct Open {
    int node;
    uint16_t volume;
    BlockOp op;
    uint64_t sector;
    uint32_t bytes;
    uint64_t key = 0;        // of the model
    uint64_t submitted = 0;
    std::unique_ptr<Image> data;
  };

  void Completed(int node, uint16_t volume, uint64_t tag, int error) {
    const auto it = open_.find({node, tag});
    if (it == open_.end()) {
      N(node).violations.push_back("completion of a request that is not open");
      return;
    }
    Open o = std::move(it->second);
    open_.erase(it);
    Model& m = model_[volume];
    const State s = N(node).state(volume);
    if (error != 0) ++errors_;
    if (p_->trace && getenv("TRACE")[0] == '2') Note("done " + std::to_string(tag) + " op " + std::to_string(static_cast<int>(o.op)) + " id " + std::to_string(o.key) + " error " + std::to_string(error));
    if (o.op == BlockOp::kRead) {
      if (error != 0) return;
      for (uint64_t i = 0; i < o.bytes / 512; ++i) {
        const std::string bad = m.Check(o.data->data() + i * 512, o.sector + i, o.submitted);
        if (!bad.empty()) {
          N(node).violations.push_back("read: " + bad);
          return;
        }
      }
      return;
    }
    if (error == 0) {
      uint32_t has = 0;
      if (s.disk == Disk::kUpToDate) has |= 1u << node;
      if (s.conn >= Conn::kConnected && s.pdsk == Disk::kUpToDate) has |= 1u << (1 - node);
      if ((has & holders_[volume]) != 0) holders_[volume] &= has;
      else if (has != 0) holders_[volume] = has;  // a fault that was expected to cost a node its disk did not
    }
    if (o.op == BlockOp::kFlush) {
      if (error == 0) m.Flushed(o.submitted);
      else m.ForgetUnsafe();  // said once: what was not flushed before may be gone
      return;
    }
    m.Ended(o.key, error == 0);
    if (o.data != nullptr) std::memset(o.data->data(), 0xdb, o.bytes);  // it belongs to the application again
  }

  void Io() {
    const int i = primary_;
    if (i < 0 || !N(i).alive || !N(i).device_up || leaving_) return;
    const uint64_t burst = 1 + R(Chance(20) ? 32 : 6);
    for (uint64_t b = 0; b < burst && open_.size() < 32; ++b) {
      const auto v = static_cast<uint16_t>(R(volumes_));
      Model& m = model_[v];
      Open o;
      o.node = i;
      o.volume = v;
      const uint64_t dice = R(100);
      o.op = dice < 55 ? BlockOp::kWrite : dice < 78 ? BlockOp::kRead : dice < 90 ? BlockOp::kFlush : dice < 95 ? BlockOp::kDiscard : BlockOp::kWriteZeroes;
      const uint64_t size = N(i).snap(v).size_sectors;
      if (size < 4096) continue;
      uint64_t sectors = Chance(60) ? 8 : Chance(60) ? 1 + R(64) : 1 + R(Chance(30) ? 2048 : 256);
      if (Chance(70)) sectors = (sectors + 7) / 8 * 8;
      sectors = std::min<uint64_t>(sectors, 2048);
      const uint64_t area = Chance(60) ? std::min<uint64_t>(size, 4096) : size;  // a hot spot makes them overlap
      o.sector = R(area - sectors + 1);
      if (big_ && Chance(60)) o.sector = R(size / 8192) * 8192;
      if (Chance(70)) o.sector = o.sector / 8 * 8;
      if (Chance(3)) o.sector = size - sectors;
      if (o.sector + sectors > size) continue;
      o.bytes = static_cast<uint32_t>(sectors * 512);
      bool fua = false;
      if (o.op == BlockOp::kFlush) {
        o.sector = 0;
        o.bytes = 0;
        o.submitted = m.Now();
      } else if (o.op == BlockOp::kRead) {
        o.submitted = m.Now();
        o.data = std::make_unique<Image>(o.bytes);
      } else {
        fua = o.op == BlockOp::kWrite && Chance(8);
        o.key = m.Submit(o.sector, sectors, o.op != BlockOp::kWrite, fua);
        if (o.op != BlockOp::kWrite) {
          m.SetZero(o.key);
        } else {
          o.data = std::make_unique<Image>(o.bytes);
          Model::Fill(o.data->data(), o.key, o.sector, sectors);
        }
      }
      const uint64_t tag = N(i).next_tag;
      uint8_t* data = o.data ? o.data->data() : nullptr;
      const BlockOp op = o.op;
      const uint64_t sector = o.sector;
      const uint32_t bytes = o.bytes;
      if (p_->trace && getenv("TRACE")[0] == '2') Note("submit " + std::to_string(tag) + " op " + std::to_string(static_cast<int>(op)) + " " + std::to_string(sector) + "+" + std::to_string(sectors) + " id " + std::to_string(o.key));
      open_[{i, tag}] = std::move(o);
      N(i).Submit(op, sector, bytes, data, fua, v, Chance(50));
    }
  }

  // ---- what happens ----
  void Bring(int i) {
    AdminCommand c;
    c.kind = Kind::kAttach;
    N(i).Command(c);
    c.kind = Kind::kConnect;
    N(i).Command(c);
  }

  void Die(int i, bool power) {
    if (!N(i).alive) return;
    Note(std::string(power ? "power loss of " : "crash of ") + "AB"[i]);
    N(i).Crash(power, p_->rng);
    for (auto it = open_.begin(); it != open_.end();) {
      if (it->first.first != i) {
        ++it;
        continue;
      }
      if (it->second.key != 0) model_[it->second.volume].Ended(it->second.key, false);
      it = open_.erase(it);
    }
    for (uint32_t v = 0; v < volumes_ && power; ++v) {
      // Alone as Primary its generation rules when it comes back, with what its cache did not lose.
      if ((holders_[v] & ~(1u << i)) == 0 || (apart_ >> i & 1) != 0) model_[v].ForgetUnsafe();
      if ((holders_[v] & ~(1u << i)) != 0) holders_[v] &= ~(1u << i);
    }
    if (power && (primary_ == i || was_primary_ == i)) powerless_primary_ = i;
    if (!safe_protocol_) {
      for (auto& m : model_) m.ForgetUnsafe();
    }
    if (primary_ == i) primary_ = -1, leaving_ = false, was_primary_ = i;
    N(i).last_done = N(i).next_command - 1;
    N(i).log.clear();
    seen_log_[i] = 0;
  }

  void Restart(int i) {
    Note(std::string("start of ") + "AB"[i]);
    for (auto& d : N(i).disks) d->fail_reads = d->fail_writes = d->fail_meta = false;
    // A Primary that lost its power and comes back before the other took over is the source of the resync (rule 40).
    if (powerless_primary_ == i && (apart_ >> (1 - i) & 1) == 0) {
      for (auto& m : model_) m.ForgetUnsafe();
    }
    if (powerless_primary_ == i) powerless_primary_ = -1;
    N(i).Start(seed_ * 1000 + ++starts_);
    Bring(i);
  }

  bool Finished(int i) { return !N(i).alive || N(i).last_done >= N(i).next_command - 1; }

  int Do(int i, Kind kind, const std::function<void(AdminCommand&)>& set = {}) {
    Note(std::string("command ") + std::to_string(static_cast<int>(kind)) + " on " + "AB"[i]);
    AdminCommand c;
    c.kind = kind;
    if (set) set(c);
    const uint64_t id = N(i).next_command;
    N(i).last_code = -1000;
    N(i).Command(c);
    p_->Until([&] { return N(i).last_done >= id; }, 60 * kSec);
    Look();
    return N(i).last_done >= id ? N(i).last_code : -1000;
  }

  void Promote(int i) {
    const int code = Do(i, Kind::kPrimary);
    if (code < 1) return;
    primary_ = i;
    leaving_ = false;
    const int other = 1 - i;
    if (!safe_protocol_ && was_primary_ == other && !InSync()) {
      for (auto& m : model_) m.ForgetUnsafe();  // A and B acknowledge what only the Primary has
    }
    if (Holds(i) && N(i).state().disk == Disk::kUpToDate) CheckDisk(i, "after promotion");
  }

  void CheckDisk(int i, const char* when) {
    if (!open_.empty()) return;
    for (uint32_t v = 0; v < volumes_; ++v) {
      const uint64_t at = model_[v].Now();
      if (N(i).state(v).disk != Disk::kUpToDate) continue;
      for (const auto& [sector, values] : model_[v].sectors()) {
        const std::string bad = model_[v].Check(&N(i).disks[v]->bytes[sector * 512], sector, at);
        if (!bad.empty()) Fail(std::string("disk of ") + "AB"[i] + " volume " + std::to_string(v) + " " + when + ": " + bad);
      }
    }
  }

  void CheckEqual(const char* when) {
    for (uint32_t v = 0; v < volumes_; ++v) {
      const MemoryDisk &a = *N(0).disks[v], &b = *N(1).disks[v];
      const uint64_t usable = N(0).layout.usable_sectors * 512;
      for (uint64_t page = 0; page * 4096 < usable; ++page) {
        if (!a.touched[page] && !b.touched[page]) continue;
        const uint64_t n = std::min<uint64_t>(4096, usable - page * 4096);
        if (std::memcmp(&a.bytes[page * 4096], &b.bytes[page * 4096], n) == 0) continue;
        uint64_t sector = page * 8;
        while (std::memcmp(&a.bytes[sector * 512], &b.bytes[sector * 512], 512) == 0) ++sector;
        uint64_t ia, ib;
        std::memcpy(&ia, &a.bytes[sector * 512], 8);
        std::memcpy(&ib, &b.bytes[sector * 512], 8);
        Fail(std::string("the disks differ ") + when + ": volume " + std::to_string(v) + " sector " + std::to_string(sector) + " A " + std::to_string(ia) + " B " +
             std::to_string(ib) + " model: " + model_[v].Check(&a.bytes[sector * 512], sector, model_[v].Now()));
      }
    }
  }

  void DrainIo() { p_->Until([&] { return open_.empty(); }, 5 * kSec); }

  void Demote() {
    if (primary_ < 0 || !N(primary_).alive) return;
    DrainIo();
    if (!open_.empty()) return;
    leaving_ = true;
    const int i = primary_;
    const int code = Do(i, Kind::kSecondary);
    if (code >= 1) primary_ = -1, was_primary_ = i;
    leaving_ = false;
  }

  void Event() {
    const uint64_t dice = R(1000);
    const int x = static_cast<int>(R(2));
    if (dice < 560) {
      Io();
    } else if (dice < 600) {
      Note("reset of one connection");
      p_->ResetOne();
    } else if (dice < 620) {
      Note("reset of all connections");
      p_->DropAll();
    } else if (dice < 640) {
      const TimeUs t = R(Chance(50) ? 300 * kMs : 12 * kSec);
      Note("stall towards " + std::string(1, "AB"[x]) + " " + std::to_string(t));
      p_->Stall(x, p_->now + t);
      if (Chance(50)) p_->Stall(1 - x, p_->now + t);
    } else if (dice < 665) {
      Die(x, false);
    } else if (dice < 690) {
      Die(x, true);
    } else if (dice < 697) {  // the building goes dark
      if (holders_[0] == 3 && (volumes_ == 1 || holders_[1] == 3)) {
        for (auto& m : model_) m.ForgetUnsafe();
        Die(0, true);
        Die(1, true);
        for (uint32_t v = 0; v < volumes_; ++v) holders_[v] = 3;
      } else {
        Die(0, true);
        Die(1, true);
      }
    } else if (dice < 790) {
      const int i = !N(x).alive ? x : 1 - x;
      if (!N(i).alive) Restart(i);
      else if (primary_ < 0) ChooseUnderUse();
    } else if (dice < 830) {
      if (primary_ < 0) {
        ChooseUnderUse();
      } else if (InSync() && Chance(50)) {
        const int from = primary_;
        Demote();
        if (primary_ < 0 && InSync()) Promote(1 - from);
      }
    } else if (dice < 930) {
      Admin(x);
    } else if (dice < 945) {
      if (N(x).alive && Without(x)) {
        Note(std::string("disk errors on ") + "AB"[x]);
        MemoryDisk& d = *N(x).disks[R(volumes_)];
        const uint64_t what = 1 + R(7);
        d.fail_reads = (what & 1) != 0;
        d.fail_writes = (what & 2) != 0;
        d.fail_meta = (what & 4) != 0;
      }
    } else if (dice < 960) {
      for (auto& d : N(x).disks) d->fail_reads = d->fail_writes = d->fail_meta = false;
      if (N(x).alive && Finished(x)) Attach(x);
    } else if (dice < 975) {
      N(x).disk_slow_until = p_->now + R(3 * kSec);
      N(x).disk_slow = R(Chance(30) ? 2 * kSec : 50 * kMs);
    } else {
      p_->For(R(20 * kSec));
    }
    Look();
    const TimeUs until = p_->now + (Chance(70) ? R(2000) : R(300 * kMs));
    while (p_->now < until && p_->Step()) Look();
    p_->now = std::max(p_->now, p_->now);
    Look();
    if (Chance(5) && InSync() && Quiet()) {
      CheckEqual("while Connected and idle");
      if (primary_ >= 0) CheckDisk(primary_, "while Connected and idle");
    }
  }

  bool Quiet() {
    if (!open_.empty()) {
      DrainIo();
      if (!open_.empty()) return false;
    }
    Look();
    if (!InSync()) return false;
    return N(0).disk_queue.empty() && N(1).disk_queue.empty();
  }

  /// The service moves: to a node that has all data, or one that can reach it.
  void ChooseUnderUse() {
    const int i = static_cast<int>(R(2));
    for (int k : {i, 1 - i}) {
      if (primary_ >= 0 || !N(k).alive || !Finished(k)) continue;
      const State s = N(k).state();
      if (!Holds(k) && s.conn < Conn::kConnected) continue;
      if (apart_ == (2u >> k) && s.conn < Conn::kConnected && !Chance(20)) continue;  // would be a split brain of our own making
      Promote(k);
    }
  }

  void Admin(int x) {
    if (!N(x).alive || !Finished(x)) return;
    const State s = N(x).state();
    switch (R(11)) {
      case 0: Do(x, Kind::kDisconnect); break;
      case 1:
      case 2: Do(x, Kind::kConnect); break;
      case 3:
        if (Without(x)) {
          if (Do(x, Kind::kDetach) < 1) Keep(x);
        }
        break;
      case 4: Attach(x); break;
      case 5:
        if (!big_ && Holds(1 - x) && s.conn == Conn::kConnected && Without(x) && Do(x, Kind::kInvalidate) < 1) Keep(x);
        break;
      case 6:
        if (!big_ && Holds(x) && s.conn == Conn::kConnected && Without(1 - x) && Do(x, Kind::kInvalidateRemote) < 1) Keep(1 - x);
        break;
      case 7:
        if (!big_) Do(x, Kind::kVerify);
        break;
      case 8: Do(x, Chance(50) ? Kind::kPauseSync : Kind::kResumeSync); break;
      case 9:
        if (Chance(30)) {
          Do(x, Kind::kSuspendIo);
          p_->For(R(200 * kMs));
          if (N(x).alive) Do(x, Kind::kResumeIo);
        }
        break;
      case 10:
        if (primary_ == x || !Chance(50)) break;
        if (Do(x, Kind::kDown) >= 1) Bring(x);
        break;
    }
  }

  // ---- the faults stop ----
  void End() {
    Note("the faults stop");
    p_->Stall(0, 0);
    p_->Stall(1, 0);
    for (int i = 0; i < 2; ++i) {
      N(i).disk_slow_until = 0;
      for (auto& d : N(i).disks) d->fail_reads = d->fail_writes = d->fail_meta = false;
      if (!N(i).alive) Restart(i);
    }
    const bool idle = p_->Until([&] { return open_.empty() && Finished(0) && Finished(1); }, 600 * kSec);
    Look();
    if (!idle && !open_.empty()) {
      const Open& o = open_.begin()->second;
      Fail(std::to_string(open_.size()) + " requests never complete, the first: op " + std::to_string(static_cast<int>(o.op)) + " sector " + std::to_string(o.sector) + " bytes " + std::to_string(o.bytes));
    }
    if (!idle) Fail("a command never ends");
    const TimeUs limit = p_->now + 900 * kSec;
    while (!p_->Until([&] { return InSync(); }, 30 * kSec)) {
      Look();
      if (p_->now > limit) {
        // Several disks were lost one after the other, and the generations went apart, or a log was torn by failing writes: that is for
        // the administrator to decide, and the node said so.
        for (int i = 0; i < 2; ++i) {
          for (const std::string& l : N(i).log) {
            for (const char* why : {"stays unattached", "Can only attach to", "activity log is damaged"}) {
              if (trouble_ && l.find(why) != std::string::npos) return;
            }
          }
        }
        Fail("the pair does not converge");
      }
      for (int i = 0; i < 2; ++i) {
        bool paused = false;
        for (uint32_t v = 0; v < volumes_; ++v) {
          const State s = N(i).state(v);
          paused = paused || s.user_isp;
        }
        Attach(i);
        if (paused) Do(i, Kind::kResumeSync);
        if (N(i).state().susp) Do(i, Kind::kResumeIo);
      }
      Solve();
    }
    Look();
    Note("converged");
    if (errors_ != 0 && false) Fail("errors");
    bool quiet = false;
    for (int i = 0; i < 60 && !(quiet = Quiet()); ++i) p_->For(kSec);
    if (!quiet) Fail("never idle");
    CheckEqual("at the end");
    for (int i = 0; i < 2; ++i) CheckDisk(i, "at the end");
    for (uint32_t v = 0; v < volumes_; ++v) {
      const auto& a = N(0).snap(v).uuids;
      const UuidSet ua = a;
      const UuidSet ub = N(1).snap(v).uuids;
      if ((ua.current & ~1ull) != (ub.current & ~1ull)) Fail("current identifiers differ at the end");
    }
    // Nothing is left behind.
    if (primary_ >= 0) Demote();
    for (int i = 0; i < 2; ++i) {
      if (Do(i, Kind::kDown) < 1) Fail("down fails at the end");
    }
    p_->For(kSec);
    for (int i = 0; i < 2; ++i) {
      for (PageArena* a : N(i).arenas()) {
        if (a->free_pages() != a->pages()) Fail(std::string("node ") + "AB"[i] + " keeps " + std::to_string(a->pages() - a->free_pages()) + " pages after down");
      }
    }
    for (int i = 0; i < 2; ++i) Bring(i);
    if (!p_->Until([&] { return InSync(); }, 120 * kSec)) Fail("no Connected UpToDate/UpToDate after down and up of both");
    for (uint32_t v = 0; v < volumes_; ++v) {
      if (N(0).snap(v).out_of_sync_bits != 0 || N(1).snap(v).out_of_sync_bits != 0) Fail("bits are set after a clean down and up");
    }
    CheckEqual("after down and up");
  }

  /// Connects what stands alone; a split brain loses the side that holds less.
  void Solve() {
    if (N(0).state().conn != Conn::kStandAlone && N(1).state().conn != Conn::kStandAlone) return;
    int victim = -1;
    if (split_brain_) {
      victim = !Holds(0) ? 0 : !Holds(1) ? 1 : primary_ == 0 ? 1 : 0;
      if (primary_ == victim) Demote();
      if (!Without(victim)) Fail("both sides of a split brain hold acknowledged data that the other lacks");
    }
    split_brain_ = false;
    for (int i = 0; i < 2; ++i) {
      if (N(i).state().conn == Conn::kStandAlone) Do(i, Kind::kConnect, [&](AdminCommand& c) { c.discard_my_data = i == victim; });
      else if (i == victim) {
        Do(i, Kind::kDisconnect);
        Do(i, Kind::kConnect, [&](AdminCommand& c) { c.discard_my_data = true; });
      }
    }
  }

  uint64_t seed_;
  std::mt19937_64 rng_;
  std::unique_ptr<Pair> p_;
  std::vector<Model> model_;
  uint32_t volumes_ = 1;
  uint32_t holders_[2] = {3, 3};  // per volume: who has every acknowledged write
  uint32_t apart_ = 0;            // who was Primary without the other since they last were one
  bool split_brain_ = false, trouble_ = false, safe_protocol_ = true, big_ = false, leaving_ = false;
  int primary_ = -1, was_primary_ = -1, powerless_primary_ = -1;
  uint64_t starts_ = 0, errors_ = 0;
  size_t seen_log_[2] = {0, 0};
  std::map<std::pair<int, uint64_t>, Open> open_;
};

void OnAbort(int) {
  char line[96];
  const int n = std::snprintf(line, sizeof line, "aborted in the life of DRBDTS_SEED=%llu\n", static_cast<unsigned long long>(running_seed));
  if (write(2, line, static_cast<size_t>(n)) < 0) _exit(2);
  _exit(134);
}

}  // namespace

TEST_CASE("random lives of a pair") {
  const char* from = getenv("DRBDTS_SEED");
  const char* lives = getenv("DRBDTS_LIVES");
  std::vector<uint64_t> seeds;
  if (from != nullptr) {
    const uint64_t n = lives != nullptr ? strtoull(lives, nullptr, 10) : 1;
    for (uint64_t i = 0; i < n; ++i) seeds.push_back(strtoull(from, nullptr, 10) + i);
    signal(SIGABRT, OnAbort);
    signal(SIGSEGV, OnAbort);
  } else {
    for (uint64_t i = 1; i <= 60; ++i) seeds.push_back(i);
    seeds.push_back(static_cast<uint64_t>(time(nullptr)));
    MESSAGE("random seed " << seeds.back());
  }
  int bad = 0;
  for (const uint64_t seed : seeds) {
    running_seed = seed;
    Life life(seed);
    const std::string why = life.Run();
    if (why.empty()) continue;
    ++bad;
    FAIL_CHECK("DRBDTS_SEED=" << seed << " (" << life.description << "): " << why);
    if (bad == 20) break;
  }
}

// ---- what the lives above found, one by one ----

namespace {

constexpr uint64_t kUuid = 0x1122334455667788;

bool BothUpToDate(Pair& p) {
  for (int i = 0; i < 2; ++i) {
    const State s = p.node(i).state();
    if (s.conn != Conn::kConnected || s.disk != Disk::kUpToDate || s.pdsk != Disk::kUpToDate) return false;
  }
  return true;
}

void Together(Pair& p) {
  for (int i = 0; i < 2; ++i) {
    p.node(i).CreateMdInSync(kUuid);
    REQUIRE(p.node(i).Run(Kind::kAttach) == 1);
    REQUIRE(p.node(i).Run(Kind::kConnect) == 1);
  }
  REQUIRE(p.Until([&] { return BothUpToDate(p); }));
  REQUIRE(p.a().Run(Kind::kPrimary) == 1);
}

int WriteOne(Pair& p, Node& n, uint64_t sector, Image& data, uint8_t fill) {
  std::memset(data.data(), fill, data.size());
  const uint64_t t = n.Submit(BlockOp::kWrite, sector, static_cast<uint32_t>(data.size()), data.data());
  REQUIRE(p.Until([&] { return n.Done(t); }));
  return n.completed[t];
}

bool Equal(Pair& p) { return std::memcmp(p.a().disk.bytes.data(), p.b().disk.bytes.data(), p.a().layout.usable_sectors * 512) == 0; }

}  // namespace

TEST_CASE("writes of a Primary that is SyncTarget are not taken back by answers that were read before them") {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Pair p(8u << 20, seed);
    Together(p);
    p.Rough(1u << 20);
    REQUIRE(p.a().Run(Kind::kInvalidate) == 1);
    Image data(4096);
    uint8_t fill = 0;
    while (!BothUpToDate(p)) {
      const uint64_t sector = p.rng() % 2000 * 8;
      REQUIRE(WriteOne(p, p.a(), sector, data, ++fill | 1) == 0);
      REQUIRE(p.a().disk.bytes[sector * 512] == (fill | 1));
    }
    p.For(kSec);
    CHECK(Equal(p));
  }
}

TEST_CASE("a forced resync after a finished one ends with the generation both had, not with an older one") {
  Pair p(4u << 20, 11);
  Together(p);
  REQUIRE(p.b().Run(Kind::kDisconnect) == 1);
  Image data(4096);
  REQUIRE(WriteOne(p, p.a(), 8, data, 7) == 0);
  REQUIRE(p.b().Run(Kind::kConnect) == 1);
  REQUIRE(p.Until([&] { return BothUpToDate(p); }));
  REQUIRE(p.a().Run(Kind::kInvalidate) == 1);
  REQUIRE(p.Until([&] { return BothUpToDate(p); }));
  CHECK((p.a().snap().uuids.current & ~1ull) == (p.b().snap().uuids.current & ~1ull));
  p.DropAll();
  CHECK(p.Until([&] { return BothUpToDate(p); }));
}

TEST_CASE("a Primary that lost its disk does not go on with data older than what its users saw") {
  Pair p(4u << 20, 12);
  Together(p);
  Image data(4096);
  p.Cut();
  REQUIRE(WriteOne(p, p.a(), 8, data, 7) == 0);  // on A alone
  p.a().disk.fail_writes = true;
  WriteOne(p, p.a(), 16, data, 8);
  REQUIRE(p.Until([&] { return p.a().state().disk == Disk::kDiskless; }));
  p.a().disk.fail_writes = false;
  p.Heal();
  REQUIRE(p.Until([&] { return p.a().state().conn == Conn::kStandAlone; }));
  REQUIRE(p.a().Run(Kind::kAttach) == 1);
  REQUIRE(p.a().Run(Kind::kConnect) == 1);
  REQUIRE(p.Until([&] { return BothUpToDate(p); }));
  CHECK(Equal(p));
  CHECK(p.b().disk.bytes[8 * 512] == 7);
}

TEST_CASE("a Primary that wrote to the peer alone does not attach its old disk without the peer") {
  Pair p(4u << 20, 13);
  Together(p);
  Image data(4096);
  REQUIRE(p.a().Run(Kind::kDetach) == 1);
  REQUIRE(WriteOne(p, p.a(), 8, data, 9) == 0);
  p.Cut();
  CHECK(p.a().Run(Kind::kAttach) == 150);
  p.Heal();
  REQUIRE(p.Until([&] { return p.a().state().conn == Conn::kConnected; }));
  REQUIRE(p.a().Run(Kind::kAttach) == 1);
  REQUIRE(p.Until([&] { return BothUpToDate(p); }));
  CHECK(p.a().disk.bytes[8 * 512] == 9);
  CHECK(Equal(p));
}

TEST_CASE("blocks written for a diskless Primary are remembered through a loss of connection and power") {
  for (uint64_t seed = 20; seed < 30; ++seed) {
    Pair p(4u << 20, seed);
    Together(p);
    Image data(4096);
    REQUIRE(p.a().Run(Kind::kDetach) == 1);
    REQUIRE(WriteOne(p, p.a(), 8, data, 9) == 0);
    const uint64_t f = p.a().Submit(BlockOp::kFlush, 0, 0, nullptr);
    REQUIRE(p.Until([&] { return p.a().Done(f); }));
    p.a().Crash(true, p.rng);
    REQUIRE(p.Until([&] { return p.b().state().conn == Conn::kWFConnection; }));
    p.b().Crash(true, p.rng);
    for (int i = 0; i < 2; ++i) {
      p.node(i).Start(seed + 100 + static_cast<uint64_t>(i));
      REQUIRE(p.node(i).Run(Kind::kAttach) == 1);
      REQUIRE(p.node(i).Run(Kind::kConnect) == 1);
    }
    REQUIRE(p.Until([&] { return BothUpToDate(p); }));
    CHECK(p.a().disk.bytes[8 * 512] == 9);
    CHECK(Equal(p));
  }
}

TEST_CASE("a Primary whose only good copy is out of reach acknowledges nothing") {
  Pair p(4u << 20, 14);
  Together(p);
  REQUIRE(p.a().Run(Kind::kPauseSync) == 1);
  REQUIRE(p.a().Run(Kind::kInvalidate) == 1);
  REQUIRE(p.Until([&] { return p.a().state().disk == Disk::kInconsistent; }));
  Image data(4096);
  REQUIRE(WriteOne(p, p.a(), 8, data, 5) == 0);
  p.Cut();
  CHECK(WriteOne(p, p.a(), 16, data, 6) == 5);
  const uint64_t f = p.a().Submit(BlockOp::kFlush, 0, 0, nullptr);
  REQUIRE(p.Until([&] { return p.a().Done(f); }));
  CHECK(p.a().completed[f] == 5);
}

TEST_CASE("a Primary source that leaves when the target is done, but has not said so, goes on in a generation of its own") {
  for (uint64_t seed = 40; seed < 60; ++seed) {
    Pair p(4u << 20, seed);
    Together(p);
    Image data(4096);
    p.DropAll();
    REQUIRE(WriteOne(p, p.a(), 8, data, 3) == 0);
    REQUIRE(p.Until([&] { return p.a().state().conn == Conn::kSyncSource && p.b().state().disk == Disk::kUpToDate; }));
    REQUIRE(p.a().Run(Kind::kDisconnect) == 1);
    REQUIRE(WriteOne(p, p.a(), 64, data, 4) == 0);
    REQUIRE(p.a().Run(Kind::kConnect) == 1);
    REQUIRE(p.Until([&] { return BothUpToDate(p); }));
    CHECK(p.b().disk.bytes[64 * 512] == 4);
    CHECK(Equal(p));
  }
}

TEST_CASE("promoting while the peer is gone without a word does not spin") {
  Pair p(4u << 20, 15);
  Together(p);
  p.For(20 * kSec);
  p.a().Crash(true, p.rng);
  p.For(10 * kSec);
  p.b().Run(Kind::kPrimary);
  CHECK(!p.livelock);
  CHECK(p.b().state().role == Role::kPrimary);
}

// ---- a peer that means no good ----

namespace {

/// A well-formed packet with fields that may be anything, often nearly right.
std::vector<uint8_t> AnyPacket(std::mt19937_64& rng, uint64_t device_sectors) {
  static const Command commands[] = {
      Command::kData, Command::kDataReply, Command::kRsDataReply, Command::kBarrier, Command::kBitmap, Command::kUnplugRemote, Command::kDataRequest,
      Command::kRsDataRequest, Command::kUuids, Command::kSizes, Command::kState, Command::kSyncUuid, Command::kPing, Command::kPingAck, Command::kRecvAck,
      Command::kWriteAck, Command::kRsWriteAck, Command::kNegAck, Command::kNegDreply, Command::kNegRsDreply, Command::kBarrierAck, Command::kStateChgReq,
      Command::kStateChgReply, Command::kOvRequest, Command::kOvReply, Command::kOvResult, Command::kCsumRsRequest, Command::kRsIsInSync,
      Command::kCompressedBitmap, Command::kOutOfSync, Command::kRsCancel, Command::kConnStChgReq, Command::kConnStChgReply, Command::kProtocolUpdate,
      Command::kTrim, Command::kRsThinReq, Command::kRsDeallocated, Command::kZeroes, Command::kProtocol, Command::kSyncParam89};
  Packet p;
  p.command = commands[rng() % std::size(commands)];
  p.volume = rng() % 20 == 0 ? static_cast<uint16_t>(rng()) : 0;
  auto sector = [&]() -> uint64_t {
    switch (rng() % 8) {
      case 0: return rng();
      case 1: return device_sectors - rng() % 16;
      default: return rng() % device_sectors / 8 * 8;
    }
  };
  auto bytes = [&]() -> uint32_t {
    switch (rng() % 8) {
      case 0: return static_cast<uint32_t>(rng());
      case 1: return 0;
      case 2: return 1u << 20;
      default: return 512 * (1 + static_cast<uint32_t>(rng() % 64));
    }
  };
  auto id = [&]() -> uint64_t { return rng() % 3 == 0 ? kIdSyncer : rng() % 3 == 0 ? rng() : rng() % 300000; };
  auto word = [&]() -> uint32_t { return rng() % 2 == 0 ? static_cast<uint32_t>(rng()) : static_cast<uint32_t>(rng() % 8); };
  uint32_t payload = 0;
  uint8_t blob[64];
  for (auto& b : blob) b = static_cast<uint8_t>(rng());
  switch (p.command) {
    case Command::kData:
    case Command::kDataReply:
    case Command::kRsDataReply: {
      DataPacket d;
      d.sector = sector();
      d.block_id = id();
      d.seq_num = word();
      d.dp_flags = static_cast<uint32_t>(rng() & 0x7ff);
      d.size = payload = 512 * (1 + static_cast<uint32_t>(rng() % 64));
      p.body = d;
      break;
    }
    case Command::kTrim:
    case Command::kZeroes: {
      DataPacket d;
      d.sector = sector();
      d.block_id = id();
      d.dp_flags = static_cast<uint32_t>(rng() & 0x7ff);
      d.size = bytes();
      p.body = d;
      break;
    }
    case Command::kDataRequest:
    case Command::kRsDataRequest:
    case Command::kRsThinReq:
    case Command::kOvRequest: p.body = BlockRequest{sector(), id(), bytes(), word(), {}}; break;
    case Command::kOvReply:
    case Command::kCsumRsRequest: {
      BlockRequest r{sector(), id(), bytes(), 0, {}};
      r.digest.size = rng() % 2 == 0 ? 4 : 20;
      p.body = r;
      break;
    }
    case Command::kOvResult: p.body = BlockAck{sector(), rng() % 2 == 0 ? kOvInSync : kOvOutOfSync, bytes(), word()}; break;
    case Command::kRecvAck:
    case Command::kWriteAck:
    case Command::kRsWriteAck:
    case Command::kNegAck:
    case Command::kNegDreply:
    case Command::kNegRsDreply:
    case Command::kRsIsInSync:
    case Command::kRsCancel: p.body = BlockAck{sector(), id(), bytes(), word()}; break;
    case Command::kBarrier: p.body = BarrierPacket{word(), 0}; break;
    case Command::kBarrierAck: p.body = BarrierAckPacket{word(), word()}; break;
    case Command::kStateChgReq:
    case Command::kConnStChgReq: p.body = StateRequest{word(), word()}; break;
    case Command::kStateChgReply:
    case Command::kConnStChgReply: p.body = StateReply{static_cast<int32_t>(word())}; break;
    case Command::kState: p.body = StatePacket{static_cast<uint32_t>(rng())}; break;
    case Command::kUuids: p.body = UuidsPacket{{rng(), rng() % 2 == 0 ? 0 : rng(), rng(), rng()}, rng(), rng() % 16}; break;
    case Command::kSyncUuid: p.body = SyncUuidPacket{rng()}; break;
    case Command::kOutOfSync:
    case Command::kRsDeallocated: p.body = BlockDescription{sector(), bytes(), 0}; break;
    case Command::kSizes: {
      SizesPacket s;
      s.d_size = rng() % 2 == 0 ? device_sectors : sector();
      s.u_size = rng() % 2 == 0 ? 0 : sector();
      s.c_size = rng() % 2 == 0 ? 0 : sector();
      s.has_limits = true;
      p.body = s;
      break;
    }
    case Command::kProtocol:
    case Command::kProtocolUpdate: {
      ProtocolPacket c;
      c.protocol = word();
      c.after_sb_0p = word();
      c.after_sb_1p = word();
      c.after_sb_2p = word();
      p.body = c;
      break;
    }
    case Command::kSyncParam89: {
      SyncParamPacket s;
      s.resync_rate = word();
      s.c_plan_ahead = word();
      s.c_delay_target = word();
      s.c_fill_target = word();
      s.c_max_rate = word();
      p.body = s;
      break;
    }
    case Command::kBitmap:
    case Command::kCompressedBitmap: p.body = BlobPacket{{blob, 1 + rng() % 63}}; break;
    default: p.body = EmptyPacket{}; break;
  }
  WireDialect dialect;
  dialect.h100 = true;
  dialect.features = 0xf;
  std::vector<uint8_t> out(kMaxEncodedBytes + 8192);
  const uint32_t n = EncodePacket(p, dialect, out);
  out.resize(n + payload);
  return out;
}

}  // namespace

TEST_CASE("a hostile peer: any packet at any time ends the connection with a reason at worst") {
  const char* from = getenv("DRBDTS_SEED");
  const char* lives = getenv("DRBDTS_LIVES");
  const uint64_t first = from != nullptr ? strtoull(from, nullptr, 10) : 1;
  const uint64_t count = from != nullptr ? (lives != nullptr ? strtoull(lives, nullptr, 10) : 1) : 60;
  if (from != nullptr) signal(SIGABRT, OnAbort);
  for (uint64_t seed = first; seed < first + count; ++seed) {
    running_seed = seed;
    std::mt19937_64 rng(seed);
    Pair p((2u << 20) + rng() % 1000 * 512, seed, [&](ResourceConfig& c, int) {
      c.net.verify_alg = DigestAlgorithm::kCrc32c;
      c.net.csums_alg = seed % 2 == 0 ? DigestAlgorithm::kSha1 : DigestAlgorithm::kNone;
      c.net.connect_int_s = 3;
    });
    p.trace = getenv("TRACE") != nullptr;
    Together(p);
    if (seed % 3 == 0) p.Rough(65536);
    const uint64_t odds = 2 + rng() % 30;
    const bool mutate = seed % 4 == 1;
    if (mutate) {
      p.tamper = [&](int, uint8_t* bytes, size_t n) {
        if (rng() % odds == 0) bytes[rng() % n] ^= static_cast<uint8_t>(1u << rng() % 8);
      };
    } else {
      p.inject = [&](int) { return rng() % odds == 0 ? AnyPacket(rng, p.a().layout.usable_sectors) : std::vector<uint8_t>{}; };
    }
    std::vector<std::unique_ptr<Image>> data;
    for (int i = 0; i < 150; ++i) {
      Node& n = p.node(static_cast<int>(rng() % 2));
      const uint64_t dice = rng() % 10;
      AdminCommand c;
      c.kind = dice == 0 ? Kind::kInvalidate : dice == 1 ? Kind::kVerify : dice == 2 ? Kind::kDisconnect : dice == 3 ? Kind::kInvalidateRemote : Kind::kConnect;
      if (dice < 5 && n.last_done + 1 >= n.next_command) n.Command(c);
      if (p.a().device_up && rng() % 2 == 0) {
        data.push_back(std::make_unique<Image>(65536));
        const uint64_t size = p.a().snap().size_sectors;
        if (size > 200) p.a().Submit(rng() % 2 == 0 ? BlockOp::kRead : BlockOp::kWrite, rng() % (size - 128), 65536, data.back()->data());
      }
      for (int s = 0; s < 30 && p.Step(); ++s) {
      }
      CAPTURE(seed);
      REQUIRE(!p.livelock);
      for (int k = 0; k < 2; ++k) REQUIRE_MESSAGE(p.node(k).violations.empty(), "DRBDTS_SEED=" << seed << ": " << p.node(k).violations[0]);
    }
    // It goes away: everything comes to an end, and nothing of it stays.
    p.inject = nullptr;
    p.tamper = nullptr;
    for (int k = 0; k < 2; ++k) {
      INFO("DRBDTS_SEED=" << seed);
      REQUIRE(p.Until([&] { return p.node(k).last_done + 1 >= p.node(k).next_command; }, 300 * kSec));
      REQUIRE(p.node(k).Run(Kind::kDisconnect, [](AdminCommand& c) { c.force = true; }) != -1000);
      p.For(5 * kSec);
      CHECK(p.node(k).arenas()[1]->free_pages() == p.node(k).arenas()[1]->pages());
    }
    if (seed % 10 != 0 && from == nullptr) continue;
    for (int k = 0; k < 2; ++k) CHECK_MESSAGE(p.node(k).Run(Kind::kDown) != -1000, "DRBDTS_SEED=" << seed << ": " << Str(p.node(k).state()));
  }
}
