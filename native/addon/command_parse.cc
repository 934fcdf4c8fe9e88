#include "addon/command_parse.h"

#include "addon/error.h"
#include "addon/options_parse.h"
#include "addon/values.h"

namespace drbdts::addon {
namespace {

using Kind = core::AdminCommand::Kind;

struct Name {
  const char* name;
  Kind kind;
};
constexpr Name kNames[] = {
    {"attach", Kind::kAttach},
    {"detach", Kind::kDetach},
    {"connect", Kind::kConnect},
    {"disconnect", Kind::kDisconnect},
    {"primary", Kind::kPrimary},
    {"secondary", Kind::kSecondary},
    {"invalidate", Kind::kInvalidate},
    {"invalidate-remote", Kind::kInvalidateRemote},
    {"outdate", Kind::kOutdate},
    {"pause-sync", Kind::kPauseSync},
    {"resume-sync", Kind::kResumeSync},
    {"new-current-uuid", Kind::kNewCurrentUuid},
    {"verify", Kind::kVerify},
    {"resize", Kind::kResize},
    {"suspend-io", Kind::kSuspendIo},
    {"resume-io", Kind::kResumeIo},
    {"net-options", Kind::kNetOptions},
    {"disk-options", Kind::kDiskOptions},
    {"down", Kind::kDown},
    {"check-peer", Kind::kCheckPeer},
};

}  // namespace

io::Failure ParseCommand(const std::string& name, const Napi::Object& args, const core::ResourceConfig& config, core::AdminCommand& to) {
  const Name* found = nullptr;
  for (const Name& candidate : kNames) {
    if (name == candidate.name) found = &candidate;
  }
  if (found == nullptr) return InvalidArgument("unknown command: " + name, name, "see NativeCommandArgs");
  to.kind = found->kind;
  const Napi::Value volume = args.Get("volume");
  if (volume.IsNumber()) {
    const int number = volume.As<Napi::Number>().Int32Value();
    for (size_t i = 0; i < config.volumes.size(); i++) {
      if (config.volumes[i].volume == number) to.volume = static_cast<int>(i);
    }
    if (to.volume < 0) {
      return InvalidArgument("resource " + config.name + " has no volume " + std::to_string(number), "volume", "see drbdts status for its volumes");
    }
  }
  to.force = GetBool(args, "force");
  to.discard_my_data = GetBool(args, "discardMyData");
  to.tentative = GetBool(args, "tentative");
  to.recover = GetBool(args, "recover");
  to.clear_bitmap = GetBool(args, "clearBitmap");
  to.assume_clean = GetBool(args, "assumeClean");
  to.sectors = to.kind == Kind::kVerify ? GetUint64(args, "startSector") : GetUint64(args, "sizeSectors");
  to.timeout_ms = static_cast<uint32_t>(GetUint64(args, "timeoutMs"));
  to.net = config.net;
  to.disk = config.volumes[to.volume < 0 ? 0 : static_cast<size_t>(to.volume)].options;
  if (to.kind == Kind::kNetOptions) return ParseNetOptions(GetObject(args, "options"), to.net);
  if (to.kind == Kind::kDiskOptions) return ParseDiskOptions(GetObject(args, "options"), to.disk);
  return {};
}

}  // namespace drbdts::addon
