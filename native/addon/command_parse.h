#pragma once
#include <napi.h>

#include <string>

#include "core/resource_api.h"
#include "io/failure.h"

namespace drbdts::addon {

/// NativeCommandArgs to AdminCommand. `volume` becomes an index. For net-options and disk-options `config` gives what stands now.
io::Failure ParseCommand(const std::string& name, const Napi::Object& args, const core::ResourceConfig& config, core::AdminCommand& to);

}  // namespace drbdts::addon
