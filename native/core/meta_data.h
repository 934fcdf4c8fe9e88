#pragma once
// v08 meta-data: placement, super block and activity log blocks (drbd-protocol §4). Memory in, memory out; no I/O.
#include <array>
#include <cstdint>
#include <span>

#include "core/result.h"
#include "core/units.h"

namespace drbdts::core {

inline constexpr uint32_t kMetaBlockBytes = 4096;
inline constexpr uint32_t kMdMagicV08 = 0x8374026b;         // clean when kMdAlClean is set too
inline constexpr uint32_t kMdMagicV08Unclean = 0x8374026c;  // attached, or not cleaned since
inline constexpr uint32_t kMdMagicV07 = 0x8374026a;
inline constexpr uint32_t kMdMagicV09 = 0x8374026d;

// Flags of the super block (§4.3)
inline constexpr uint32_t kMdConsistent = 0x001;
inline constexpr uint32_t kMdPrimaryInd = 0x002;
inline constexpr uint32_t kMdConnectedInd = 0x004;
inline constexpr uint32_t kMdFullSync = 0x008;
inline constexpr uint32_t kMdWasUpToDate = 0x010;
inline constexpr uint32_t kMdPeerOutdated = 0x020;
inline constexpr uint32_t kMdCrashedPrimary = 0x040;
inline constexpr uint32_t kMdAlClean = 0x080;
inline constexpr uint32_t kMdAlDisabled = 0x100;

inline constexpr uint64_t kUuidJustCreated = 4;
inline constexpr uint64_t kUuidSyncStep = 0x0001000000000000;

/// Current, bitmap, history 0 (younger), history 1.
struct UuidSet {
  uint64_t current = 0;
  uint64_t bitmap = 0;
  uint64_t history0 = 0;
  uint64_t history1 = 0;
  bool operator==(const UuidSet&) const = default;
};

struct SuperBlock {
  uint64_t la_size_sect = 0;
  UuidSet uuids;
  uint64_t device_uuid = 0;
  uint32_t flags = 0;
  uint32_t magic = kMdMagicV08;
  uint32_t md_size_sect = 0;
  int32_t al_offset = 0;  // sectors, relative to the super block
  uint32_t al_nr_extents = 0;
  int32_t bm_offset = 0;
  uint32_t bm_bytes_per_bit = kBlockSize;
  uint32_t la_peer_max_bio_size = 0;  // bytes
  uint32_t al_stripes = 1;
  uint32_t al_stripe_size_4k = 8;

  bool clean() const { return magic == kMdMagicV08 && (flags & kMdAlClean) != 0; }
};

/// Where meta-data is kept.
struct MetaDataPlace {
  enum class Kind : uint8_t { kInternal, kFlexible, kIndexed };
  Kind kind = Kind::kInternal;
  uint32_t index = 0;  // kIndexed
};

/// Byte-exact placement on the meta-data device, and what is left for data. All in sectors of the meta-data device.
struct MetaDataLayout {
  uint64_t super_block_sector = 0;
  uint64_t al_sector = 0;      // first
  uint64_t al_blocks = 0;      // 4 KiB blocks in the ring
  uint64_t bitmap_sector = 0;  // first
  uint64_t bitmap_sectors = 0; // room for the bitmap
  uint64_t usable_sectors = 0; // largest device this allows
  uint32_t md_size_sect = 0;
  int32_t al_offset = 0;
  int32_t bm_offset = 0;
};

/// Smallest and largest activity log ring, in 4 KiB blocks (32 KiB .. 32 MiB), over all stripes.
inline constexpr uint32_t kAlBlocksMin = 8;
inline constexpr uint32_t kAlBlocksMax = 8192;

/// Placement rule of §4.1. backing_sectors: size of the data device; meta_sectors: size of the meta-data device (same as backing for
/// internal). The bitmap's room is counted in whole 4 KiB pages, since all meta-data I/O is done in such blocks.
/// Errors: kMetaDataTooSmall, kDeviceTooSmall, kDeviceTooLarge (over 16 TiB), kInvalidArgument (stripes).
Result<MetaDataLayout> ComputeLayout(const MetaDataPlace& place, uint64_t backing_sectors, uint64_t meta_sectors, uint32_t al_stripes = 1,
                                     uint32_t al_stripe_size_4k = 8);

/// What create-md writes: current uuid 4, flags AL_CLEAN, al_nr_extents 257.
SuperBlock FreshSuperBlock(const MetaDataLayout& layout, uint64_t device_uuid, uint32_t peer_max_bio_size, uint32_t al_stripes,
                           uint32_t al_stripe_size_4k);

void EncodeSuperBlock(const SuperBlock& super_block, std::span<uint8_t, kMetaBlockBytes> out);
/// Structure only (magic, bytes per bit, stripes in range). Errors: kNoMetaData, kWrongMetaDataVersion (v07, v09, by name in detail), kBadSuperBlock.
Result<SuperBlock> DecodeSuperBlock(std::span<const uint8_t, kMetaBlockBytes> in);
/// The offsets must be exactly those of `layout` (as drbdmeta demands) and the last agreed size must fit.
/// Errors: kBadSuperBlock with a detail that names the field.
Status CheckAgainstLayout(const SuperBlock& super_block, const MetaDataLayout& layout);

// ---- activity log blocks (§4.5) ----
inline constexpr uint32_t kAlMagic = 0x69cb65a2;
inline constexpr uint32_t kAlUpdatesPerBlock = 64;
inline constexpr uint32_t kAlContextPerBlock = 919;
inline constexpr uint32_t kAlNoExtent = 0xffffffff;
inline constexpr uint16_t kAlNoSlot = 0xffff;
inline constexpr uint32_t kAlExtentsMin = 67;   // what may be configured
inline constexpr uint32_t kAlSlotsMin = 4;      // what the log works with: one request takes two at most
inline constexpr uint32_t kAlExtentsMax = 65534;
inline constexpr uint32_t kAlExtentsDefault = 1237;

struct AlUpdate {
  uint16_t slot = kAlNoSlot;
  uint32_t extent = kAlNoExtent;
};

struct AlBlock {
  uint32_t transaction = 0;
  bool initialized_only = false;  // type 0xffff
  uint16_t n_updates = 0;
  uint16_t context_size = 0;
  uint16_t context_start_slot = 0;
  std::array<AlUpdate, kAlUpdatesPerBlock> updates{};
  std::array<uint32_t, kAlContextPerBlock> context{};
};

void EncodeAlBlock(const AlBlock& block, std::span<uint8_t, kMetaBlockBytes> out);
/// kBadActivityLog for wrong magic or checksum (a torn block), and for counts, slots or types that no writer produces.
Status DecodeAlBlock(std::span<const uint8_t, kMetaBlockBytes> in, AlBlock& out);
/// Block index in the ring of transaction `number`.
uint64_t AlBlockIndex(uint32_t number, uint32_t al_stripes, uint32_t al_stripe_size_4k);
/// Largest al-extents this ring can hold.
uint32_t AlExtentsLimit(uint64_t al_blocks);

/// Result of replaying a whole ring: which extents were active.
struct AlReplay {
  bool pristine = false;     // only "initialized" blocks: nothing to do
  uint32_t torn_blocks = 0;  // blocks that failed their checksum and were left out
};
/// Walks the ring (al_blocks * 4096 bytes) as §4.5 says and calls `mark(extent)` for every active extent. `slots` is scratch of at least
/// kAlExtentsMax + 1 entries. `extent` is as found on disk: it may lie behind the end of the device. An extent may be marked twice.
///
/// kBadActivityLog if no block is valid, and also if what is there cannot be the whole truth: a crash tears at most the one block that
/// was being written, the oldest. More torn blocks, a torn or missing one between the oldest and the newest, or a block in the wrong
/// place mean that active extents may be unknown; the caller must then take the whole device as out of sync. drbdmeta goes on in
/// these cases. Missing numbers are accepted where the ring holds an "initialized" block: re-initialising starts only after all
/// extents were marked in the bitmap. Nothing is marked when an error is returned.
Result<AlReplay> ReplayActivityLog(std::span<const uint8_t> ring, std::span<uint32_t> slots, void (*mark)(void* context, uint32_t extent),
                                   void* context);

}  // namespace drbdts::core
