#include "core/page_arena.h"

#include <algorithm>
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

struct Memory {
  explicit Memory(uint32_t pages)
      : bytes(static_cast<uint8_t*>(std::aligned_alloc(PageArena::kPageBytes, size_t{pages} * PageArena::kPageBytes)), std::free),
        span(bytes.get(), size_t{pages} * PageArena::kPageBytes) {}
  std::unique_ptr<uint8_t, decltype(&std::free)> bytes;
  std::span<uint8_t> span;
};

/// Is there a free run of that length?
bool Fits(const std::vector<bool>& used, uint32_t pages) {
  uint32_t run = 0;
  for (const bool u : used) {
    run = u ? 0 : run + 1;
    if (run == pages) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("arena: runs are contiguous, disjoint, and can be given back in parts") {
  Memory memory(200);
  PageArena arena(memory.span);
  CHECK(arena.pages() == 200);
  Buffer a = arena.TakeBytes(4097);
  CHECK(a.count == 2);
  CHECK(arena.Bytes(a).size() == 8192);
  CHECK(arena.Bytes(a).data() == memory.bytes.get() + size_t{a.page} * 4096);
  Buffer b = arena.Take(198);
  REQUIRE(b);
  CHECK(arena.free_pages() == 0);
  CHECK_FALSE(arena.Take(1));
  arena.DropFront(b, 100);
  CHECK(b.count == 98);
  arena.Shrink(b, 90);
  CHECK(arena.free_pages() == 108);
  CHECK(arena.Take(100));
  CHECK(arena.Take(8));
  arena.DropFront(b, 90);
  CHECK_FALSE(b);
  arena.Give(a);
  CHECK_FALSE(a);
  arena.Give(a);  // nothing to give
  CHECK(arena.free_pages() == 92);
  CHECK_FALSE(arena.Take(0));
  CHECK_FALSE(arena.TakeBytes(0));
  CHECK_FALSE(arena.Take(201));
}

TEST_CASE("arena: pages that were just given back are the next to be taken, while they are warm") {
  Memory memory(16);
  PageArena arena(memory.span);
  Buffer a = arena.Take(2);
  Buffer b = arena.Take(1);
  const uint32_t first = a.page;
  arena.Give(a);
  CHECK(arena.Take(1).page == first);
  CHECK(arena.Take(1).page == first + 1);
  CHECK(arena.Take(1).page == b.page + 1);
}

TEST_CASE("arena: property, never overlaps and finds room exactly when there is some") {
  const uint64_t seed = Seed();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return static_cast<uint32_t>(random() % n); };
  for (const uint32_t pages : {1u, 63u, 64u, 65u, 130u, 700u, 1300u}) {
    CAPTURE(pages);
    Memory memory(pages);
    PageArena arena(memory.span);
    std::vector<bool> used(pages, false);
    std::vector<Buffer> held;
    uint32_t large = 0;
    const auto set = [&](uint32_t first, uint32_t count, bool value) {
      for (uint32_t i = first; i < first + count; ++i) {
        REQUIRE(used[i] != value);
        used[i] = value;
      }
    };
    for (int step = 0; step < 6000; ++step) {
      const bool giving = below(2) == 0 || (step / 500 % 2 == 1 && below(3) != 0);
      if (!giving) {
        const uint32_t want = below(4) == 0 ? 1 + below(pages) : below(3) == 0 ? 100 + below(200) : 1 + below(8);
        const Buffer buffer = arena.Take(want);
        REQUIRE(static_cast<bool>(buffer) == Fits(used, want));
        if (!buffer) continue;
        REQUIRE(buffer.count == want);
        set(buffer.page, want, true);
        held.push_back(buffer);
        large += want >= 127;
      } else if (!held.empty()) {
        std::swap(held[below(held.size())], held.back());
        Buffer& buffer = held.back();
        const Buffer was = buffer;
        const uint32_t part = below(was.count + 1);
        switch (below(3)) {
          case 0:
            arena.Shrink(buffer, part);
            set(was.page + part, was.count - part, false);
            break;
          case 1:
            arena.DropFront(buffer, part);
            set(was.page, part, false);
            break;
          default:
            arena.Give(buffer);
            set(was.page, was.count, false);
            break;
        }
        if (!buffer) held.pop_back();
      }
      REQUIRE(arena.free_pages() == static_cast<uint32_t>(std::count(used.begin(), used.end(), false)));
    }
    if (pages >= 700) CHECK(large > 0);
  }
}
