#include "core/meta_data.h"

#include <algorithm>

#include "core/assert.h"
#include "core/bytes.h"
#include "core/crc32c.h"

namespace drbdts::core {
namespace {

constexpr uint32_t kSectorsPerMetaBlock = kMetaBlockBytes / kSectorSize;
constexpr uint64_t kIndexedSlotSectors = 262144;             // 128 MiB per index
constexpr uint64_t kFlexibleMinSectors = 2048;               // 1 MiB
constexpr uint64_t kSectorsPerBitmapSector = uint64_t{kSectorSize} * 8 * kSectorsPerBlock;  // device sectors that 512 bytes describe
constexpr uint64_t kSectorsPerBitmapBlock = kSectorsPerBitmapSector * kSectorsPerMetaBlock;

// Super block, byte offsets (§4.2)
constexpr size_t kOffsetLaSize = 0;
constexpr size_t kOffsetUuids = 8;
constexpr size_t kOffsetDeviceUuid = 40;
constexpr size_t kOffsetFlags = 56;
constexpr size_t kOffsetMagic = 60;
constexpr size_t kOffsetMdSize = 64;
constexpr size_t kOffsetAlOffset = 68;
constexpr size_t kOffsetAlExtents = 72;
constexpr size_t kOffsetBmOffset = 76;
constexpr size_t kOffsetBytesPerBit = 80;
constexpr size_t kOffsetPeerMaxBio = 84;
constexpr size_t kOffsetAlStripes = 88;
constexpr size_t kOffsetAlStripeSize = 92;

// Activity log block, byte offsets (§4.5)
constexpr size_t kAlOffsetNumber = 4;
constexpr size_t kAlOffsetCrc = 8;
constexpr size_t kAlOffsetType = 12;
constexpr size_t kAlOffsetUpdates = 14;
constexpr size_t kAlOffsetContextSize = 16;
constexpr size_t kAlOffsetContextStart = 18;
constexpr size_t kAlOffsetUpdateSlots = 36;
constexpr size_t kAlOffsetUpdateExtents = 164;
constexpr size_t kAlOffsetContext = 420;
static_assert(kAlOffsetUpdateSlots + 2 * kAlUpdatesPerBlock == kAlOffsetUpdateExtents);
static_assert(kAlOffsetUpdateExtents + 4 * kAlUpdatesPerBlock == kAlOffsetContext);
static_assert(kAlOffsetContext + 4 * kAlContextPerBlock == kMetaBlockBytes);
constexpr uint16_t kAlTypeUpdate = 0;
constexpr uint16_t kAlTypeInitialized = 0xffff;

bool StripesInRange(uint32_t stripes, uint32_t stripe_size_4k) {
  const uint64_t blocks = uint64_t{stripes} * stripe_size_4k;
  return blocks >= kAlBlocksMin && blocks <= kAlBlocksMax;
}

/// The checksum with its own field taken as zero.
uint32_t AlChecksum(std::span<const uint8_t> block) {
  constexpr std::array<uint8_t, 4> kZero{};
  uint32_t crc = Crc32cRaw(0, block.first(kAlOffsetCrc));
  crc = Crc32cRaw(crc, kZero);
  return Crc32cRaw(crc, block.subspan(kAlOffsetCrc + 4));
}

uint16_t UpdateSlot(const uint8_t* block, uint32_t i) { return LoadBe16(block + kAlOffsetUpdateSlots + 2 * size_t{i}); }
uint32_t UpdateExtent(const uint8_t* block, uint32_t i) { return LoadBe32(block + kAlOffsetUpdateExtents + 4 * size_t{i}); }
uint32_t ContextExtent(const uint8_t* block, uint32_t i) { return LoadBe32(block + kAlOffsetContext + 4 * size_t{i}); }

enum class AlBlockKind { kTorn, kMalformed, kInitialized, kUpdate };

AlBlockKind Classify(std::span<const uint8_t> block) {
  const uint8_t* p = block.data();
  if (LoadBe32(p) != kAlMagic || LoadBe32(p + kAlOffsetCrc) != AlChecksum(block)) return AlBlockKind::kTorn;
  const uint16_t type = LoadBe16(p + kAlOffsetType);
  if (type == kAlTypeInitialized) return AlBlockKind::kInitialized;
  if (type != kAlTypeUpdate || LoadBe16(p + kAlOffsetUpdates) > kAlUpdatesPerBlock || LoadBe16(p + kAlOffsetContextSize) > kAlExtentsMax) {
    return AlBlockKind::kMalformed;
  }
  for (uint32_t i = 0; i < kAlUpdatesPerBlock; ++i) {
    const uint16_t slot = UpdateSlot(p, i);
    if (slot != kAlNoSlot && slot >= kAlExtentsMax) return AlBlockKind::kMalformed;
  }
  const uint32_t start = LoadBe16(p + kAlOffsetContextStart);
  for (uint32_t i = 0; i < kAlContextPerBlock; ++i) {
    if (start + i >= kAlExtentsMax && ContextExtent(p, i) != kAlNoExtent) return AlBlockKind::kMalformed;
  }
  return AlBlockKind::kUpdate;
}

/// A ring whose blocks have been classified: at most one is torn, none malformed.
struct Ring {
  std::span<const uint8_t> bytes;
  uint64_t blocks = 0;
  uint64_t torn = ~uint64_t{0};

  const uint8_t* At(uint64_t index) const { return bytes.data() + index * kMetaBlockBytes; }
  bool IsUpdate(uint64_t index) const { return index != torn && LoadBe16(At(index) + kAlOffsetType) == kAlTypeUpdate; }
  uint32_t Number(uint64_t index) const { return LoadBe32(At(index) + kAlOffsetNumber); }
};

/// Number of stripes that puts every update block where it lies, 0 if there is none. The ring does not say how it is striped; where
/// several answers fit they agree about all blocks that are present.
uint32_t FindStripes(const Ring& ring) {
  for (uint64_t stripes = 1; stripes <= ring.blocks; ++stripes) {
    if (ring.blocks % stripes != 0) continue;
    const auto count = static_cast<uint32_t>(stripes);
    const auto size = static_cast<uint32_t>(ring.blocks / stripes);
    bool fits = true;
    for (uint64_t i = 0; fits && i < ring.blocks; ++i) fits = !ring.IsUpdate(i) || AlBlockIndex(ring.Number(i), count, size) == i;
    if (fits) return count;
  }
  return 0;
}

/// Applies one transaction: context first, it holds the values from before the updates. Returns one more than the highest slot touched.
uint32_t ApplyTransaction(const uint8_t* block, std::span<uint32_t> slots) {
  uint32_t end = 0;
  const uint32_t context_size = LoadBe16(block + kAlOffsetContextSize);
  const uint32_t start = LoadBe16(block + kAlOffsetContextStart);
  for (uint32_t i = 0; i < kAlContextPerBlock; ++i) {
    const uint32_t extent = ContextExtent(block, i);
    if (extent == kAlNoExtent && start + i >= context_size) continue;
    slots[start + i] = extent;
    end = std::max(end, start + i + 1);
  }
  // All 64 places are looked at whatever n_updates says: rather one extent too many than one too few.
  for (uint32_t i = 0; i < kAlUpdatesPerBlock; ++i) {
    const uint32_t slot = UpdateSlot(block, i);
    if (slot == kAlNoSlot) continue;
    slots[slot] = UpdateExtent(block, i);
    end = std::max(end, slot + 1);
  }
  return end;
}

Error BadActivityLog(const char* detail) { return Error{ErrorCode::kBadActivityLog, 0, detail}; }
Error BadSuperBlock(const char* detail) { return Error{ErrorCode::kBadSuperBlock, 0, detail}; }

}  // namespace

Result<MetaDataLayout> ComputeLayout(const MetaDataPlace& place, uint64_t backing_sectors, uint64_t meta_sectors, uint32_t al_stripes,
                                     uint32_t al_stripe_size_4k) {
  if (!StripesInRange(al_stripes, al_stripe_size_4k)) {
    return Error{ErrorCode::kInvalidArgument, 0, "activity log must have 8 to 8192 blocks of 4 KiB over all stripes"};
  }
  MetaDataLayout layout;
  layout.al_blocks = uint64_t{al_stripes} * al_stripe_size_4k;
  const uint64_t al_sectors = layout.al_blocks * kSectorsPerMetaBlock;

  if (place.kind == MetaDataPlace::Kind::kInternal) {
    // One block of bitmap per started 128 MiB of the whole backing device, meta-data included.
    if (backing_sectors > 2 * kMaxDeviceSectors) return Error{ErrorCode::kDeviceTooLarge, 0, "backing device is larger than 16 TiB"};
    const uint64_t end = backing_sectors & ~uint64_t{kSectorsPerMetaBlock - 1};
    layout.bitmap_sectors = (backing_sectors + kSectorsPerBitmapBlock - 1) / kSectorsPerBitmapBlock * kSectorsPerMetaBlock;
    const uint64_t md_size = kSectorsPerMetaBlock + al_sectors + layout.bitmap_sectors;
    if (end <= md_size) return Error{ErrorCode::kDeviceTooSmall, 0, "no room for data beside internal meta-data"};
    layout.super_block_sector = end - kSectorsPerMetaBlock;
    layout.md_size_sect = static_cast<uint32_t>(md_size);
    layout.al_offset = -static_cast<int32_t>(al_sectors);
    layout.bm_offset = -static_cast<int32_t>(al_sectors + layout.bitmap_sectors);
    layout.al_sector = layout.super_block_sector - al_sectors;
    layout.bitmap_sector = layout.al_sector - layout.bitmap_sectors;
    layout.usable_sectors = layout.bitmap_sector;
  } else {
    uint64_t md_size = meta_sectors;
    if (place.kind == MetaDataPlace::Kind::kIndexed) {
      md_size = kIndexedSlotSectors;
      layout.super_block_sector = uint64_t{place.index} * kIndexedSlotSectors;
      if (meta_sectors < layout.super_block_sector + md_size) {
        return Error{ErrorCode::kMetaDataTooSmall, 0, "meta-data device needs 128 MiB for every index up to this one"};
      }
    }
    const uint64_t bm_offset = kSectorsPerMetaBlock + al_sectors;
    if (md_size < kFlexibleMinSectors || md_size < bm_offset + kSectorsPerMetaBlock) {
      return Error{ErrorCode::kMetaDataTooSmall, 0, "meta-data device needs 1 MiB, or more with a large activity log"};
    }
    if (md_size > UINT32_MAX) return Error{ErrorCode::kDeviceTooLarge, 0, "meta-data device is 2 TiB or larger"};
    if (backing_sectors == 0) return Error{ErrorCode::kDeviceTooSmall, 0, "backing device is empty"};
    layout.md_size_sect = static_cast<uint32_t>(md_size);
    layout.al_offset = static_cast<int32_t>(kSectorsPerMetaBlock);
    layout.bm_offset = static_cast<int32_t>(bm_offset);
    layout.al_sector = layout.super_block_sector + kSectorsPerMetaBlock;
    layout.bitmap_sector = layout.super_block_sector + bm_offset;
    layout.bitmap_sectors = (md_size - bm_offset) & ~uint64_t{kSectorsPerMetaBlock - 1};
    layout.usable_sectors = std::min(backing_sectors, layout.bitmap_sectors * kSectorsPerBitmapSector);
  }
  if (layout.usable_sectors > kMaxDeviceSectors) return Error{ErrorCode::kDeviceTooLarge, 0, "backing device is larger than 16 TiB"};
  return layout;
}

SuperBlock FreshSuperBlock(const MetaDataLayout& layout, uint64_t device_uuid, uint32_t peer_max_bio_size, uint32_t al_stripes,
                           uint32_t al_stripe_size_4k) {
  SuperBlock super_block;
  super_block.uuids.current = kUuidJustCreated;
  super_block.device_uuid = device_uuid;
  super_block.flags = kMdAlClean;
  super_block.magic = kMdMagicV08;
  super_block.md_size_sect = layout.md_size_sect;
  super_block.al_offset = layout.al_offset;
  super_block.al_nr_extents = 257;
  super_block.bm_offset = layout.bm_offset;
  super_block.la_peer_max_bio_size = peer_max_bio_size;
  super_block.al_stripes = al_stripes;
  super_block.al_stripe_size_4k = al_stripe_size_4k;
  return super_block;
}

void EncodeSuperBlock(const SuperBlock& super_block, std::span<uint8_t, kMetaBlockBytes> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  uint8_t* p = out.data();
  StoreBe64(p + kOffsetLaSize, super_block.la_size_sect);
  StoreBe64(p + kOffsetUuids, super_block.uuids.current);
  StoreBe64(p + kOffsetUuids + 8, super_block.uuids.bitmap);
  StoreBe64(p + kOffsetUuids + 16, super_block.uuids.history0);
  StoreBe64(p + kOffsetUuids + 24, super_block.uuids.history1);
  StoreBe64(p + kOffsetDeviceUuid, super_block.device_uuid);
  StoreBe32(p + kOffsetFlags, super_block.flags);
  StoreBe32(p + kOffsetMagic, super_block.magic);
  StoreBe32(p + kOffsetMdSize, super_block.md_size_sect);
  StoreBe32(p + kOffsetAlOffset, static_cast<uint32_t>(super_block.al_offset));
  StoreBe32(p + kOffsetAlExtents, super_block.al_nr_extents);
  StoreBe32(p + kOffsetBmOffset, static_cast<uint32_t>(super_block.bm_offset));
  StoreBe32(p + kOffsetBytesPerBit, super_block.bm_bytes_per_bit);
  StoreBe32(p + kOffsetPeerMaxBio, super_block.la_peer_max_bio_size);
  StoreBe32(p + kOffsetAlStripes, super_block.al_stripes);
  StoreBe32(p + kOffsetAlStripeSize, super_block.al_stripe_size_4k);
}

Result<SuperBlock> DecodeSuperBlock(std::span<const uint8_t, kMetaBlockBytes> in) {
  const uint8_t* p = in.data();
  SuperBlock super_block;
  super_block.magic = LoadBe32(p + kOffsetMagic);
  switch (super_block.magic) {
    case kMdMagicV08:
    case kMdMagicV08Unclean:
      break;
    case kMdMagicV07:
      return Error{ErrorCode::kWrongMetaDataVersion, 0, "v07 meta-data (DRBD 0.7); convert it to v08 with drbdmeta first"};
    case kMdMagicV09:
      return Error{ErrorCode::kWrongMetaDataVersion, 0, "v09 meta-data (DRBD 9); convert it to v08 with drbdmeta first"};
    default:
      return Error{ErrorCode::kNoMetaData, 0, "no DRBD magic number where the super block should be"};
  }
  super_block.la_size_sect = LoadBe64(p + kOffsetLaSize);
  super_block.uuids.current = LoadBe64(p + kOffsetUuids);
  super_block.uuids.bitmap = LoadBe64(p + kOffsetUuids + 8);
  super_block.uuids.history0 = LoadBe64(p + kOffsetUuids + 16);
  super_block.uuids.history1 = LoadBe64(p + kOffsetUuids + 24);
  super_block.device_uuid = LoadBe64(p + kOffsetDeviceUuid);
  super_block.flags = LoadBe32(p + kOffsetFlags);
  super_block.md_size_sect = LoadBe32(p + kOffsetMdSize);
  super_block.al_offset = static_cast<int32_t>(LoadBe32(p + kOffsetAlOffset));
  super_block.al_nr_extents = LoadBe32(p + kOffsetAlExtents);
  super_block.bm_offset = static_cast<int32_t>(LoadBe32(p + kOffsetBmOffset));
  super_block.bm_bytes_per_bit = LoadBe32(p + kOffsetBytesPerBit);
  super_block.la_peer_max_bio_size = LoadBe32(p + kOffsetPeerMaxBio);
  super_block.al_stripes = LoadBe32(p + kOffsetAlStripes);
  super_block.al_stripe_size_4k = LoadBe32(p + kOffsetAlStripeSize);
  if (super_block.bm_bytes_per_bit != kBlockSize) return BadSuperBlock("bm_bytes_per_bit is not 4096");
  if (super_block.al_stripes == 0 && super_block.al_stripe_size_4k == 0) {
    // Written by versions that did not know stripes.
    super_block.al_stripes = 1;
    super_block.al_stripe_size_4k = 8;
  }
  if (!StripesInRange(super_block.al_stripes, super_block.al_stripe_size_4k)) {
    return BadSuperBlock("al_stripes times al_stripe_size_4k is not within 8 to 8192");
  }
  return super_block;
}

Status CheckAgainstLayout(const SuperBlock& super_block, const MetaDataLayout& layout) {
  if (super_block.md_size_sect != layout.md_size_sect) return BadSuperBlock("md_size_sect does not fit the size of the device");
  if (super_block.al_offset != layout.al_offset) return BadSuperBlock("al_offset does not fit the size of the device");
  if (super_block.bm_offset != layout.bm_offset) return BadSuperBlock("bm_offset does not fit the size of the device");
  if (uint64_t{super_block.al_stripes} * super_block.al_stripe_size_4k != layout.al_blocks) {
    return BadSuperBlock("al_stripes and al_stripe_size_4k do not fit the layout");
  }
  if (super_block.la_size_sect > layout.usable_sectors) return BadSuperBlock("la_size_sect is larger than the device has room for");
  return {};
}

void EncodeAlBlock(const AlBlock& block, std::span<uint8_t, kMetaBlockBytes> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  uint8_t* p = out.data();
  StoreBe32(p, kAlMagic);
  StoreBe32(p + kAlOffsetNumber, block.transaction);
  StoreBe16(p + kAlOffsetType, block.initialized_only ? kAlTypeInitialized : kAlTypeUpdate);
  if (!block.initialized_only) {
    CHECK(block.n_updates <= kAlUpdatesPerBlock);
    StoreBe16(p + kAlOffsetUpdates, block.n_updates);
    StoreBe16(p + kAlOffsetContextSize, block.context_size);
    StoreBe16(p + kAlOffsetContextStart, block.context_start_slot);
    for (size_t i = 0; i < kAlUpdatesPerBlock; ++i) {
      StoreBe16(p + kAlOffsetUpdateSlots + 2 * i, block.updates[i].slot);
      StoreBe32(p + kAlOffsetUpdateExtents + 4 * i, block.updates[i].extent);
    }
    for (size_t i = 0; i < kAlContextPerBlock; ++i) StoreBe32(p + kAlOffsetContext + 4 * i, block.context[i]);
  }
  StoreBe32(p + kAlOffsetCrc, AlChecksum(out));
}

Status DecodeAlBlock(std::span<const uint8_t, kMetaBlockBytes> in, AlBlock& out) {
  const AlBlockKind kind = Classify(in);
  if (kind == AlBlockKind::kTorn) return BadActivityLog("wrong magic number or checksum in an activity log block");
  if (kind == AlBlockKind::kMalformed) return BadActivityLog("impossible type, count or slot in an activity log block");
  const uint8_t* p = in.data();
  out.transaction = LoadBe32(p + kAlOffsetNumber);
  out.initialized_only = kind == AlBlockKind::kInitialized;
  out.n_updates = 0;
  out.context_size = 0;
  out.context_start_slot = 0;
  out.updates.fill(AlUpdate{});
  out.context.fill(kAlNoExtent);
  if (out.initialized_only) return {};
  out.n_updates = LoadBe16(p + kAlOffsetUpdates);
  out.context_size = LoadBe16(p + kAlOffsetContextSize);
  out.context_start_slot = LoadBe16(p + kAlOffsetContextStart);
  for (uint32_t i = 0; i < kAlUpdatesPerBlock; ++i) out.updates[i] = {UpdateSlot(p, i), UpdateExtent(p, i)};
  for (uint32_t i = 0; i < kAlContextPerBlock; ++i) out.context[i] = ContextExtent(p, i);
  return {};
}

uint64_t AlBlockIndex(uint32_t number, uint32_t al_stripes, uint32_t al_stripe_size_4k) {
  const uint64_t blocks = uint64_t{al_stripes} * al_stripe_size_4k;
  CHECK(blocks != 0);
  const uint64_t i = number % blocks;
  return (i % al_stripes) * al_stripe_size_4k + i / al_stripes;
}

uint32_t AlExtentsLimit(uint64_t al_blocks) {
  // All blocks but the one being written must together hold the whole context.
  if (al_blocks == 0) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>((std::min<uint64_t>(al_blocks, 73) - 1) * kAlContextPerBlock, kAlExtentsMax));
}

Result<AlReplay> ReplayActivityLog(std::span<const uint8_t> ring_bytes, std::span<uint32_t> slots,
                                   void (*mark)(void* context, uint32_t extent), void* context) {
  CHECK(!ring_bytes.empty() && ring_bytes.size() % kMetaBlockBytes == 0);
  CHECK(slots.size() >= size_t{kAlExtentsMax} + 1);
  Ring ring;
  ring.bytes = ring_bytes;
  ring.blocks = ring_bytes.size() / kMetaBlockBytes;

  AlReplay replay;
  uint64_t initialized = 0;
  uint64_t updates = 0;
  uint32_t reference = 0;  // numbers wrap: all are compared by their signed distance from the first one found
  int32_t oldest = 0;
  int32_t newest = 0;
  for (uint64_t i = 0; i < ring.blocks; ++i) {
    switch (Classify({ring.At(i), kMetaBlockBytes})) {
      case AlBlockKind::kTorn:
        ++replay.torn_blocks;
        ring.torn = i;
        break;
      case AlBlockKind::kMalformed:
        return BadActivityLog("impossible type, count or slot in an activity log block");
      case AlBlockKind::kInitialized:
        ++initialized;
        break;
      case AlBlockKind::kUpdate: {
        if (updates++ == 0) reference = LoadBe32(ring.At(i) + kAlOffsetNumber);
        const auto distance = static_cast<int32_t>(ring.Number(i) - reference);
        oldest = std::min(oldest, distance);
        newest = std::max(newest, distance);
        break;
      }
    }
  }
  if (initialized + updates == 0) return BadActivityLog("no valid block in the activity log");
  if (replay.torn_blocks > 1) return BadActivityLog("more than one damaged block: active extents may be unknown");
  if (updates == 0) {
    replay.pristine = true;
    return replay;
  }
  if (int64_t{newest} - oldest >= static_cast<int64_t>(ring.blocks)) return BadActivityLog("transaction numbers are too far apart");
  const uint32_t stripes = FindStripes(ring);
  if (stripes == 0) return BadActivityLog("transactions lie in the wrong places");

  std::fill(slots.begin(), slots.end(), kAlNoExtent);
  const auto stripe_size = static_cast<uint32_t>(ring.blocks / stripes);
  uint32_t slot_end = 0;
  for (int64_t distance = oldest; distance <= newest; ++distance) {
    const uint32_t number = reference + static_cast<uint32_t>(distance);
    const uint64_t index = AlBlockIndex(number, stripes, stripe_size);
    if (index == ring.torn) return BadActivityLog("a block before the newest is damaged: active extents may be unknown");
    if (!ring.IsUpdate(index)) continue;  // initialised after its extents went to the bitmap
    if (ring.Number(index) != number) return BadActivityLog("a transaction is missing: active extents may be unknown");
    slot_end = std::max(slot_end, ApplyTransaction(ring.At(index), slots));
  }
  for (uint32_t slot = 0; slot < slot_end; ++slot) {
    if (slots[slot] != kAlNoExtent) mark(context, slots[slot]);
  }
  return replay;
}

}  // namespace drbdts::core
