#include "addon/options_parse.h"

#include <cmath>
#include <functional>
#include <utility>

#include "addon/error.h"
#include "addon/values.h"

namespace drbdts::addon {
namespace {

using io::Failure;

template <typename E>
struct Word {
  const char* name;
  E value;
};

constexpr Word<core::AfterSb> kAfterSb[] = {
    {"disconnect", core::AfterSb::kDisconnect},
    {"discard-younger-primary", core::AfterSb::kDiscardYoungerPrimary},
    {"discard-older-primary", core::AfterSb::kDiscardOlderPrimary},
    {"discard-zero-changes", core::AfterSb::kDiscardZeroChanges},
    {"discard-least-changes", core::AfterSb::kDiscardLeastChanges},
    {"discard-local", core::AfterSb::kDiscardLocal},
    {"discard-remote", core::AfterSb::kDiscardRemote},
    {"consensus", core::AfterSb::kConsensus},
    {"discard-secondary", core::AfterSb::kDiscardSecondary},
    {"call-pri-lost-after-sb", core::AfterSb::kCallPriLost},
    {"violently-as0p", core::AfterSb::kViolently},
};
constexpr Word<core::RrConflict> kRrConflict[] = {
    {"disconnect", core::RrConflict::kDisconnect}, {"call-pri-lost", core::RrConflict::kCallPriLost}, {"violently", core::RrConflict::kViolently}};
constexpr Word<core::ReplicationProtocol> kProtocols[] = {
    {"A", core::ReplicationProtocol::kA}, {"B", core::ReplicationProtocol::kB}, {"C", core::ReplicationProtocol::kC}};
constexpr Word<core::OnIoError> kOnIoError[] = {
    {"pass_on", core::OnIoError::kPassOn}, {"call-local-io-error", core::OnIoError::kCallLocalIoError}, {"detach", core::OnIoError::kDetach}};
constexpr Word<core::Fencing> kFencing[] = {{"dont-care", core::Fencing::kDontCare},
                                            {"resource-only", core::Fencing::kResourceOnly},
                                            {"resource-and-stonith", core::Fencing::kResourceAndStonith}};

/// One option on its way in: takes the value or says what it would have taken.
class Reader {
 public:
  Reader(std::string name, Napi::Value value) : name_(std::move(name)), value_(std::move(value)) {}

  Failure Number(uint32_t& to) const {
    uint64_t wide = 0;
    Failure failure = Number(wide, 4294967295.0);
    if (!failure.failed()) to = static_cast<uint32_t>(wide);
    return failure;
  }
  Failure Number(uint64_t& to, double max = 9007199254740991.0) const {
    const double v = value_.IsNumber() ? value_.As<Napi::Number>().DoubleValue() : -1;
    if (!(v >= 0 && v <= max) || std::floor(v) != v) return Wrong("a whole number");
    to = static_cast<uint64_t>(v);
    return {};
  }
  Failure Switch(bool& to) const {
    if (!value_.IsBoolean()) return Wrong("true or false");
    to = value_.As<Napi::Boolean>().Value();
    return {};
  }
  Failure Text(std::string& to, size_t most) const {
    if (!value_.IsString()) return Wrong("a text");
    std::string text = value_.As<Napi::String>().Utf8Value();
    if (text.size() > most) return Wrong(("at most " + std::to_string(most) + " bytes").c_str());
    to = std::move(text);
    return {};
  }
  Failure Digest(core::DigestAlgorithm& to) const {
    const auto found = core::DigestByName(value_.IsString() ? value_.As<Napi::String>().Utf8Value() : "?");
    if (!found) return Wrong("crc32c, md5, sha1, sha256 or nothing");
    to = *found;
    return {};
  }
  template <typename E, size_t N>
  Failure OneOf(const Word<E> (&words)[N], E& to) const {
    const std::string text = value_.IsString() ? value_.As<Napi::String>().Utf8Value() : "";
    std::string accepted;
    for (const Word<E>& word : words) {
      if (text == word.name) {
        to = word.value;
        return {};
      }
      accepted += (accepted.empty() ? "" : ", ") + std::string(word.name);
    }
    return Wrong(accepted.c_str());
  }

 private:
  Failure Wrong(const char* accepted) const {
    return InvalidArgument("option " + name_ + " has a value it cannot have: " + value_.ToString().Utf8Value(), name_, std::string("give ") + accepted);
  }
  std::string name_;
  Napi::Value value_;
};

/// Walks the options; `take` returns false for a name it does not know.
Failure EachOption(const Napi::Object& from, const char* section, const std::function<bool(const std::string&, const Reader&, Failure&)>& take) {
  const Napi::Array names = from.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = names.Get(i).ToString().Utf8Value();
    Failure failure;
    if (!take(name, Reader(name, from.Get(name)), failure)) {
      return InvalidArgument("unknown " + std::string(section) + " option: " + name, name, "check the spelling in the configuration");
    }
    if (failure.failed()) return failure;
  }
  return {};
}

Failure ParseEndpoint(const Napi::Object& from, const char* what, core::Endpoint& to) {
  to.family = static_cast<uint8_t>(GetNumber(from, "family", 4));
  to.host = GetString(from, "host");
  const double port = GetNumber(from, "port");
  if (to.host.empty() || port < 1 || port > 65535) return InvalidArgument(std::string(what) + " needs a host and a port", what, "give address and port");
  to.port = static_cast<uint16_t>(port);
  return {};
}

Failure ParseVolume(const Napi::Object& from, core::VolumeConfig& to) {
  engine::MetaLocation at;
  Failure failure = ParseMetaLocation(from, at);
  if (failure.failed()) return failure;
  to.volume = static_cast<uint16_t>(GetUint32(from, "volume"));
  to.minor = GetUint32(from, "minor");
  to.device = GetString(from, "device");
  to.disk = at.disk;
  to.meta_disk = at.meta_disk;
  to.place = at.place;
  const Napi::Value links = from.Get("links");
  if (links.IsArray()) {
    const auto array = links.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) to.links.push_back(array.Get(i).ToString().Utf8Value());
  }
  const std::string frontend = GetString(from, "frontend");
  if (frontend != "fuse_loop" && frontend != "memory") {
    return InvalidArgument("unknown front end: " + frontend, "frontend", "give fuse_loop, or memory in tests");
  }
  to.memory_frontend = frontend == "memory";
  return ParseDiskOptions(GetObject(from, "options"), to.options);
}

}  // namespace

Failure ParseNetOptions(const Napi::Object& from, core::NetOptions& to) {
  return EachOption(from, "net", [&](const std::string& name, const Reader& r, Failure& failure) {
    if (name == "protocol") failure = r.OneOf(kProtocols, to.protocol);
    else if (name == "timeout") failure = r.Number(to.timeout_ds);
    else if (name == "connect-int") failure = r.Number(to.connect_int_s);
    else if (name == "ping-int") failure = r.Number(to.ping_int_s);
    else if (name == "ping-timeout") failure = r.Number(to.ping_timeout_ds);
    else if (name == "ko-count") failure = r.Number(to.ko_count);
    else if (name == "max-buffers") failure = r.Number(to.max_buffers);
    else if (name == "max-epoch-size") failure = r.Number(to.max_epoch_size);
    else if (name == "sndbuf-size") failure = r.Number(to.sndbuf_size);
    else if (name == "rcvbuf-size") failure = r.Number(to.rcvbuf_size);
    else if (name == "cram-hmac-alg") failure = r.Digest(to.cram_hmac_alg);
    else if (name == "shared-secret") failure = r.Text(to.shared_secret, 63);
    else if (name == "data-integrity-alg") failure = r.Digest(to.data_integrity_alg);
    else if (name == "verify-alg") failure = r.Digest(to.verify_alg);
    else if (name == "csums-alg") failure = r.Digest(to.csums_alg);
    else if (name == "use-rle") failure = r.Switch(to.use_rle);
    else if (name == "after-sb-0pri") failure = r.OneOf(kAfterSb, to.after_sb_0pri);
    else if (name == "after-sb-1pri") failure = r.OneOf(kAfterSb, to.after_sb_1pri);
    else if (name == "after-sb-2pri") failure = r.OneOf(kAfterSb, to.after_sb_2pri);
    else if (name == "always-asbp") failure = r.Switch(to.always_asbp);
    else if (name == "rr-conflict") failure = r.OneOf(kRrConflict, to.rr_conflict);
    else if (name == "tcp-cork") failure = r.Switch(to.tcp_cork);
    else return false;
    return true;
  });
}

Failure ParseDiskOptions(const Napi::Object& from, core::DiskOptions& to) {
  return EachOption(from, "disk", [&](const std::string& name, const Reader& r, Failure& failure) {
    if (name == "on-io-error") failure = r.OneOf(kOnIoError, to.on_io_error);
    else if (name == "fencing") failure = r.OneOf(kFencing, to.fencing);
    else if (name == "resync-rate") failure = r.Number(to.resync_rate_kib);
    else if (name == "c-plan-ahead") failure = r.Number(to.c_plan_ahead);
    else if (name == "c-delay-target") failure = r.Number(to.c_delay_target);
    else if (name == "c-fill-target") failure = r.Number(to.c_fill_target);
    else if (name == "c-max-rate") failure = r.Number(to.c_max_rate_kib);
    else if (name == "c-min-rate") failure = r.Number(to.c_min_rate_kib);
    else if (name == "al-extents") failure = r.Number(to.al_extents);
    else if (name == "al-updates") failure = r.Switch(to.al_updates);
    else if (name == "md-flushes") failure = r.Switch(to.md_flushes);
    else if (name == "disk-flushes") failure = r.Switch(to.disk_flushes);
    else if (name == "size") failure = r.Number(to.size_sectors);
    else return false;
    return true;
  });
}

Failure ParseMetaLocation(const Napi::Object& from, engine::MetaLocation& to) {
  to.disk = GetString(from, "disk");
  if (to.disk.empty()) return InvalidArgument("a volume needs a disk", "disk", "give the path of a block device or file");
  const std::string meta_disk = GetString(from, "metaDisk");
  const Napi::Value index = from.Get("metaIndex");
  const std::string word = index.IsString() ? index.As<Napi::String>().Utf8Value() : "";
  using Kind = core::MetaDataPlace::Kind;
  if (word == "internal" || meta_disk == "internal" || (meta_disk.empty() && !index.IsNumber() && word.empty())) {
    to.place = {Kind::kInternal, 0};
    to.meta_disk.clear();
    return {};
  }
  to.meta_disk = meta_disk;
  if (meta_disk.empty()) return InvalidArgument("external meta-data needs a meta-disk", "metaDisk", "give its path, or `internal`");
  if (word == "flexible") {
    to.place = {Kind::kFlexible, 0};
    return {};
  }
  const double number = index.IsNumber() ? index.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= 65535) || std::floor(number) != number) {
    return InvalidArgument("metaIndex is none of internal, flexible, 0..65535", "metaIndex", "give one of those");
  }
  to.place = {Kind::kIndexed, static_cast<uint32_t>(number)};
  return {};
}

Failure ParseResourceConfig(const Napi::Object& from, core::ResourceConfig& to) {
  to.name = GetString(from, "name");
  if (to.name.empty()) return InvalidArgument("a resource needs a name", "name", "give one");
  to.peer_name = GetString(from, "peerName");
  Failure failure = ParseEndpoint(GetObject(from, "localAddress"), "localAddress", to.local);
  if (!failure.failed()) failure = ParseEndpoint(GetObject(from, "peerAddress"), "peerAddress", to.peer);
  if (!failure.failed()) failure = ParseNetOptions(GetObject(from, "options"), to.net);
  if (failure.failed()) return failure;
  const Napi::Value volumes = from.Get("volumes");
  if (!volumes.IsArray() || volumes.As<Napi::Array>().Length() == 0) return InvalidArgument("a resource needs a volume", "volumes", "give at least one");
  const auto array = volumes.As<Napi::Array>();
  if (array.Length() > core::kMaxVolumes) {
    return InvalidArgument("a resource has at most " + std::to_string(core::kMaxVolumes) + " volumes", "volumes", "split it into two resources");
  }
  for (uint32_t i = 0; i < array.Length(); i++) {
    core::VolumeConfig volume;
    if (!array.Get(i).IsObject()) return InvalidArgument("a volume is an object", "volumes", "see NativeVolumeConfig");
    failure = ParseVolume(array.Get(i).As<Napi::Object>(), volume);
    if (failure.failed()) return failure;
    for (const core::VolumeConfig& other : to.volumes) {
      if (other.volume == volume.volume) return InvalidArgument("volume " + std::to_string(volume.volume) + " is given twice", "volumes", "number them");
    }
    to.volumes.push_back(std::move(volume));
  }
  return {};
}

}  // namespace drbdts::addon
