#pragma once
// NativeOptions (DRBD's names and units) to the core's structures. Ranges are the configuration schema's business; here only what would not fit.
#include <napi.h>

#include "core/options.h"
#include "core/resource_api.h"
#include "engine/meta_tools.h"
#include "io/failure.h"

namespace drbdts::addon {

/// Sets what `from` names, leaves the rest of `to` alone. kInvalidArgument names the option and what it accepts.
io::Failure ParseNetOptions(const Napi::Object& from, core::NetOptions& to);
io::Failure ParseDiskOptions(const Napi::Object& from, core::DiskOptions& to);
/// NativeResourceConfig without keptFds and notifySocket.
io::Failure ParseResourceConfig(const Napi::Object& from, core::ResourceConfig& to);
/// disk, metaDisk, metaIndex
io::Failure ParseMetaLocation(const Napi::Object& from, engine::MetaLocation& to);

}  // namespace drbdts::addon
