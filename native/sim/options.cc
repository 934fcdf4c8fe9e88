#include "sim/options.h"

#include <charconv>
#include <functional>

namespace drbdts::sim {

using namespace core;

Options DrawOptions(uint64_t seed) {
  Rng r(seed * 0x9e3779b97f4a7c15ull + 7);
  Options o;
  o.seed = seed;
  const uint64_t rules = r.Below(100);
  o.rules = rules < 50 ? Rules::kOracle : rules < 85 ? Rules::kArbiter : Rules::kAnarchy;
  const uint64_t size = r.Below(100);
  const bool big = size < 8;
  o.disk_bytes = big ? (uint64_t{21 + r.Below(12)} << 20) + r.Below(2000) * 512
                 : size < 25 ? (uint64_t{1} << 20) + r.Below(7000) * 512
                             : (uint64_t{256} << 10) + r.Below(1500) * 512;
  o.volumes = r.Chance(20) ? 2 : 1;
  o.protocol = static_cast<ReplicationProtocol>(o.rules == Rules::kArbiter || r.Chance(75) ? 3 : 1 + r.Below(2));
  o.rle = r.Chance(50);
  o.csums = !big && r.Chance(20);
  o.sha1 = r.Chance(20);
  o.integrity = r.Chance(10);
  o.auth = r.Chance(10);
  o.discard = r.Chance(80);
  o.fixed_rate = r.Chance(80);
  o.max_epoch_size = r.Chance(30) ? 1 + static_cast<uint32_t>(r.Below(8)) : 2048;
  o.max_buffers = r.Chance(20) ? 32 + static_cast<uint32_t>(r.Below(200)) : 2048;
  o.al_extents = big ? 4 + static_cast<uint32_t>(r.Below(4)) : 67;
  o.ping_int_s = 1 + static_cast<uint32_t>(r.Below(10));
  o.timeout_ds = 20 + static_cast<uint32_t>(r.Below(40));
  if (r.Chance(80)) o.window_bytes = r.Chance(50) ? 4096 + r.Below(100000) : 1u << 20;
  o.disk_delay_us = 20 + r.Below(r.Chance(20) ? 5000 : 200);
  o.net_delay_us = 20 + r.Below(r.Chance(50) ? 100 : r.Chance(70) ? 3000 : 40000);
  if (r.Chance(30)) {
    for (int64_t& ppm : o.clock_ppm) ppm = static_cast<int64_t>(r.Below(200001)) - 100000;
  }
  o.steps = 20 + static_cast<uint32_t>(r.Below(100));
  o.full_first_sync = !big && r.Chance(15);
  Weights& w = o.weights;
  if (o.rules == Rules::kArbiter) w.arbiter = 25;
  // Leave out a random part of the faults; the rest gets more room.
  uint32_t* all[] = {&w.reset_one, &w.reset_all, &w.stall, &w.black_hole, &w.crash, &w.crash_at_action, &w.power, &w.blackout, &w.admin, &w.disk_error,
                     &w.disk_slow, &w.disk_stall, &w.disk_full, &w.pause, &w.wait, &w.arbiter, &w.storm, &w.move};
  const uint64_t leave_out = r.Below(70);
  for (uint32_t* weight : all) {
    if (r.Chance(leave_out)) *weight = 0;
    else if (r.Chance(25)) *weight *= 3;
  }
  if (r.Chance(15)) w.io = 200;
  return o;
}

namespace {
struct Field {
  const char* name;
  const char* expected;
  std::function<std::string(const Options&)> get;
  std::function<bool(Options&, const std::string&)> set;
};

template <typename T>
bool ParseNumber(const std::string& text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}
template <typename T>
Field Number(const char* name, T Options::* member) {
  return {name, "a number", [member](const Options& o) { return std::to_string(o.*member); },
          [member](Options& o, const std::string& v) { return ParseNumber(v, o.*member); }};
}
Field YesNo(const char* name, bool Options::* member) {
  return {name, "yes or no", [member](const Options& o) { return std::string(o.*member ? "yes" : "no"); },
          [member](Options& o, const std::string& v) { o.*member = v == "yes"; return v == "yes" || v == "no"; }};
}

constexpr const char* kFencingNames[] = {"dont-care", "resource-only", "resource-and-stonith"};
constexpr const char* kAfterSbNames[] = {"disconnect", "discard-younger-primary", "discard-older-primary", "discard-zero-changes", "discard-least-changes", "discard-local",
                                         "discard-remote", "consensus", "discard-secondary", "call-pri-lost-after-sb", "violently-as0p"};

template <typename T, size_t N>
bool Choose(const char* const (&names)[N], const std::string& name, T& out) {
  for (size_t i = 0; i < N; ++i) {
    if (name != names[i]) continue;
    out = static_cast<T>(i);
    return true;
  }
  return false;
}

template <size_t K>
Field AfterSplitBrain(const char* name) {
  return {name, "an after-split-brain policy (disconnect, discard-zero-changes, ...)", [](const Options& o) { return std::string(kAfterSbNames[static_cast<size_t>(o.after_sb[K])]); },
          [](Options& o, const std::string& v) { return Choose(kAfterSbNames, v, o.after_sb[K]); }};
}

const std::vector<Field>& Fields() {
  static const std::vector<Field> fields = {
      Number("seed", &Options::seed),
      {"rules", "oracle, arbiter or anarchy",
       [](const Options& o) { return std::string(o.rules == Rules::kOracle ? "oracle" : o.rules == Rules::kArbiter ? "arbiter" : "anarchy"); },
       [](Options& o, const std::string& v) {
         if (v == "oracle") o.rules = Rules::kOracle;
         else if (v == "arbiter") o.rules = Rules::kArbiter;
         else if (v == "anarchy") o.rules = Rules::kAnarchy;
         else return false;
         return true;
       }},
      {"disk-bytes", "a multiple of 512 from 262144 to 402653184", [](const Options& o) { return std::to_string(o.disk_bytes); },
       [](Options& o, const std::string& v) { return ParseNumber(v, o.disk_bytes) && o.disk_bytes % 512 == 0 && o.disk_bytes >= 256u << 10 && o.disk_bytes <= 384u << 20; }},
      {"volumes", "1 or 2", [](const Options& o) { return std::to_string(o.volumes); },
       [](Options& o, const std::string& v) { return ParseNumber(v, o.volumes) && o.volumes >= 1 && o.volumes <= 2; }},
      {"protocol", "A, B or C", [](const Options& o) { return std::string(1, "?ABC"[static_cast<int>(o.protocol)]); },
       [](Options& o, const std::string& v) {
         if (v != "A" && v != "B" && v != "C") return false;
         o.protocol = static_cast<ReplicationProtocol>(v[0] - 'A' + 1);
         return true;
       }},
      YesNo("use-rle", &Options::rle),
      YesNo("csums", &Options::csums),
      YesNo("sha1", &Options::sha1),
      YesNo("data-integrity", &Options::integrity),
      YesNo("auth", &Options::auth),
      YesNo("discard", &Options::discard),
      YesNo("fixed-rate", &Options::fixed_rate),
      Number("max-epoch-size", &Options::max_epoch_size),
      Number("max-buffers", &Options::max_buffers),
      Number("al-extents", &Options::al_extents),
      YesNo("al-updates", &Options::al_updates),
      Number("ping-int", &Options::ping_int_s),
      Number("timeout", &Options::timeout_ds),
      Number("window-bytes", &Options::window_bytes),
      Number("disk-delay-us", &Options::disk_delay_us),
      {"clock-ppm-a", "a number", [](const Options& o) { return std::to_string(o.clock_ppm[0]); },
       [](Options& o, const std::string& v) { return ParseNumber(v, o.clock_ppm[0]); }},
      {"clock-ppm-b", "a number", [](const Options& o) { return std::to_string(o.clock_ppm[1]); },
       [](Options& o, const std::string& v) { return ParseNumber(v, o.clock_ppm[1]); }},
      YesNo("full-first-sync", &Options::full_first_sync),
      YesNo("blank", &Options::blank),
      {"disk-bytes-b", "a multiple of 512 up to 402653184", [](const Options& o) { return std::to_string(o.disk_bytes_b); },
       [](Options& o, const std::string& v) { return ParseNumber(v, o.disk_bytes_b) && o.disk_bytes_b % 512 == 0 && o.disk_bytes_b <= 384u << 20; }},
      Number("net-delay-us", &Options::net_delay_us),
      Number("resync-rate", &Options::resync_rate_kib),
      {"fencing", "dont-care, resource-only or resource-and-stonith", [](const Options& o) { return std::string(kFencingNames[static_cast<size_t>(o.fencing)]); },
       [](Options& o, const std::string& v) { return Choose(kFencingNames, v, o.fencing); }},
      AfterSplitBrain<0>("after-sb-0pri"),
      AfterSplitBrain<1>("after-sb-1pri"),
      AfterSplitBrain<2>("after-sb-2pri"),
  };
  return fields;
}
}  // namespace

std::vector<std::string> DescribeOptions(const Options& options) {
  const Options defaults;
  std::vector<std::string> out;
  for (const Field& f : Fields()) {
    if (f.get(options) != f.get(defaults)) out.push_back(std::string("option ") + f.name + " " + f.get(options));
  }
  return out;
}

std::string SetOption(Options& options, const std::string& name, const std::string& value) {
  std::string names;
  for (const Field& f : Fields()) {
    names += std::string(names.empty() ? "" : ", ") + f.name;
    if (name == f.name) return f.set(options, value) ? "" : "expected " + std::string(f.expected) + " for option " + name + ", got '" + value + "'";
  }
  return "unknown option '" + name + "'; known: " + names;
}

void Configure(const Options& o, ResourceConfig& c) {
  c.net.protocol = o.protocol;
  c.net.use_rle = o.rle;
  c.net.csums_alg = o.csums ? o.sha1 ? DigestAlgorithm::kSha1 : DigestAlgorithm::kCrc32c : DigestAlgorithm::kNone;
  c.net.verify_alg = DigestAlgorithm::kCrc32c;
  c.net.data_integrity_alg = o.integrity ? DigestAlgorithm::kCrc32c : DigestAlgorithm::kNone;
  if (o.auth) {
    c.net.cram_hmac_alg = DigestAlgorithm::kSha1;
    c.net.shared_secret = "secret";
  }
  c.net.max_epoch_size = o.max_epoch_size;
  c.net.max_buffers = o.max_buffers;
  c.net.ping_int_s = o.ping_int_s;
  c.net.timeout_ds = o.timeout_ds;
  c.net.connect_int_s = 3;
  VolumeConfig& first = c.volumes[0];
  if (!o.fixed_rate) {
    first.options.c_plan_ahead = 20;
    first.options.c_max_rate_kib = 102400;
    first.options.resync_rate_kib = 4096;
  }
  if (o.resync_rate_kib != 0) first.options.resync_rate_kib = o.resync_rate_kib;
  first.options.al_extents = o.al_extents;
  first.options.al_updates = o.al_updates;
  first.options.fencing = o.fencing;
  c.net.after_sb_0pri = o.after_sb[0];
  c.net.after_sb_1pri = o.after_sb[1];
  c.net.after_sb_2pri = o.after_sb[2];
  if (o.rules == Rules::kArbiter) first.options.fencing = Fencing::kResourceAndStonith;
  while (c.volumes.size() < o.volumes) {
    VolumeConfig v = c.volumes[0];
    v.volume = static_cast<uint16_t>(c.volumes.size());
    v.minor = v.volume;
    v.device = "/dev/drbd" + std::to_string(v.volume);
    c.volumes.push_back(v);
  }
}

}  // namespace drbdts::sim
