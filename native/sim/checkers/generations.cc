#include "sim/checkers/generations.h"

#include "core/generation_uuid.h"

namespace drbdts::sim {

void GenerationsChecker::AtRest() {
  for (size_t v = 0; v < volumes_.size(); ++v) {
    const uint64_t a = core::WithoutRoleBit(world_.a().snap(static_cast<uint32_t>(v)).uuids.current);
    const uint64_t b = core::WithoutRoleBit(world_.b().snap(static_cast<uint32_t>(v)).uuids.current);
    PerVolume& p = volumes_[v];
    if (a != b) {
      findings_.Report("generations", "volume " + std::to_string(v) + ": both nodes are Connected and UpToDate with different current identifiers");
      return;
    }
    if (p.retired.count(a) != 0) {
      findings_.Report("generations", "volume " + std::to_string(v) + ": a retired current identifier is current again");
      return;
    }
    if (p.current != 0 && p.current != a) p.retired.insert(p.current);
    p.current = a;
  }
}

}  // namespace drbdts::sim
