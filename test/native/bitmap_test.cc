#include "core/bitmap.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <doctest/doctest.h>  // last: its CHECK replaces that of core/assert.h

using namespace drbdts::core;

namespace {

uint64_t Seed() {
  const char* given = std::getenv("DRBDTS_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

/// Resident memory of this process in KiB.
uint64_t ResidentKiB() {
  unsigned long size = 0;
  unsigned long resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  REQUIRE(file != nullptr);
  REQUIRE(std::fscanf(file, "%lu %lu", &size, &resident) == 2);
  std::fclose(file);
  return resident * 4;
}

/// The same as a row of bools.
struct Model {
  uint64_t sectors = 0;
  std::vector<bool> bits;

  uint64_t Count(uint64_t first, uint64_t end) const {
    return static_cast<uint64_t>(std::count(bits.begin() + static_cast<std::ptrdiff_t>(first), bits.begin() + static_cast<std::ptrdiff_t>(end), true));
  }
  uint64_t Assign(uint64_t first, uint64_t end, bool value) {
    uint64_t changed = 0;
    for (uint64_t i = first; i < std::min<uint64_t>(end, bits.size()); ++i) {
      changed += bits[i] != value;
      bits[i] = value;
    }
    return changed;
  }
  uint64_t Next(uint64_t from, bool value) const {
    for (uint64_t i = from; i < bits.size(); ++i) {
      if (bits[i] == value) return i;
    }
    return Bitmap::kNone;
  }
  // Sector by sector, unlike the code under test.
  uint64_t SetRange(const SectorRange& range) {
    uint64_t changed = 0;
    for (uint64_t s = range.begin; s < std::min(range.end, sectors); ++s) changed += Assign(s / 8, s / 8 + 1, true);
    return changed;
  }
  uint64_t ClearRange(const SectorRange& range) {
    uint64_t changed = 0;
    for (uint64_t bit = 0; bit < bits.size(); ++bit) {
      bool covered = true;
      for (uint64_t s = bit * 8; s < std::min(bit * 8 + 8, sectors); ++s) covered = covered && s >= range.begin && s < range.end;
      if (covered) changed += Assign(bit, bit + 1, false);
    }
    return changed;
  }
};

}  // namespace

TEST_CASE("bitmap: setting takes every touched block, clearing only whole ones and the partial last one") {
  Bitmap bitmap(1000);
  bitmap.Resize(83, false);  // 11 blocks, the last one has 3 sectors
  CHECK(bitmap.bits() == 11);
  CHECK(bitmap.SetRange({7, 9}) == 2);
  CHECK(bitmap.SetRange({7, 9}) == 0);
  CHECK(bitmap.Test(0));
  CHECK(bitmap.Test(1));
  CHECK(bitmap.AnySet({15, 16}));
  CHECK_FALSE(bitmap.AnySet({16, 83}));
  CHECK_FALSE(bitmap.AnySet({3, 3}));
  CHECK(bitmap.ClearRange({1, 16}) == 1);
  CHECK(bitmap.Test(0));
  CHECK(bitmap.ClearRange({0, 7}) == 0);
  CHECK(bitmap.ClearRange({0, 8}) == 1);
  bitmap.SetAll();
  CHECK(bitmap.set_count() == 11);
  CHECK(bitmap.ClearRange({80, 82}) == 0);  // not up to the end of the device
  CHECK(bitmap.ClearRange({81, 83}) == 0);
  CHECK(bitmap.ClearRange({80, 83}) == 1);
  CHECK(bitmap.SetRange({82, 1000}) == 1);
  CHECK(bitmap.ClearRange({79, ~uint64_t{0}}) == 1);
  CHECK(bitmap.SetRange({83, 90}) == 0);
  CHECK(bitmap.SetRange({~uint64_t{0} - 2, ~uint64_t{0}}) == 0);
  CHECK(bitmap.ClearRange({~uint64_t{0} - 2, ~uint64_t{0}}) == 0);
}

TEST_CASE("bitmap: a device of 16 TiB costs no memory while it is clean, and work on it is by page") {
  const uint64_t before = ResidentKiB();
  Bitmap bitmap(kMaxDeviceSectors);
  bitmap.Resize(kMaxDeviceSectors, false);
  CHECK(bitmap.bits() == uint64_t{1} << 32);
  CHECK(bitmap.NextSet(0) == Bitmap::kNone);
  CHECK(bitmap.NextClear(12345) == 12345);
  const std::vector<uint8_t> zeros(Bitmap::kPageBytes, 0);
  for (uint64_t page = 0; page < bitmap.pages(); ++page) bitmap.LoadPage(page, zeros);
  CHECK(bitmap.NextDirty(0) == Bitmap::kNone);
  CHECK(bitmap.SetRange({kMaxDeviceSectors - 1, kMaxDeviceSectors}) == 1);
  CHECK(bitmap.NextSet(0) == (uint64_t{1} << 32) - 1);
  CHECK(bitmap.NextDirty(0) == bitmap.pages() - 1);
  CHECK(bitmap.CountRange(0, bitmap.bits()) == 1);
  bitmap.ClearAll();
  CHECK(bitmap.set_count() == 0);
  bitmap.Resize(8, false);
  CHECK(bitmap.pages() == 1);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(ResidentKiB() - before < 8 * 1024);
#else
  (void)before;
#endif
}

TEST_CASE("bitmap: all set and cleared again on a large device") {
  Bitmap bitmap(kMaxDeviceSectors / 16);
  bitmap.Resize(kMaxDeviceSectors / 16 - 5, true);
  CHECK(bitmap.set_count() == bitmap.bits());
  CHECK(bitmap.NextClear(0) == Bitmap::kNone);
  bitmap.ClearBits(bitmap.bits() / 2, 3);
  CHECK(bitmap.NextClear(0) == bitmap.bits() / 2);
  bitmap.ClearAll();
  CHECK(bitmap.NextSet(0) == Bitmap::kNone);
}

TEST_CASE("bitmap: resizing marks for write-out what the disk does not know yet") {
  Bitmap bitmap(8 * 3 * Bitmap::kBitsPerPage);
  bitmap.Resize(8 * (Bitmap::kBitsPerPage + 10), false);
  CHECK(bitmap.IsDirty(0));
  CHECK(bitmap.IsDirty(1));
  CHECK_FALSE(bitmap.IsDirty(2));
  bitmap.MarkClean(0);
  bitmap.MarkClean(1);
  bitmap.Resize(8 * (2 * Bitmap::kBitsPerPage + 10), true);
  CHECK_FALSE(bitmap.IsDirty(0));
  CHECK(bitmap.IsDirty(1));  // had a partial last word
  CHECK(bitmap.IsDirty(2));
  CHECK(bitmap.set_count() == Bitmap::kBitsPerPage);
  CHECK(bitmap.NextSet(0) == Bitmap::kBitsPerPage + 10);
  bitmap.Resize(8 * (Bitmap::kBitsPerPage + 20), false);
  CHECK(bitmap.set_count() == 10);
  CHECK(bitmap.NextDirty(2) == Bitmap::kNone);  // pages that are no longer there are not written
  bitmap.Resize(8 * 3 * Bitmap::kBitsPerPage, false);
  CHECK(bitmap.set_count() == 10);  // nothing comes back
}

TEST_CASE("bitmap: a page from disk replaces what was there, garbage behind the end of the device is masked") {
  Bitmap bitmap(8 * 2 * Bitmap::kBitsPerPage);
  bitmap.Resize(32688, false);  // 4086 bits
  const std::vector<uint8_t> ones(Bitmap::kPageBytes, 0xff);
  bitmap.LoadPage(0, ones);
  CHECK(bitmap.set_count() == 4086);
  CHECK_FALSE(bitmap.IsDirty(0));
  CHECK(bitmap.Page(0)[510] == 0x3f);
  CHECK(bitmap.Page(0)[511] == 0);
  CHECK(bitmap.MergeWords(63, std::span(ones).first(16)) == 0);
  bitmap.SetBits(0, 1);
  CHECK_FALSE(bitmap.IsDirty(0));  // nothing changed
  bitmap.ClearBits(0, 1);
  CHECK(bitmap.IsDirty(0));
  std::vector<uint8_t> words(24, 0xee);
  bitmap.ReadWords(63, words);
  CHECK(words[6] == 0x3f);
  CHECK(std::all_of(words.begin() + 7, words.end(), [](uint8_t b) { return b == 0; }));
}

TEST_CASE("bitmap: property, the same as a row of bools") {
  const uint64_t seed = Seed();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  for (int round = 0; round < 12; ++round) {
    const uint64_t capacity = round % 2 == 0 ? 2000 : 8 * (3 * Bitmap::kBitsPerPage) - below(5000);
    CAPTURE(round);
    Bitmap bitmap(capacity);
    Model model;
    std::vector<bool> dirty((capacity + 8 * Bitmap::kBitsPerPage) / (8 * Bitmap::kBitsPerPage) + 1, false);
    const auto touch = [&](const std::vector<bool>& old) {  // pages whose bits differ must be dirty
      for (size_t i = 0; i < model.bits.size(); ++i) {
        if (i >= old.size() || model.bits[i] != old[i]) dirty[i / Bitmap::kBitsPerPage] = true;
      }
    };
    for (int step = 0; step < (round % 2 == 0 ? 400 : 60); ++step) {
      const std::vector<bool> old = model.bits;
      const uint64_t n = model.bits.size();
      // Ranges of all lengths, often at word and page borders.
      uint64_t begin = below(n + 10);
      if (below(3) == 0) begin = begin / 64 * 64;
      if (below(5) == 0) begin = begin / Bitmap::kBitsPerPage * Bitmap::kBitsPerPage;
      uint64_t count = below(4) == 0 ? below(n + 1) : below(200);
      if (below(3) == 0) count = count / 64 * 64;
      const SectorRange range{begin * 8 + below(8), (begin + count) * 8 + below(8)};
      switch (below(10)) {
        case 0: {
          const uint64_t sectors = below(capacity + 1);
          const bool value = below(2) == 0;
          bitmap.Resize(sectors, value);
          model.sectors = sectors;
          model.bits.resize(BitsOfSectors(sectors), value);
          for (size_t page = bitmap.pages(); page < dirty.size(); ++page) dirty[page] = false;
          break;
        }
        case 1: REQUIRE(bitmap.SetRange(range) == model.SetRange(range)); break;
        case 2: REQUIRE(bitmap.ClearRange(range) == model.ClearRange(range)); break;
        case 3:
          bitmap.SetBits(begin, count);
          model.Assign(begin, begin + count, true);
          break;
        case 4:
          bitmap.ClearBits(begin, count);
          model.Assign(begin, begin + count, false);
          break;
        case 5:
          if (below(8) != 0) break;
          below(2) == 0 ? bitmap.SetAll() : bitmap.ClearAll();
          model.bits.assign(n, bitmap.set_count() != 0);
          break;
        case 6: {
          std::vector<uint8_t> bytes(8 * below(600));
          for (uint8_t& b : bytes) b = static_cast<uint8_t>(random() & random());
          const uint64_t word = begin / 64;
          const uint64_t before = bitmap.set_count();
          uint64_t added = 0;
          for (uint64_t i = 0; i < bytes.size() * 8 && word * 64 + i < n; ++i) {
            if ((bytes[i / 8] >> (i % 8) & 1) != 0) added += model.Assign(word * 64 + i, word * 64 + i + 1, true);
          }
          REQUIRE(bitmap.MergeWords(word, bytes) == added);
          REQUIRE(bitmap.set_count() == before + added);
          break;
        }
        case 7: {
          if (bitmap.pages() == 0) break;
          const uint64_t page = below(bitmap.pages());
          std::vector<uint8_t> bytes(Bitmap::kPageBytes, static_cast<uint8_t>(below(2) * 0xff));
          if (below(2) == 0) std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<uint8_t>(random()); });
          bitmap.LoadPage(page, bytes);
          for (uint64_t i = page * Bitmap::kBitsPerPage; i < std::min(n, (page + 1) * Bitmap::kBitsPerPage); ++i) {
            model.bits[i] = (bytes[i % Bitmap::kBitsPerPage / 8] >> (i % 8) & 1) != 0;
          }
          dirty[page] = false;
          REQUIRE_FALSE(bitmap.IsDirty(page));
          continue;
        }
        case 8:
          if (bitmap.pages() > 0) {
            const uint64_t page = below(bitmap.pages());
            bitmap.MarkClean(page);
            dirty[page] = false;
          }
          break;
        default: break;
      }
      touch(old);

      const uint64_t size = model.bits.size();
      REQUIRE(bitmap.bits() == size);
      REQUIRE(bitmap.sectors() == model.sectors);
      REQUIRE(bitmap.set_count() == model.Count(0, size));
      const uint64_t from = below(size + 100);
      REQUIRE(bitmap.NextSet(from) == model.Next(from, true));
      REQUIRE(bitmap.NextClear(from) == model.Next(from, false));
      const uint64_t length = below(size + 100);
      REQUIRE(bitmap.CountRange(from, length) == (from < size ? model.Count(from, std::min(size, from + length)) : 0));
      const SectorRange any{from * 8 + below(8), from * 8 + 8 + below(2000)};
      const uint64_t any_end = std::min(BitsOfSectors(any.end), size);
      const bool expected = any.begin < model.sectors && any.begin / 8 < any_end && model.Count(any.begin / 8, any_end) != 0;
      REQUIRE(bitmap.AnySet(any) == expected);
      uint64_t next_dirty = Bitmap::kNone;
      for (uint64_t page = bitmap.pages(); page-- > 0;) {
        if (dirty[page]) REQUIRE(bitmap.IsDirty(page));
        if (bitmap.IsDirty(page)) next_dirty = page;
      }
      REQUIRE(bitmap.NextDirty(0) == next_dirty);
    }
    // Page by page, and nothing behind the end.
    for (uint64_t page = 0; page < bitmap.pages(); ++page) {
      const auto bytes = bitmap.Page(page);
      for (uint64_t i = 0; i < Bitmap::kBitsPerPage; ++i) {
        const uint64_t bit = page * Bitmap::kBitsPerPage + i;
        REQUIRE(((bytes[i / 8] >> (i % 8)) & 1) == (bit < model.bits.size() && model.bits[bit] ? 1 : 0));
      }
    }
  }
}
