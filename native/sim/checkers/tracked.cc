#include "sim/checkers/tracked.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "sim/content.h"

namespace drbdts::sim {

using namespace core;
using Kind = Action::Kind;

namespace {
constexpr uint8_t kZeroSector[512] = {};

const uint8_t* SectorOf(const uint8_t* content, uint64_t sector) { return content == nullptr ? kZeroSector : content + sector * 512; }
bool SameSector(const uint8_t* a, const uint8_t* b) { return a == b || std::memcmp(a, b, 512) == 0; }
bool DataWrite(const Action& a) { return a.kind == Kind::kDiskWrite || a.kind == Kind::kDiskZero || a.kind == Kind::kDiskDiscard; }
const uint8_t* Payload(const Action& a) { return a.kind == Kind::kDiskWrite || a.kind == Kind::kMetaWrite ? a.data : nullptr; }
}  // namespace

/// What the node would find marked if its disk is as `side` says, and the meta-data write `done` (may be null) is done, or part of it.
TrackedChecker::Marks TrackedChecker::Read(const Side& side, const Action* done, Part part) const {
  const MetaDataLayout& layout = *side.layout;
  std::vector<uint8_t> out;
  /// Valid until the next call.
  const auto area = [&](uint64_t sector, uint64_t bytes) -> std::span<const uint8_t> {
    if (done == nullptr) return {side.base + sector * 512, bytes};
    out.assign(side.base + sector * 512, side.base + sector * 512 + bytes);
    if (side.hardened != 0) {  // the flush before that write has taken other meta-data with it
      side.drive->ForEachPending([&](uint32_t sequence, uint64_t first, uint64_t sectors, const uint8_t* content) {
        for (uint64_t s = std::max(first, sector); s < std::min(first + sectors, sector + bytes / 512); ++s) {
          if (sequence <= side.hardened && sequence > side.drive->DurableSequence(s)) std::memcpy(out.data() + (s - sector) * 512, SectorOf(content, s - first), 512);
        }
      });
    }
    const uint64_t count = done->bytes / 512, first = done->offset_bytes / 512;
    for (uint64_t i = 0; i < count; ++i) {
      const bool there = part == Part::kAll || (part == Part::kFirstHalf ? i < count / 2 : part == Part::kSecondHalf ? i >= count / 2 : i % 2 == 0);
      if (there && first + i >= sector && first + i < sector + bytes / 512) std::memcpy(out.data() + (first + i - sector) * 512, done->data + i * 512, 512);
    }
    return out;
  };
  Marks m;
  const uint64_t blocks = (layout.usable_sectors + 7) / 8;
  const std::span<const uint8_t> super = area(layout.super_block_sector, kMetaBlockBytes);
  const auto decoded = DecodeSuperBlock(std::span<const uint8_t, kMetaBlockBytes>(super.data(), kMetaBlockBytes));
  const uint32_t flags = decoded.ok() ? decoded.value().flags : 0;
  const bool was_primary = (flags & (kMdPrimaryInd | kMdCrashedPrimary)) != 0;
  if (!decoded.ok() || (flags & kMdFullSync) != 0 || (was_primary && (flags & kMdAlDisabled) != 0) || WithoutRoleBit(decoded.value().uuids.current) == kUuidJustCreated) {
    m.everything = true;
    return m;
  }
  m.bits.assign(blocks, 0);
  const std::span<const uint8_t> bitmap = area(layout.bitmap_sector, (blocks / 8 / 512 + 1) * 512);
  for (uint64_t b = 0; b < blocks; ++b) m.bits[b] = bitmap[b / 8] >> (b % 8) & 1;
  if (decoded.value().clean() || (flags & kMdPrimaryInd) == 0) return m;
  static std::vector<uint32_t> slots(kAlExtentsMax + 1);
  struct Context {
    Marks* marks;
    uint64_t blocks;
  } context{&m, blocks};
  const auto replay = ReplayActivityLog(
      area(layout.al_sector, layout.al_blocks * kMetaBlockBytes), slots,
      [](void* p, uint32_t extent) {
        auto* c = static_cast<Context*>(p);
        for (uint64_t b = uint64_t{extent} * kBitsPerAlExtent; b < (uint64_t{extent} + 1) * kBitsPerAlExtent && b < c->blocks; ++b) c->marks->bits[b] = 1;
      },
      &context);
  if (!replay.ok()) m.everything = m.unreadable = true;
  return m;
}

/// Lists blocks in which something that may be on `side` is not what `other` has.
void TrackedChecker::Candidates(const Side& side, const Side& other, uint32_t volume, uint64_t usable) {
  const auto list = [&](uint64_t block) {
    if (listed_.size() <= block) listed_.resize(block + 1);
    if (listed_[block] != 0) return;
    listed_[block] = 1;
    candidates_.push_back(static_cast<uint32_t>(block));
  };
  for (const uint64_t page : side.drive->pages()) {
    if (page * 8 >= usable || (side.drive->Blank(page) && other.drive->Blank(page))) continue;
    const uint64_t bytes = std::min<uint64_t>(4096, usable * 512 - page * 4096);
    if (std::memcmp(side.base + page * 4096, other.base + page * 4096, bytes) != 0) list(page);
  }
  const auto write = [&](uint64_t sector, uint64_t sectors, const uint8_t* content) {
    for (uint64_t i = 0; i < sectors && sector + i < usable; ++i) {
      if (!SameSector(SectorOf(content, i), other.base + (sector + i) * 512)) list((sector + i) / 8);
    }
  };
  if (side.power) {
    side.drive->ForEachPending([&](uint32_t, uint64_t sector, uint64_t sectors, const uint8_t* content) { write(sector, sectors, content); });
  }
  if (!side.node->alive()) return;
  side.node->ForEachOpenIo([&](const Action& a, uint64_t) {
    if (a.volume == volume && DataWrite(a)) write(a.offset_bytes / 512, a.bytes / 512, Payload(a));
  });
}

/// Everything that may be in that sector.
void TrackedChecker::Contents(const Side& side, uint32_t volume, uint64_t sector, std::vector<const uint8_t*>& out) const {
  out.assign(1, side.base + sector * 512);
  if (side.power) {
    const uint64_t durable = side.drive->DurableSequence(sector);
    side.drive->ForEachPending([&](uint32_t sequence, uint64_t first, uint64_t sectors, const uint8_t* content) {
      if (sector < first || sector >= first + sectors || sequence <= durable) return;
      if (sequence <= side.hardened) out.clear();
      out.push_back(SectorOf(content, sector - first));
    });
  }
  if (!side.node->alive()) return;
  side.node->ForEachOpenIo([&](const Action& a, uint64_t) {
    const uint64_t first = a.offset_bytes / 512;
    if (a.volume == volume && DataWrite(a) && sector >= first && sector < first + a.bytes / 512) out.push_back(SectorOf(Payload(a), sector - first));
  });
}

bool TrackedChecker::Differs(const Side& a, const Side& b, uint32_t volume, uint64_t block, uint64_t usable, uint64_t& sector) const {
  std::vector<const uint8_t*> in_a, in_b;
  for (sector = block * 8; sector < std::min(block * 8 + 8, usable); ++sector) {
    Contents(a, volume, sector, in_a);
    Contents(b, volume, sector, in_b);
    for (const uint8_t* one : in_a) {
      for (const uint8_t* two : in_b) {
        if (!SameSector(one, two)) return true;
      }
    }
  }
  return false;
}

bool TrackedChecker::Report(const char* when, const Side& a, const Side& b, uint32_t volume, uint64_t usable, const Marks& ma, const Marks& mb) {
  if (ma.everything || mb.everything) return false;
  for (const uint32_t block : candidates_) {
    uint64_t sector = 0;
    if (ma.bits[block] != 0 || mb.bits[block] != 0 || !Differs(a, b, volume, block, usable, sector)) continue;
    const auto holds = [sector](const Side& s) {
      return std::to_string(IdentifyContent(s.base + sector * 512, sector)) + (s.power ? ", seen " + std::to_string(IdentifyContent(s.drive->bytes() + sector * 512, sector)) : "");
    };
    findings_.Report("tracked", std::string(when) + ": volume " + std::to_string(volume) + " sector " + std::to_string(sector) + (a.power ? " may differ after a loss of power" : " differs") +
                                    " (A holds write " + holds(a) + ", B " + holds(b) + ") and neither bitmap nor activity log on disk says so");
    return true;
  }
  return false;
}

bool TrackedChecker::ReportUnreadable(const char* when, const Side& side, uint32_t volume, const Marks& marks) {
  if (!marks.unreadable) return false;
  findings_.Report("tracked", std::string(when) + ": a loss of power may leave node " + side.node->name() + " volume " + std::to_string(volume) + " with an activity log that it needs and cannot read");
  return true;
}

void TrackedChecker::Check(const char* when, Loss loss) {
  ++checks;
  for (uint32_t v = 0; v < world_.a().disks.size(); ++v) {
    Side sides[2];
    for (int i = 0; i < 2; ++i) {
      const Node& n = world_.node(i);
      const Drive& d = n.disk(v);
      sides[i] = {&n, &d, &n.layout, loss == Loss::kPower ? d.durable() : d.bytes(), loss == Loss::kPower, 0};
    }
    if (loss == Loss::kPower) {
      for (int i = 0; i < 2; ++i) {
        bool found = ReportUnreadable(when, sides[i], v, Read(sides[i], nullptr));
        if (!found && !sides[i].node->alive()) continue;
        sides[i].node->ForEachOpenIo([&](const Action& a, uint64_t) {
          if (a.kind != Kind::kMetaWrite || a.volume != v) return;
          for (const Part part : {Part::kFirstHalf, Part::kSecondHalf, Part::kEvenSectors}) found = found || ReportUnreadable(when, sides[i], v, Read(sides[i], &a, part));
        });
        if (found) return;
      }
    }
    const uint64_t usable = std::min(sides[0].layout->usable_sectors, sides[1].layout->usable_sectors);
    for (const uint32_t block : candidates_) listed_[block] = 0;
    candidates_.clear();
    for (int i = 0; i < 2; ++i) Candidates(sides[i], sides[1 - i], v, usable);
    if (candidates_.empty()) continue;
    const Marks marks[2] = {Read(sides[0], nullptr), Read(sides[1], nullptr)};
    if (Report(when, sides[0], sides[1], v, usable, marks[0], marks[1])) return;
    for (int i = 0; i < 2; ++i) {
      bool found = false;
      if (!sides[i].node->alive()) continue;
      sides[i].node->ForEachOpenIo([&](const Action& a, uint64_t flush) {
        if (found || a.kind != Kind::kMetaWrite || a.volume != v) return;
        Side done[2] = {sides[0], sides[1]};
        done[i].hardened = done[i].power && a.preflush ? flush : 0;
        const Marks after = Read(done[i], &a);
        found = Report(when, done[0], done[1], v, usable, i == 0 ? after : marks[0], i == 1 ? after : marks[1]);
      });
      if (found) return;
    }
  }
}

}  // namespace drbdts::sim
