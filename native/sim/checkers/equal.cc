#include "sim/checkers/equal.h"

#include <algorithm>
#include <cstring>

#include "sim/content.h"

namespace drbdts::sim {

void CheckEqual(World& world, Findings& findings, const char* when) {
  for (size_t v = 0; v < world.a().disks.size(); ++v) {
    const Drive &a = world.a().disk(static_cast<uint32_t>(v)), &b = world.b().disk(static_cast<uint32_t>(v));
    const uint64_t usable = world.a().snap(static_cast<uint32_t>(v)).size_sectors * 512;
    for (const Drive* d : {&a, &b}) {
      for (const uint64_t page : d->pages()) {
        if (page * 4096 >= usable || (a.Blank(page) && b.Blank(page))) continue;
        const uint64_t bytes = std::min<uint64_t>(4096, usable - page * 4096);
        if (std::memcmp(a.bytes() + page * 4096, b.bytes() + page * 4096, bytes) == 0) continue;
        uint64_t sector = page * 8;
        while (std::memcmp(a.bytes() + sector * 512, b.bytes() + sector * 512, 512) == 0) ++sector;
        findings.Report("equal", std::string(when) + ": volume " + std::to_string(v) + " sector " + std::to_string(sector) + ": A holds write " +
                                     std::to_string(IdentifyContent(a.bytes() + sector * 512, sector)) + ", B " +
                                     std::to_string(IdentifyContent(b.bytes() + sector * 512, sector)));
        return;
      }
    }
  }
}

}  // namespace drbdts::sim
