#include "core/meta_data.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/crc32c.h"

#include <doctest/doctest.h>  // last: its CHECK replaces that of core/assert.h

using namespace drbdts::core;

namespace {

using Block = std::array<uint8_t, kMetaBlockBytes>;
constexpr uint64_t kMiB = 2048;  // sectors
constexpr uint64_t kGiB = 1024 * kMiB;

std::string Hex(std::span<const uint8_t> bytes) {
  std::string out;
  for (const uint8_t b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

MetaDataLayout MustLayout(MetaDataPlace place, uint64_t backing, uint64_t meta, uint32_t stripes = 1, uint32_t size = 8) {
  auto layout = ComputeLayout(place, backing, meta, stripes, size);
  REQUIRE(layout.ok());
  return layout.value();
}
const MetaDataPlace kInternal{MetaDataPlace::Kind::kInternal, 0};
const MetaDataPlace kFlexible{MetaDataPlace::Kind::kFlexible, 0};
MetaDataPlace Indexed(uint32_t index) { return {MetaDataPlace::Kind::kIndexed, index}; }

/// A ring of plain layout, with one update per transaction.
struct RingImage {
  std::vector<uint8_t> bytes;
  explicit RingImage(uint32_t blocks) : bytes(size_t{blocks} * kMetaBlockBytes) {
    for (uint32_t i = 0; i < blocks; ++i) Init(i);
  }
  std::span<uint8_t, kMetaBlockBytes> At(uint64_t i) { return std::span<uint8_t, kMetaBlockBytes>(bytes.data() + i * kMetaBlockBytes, kMetaBlockBytes); }
  void Init(uint64_t i) {
    AlBlock block;
    block.initialized_only = true;
    EncodeAlBlock(block, At(i));
  }
  void Tear(uint64_t i) { std::fill(At(i).begin() + 512, At(i).end(), uint8_t{0x5a}); }
  static AlBlock Update(uint32_t number, uint16_t slot, uint32_t extent) {
    AlBlock block;
    block.transaction = number;
    block.n_updates = 1;
    block.context_size = 1237;
    block.context_start_slot = 919;  // slots 919..1236, and no value in it: nothing was active before
    block.context.fill(kAlNoExtent);
    block.updates[0] = {slot, extent};
    return block;
  }
  void Put(const AlBlock& block, uint32_t stripes, uint32_t size) { EncodeAlBlock(block, At(AlBlockIndex(block.transaction, stripes, size))); }
};

struct Replayed {
  Result<AlReplay> result;
  std::set<uint32_t> extents;
};
Replayed Replay(const std::vector<uint8_t>& ring) {
  std::vector<uint32_t> slots(kAlExtentsMax + 1);
  std::set<uint32_t> extents;
  auto result = ReplayActivityLog(ring, slots, [](void* set, uint32_t extent) { static_cast<std::set<uint32_t>*>(set)->insert(extent); }, &extents);
  return {result, extents};
}

}  // namespace

TEST_CASE("layout: internal meta-data of a 1 GiB device lies where drbdmeta puts it") {
  const MetaDataLayout l = MustLayout(kInternal, kGiB, kGiB);
  CHECK(l.super_block_sector * 512 == 1073737728);
  CHECK(l.al_sector * 512 == 1073704960);
  CHECK(l.bitmap_sector * 512 == 1073672192);
  CHECK(l.md_size_sect == 136);
  CHECK(l.al_offset == -64);
  CHECK(l.bm_offset == -128);
  CHECK(l.usable_sectors == 2097016);
  CHECK(l.al_blocks == 8);
  CHECK(l.bitmap_sectors == 64);
}

TEST_CASE("layout: odd device sizes, borders of 128 MiB, stripes, external places") {
  struct Row {
    MetaDataPlace place;
    uint64_t backing, meta;
    uint32_t stripes, size, md_size;
    uint64_t md_bytes, al_bytes, bm_bytes;
  };
  // What drbdmeta 9.22 said of such devices.
  const Row rows[] = {
      {kInternal, 32768, 32768, 1, 8, 80, 16773120, 16740352, 16736256},
      {kInternal, 32773, 32773, 1, 8, 80, 16773120, 16740352, 16736256},
      {kInternal, 20971520, 20971520, 1, 8, 712, 10737414144, 10737381376, 10737053696},
      {kInternal, 20971597, 20971597, 1, 8, 720, 10737451008, 10737418240, 10737086464},
      {kInternal, 262144, 262144, 1, 8, 80, 134213632, 134180864, 134176768},
      {kInternal, 262145, 262145, 1, 8, 88, 134213632, 134180864, 134172672},
      {kInternal, 524288, 524288, 4, 8, 280, 268431360, 268300288, 268292096},
      {kInternal, 524288, 524288, 3, 5, 144, 268431360, 268369920, 268361728},
      {kFlexible, kGiB, 2048, 1, 8, 2048, 0, 4096, 36864},
      {kFlexible, kGiB, 2059, 1, 8, 2059, 0, 4096, 36864},
      {kFlexible, kGiB, 524288, 2, 16, 524288, 0, 4096, 135168},
      {Indexed(0), kGiB, 262144, 1, 8, 262144, 0, 4096, 36864},
      {Indexed(1), kGiB, 614400, 1, 8, 262144, 134217728, 134221824, 134254592},
      {Indexed(0), kGiB, 524288, 2, 16, 262144, 0, 4096, 135168},
  };
  for (const Row& row : rows) {
    CAPTURE(row.md_size);
    const MetaDataLayout l = MustLayout(row.place, row.backing, row.meta, row.stripes, row.size);
    CHECK(l.md_size_sect == row.md_size);
    CHECK(l.super_block_sector * 512 == row.md_bytes);
    CHECK(l.al_sector * 512 == row.al_bytes);
    CHECK(l.bitmap_sector * 512 == row.bm_bytes);
    CHECK(static_cast<int64_t>(l.al_sector) - static_cast<int64_t>(l.super_block_sector) == l.al_offset);
    CHECK(static_cast<int64_t>(l.bitmap_sector) - static_cast<int64_t>(l.super_block_sector) == l.bm_offset);
  }
}

TEST_CASE("layout: the parts never overlap and the bitmap has room for the whole device") {
  for (const MetaDataPlace& place : {kInternal, kFlexible, Indexed(0), Indexed(3)}) {
    for (uint64_t backing = 97; backing < kMaxDeviceSectors; backing = backing * 3 + 11) {
      const uint64_t meta = place.kind == MetaDataPlace::Kind::kInternal ? backing : 4 * 262144 + 5;
      const auto result = ComputeLayout(place, backing, meta, 1, 8);
      CAPTURE(backing);
      REQUIRE(result.ok());
      const MetaDataLayout& l = result.value();
      CHECK(l.usable_sectors <= backing);
      CHECK(BitsOfSectors(l.usable_sectors) <= l.bitmap_sectors * 4096);
      CHECK(l.bitmap_sectors % 8 == 0);
      CHECK(l.super_block_sector + 8 <= meta);
      CHECK(l.bitmap_sector + l.bitmap_sectors <= meta);
      CHECK(l.al_sector + l.al_blocks * 8 <= meta);
      if (place.kind == MetaDataPlace::Kind::kInternal) {
        CHECK(l.usable_sectors == l.bitmap_sector);
        CHECK(l.bitmap_sector + l.bitmap_sectors == l.al_sector);
        CHECK(l.al_sector + l.al_blocks * 8 == l.super_block_sector);
      } else {
        CHECK(l.al_sector == l.super_block_sector + 8);
        CHECK(l.bitmap_sector == l.al_sector + l.al_blocks * 8);
      }
    }
  }
}

TEST_CASE("layout: what does not fit is refused with its own code") {
  const auto code = [](const Result<MetaDataLayout>& r) { return r.ok() ? ErrorCode::kOk : r.error().code; };
  CHECK(code(ComputeLayout(kInternal, 0, 0)) == ErrorCode::kDeviceTooSmall);
  CHECK(code(ComputeLayout(kInternal, 80, 80)) == ErrorCode::kDeviceTooSmall);
  CHECK(code(ComputeLayout(kInternal, 88, 88)) == ErrorCode::kOk);
  CHECK(code(ComputeLayout(kInternal, kMaxDeviceSectors, kMaxDeviceSectors)) == ErrorCode::kOk);
  CHECK(code(ComputeLayout(kInternal, kMaxDeviceSectors * 2, kMaxDeviceSectors * 2)) == ErrorCode::kDeviceTooLarge);
  CHECK(code(ComputeLayout(kInternal, ~uint64_t{0}, ~uint64_t{0})) == ErrorCode::kDeviceTooLarge);
  CHECK(code(ComputeLayout(kFlexible, kGiB, 2047)) == ErrorCode::kMetaDataTooSmall);
  CHECK(code(ComputeLayout(kFlexible, kGiB, 2048, 1, 1024)) == ErrorCode::kMetaDataTooSmall);
  CHECK(code(ComputeLayout(kFlexible, 0, 2048)) == ErrorCode::kDeviceTooSmall);
  CHECK(code(ComputeLayout(kFlexible, kGiB, uint64_t{1} << 33)) == ErrorCode::kDeviceTooLarge);
  CHECK(code(ComputeLayout(kFlexible, kMaxDeviceSectors + 8, 1 << 22)) == ErrorCode::kDeviceTooLarge);
  CHECK(code(ComputeLayout(Indexed(1), kGiB, 2 * 262144 - 1)) == ErrorCode::kMetaDataTooSmall);
  CHECK(code(ComputeLayout(Indexed(0xffffffff), kGiB, kGiB)) == ErrorCode::kMetaDataTooSmall);
  CHECK(code(ComputeLayout(kInternal, kGiB, kGiB, 1, 7)) == ErrorCode::kInvalidArgument);
  CHECK(code(ComputeLayout(kInternal, kGiB, kGiB, 0, 0)) == ErrorCode::kInvalidArgument);
  CHECK(code(ComputeLayout(kInternal, kGiB, kGiB, 0xffffffff, 0xffffffff)) == ErrorCode::kInvalidArgument);
  // A small meta-data device limits the size of the volume instead.
  CHECK(MustLayout(kFlexible, kMaxDeviceSectors, 2048).usable_sectors == (2048 - 72) * 32768);
  CHECK(MustLayout(Indexed(0), kMaxDeviceSectors, 262144).usable_sectors == (262144 - 72) * uint64_t{32768});
}

TEST_CASE("super block: fresh meta-data of a 1 GiB device has the bytes that create-md writes") {
  Block block;
  EncodeSuperBlock(FreshSuperBlock(MustLayout(kInternal, kGiB, kGiB), 0, 0, 1, 8), block);
  CHECK(Hex(std::span(block).first(96)) ==
        "0000000000000000000000000000000400000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000808374026b00000088ffffffc000000101ffffff8000001000000000000000000100000008");
  CHECK(std::all_of(block.begin() + 96, block.end(), [](uint8_t b) { return b == 0; }));
  const auto decoded = DecodeSuperBlock(block);
  REQUIRE(decoded.ok());
  CHECK(decoded.value().clean());
  CHECK(decoded.value().uuids.current == kUuidJustCreated);
}

TEST_CASE("super block: foreign and damaged blocks are refused by name") {
  const MetaDataLayout layout = MustLayout(kInternal, kGiB, kGiB);
  const auto decode = [&](auto change) {
    SuperBlock sb = FreshSuperBlock(layout, 1, 2, 1, 8);
    change(sb);
    Block block;
    EncodeSuperBlock(sb, block);
    return DecodeSuperBlock(block);
  };
  auto r = decode([](SuperBlock& sb) { sb.magic = kMdMagicV07; });
  CHECK(r.error().code == ErrorCode::kWrongMetaDataVersion);
  CHECK(std::string(r.error().detail).find("v07") != std::string::npos);
  r = decode([](SuperBlock& sb) { sb.magic = kMdMagicV09; });
  CHECK(r.error().code == ErrorCode::kWrongMetaDataVersion);
  CHECK(std::string(r.error().detail).find("v09") != std::string::npos);
  CHECK(decode([](SuperBlock& sb) { sb.magic = 0; }).error().code == ErrorCode::kNoMetaData);
  CHECK(decode([](SuperBlock& sb) { sb.bm_bytes_per_bit = 512; }).error().code == ErrorCode::kBadSuperBlock);
  CHECK(decode([](SuperBlock& sb) { sb.al_stripes = 0; }).error().code == ErrorCode::kBadSuperBlock);
  CHECK(decode([](SuperBlock& sb) { sb.al_stripe_size_4k = 0x80000001; }).error().code == ErrorCode::kBadSuperBlock);
  r = decode([](SuperBlock& sb) { sb.al_stripes = sb.al_stripe_size_4k = 0; });
  REQUIRE(r.ok());
  CHECK(r.value().al_stripes == 1);
  CHECK(r.value().al_stripe_size_4k == 8);
  r = decode([](SuperBlock& sb) { sb.magic = kMdMagicV08Unclean; });
  REQUIRE(r.ok());
  CHECK_FALSE(r.value().clean());
  CHECK_FALSE(decode([](SuperBlock& sb) { sb.flags = kMdConsistent; }).value().clean());
}

TEST_CASE("super block: the check against the layout names the field") {
  const MetaDataLayout layout = MustLayout(kInternal, kGiB, kGiB);
  const SuperBlock good = FreshSuperBlock(layout, 1, 2, 1, 8);
  CHECK(CheckAgainstLayout(good, layout).ok());
  const auto detail = [&](auto change) {
    SuperBlock sb = good;
    change(sb);
    const Status status = CheckAgainstLayout(sb, layout);
    CHECK(status.error().code == ErrorCode::kBadSuperBlock);
    return std::string(status.error().detail);
  };
  CHECK(detail([](SuperBlock& sb) { ++sb.md_size_sect; }).starts_with("md_size_sect"));
  CHECK(detail([](SuperBlock& sb) { ++sb.al_offset; }).starts_with("al_offset"));
  CHECK(detail([](SuperBlock& sb) { ++sb.bm_offset; }).starts_with("bm_offset"));
  CHECK(detail([](SuperBlock& sb) { ++sb.al_stripes; }).starts_with("al_stripes"));
  CHECK(detail([&](SuperBlock& sb) { sb.la_size_sect = layout.usable_sectors + 1; }).starts_with("la_size_sect"));
}

TEST_CASE("activity log: the initialized block has the known checksum") {
  AlBlock block;
  block.initialized_only = true;
  Block bytes;
  EncodeAlBlock(block, bytes);
  CHECK(LoadBe32(bytes.data() + 8) == 0x709cc651);
  AlBlock back;
  REQUIRE(DecodeAlBlock(bytes, back).ok());
  CHECK(back.initialized_only);
}

TEST_CASE("activity log: any changed bit is noticed, impossible counts are refused") {
  Block bytes;
  EncodeAlBlock(RingImage::Update(7, 3, 4), bytes);
  AlBlock out;
  REQUIRE(DecodeAlBlock(bytes, out).ok());
  CHECK(out.transaction == 7);
  CHECK(out.updates[0].slot == 3);
  CHECK(out.updates[0].extent == 4);
  CHECK(out.context[918] == kAlNoExtent);
  for (size_t bit = 0; bit < bytes.size() * 8; bit += 37) {
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1 << bit % 8);
    CHECK(DecodeAlBlock(bytes, out).error().code == ErrorCode::kBadActivityLog);
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ 1 << bit % 8);
  }
  const auto patched = [&](size_t offset, uint16_t value) {
    Block b = bytes;
    StoreBe16(b.data() + offset, value);
    StoreBe32(b.data() + 8, 0);
    StoreBe32(b.data() + 8, Crc32cRaw(0, b));
    return DecodeAlBlock(b, out).ok();
  };
  CHECK(patched(14, 64));
  CHECK_FALSE(patched(14, 65));      // updates
  CHECK_FALSE(patched(16, 0xffff));  // context size
  CHECK_FALSE(patched(12, 7));       // type
  CHECK_FALSE(patched(36, 65534));   // slot of an update
}

TEST_CASE("activity log: every transaction number has a place of its own within one round, for any striping") {
  for (const auto& [stripes, size] : {std::pair{1u, 8u}, {4u, 8u}, {3u, 5u}, {16u, 1u}, {2u, 4096u}}) {
    const uint32_t blocks = stripes * size;
    std::set<uint64_t> seen;
    for (uint32_t t = 0; t < blocks; ++t) seen.insert(AlBlockIndex(t + 5 * blocks, stripes, size));
    CHECK(seen.size() == blocks);
    CHECK(*seen.rbegin() == blocks - 1);
  }
  CHECK(AlBlockIndex(13, 1, 8) == 5);
  CHECK(AlBlockIndex(1, 4, 8) == 8);  // neighbours go to different stripes
  CHECK(AlExtentsLimit(8) == 6433);
  CHECK(AlExtentsLimit(72) == 65249);
  CHECK(AlExtentsLimit(73) == kAlExtentsMax);
  CHECK(AlExtentsLimit(8192) == kAlExtentsMax);
  CHECK(AlExtentsLimit(0) == 0);
}

TEST_CASE("replay: pristine, partly written, wrapped round, any striping") {
  RingImage ring(8);
  Replayed r = Replay(ring.bytes);
  REQUIRE(r.result.ok());
  CHECK(r.result.value().pristine);

  for (const auto& [stripes, size] : {std::pair{1u, 8u}, {4u, 8u}, {3u, 5u}, {15u, 1u}}) {
    for (const uint32_t first : {0u, 5u, 0xfffffff8u, 0xffffffffu}) {
      CAPTURE(stripes);
      CAPTURE(first);
      const uint32_t blocks = stripes * size;
      if (first > 0x80000000u && 0x100000000 % blocks != 0) continue;  // such a ring is out of order for one round after 2^32 transactions
      RingImage striped(blocks);
      std::set<uint32_t> expected;
      for (uint32_t i = 0; i < blocks * 2; ++i) {
        // Slots below the context: nothing else speaks of them, so what left the ring is forgotten.
        striped.Put(RingImage::Update(first + i, static_cast<uint16_t>(i % 900), 1000 + i), stripes, size);
        expected.insert(1000 + i);
        if (i >= blocks) expected.erase(1000 + i - blocks);
        if (i + 1 == blocks) {
          r = Replay(striped.bytes);
          REQUIRE(r.result.ok());
          CHECK(r.extents == expected);
        }
      }
      r = Replay(striped.bytes);
      REQUIRE(r.result.ok());
      CHECK_FALSE(r.result.value().pristine);
      CHECK(r.extents == expected);
    }
  }
}

TEST_CASE("replay: context comes before updates, and an update can free or replace a slot") {
  RingImage ring(8);
  AlBlock block = RingImage::Update(0, 100, 11);
  block.context_start_slot = 0;
  block.context[100] = 77;  // the value before
  block.context[101] = 78;
  block.updates[1] = {102, 12};
  block.n_updates = 2;
  ring.Put(block, 1, 8);
  CHECK(Replay(ring.bytes).extents == std::set<uint32_t>{11, 12, 78});
  block = RingImage::Update(1, 102, kAlNoExtent);
  ring.Put(block, 1, 8);
  CHECK(Replay(ring.bytes).extents == std::set<uint32_t>{11, 78});
  // Context behind the context size counts only where it holds a value.
  block = RingImage::Update(2, kAlNoSlot, kAlNoExtent);
  block.context_size = 50;
  block.context_start_slot = 40;
  block.context[3] = 5;       // slot 43
  block.context[60] = 6;      // slot 100, beyond 50
  ring.Put(block, 1, 8);
  CHECK(Replay(ring.bytes).extents == std::set<uint32_t>{5, 6, 78});
}

TEST_CASE("replay: one torn block at the place being written is left out; anything worse is an error, not a guess") {
  const auto full = [] {
    RingImage ring(8);
    for (uint32_t t = 0; t < 12; ++t) ring.Put(RingImage::Update(t, static_cast<uint16_t>(t), t), 1, 8);
    return ring;  // blocks hold 8 9 10 11 4 5 6 7
  };
  RingImage ring = full();
  ring.Tear(4);  // number 12 on its way over number 4
  Replayed r = Replay(ring.bytes);
  REQUIRE(r.result.ok());
  CHECK(r.result.value().torn_blocks == 1);
  CHECK(r.extents == std::set<uint32_t>{5, 6, 7, 8, 9, 10, 11});

  const auto refused = [](RingImage& image) {
    const Replayed replayed = Replay(image.bytes);
    return !replayed.result.ok() && replayed.result.error().code == ErrorCode::kBadActivityLog && replayed.extents.empty();
  };
  for (const uint64_t i : {5, 7, 0, 2}) {  // older than the newest, and needed
    ring = full();
    ring.Tear(i);
    CHECK(refused(ring));
  }
  ring = full();
  ring.Tear(4);
  ring.Tear(5);
  CHECK(refused(ring));
  ring = full();
  std::swap_ranges(ring.At(1).begin(), ring.At(1).end(), ring.At(2).begin());
  CHECK(refused(ring));
  ring = full();
  ring.Put(RingImage::Update(100, 1, 1), 1, 8);  // a stranger among the numbers
  CHECK(refused(ring));
  RingImage torn(8);
  torn.Tear(0);
  r = Replay(torn.bytes);  // the very first transaction: nothing can have been hot
  REQUIRE(r.result.ok());
  CHECK(r.result.value().pristine);
  CHECK(r.result.value().torn_blocks == 1);
  for (uint64_t i = 1; i < 8; ++i) torn.Tear(i);
  CHECK(refused(torn));

  // Re-initialising was cut off: the extents had been marked before it began, so the holes are harmless.
  ring = full();
  ring.Init(0);
  ring.Init(1);
  r = Replay(ring.bytes);
  REQUIRE(r.result.ok());
  CHECK(r.extents == std::set<uint32_t>{4, 5, 6, 7, 10, 11});
}
