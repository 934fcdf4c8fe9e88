#include "core/page_arena.h"

#include <algorithm>
#include <bit>

#include "core/assert.h"

namespace drbdts::core {
namespace {

constexpr uint32_t kWordBits = 64;
/// Runs at least this long hold a whole free word wherever they start.
constexpr uint32_t kHoldsWholeWord = 2 * kWordBits - 1;

/// First page in [from, end) whose bit is `used`, `end` if there is none.
uint32_t Next(const std::vector<uint64_t>& bits, uint32_t from, uint32_t end, bool used) {
  if (from >= end) return end;
  const uint64_t flip = used ? 0 : ~uint64_t{0};
  uint32_t word = from / kWordBits;
  uint64_t value = (bits[word] ^ flip) & ~uint64_t{0} << (from % kWordBits);
  while (value == 0) {
    if (++word * kWordBits >= end) return end;
    value = bits[word] ^ flip;
  }
  return std::min(end, word * kWordBits + static_cast<uint32_t>(std::countr_zero(value)));
}

/// Start of the first free run of `count` pages within [from, end), `end` if there is none.
uint32_t FindRun(const std::vector<uint64_t>& bits, uint32_t from, uint32_t end, uint32_t count) {
  while (from < end && count <= end - from) {
    uint32_t start = Next(bits, from, end, false);
    if (count >= kHoldsWholeWord && start < end) {
      // Jump to the next word that is free altogether, then back to where its run begins.
      uint32_t word = (start + kWordBits - 1) / kWordBits;
      while ((word + 1) * kWordBits <= end && bits[word] != 0) ++word;
      if ((word + 1) * kWordBits > end) return end;
      if (word > 0) {
        const uint32_t begin = word * kWordBits - static_cast<uint32_t>(std::countl_zero(bits[word - 1]));
        start = std::max(start, begin);
      }
    }
    if (start >= end || count > end - start) return end;
    const uint32_t stop = Next(bits, start, start + count, true);
    if (stop == start + count) return start;
    from = stop;
  }
  return end;
}

/// Calls `visit(word, mask)` for the pages [first, first + count).
template <typename Visit>
void ForWords(uint32_t first, uint32_t count, Visit visit) {
  while (count > 0) {
    const uint32_t offset = first % kWordBits;
    const uint32_t take = std::min(kWordBits - offset, count);
    const uint64_t ones = take == kWordBits ? ~uint64_t{0} : (uint64_t{1} << take) - 1;
    visit(first / kWordBits, ones << offset);
    first += take;
    count -= take;
  }
}

}  // namespace

PageArena::PageArena(std::span<uint8_t> memory) : memory_(memory) {
  CHECK(memory.size() % kPageBytes == 0 && memory.size() / kPageBytes < UINT32_MAX / 2);
  CHECK(reinterpret_cast<uintptr_t>(memory.data()) % kPageBytes == 0);
  free_ = pages();
  used_.assign((size_t{free_} + kWordBits - 1) / kWordBits, 0);
}

Buffer PageArena::Take(uint32_t pages) {
  if (pages == 0 || pages > free_) return {};
  const uint32_t all = this->pages();
  // The lowest run that fits: memory that was used a moment ago is still in the processor's caches.
  const uint32_t start = FindRun(used_, 0, all, pages);
  if (start == all) return {};
  ForWords(start, pages, [this](uint32_t word, uint64_t mask) {
    CHECK((used_[word] & mask) == 0);
    used_[word] |= mask;
  });
  free_ -= pages;
  return {start, pages};
}

void PageArena::Shrink(Buffer& buffer, uint32_t pages) {
  CHECK(pages <= buffer.count);
  Buffer rest{buffer.page + pages, buffer.count - pages};
  Give(rest);
  buffer.count = pages;
  if (pages == 0) buffer = {};
}

void PageArena::DropFront(Buffer& buffer, uint32_t pages) {
  CHECK(pages <= buffer.count);
  Buffer front{buffer.page, pages};
  Give(front);
  buffer.page += pages;
  buffer.count -= pages;
  if (buffer.count == 0) buffer = {};
}

void PageArena::Give(Buffer& buffer) {
  if (buffer.count == 0) return;
  CHECK(buffer.page < pages() && buffer.count <= pages() - buffer.page);
  ForWords(buffer.page, buffer.count, [this](uint32_t word, uint64_t mask) {
    CHECK((used_[word] & mask) == mask);  // else given back twice: two owners would write to one buffer
    used_[word] &= ~mask;
  });
  free_ += buffer.count;
  buffer = {};
}

std::span<uint8_t> PageArena::Bytes(const Buffer& buffer) const {
  CHECK(buffer.page <= pages() && buffer.count <= pages() - buffer.page);
  return memory_.subspan(size_t{buffer.page} * kPageBytes, size_t{buffer.count} * kPageBytes);
}

}  // namespace drbdts::core
