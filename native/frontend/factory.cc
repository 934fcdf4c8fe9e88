#include "frontend/factory.h"

#include <utility>

#include "frontend/fuse_loop.h"
#include "frontend/memory.h"

namespace drbdts::frontend {

std::unique_ptr<Frontend> MakeFrontend(const std::string& kind, BlockTarget& target, FrontendEvents& events, FrontendConfig config) {
  if (kind == "fuse_loop") return std::make_unique<FuseLoop>(target, events, std::move(config));
  if (kind == "memory") return std::make_unique<MemoryFrontend>(target, events, std::move(config));
  return nullptr;
}

}  // namespace drbdts::frontend
