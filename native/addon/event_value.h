#pragma once
#include <napi.h>

#include "core/options.h"
#include "engine/mailbox.h"

namespace drbdts::addon {

/// NativeEvent of a log line or a handler call, with DRBD's environment variables for the handler.
Napi::Object EventValue(Napi::Env env, const core::ResourceConfig& config, const engine::Event& event);

}  // namespace drbdts::addon
