// Arguments: byte strings are Uint8Array/Buffer, 64-bit numbers bigint, everything with many fields a plain object whose keys are the core's
// field names in camelCase. A wrong type gives the field's default; wrong bytes throw with a code.
#include "addon/core_exports.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "addon/error.h"
#include "addon/values.h"
#include "core/bitmap_codec.h"
#include "core/crc32c.h"
#include "core/digest.h"
#include "core/generation_uuid.h"
#include "core/meta_data.h"
#include "core/state.h"

namespace drbdts::addon {
namespace {

using Info = Napi::CallbackInfo;

std::span<const uint8_t> Bytes(const Info& info, size_t index) {
  if (info.Length() <= index || !info[index].IsTypedArray()) return {};
  const auto array = info[index].As<Napi::TypedArray>();
  if (array.ByteLength() == 0) return {};
  return {static_cast<const uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
}
Napi::Object Object(const Info& info, size_t index) {
  return info.Length() > index && info[index].IsObject() ? info[index].As<Napi::Object>() : Napi::Object::New(info.Env());
}
Napi::Value Throw(Napi::Env env, const core::Error& error) {
  ToJsError(env, error).ThrowAsJavaScriptException();
  return env.Undefined();
}
Napi::Value ToBuffer(Napi::Env env, std::span<const uint8_t> bytes) { return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size()); }

// ---- checksums ----

/// crc32c(bytes, start = 0): as meta-data uses it, no inversions.
Napi::Value Crc32c(const Info& info) {
  const uint32_t start = info.Length() > 1 && info[1].IsNumber() ? info[1].As<Napi::Number>().Uint32Value() : 0;
  return Napi::Number::New(info.Env(), core::Crc32cRaw(start, Bytes(info, 0)));
}
/// digest(name, bytes): Buffer
Napi::Value DigestOf(const Info& info) {
  const auto algorithm = core::DigestByName(info.Length() > 0 && info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "?");
  if (!algorithm) return Throw(info.Env(), {core::ErrorCode::kInvalidArgument, 0, "unknown digest"});
  const core::Digest digest = core::ComputeDigest(*algorithm, Bytes(info, 1));
  return ToBuffer(info.Env(), {digest.bytes.data(), digest.size});
}
/// hmac(name, key, message): Buffer
Napi::Value HmacOf(const Info& info) {
  const auto algorithm = core::DigestByName(info.Length() > 0 && info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "?");
  if (!algorithm || *algorithm == core::DigestAlgorithm::kNone || *algorithm == core::DigestAlgorithm::kCrc32c) {
    return Throw(info.Env(), {core::ErrorCode::kInvalidArgument, 0, "no digest for an HMAC"});
  }
  const core::Digest digest = core::ComputeHmac(*algorithm, Bytes(info, 1), Bytes(info, 2));
  return ToBuffer(info.Env(), {digest.bytes.data(), digest.size});
}

// ---- meta-data ----

core::UuidSet TakeUuids(const Napi::Object& o) {
  return {GetUint64(o, "current"), GetUint64(o, "bitmap"), GetUint64(o, "history0"), GetUint64(o, "history1")};
}
Napi::Object GiveUuids(Napi::Env env, const core::UuidSet& u) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("current", Big(env, u.current));
  o.Set("bitmap", Big(env, u.bitmap));
  o.Set("history0", Big(env, u.history0));
  o.Set("history1", Big(env, u.history1));
  return o;
}

Napi::Value EncodeSuperBlock(const Info& info) {
  const Napi::Object o = Object(info, 0);
  core::SuperBlock sb;
  sb.la_size_sect = GetUint64(o, "laSizeSect");
  sb.uuids = TakeUuids(GetObject(o, "uuids"));
  sb.device_uuid = GetUint64(o, "deviceUuid");
  sb.flags = GetUint32(o, "flags");
  sb.magic = GetUint32(o, "magic", core::kMdMagicV08);
  sb.md_size_sect = GetUint32(o, "mdSizeSect");
  sb.al_offset = static_cast<int32_t>(GetNumber(o, "alOffset"));
  sb.al_nr_extents = GetUint32(o, "alNrExtents");
  sb.bm_offset = static_cast<int32_t>(GetNumber(o, "bmOffset"));
  sb.la_peer_max_bio_size = GetUint32(o, "laPeerMaxBioSize");
  sb.al_stripes = GetUint32(o, "alStripes", 1);
  sb.al_stripe_size_4k = GetUint32(o, "alStripeSize4k", 8);
  uint8_t block[core::kMetaBlockBytes];
  core::EncodeSuperBlock(sb, block);
  return ToBuffer(info.Env(), block);
}
Napi::Value DecodeSuperBlock(const Info& info) {
  Napi::Env env = info.Env();
  const auto bytes = Bytes(info, 0);
  if (bytes.size() != core::kMetaBlockBytes) return Throw(env, {core::ErrorCode::kInvalidArgument, 0, "a super block has 4096 bytes"});
  const auto decoded = core::DecodeSuperBlock(bytes.first<core::kMetaBlockBytes>());
  if (!decoded.ok()) return Throw(env, decoded.error());
  const core::SuperBlock& sb = decoded.value();
  Napi::Object o = Napi::Object::New(env);
  o.Set("laSizeSect", Big(env, sb.la_size_sect));
  o.Set("uuids", GiveUuids(env, sb.uuids));
  o.Set("deviceUuid", Big(env, sb.device_uuid));
  o.Set("flags", sb.flags);
  o.Set("magic", sb.magic);
  o.Set("mdSizeSect", sb.md_size_sect);
  o.Set("alOffset", sb.al_offset);
  o.Set("alNrExtents", sb.al_nr_extents);
  o.Set("bmOffset", sb.bm_offset);
  o.Set("laPeerMaxBioSize", sb.la_peer_max_bio_size);
  o.Set("alStripes", sb.al_stripes);
  o.Set("alStripeSize4k", sb.al_stripe_size_4k);
  o.Set("clean", sb.clean());
  return o;
}
/// layout({kind, index, backingSectors, metaSectors, alStripes, alStripeSize4k})
Napi::Value Layout(const Info& info) {
  Napi::Env env = info.Env();
  const Napi::Object o = Object(info, 0);
  const std::string kind = GetString(o, "kind");
  using Kind = core::MetaDataPlace::Kind;
  const core::MetaDataPlace place{kind == "flexible" ? Kind::kFlexible : kind == "indexed" ? Kind::kIndexed : Kind::kInternal, GetUint32(o, "index")};
  const uint64_t backing = GetUint64(o, "backingSectors");
  const auto layout = core::ComputeLayout(place, backing, GetUint64(o, "metaSectors", backing), GetUint32(o, "alStripes", 1), GetUint32(o, "alStripeSize4k", 8));
  if (!layout.ok()) return Throw(env, layout.error());
  const core::MetaDataLayout& l = layout.value();
  Napi::Object r = Napi::Object::New(env);
  r.Set("superBlockSector", Big(env, l.super_block_sector));
  r.Set("alSector", Big(env, l.al_sector));
  r.Set("alBlocks", Big(env, l.al_blocks));
  r.Set("bitmapSector", Big(env, l.bitmap_sector));
  r.Set("bitmapSectors", Big(env, l.bitmap_sectors));
  r.Set("usableSectors", Big(env, l.usable_sectors));
  r.Set("mdSizeSect", l.md_size_sect);
  r.Set("alOffset", l.al_offset);
  r.Set("bmOffset", l.bm_offset);
  return r;
}

// ---- bitmap on the wire ----

/// encodeBitmap(words, sectors, useRle): [{command, payload}]
Napi::Value EncodeBitmap(const Info& info) {
  Napi::Env env = info.Env();
  const auto words = Bytes(info, 0);
  const uint64_t sectors = info.Length() > 1 && info[1].IsNumber() ? static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value()) : 0;
  if (sectors == 0 || sectors > core::kMaxDeviceSectors || words.size() % 8 != 0 || words.size() != (core::BitsOfSectors(sectors) + 63) / 64 * 8) {
    return Throw(env, {core::ErrorCode::kInvalidArgument, 0, "the words do not fit the size"});
  }
  core::Bitmap bitmap(sectors);
  bitmap.Resize(sectors, false);
  bitmap.MergeWords(0, words);
  core::BitmapSender sender(bitmap, info.Length() > 2 && info[2].IsBoolean() && info[2].As<Napi::Boolean>().Value());
  Napi::Array packets = Napi::Array::New(env);
  uint8_t payload[core::kBitmapPacketBytes];
  for (bool last = false; !last;) {
    const auto chunk = sender.Next(payload);
    Napi::Object packet = Napi::Object::New(env);
    packet.Set("command", static_cast<uint32_t>(chunk.command));
    packet.Set("payload", ToBuffer(env, {payload, chunk.bytes}));
    packets.Set(packets.Length(), packet);
    last = chunk.last;
  }
  return packets;
}
/// decodeBitmap([{command, payload}], sectors): {words, complete}
Napi::Value DecodeBitmap(const Info& info) {
  Napi::Env env = info.Env();
  const uint64_t sectors = info.Length() > 1 && info[1].IsNumber() ? static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value()) : 0;
  if (sectors == 0 || sectors > core::kMaxDeviceSectors || !info[0].IsArray()) {
    return Throw(env, {core::ErrorCode::kInvalidArgument, 0, "packets and a size are needed"});
  }
  core::Bitmap bitmap(sectors);
  bitmap.Resize(sectors, false);
  core::BitmapReceiver receiver(bitmap);
  const auto packets = info[0].As<Napi::Array>();
  bool complete = false;
  for (uint32_t i = 0; i < packets.Length(); i++) {
    if (!packets.Get(i).IsObject()) continue;
    const auto packet = packets.Get(i).As<Napi::Object>();
    const Napi::Value payload = packet.Get("payload");
    std::span<const uint8_t> bytes;
    if (payload.IsTypedArray() && payload.As<Napi::TypedArray>().ByteLength() != 0) {
      const auto array = payload.As<Napi::TypedArray>();
      bytes = {static_cast<const uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset(), array.ByteLength()};
    }
    const auto taken = receiver.Take(static_cast<core::Command>(GetUint32(packet, "command")), bytes);
    if (!taken.ok()) return Throw(env, taken.error());
    complete = taken.value();
  }
  Napi::Buffer<uint8_t> words = Napi::Buffer<uint8_t>::New(env, bitmap.words() * 8);
  bitmap.ReadWords(0, {words.Data(), words.Length()});
  Napi::Object result = Napi::Object::New(env);
  result.Set("words", words);
  result.Set("complete", complete);
  return result;
}

// ---- decisions ----

core::CompareInput TakeCompare(const Napi::Object& o) {
  core::CompareInput in;
  in.self = TakeUuids(GetObject(o, "self"));
  in.peer = TakeUuids(GetObject(o, "peer"));
  in.self_crashed_primary = GetBool(o, "selfCrashedPrimary");
  in.peer_crashed_primary = GetBool(o, "peerCrashedPrimary");
  in.self_primary = GetBool(o, "selfPrimary");
  in.peer_primary = GetBool(o, "peerPrimary");
  in.resolve_conflicts = GetBool(o, "resolveConflicts");
  in.feature_wsame = GetBool(o, "featureWsame");
  return in;
}
Napi::Object GiveCompare(Napi::Env env, const core::CompareResult& result) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("value", result.value);
  o.Set("rule", result.rule);
  o.Set("self", GiveUuids(env, result.self));
  o.Set("peer", GiveUuids(env, result.peer));
  return o;
}
Napi::Value CompareUuids(const Info& info) { return GiveCompare(info.Env(), core::CompareUuids(TakeCompare(Object(info, 0)))); }

template <typename E, typename Name>
E ByName(const std::string& text, uint32_t count, Name name, E otherwise) {
  for (uint32_t i = 0; i < count; i++) {
    if (text == name(static_cast<E>(i))) return static_cast<E>(i);
  }
  return otherwise;
}
constexpr uint32_t kRoles = 3;
constexpr uint32_t kConns = 24;
constexpr uint32_t kDisks = 9;

const char* ActionName(core::HandshakeAction action) {
  using A = core::HandshakeAction;
  switch (action) {
    case A::kNoSync: return "no-sync";
    case A::kSourceBitmap: return "source-bitmap";
    case A::kSourceFull: return "source-full";
    case A::kTargetBitmap: return "target-bitmap";
    case A::kTargetFull: return "target-full";
    case A::kSplitBrain: return "split-brain";
    case A::kUnrelated: return "unrelated";
    case A::kRefused: return "refused";
    case A::kDryRun: return "dry-run";
  }
  return "unknown";
}
/// Policies travel as their wire numbers (§6.5).
Napi::Value DecideHandshake(const Info& info) {
  Napi::Env env = info.Env();
  const Napi::Object o = Object(info, 0);
  core::HandshakeInput in;
  in.compare = TakeCompare(GetObject(o, "compare"));
  in.self_disk = ByName(GetString(o, "selfDisk"), kDisks, core::DiskName, core::Disk::kDiskless);
  in.peer_disk = ByName(GetString(o, "peerDisk"), kDisks, core::DiskName, core::Disk::kDiskless);
  in.self_bits_set = GetUint64(o, "selfBitsSet");
  in.peer_bits_set = GetUint64(o, "peerBitsSet");
  const auto policy = [&](const char* name) { return static_cast<core::AfterSb>(std::min<uint32_t>(GetUint32(o, name), 10)); };
  in.after_sb_0pri = policy("afterSb0pri");
  in.after_sb_1pri = policy("afterSb1pri");
  in.after_sb_2pri = policy("afterSb2pri");
  in.always_asbp = GetBool(o, "alwaysAsbp");
  in.rr_conflict = static_cast<core::RrConflict>(std::min<uint32_t>(GetUint32(o, "rrConflict"), 2));
  in.self_discard_my_data = GetBool(o, "selfDiscardMyData");
  in.peer_discard_my_data = GetBool(o, "peerDiscardMyData");
  in.dry_run = GetBool(o, "dryRun");
  const core::HandshakeDecision d = core::DecideHandshake(in);
  Napi::Object r = Napi::Object::New(env);
  r.Set("action", ActionName(d.action));
  r.Set("compare", GiveCompare(env, d.compare));
  r.Set("splitBrainSeen", d.split_brain_seen);
  r.Set("solvedByPolicy", d.solved_by_policy);
  r.Set("callPriLost", d.call_pri_lost);
  r.Set("dryRunWould", ActionName(d.dry_run_would));
  r.Set("reason", d.reason);
  return r;
}

core::State TakeState(const Napi::Object& o) {
  core::State s;
  s.role = ByName(GetString(o, "role"), kRoles, core::RoleName, s.role);
  s.peer = ByName(GetString(o, "peer"), kRoles, core::RoleName, s.peer);
  s.conn = ByName(GetString(o, "conn"), kConns, core::ConnName, s.conn);
  s.disk = ByName(GetString(o, "disk"), kDisks, core::DiskName, s.disk);
  s.pdsk = ByName(GetString(o, "pdsk"), kDisks, core::DiskName, s.pdsk);
  s.susp = GetBool(o, "susp");
  s.aftr_isp = GetBool(o, "aftrIsp");
  s.peer_isp = GetBool(o, "peerIsp");
  s.user_isp = GetBool(o, "userIsp");
  s.susp_nod = GetBool(o, "suspNod");
  s.susp_fen = GetBool(o, "suspFen");
  return s;
}
Napi::Object GiveState(Napi::Env env, const core::State& s) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("role", core::RoleName(s.role));
  o.Set("peer", core::RoleName(s.peer));
  o.Set("conn", core::ConnName(s.conn));
  o.Set("disk", core::DiskName(s.disk));
  o.Set("pdsk", core::DiskName(s.pdsk));
  o.Set("susp", s.susp);
  o.Set("aftrIsp", s.aftr_isp);
  o.Set("peerIsp", s.peer_isp);
  o.Set("userIsp", s.user_isp);
  o.Set("suspNod", s.susp_nod);
  o.Set("suspFen", s.susp_fen);
  return o;
}
core::StateContext TakeContext(const Napi::Object& o) {
  core::StateContext c;
  c.allow_two_primaries = GetBool(o, "allowTwoPrimaries");
  c.has_verify_alg = GetBool(o, "hasVerifyAlg");
  const Napi::Value net = o.Get("hasNetConfig");
  c.has_net_config = !net.IsBoolean() || net.As<Napi::Boolean>().Value();
  c.device_open = GetBool(o, "deviceOpen");
  c.other_volume_peer_primary = GetBool(o, "otherVolumePeerPrimary");
  c.fencing = static_cast<core::Fencing>(std::min<uint32_t>(GetUint32(o, "fencing"), 2));
  c.no_data_suspends = GetBool(o, "noDataSuspends");
  return c;
}
/// sanitize(state, context)
Napi::Value Sanitize(const Info& info) { return GiveState(info.Env(), core::Sanitize(TakeState(Object(info, 0)), TakeContext(Object(info, 1)))); }
/// decide(from, wanted, context): {verdict, text, state}
Napi::Value Decide(const Info& info) {
  Napi::Env env = info.Env();
  core::State out;
  const core::Verdict verdict = core::Decide(TakeState(Object(info, 0)), TakeState(Object(info, 1)), TakeContext(Object(info, 2)), out);
  Napi::Object r = Napi::Object::New(env);
  r.Set("verdict", static_cast<int>(verdict));
  r.Set("text", core::VerdictText(verdict));
  r.Set("state", GiveState(env, out));
  return r;
}

template <typename E>
Napi::Array NameList(Napi::Env env, uint32_t count, const char* (*name)(E)) {
  Napi::Array list = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; i++) list.Set(i, name(static_cast<E>(i)));
  return list;
}

}  // namespace

Napi::Object CoreExports(Napi::Env env) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("crc32c", Napi::Function::New<Crc32c>(env, "crc32c"));
  o.Set("digest", Napi::Function::New<DigestOf>(env, "digest"));
  o.Set("hmac", Napi::Function::New<HmacOf>(env, "hmac"));
  o.Set("encodeSuperBlock", Napi::Function::New<EncodeSuperBlock>(env, "encodeSuperBlock"));
  o.Set("decodeSuperBlock", Napi::Function::New<DecodeSuperBlock>(env, "decodeSuperBlock"));
  o.Set("layout", Napi::Function::New<Layout>(env, "layout"));
  o.Set("encodeBitmap", Napi::Function::New<EncodeBitmap>(env, "encodeBitmap"));
  o.Set("decodeBitmap", Napi::Function::New<DecodeBitmap>(env, "decodeBitmap"));
  o.Set("compareUuids", Napi::Function::New<CompareUuids>(env, "compareUuids"));
  o.Set("decideHandshake", Napi::Function::New<DecideHandshake>(env, "decideHandshake"));
  o.Set("sanitize", Napi::Function::New<Sanitize>(env, "sanitize"));
  o.Set("decide", Napi::Function::New<Decide>(env, "decide"));
  return o;
}

Napi::Object Names(Napi::Env env) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("roles", NameList<core::Role>(env, kRoles, core::RoleName));
  o.Set("connectionStates", NameList<core::Conn>(env, kConns, core::ConnName));
  o.Set("diskStates", NameList<core::Disk>(env, kDisks, core::DiskName));
  Napi::Object commands = Napi::Object::New(env);
  for (uint32_t i = 0; i <= 0xffff; i++) {
    const char* name = core::CommandName(static_cast<core::Command>(i));
    if (std::strcmp(name, "P_UNKNOWN") != 0) commands.Set(name, i);
  }
  o.Set("commands", commands);
  return o;
}

}  // namespace drbdts::addon
