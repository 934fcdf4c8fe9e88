#include "sim/checkers/tracked.h"

#include <algorithm>
#include <cstring>

#include "sim/content.h"

namespace drbdts::sim {

using namespace core;

TrackedChecker::Marks TrackedChecker::Read(const Drive& drive, const MetaDataLayout& layout) const {
  Marks m;
  const uint64_t blocks = (layout.usable_sectors + 7) / 8;
  const auto decoded = DecodeSuperBlock(std::span<const uint8_t, kMetaBlockBytes>(drive.bytes() + layout.super_block_sector * 512, kMetaBlockBytes));
  if (!decoded.ok() || (decoded.value().flags & kMdFullSync) != 0) {
    m.everything = true;
    return m;
  }
  m.bits.assign(blocks, 0);
  const uint8_t* bitmap = drive.bytes() + layout.bitmap_sector * 512;
  for (uint64_t b = 0; b < blocks; ++b) m.bits[b] = bitmap[b / 8] >> (b % 8) & 1;
  if (decoded.value().clean()) return m;
  static std::vector<uint32_t> slots(kAlExtentsMax + 1);
  struct Context {
    Marks* marks;
    uint64_t blocks;
  } context{&m, blocks};
  const auto replay = ReplayActivityLog(
      std::span<const uint8_t>(drive.bytes() + layout.al_sector * 512, layout.al_blocks * kMetaBlockBytes), slots,
      [](void* p, uint32_t extent) {
        auto* c = static_cast<Context*>(p);
        for (uint64_t b = uint64_t{extent} * kBitsPerAlExtent; b < (uint64_t{extent} + 1) * kBitsPerAlExtent && b < c->blocks; ++b) c->marks->bits[b] = 1;
      },
      &context);
  if (!replay.ok()) m.everything = true;
  return m;
}

void TrackedChecker::Check(const char* when) {
  ++checks;
  Node &a = world_.a(), &b = world_.b();
  for (size_t v = 0; v < a.disks.size(); ++v) {
    const Drive &da = a.disk(static_cast<uint32_t>(v)), &db = b.disk(static_cast<uint32_t>(v));
    const uint64_t usable = std::min(a.layout.usable_sectors, b.layout.usable_sectors);
    Marks ma, mb;
    bool read = false;
    for (const Drive* d : {&da, &db}) {
      for (const uint64_t page : d->pages()) {
        if (page * 8 >= usable || (d == &db && da.Touched(page))) continue;
        const uint64_t bytes = std::min<uint64_t>(4096, usable * 512 - page * 4096);
        if (std::memcmp(da.bytes() + page * 4096, db.bytes() + page * 4096, bytes) == 0) continue;
        if (!read) {
          ma = Read(da, a.layout);
          mb = Read(db, b.layout);
          read = true;
        }
        if (ma.everything || mb.everything || ma.bits[page] != 0 || mb.bits[page] != 0) continue;
        uint64_t sector = page * 8;
        while (std::memcmp(da.bytes() + sector * 512, db.bytes() + sector * 512, 512) == 0) ++sector;
        findings_.Report("tracked", std::string(when) + ": volume " + std::to_string(v) + " sector " + std::to_string(sector) + " differs (A holds write " +
                                        std::to_string(IdentifyContent(da.bytes() + sector * 512, sector)) + ", B " +
                                        std::to_string(IdentifyContent(db.bytes() + sector * 512, sector)) + ") and neither bitmap nor activity log on disk says so");
        return;
      }
    }
  }
}

}  // namespace drbdts::sim
