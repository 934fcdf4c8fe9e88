#include "addon/event_value.h"

#include <string>

#include "core/resource_api.h"

namespace drbdts::addon {
namespace {

const char* FamilyName(const core::Endpoint& endpoint) { return endpoint.family == 6 ? "ipv6" : "ipv4"; }

Napi::Object HandlerEnvironment(Napi::Env env, const core::ResourceConfig& config, int index) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("DRBD_RESOURCE", config.name);
  o.Set("DRBD_PEER", config.peer_name);
  o.Set("DRBD_PEERS", config.peer_name);
  o.Set("DRBD_PEER_ADDRESS", config.peer.host);
  o.Set("DRBD_PEER_AF", FamilyName(config.peer));
  o.Set("DRBD_MY_ADDRESS", config.local.host);
  o.Set("DRBD_MY_AF", FamilyName(config.local));
  std::string minors;
  std::string volumes;
  for (const core::VolumeConfig& v : config.volumes) {
    minors += (minors.empty() ? "" : " ") + std::to_string(v.minor);
    volumes += (volumes.empty() ? "" : " ") + std::to_string(v.volume);
  }
  // A handler of the whole resource gets lists.
  if (index < 0 || index >= static_cast<int>(config.volumes.size())) {
    o.Set("DRBD_MINOR", minors);
    o.Set("DRBD_VOLUME", volumes);
    return o;
  }
  const core::VolumeConfig& v = config.volumes[static_cast<size_t>(index)];
  o.Set("DRBD_MINOR", std::to_string(v.minor));
  o.Set("DRBD_VOLUME", std::to_string(v.volume));
  o.Set("DRBD_DEVICE", v.device);
  o.Set("DRBD_LL_DISK", v.disk);
  o.Set("DRBD_BACKING_DEV", v.disk);
  return o;
}

}  // namespace

Napi::Object EventValue(Napi::Env env, const core::ResourceConfig& config, const engine::Event& event) {
  Napi::Object o = Napi::Object::New(env);
  const bool whole = event.volume < 0 || event.volume >= static_cast<int>(config.volumes.size());
  const int number = whole ? -1 : config.volumes[static_cast<size_t>(event.volume)].volume;
  if (event.kind == engine::Event::Kind::kLog) {
    o.Set("type", "log");
    o.Set("level", event.code >= 2 ? "error" : event.code == 1 ? "warn" : "info");
    o.Set("volume", number);
    o.Set("message", event.text.data());
    return o;
  }
  o.Set("type", "handler");
  o.Set("id", static_cast<double>(event.id));
  o.Set("name", event.text.data());
  o.Set("volume", number);
  o.Set("wait", event.wait);
  o.Set("env", HandlerEnvironment(env, config, event.volume));
  return o;
}

}  // namespace drbdts::addon
