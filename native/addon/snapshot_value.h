#pragma once
#include <napi.h>

#include "core/resource_api.h"

namespace drbdts::addon {

/// NativeSnapshot
Napi::Object SnapshotValue(Napi::Env env, const core::ResourceConfig& config, const core::Snapshot& snapshot);

}  // namespace drbdts::addon
