#pragma once
#include <memory>
#include <string>

#include "frontend/frontend.h"

namespace drbdts::frontend {

/// Makes the front end named `kind`: `fuse_loop` or `memory`. Null for any other name. Starts nothing.
std::unique_ptr<Frontend> MakeFrontend(const std::string& kind, BlockTarget& target, FrontendEvents& events, FrontendConfig config);

}  // namespace drbdts::frontend
