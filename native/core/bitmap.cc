#include "core/bitmap.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "core/assert.h"
#include "core/bytes.h"

namespace drbdts::core {
namespace {

constexpr uint64_t kOnes = ~uint64_t{0};

/// Ones from bit `first` (0..63) on.
constexpr uint64_t MaskFrom(uint64_t first) { return kOnes << first; }
/// Ones below bit `end`, where `end` counts from the same word's start and 0 means the whole word (an end on a word border).
constexpr uint64_t MaskUpTo(uint64_t end) { return end == 0 ? kOnes : ~(kOnes << end); }

/// Calls `visit(word index, mask)` for each word of [first, end), which is not empty.
template <typename Visit>
void ForWords(uint64_t first, uint64_t end, Visit visit) {
  uint64_t word = first / 64;
  const uint64_t last = (end - 1) / 64;
  uint64_t mask = MaskFrom(first % 64);
  for (; word < last; ++word) {
    visit(word, mask);
    mask = kOnes;
  }
  visit(word, mask & MaskUpTo(end % 64));
}

}  // namespace

Bitmap::Bitmap(uint64_t capacity_sectors) {
  const uint64_t bits = BitsOfSectors(capacity_sectors);
  capacity_pages_ = (bits + kBitsPerPage - 1) / kBitsPerPage;
  // calloc takes large pieces straight from the kernel, which gives zero pages on first touch: a clean bitmap costs no memory.
  allocation_ = std::calloc(capacity_pages_ + 1, kPageBytes);
  CHECK(allocation_ != nullptr);
  const auto address = reinterpret_cast<uintptr_t>(allocation_);
  words_ = reinterpret_cast<uint64_t*>((address + kPageBytes - 1) / kPageBytes * kPageBytes);
  page_set_.assign(capacity_pages_, 0);
  dirty_.assign((capacity_pages_ + 63) / 64, 0);
}

void Bitmap::Touch() {
  for (uint64_t page = 0; page < capacity_pages_; ++page) {
    // A read would only map the shared zero page.
    volatile uint64_t* word = words_ + page * (kPageBytes / sizeof(uint64_t));
    *word = *word;
  }
}

Bitmap::~Bitmap() { std::free(allocation_); }

uint64_t Bitmap::pages() const { return (bits_ + kBitsPerPage - 1) / kBitsPerPage; }

uint64_t Bitmap::PageBits(uint64_t page) const { return std::min(kBitsPerPage, bits_ - page * kBitsPerPage); }

void Bitmap::Resize(uint64_t sectors, bool set_new) {
  const uint64_t new_bits = BitsOfSectors(sectors);
  CHECK(new_bits <= capacity_pages_ * kBitsPerPage);
  const uint64_t old_bits = bits_;
  const uint64_t old_pages = pages();
  if (new_bits < old_bits) {
    ClearSpan(new_bits, old_bits);
    bits_ = new_bits;
    for (uint64_t page = pages(); page < old_pages; ++page) MarkClean(page);  // no longer part of the device
    if (bits_ > 0) MarkDirty(pages() - 1);
  } else if (new_bits > old_bits) {
    bits_ = new_bits;
    for (uint64_t page = old_bits / kBitsPerPage; page < pages(); ++page) MarkDirty(page);
    if (set_new) SetSpan(old_bits, new_bits);
  }
  sectors_ = sectors;
}

uint64_t Bitmap::SetRange(const SectorRange& range) {
  const uint64_t end = std::min(range.end, sectors_);
  if (range.begin >= end) return 0;
  return SetSpan(range.begin / kSectorsPerBlock, BitsOfSectors(end));
}

uint64_t Bitmap::ClearRange(const SectorRange& range) {
  if (range.begin >= range.end || range.begin >= sectors_) return 0;
  const uint64_t first = BitsOfSectors(range.begin);
  const uint64_t end = range.end >= sectors_ ? bits_ : range.end / kSectorsPerBlock;
  return first < end ? ClearSpan(first, end) : 0;
}

bool Bitmap::AnySet(const SectorRange& range) const {
  const uint64_t end = std::min(range.end, sectors_);
  if (range.begin >= end) return false;
  const uint64_t first = range.begin / kSectorsPerBlock;
  return CountRange(first, BitsOfSectors(end) - first) != 0;
}

bool Bitmap::Test(uint64_t bit) const { return bit < bits_ && (words_[bit / 64] >> (bit % 64) & 1) != 0; }

void Bitmap::SetBits(uint64_t first, uint64_t count) {
  if (first < bits_ && count > 0) SetSpan(first, first + std::min(count, bits_ - first));
}

void Bitmap::ClearBits(uint64_t first, uint64_t count) {
  if (first < bits_ && count > 0) ClearSpan(first, first + std::min(count, bits_ - first));
}

void Bitmap::SetAll() { SetBits(0, bits_); }
void Bitmap::ClearAll() { ClearBits(0, bits_); }

uint64_t Bitmap::SetSpan(uint64_t first, uint64_t end) {
  uint64_t changed = 0;
  while (first < end) {
    const uint64_t page = PageOfBit(first);
    const uint64_t stop = std::min(end, (page + 1) * kBitsPerPage);
    changed += SetInPage(page, first, stop);
    first = stop;
  }
  return changed;
}

uint64_t Bitmap::ClearSpan(uint64_t first, uint64_t end) {
  uint64_t changed = 0;
  while (first < end) {
    const uint64_t page = PageOfBit(first);
    const uint64_t stop = std::min(end, (page + 1) * kBitsPerPage);
    changed += ClearInPage(page, first, stop);
    first = stop;
  }
  return changed;
}

uint64_t Bitmap::SetInPage(uint64_t page, uint64_t first, uint64_t end) {
  const uint64_t before = page_set_[page];
  if (before == PageBits(page)) return 0;
  if (end - first == kBitsPerPage) {
    std::memset(words_ + page * kWordsPerPage, 0xff, kPageBytes);
    page_set_[page] = kBitsPerPage;
  } else {
    uint64_t added = 0;
    ForWords(first, end, [&](uint64_t word, uint64_t mask) {
      const uint64_t more = mask & ~words_[word];
      if (more == 0) return;
      added += static_cast<uint64_t>(std::popcount(more));
      words_[word] |= mask;
    });
    page_set_[page] += static_cast<uint32_t>(added);
  }
  Changed(page, before);
  return page_set_[page] - before;
}

uint64_t Bitmap::ClearInPage(uint64_t page, uint64_t first, uint64_t end) {
  const uint64_t before = page_set_[page];
  if (before == 0) return 0;
  if (end - first == kBitsPerPage) {
    std::memset(words_ + page * kWordsPerPage, 0, kPageBytes);
    page_set_[page] = 0;
  } else {
    uint64_t removed = 0;
    ForWords(first, end, [&](uint64_t word, uint64_t mask) {
      const uint64_t gone = mask & words_[word];
      if (gone == 0) return;
      removed += static_cast<uint64_t>(std::popcount(gone));
      words_[word] &= ~mask;
    });
    page_set_[page] -= static_cast<uint32_t>(removed);
  }
  Changed(page, before);
  return before - page_set_[page];
}

void Bitmap::Changed(uint64_t page, uint64_t set_before) {
  if (page_set_[page] == set_before) return;
  set_count_ += page_set_[page];
  set_count_ -= set_before;
  MarkDirty(page);
}

uint64_t Bitmap::NextSet(uint64_t from) const {
  if (set_count_ == 0) return kNone;
  while (from < bits_) {
    const uint64_t page = PageOfBit(from);
    if (page_set_[page] != 0) {
      uint64_t word = from / 64;
      uint64_t value = words_[word] & MaskFrom(from % 64);
      const uint64_t last = (page + 1) * kWordsPerPage;
      while (value == 0 && ++word < last) value = words_[word];
      if (value != 0) return word * 64 + static_cast<uint64_t>(std::countr_zero(value));
    }
    from = (page + 1) * kBitsPerPage;
  }
  return kNone;
}

uint64_t Bitmap::NextClear(uint64_t from) const {
  while (from < bits_) {
    const uint64_t page = PageOfBit(from);
    if (page_set_[page] != PageBits(page)) {
      if (page_set_[page] == 0) return from;
      uint64_t word = from / 64;
      uint64_t value = ~words_[word] & MaskFrom(from % 64);
      const uint64_t last = (page + 1) * kWordsPerPage;
      while (value == 0 && ++word < last) value = ~words_[word];
      // The unused tail reads as clear: a hit there means that there is none.
      if (value != 0) {
        const uint64_t bit = word * 64 + static_cast<uint64_t>(std::countr_zero(value));
        return bit < bits_ ? bit : kNone;
      }
    }
    from = (page + 1) * kBitsPerPage;
  }
  return kNone;
}

uint64_t Bitmap::CountInPage(uint64_t first, uint64_t end) const {
  const uint64_t page = PageOfBit(first);
  if (page_set_[page] == 0) return 0;
  if (end - first == PageBits(page)) return page_set_[page];
  uint64_t count = 0;
  ForWords(first, end, [&](uint64_t word, uint64_t mask) { count += static_cast<uint64_t>(std::popcount(words_[word] & mask)); });
  return count;
}

uint64_t Bitmap::CountRange(uint64_t first, uint64_t count) const {
  if (first >= bits_) return 0;
  const uint64_t end = first + std::min(count, bits_ - first);
  uint64_t total = 0;
  while (first < end) {
    const uint64_t stop = std::min(end, (PageOfBit(first) + 1) * kBitsPerPage);
    total += CountInPage(first, stop);
    first = stop;
  }
  return total;
}

uint64_t Bitmap::MergeWords(uint64_t first_word, std::span<const uint8_t> bytes) {
  CHECK(bytes.size() % 8 == 0);
  const uint64_t all = words();
  if (first_word >= all) return 0;
  const uint64_t end = first_word + std::min<uint64_t>(bytes.size() / 8, all - first_word);
  uint64_t added = 0;
  for (uint64_t word = first_word; word < end; ++word) {
    uint64_t more = LoadLe64(bytes.data() + (word - first_word) * 8);
    if (word == all - 1) more &= MaskUpTo(bits_ % 64);
    if (more == 0) continue;
    more &= ~words_[word];
    if (more == 0) continue;
    words_[word] |= more;
    const auto count = static_cast<uint32_t>(std::popcount(more));
    const uint64_t page = word / kWordsPerPage;
    page_set_[page] += count;
    set_count_ += count;
    added += count;
    MarkDirty(page);
  }
  return added;
}

void Bitmap::ReadWords(uint64_t first_word, std::span<uint8_t> bytes) const {
  CHECK(bytes.size() % 8 == 0);
  const uint64_t all = words();
  const uint64_t wanted = bytes.size() / 8;
  const uint64_t present = first_word < all ? std::min(wanted, all - first_word) : 0;
  if (present > 0) std::memcpy(bytes.data(), words_ + first_word, present * 8);
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(present * 8), bytes.end(), uint8_t{0});
}

std::span<const uint8_t> Bitmap::Page(uint64_t page) const {
  CHECK(page < pages());
  return {reinterpret_cast<const uint8_t*>(words_ + page * kWordsPerPage), kPageBytes};
}

void Bitmap::LoadPage(uint64_t page, std::span<const uint8_t> bytes) {
  CHECK(page < pages() && bytes.size() == kPageBytes);
  const uint64_t in_use = PageBits(page);
  const uint64_t full_words = in_use / 64;
  uint64_t count = 0;
  for (uint64_t i = 0; i < full_words; ++i) count += static_cast<uint64_t>(std::popcount(LoadLe64(bytes.data() + i * 8)));
  uint64_t tail = 0;
  if (in_use % 64 != 0) tail = LoadLe64(bytes.data() + full_words * 8) & MaskUpTo(in_use % 64);
  count += static_cast<uint64_t>(std::popcount(tail));
  // An empty page stays untouched memory.
  if (count != 0 || page_set_[page] != 0) {
    uint64_t* words = words_ + page * kWordsPerPage;
    std::memcpy(words, bytes.data(), full_words * 8);
    if (in_use % 64 != 0) words[full_words] = tail;
    set_count_ += count;
    set_count_ -= page_set_[page];
    page_set_[page] = static_cast<uint32_t>(count);
  }
  MarkClean(page);
}

bool Bitmap::IsDirty(uint64_t page) const { return page < pages() && (dirty_[page / 64] >> (page % 64) & 1) != 0; }

uint64_t Bitmap::NextDirty(uint64_t from) const {
  const uint64_t end = pages();
  if (from >= end) return kNone;
  uint64_t word = from / 64;
  uint64_t value = dirty_[word] & MaskFrom(from % 64);
  while (value == 0 && ++word * 64 < end) value = dirty_[word];
  return value == 0 ? kNone : word * 64 + static_cast<uint64_t>(std::countr_zero(value));
}

void Bitmap::MarkClean(uint64_t page) {
  CHECK(page < capacity_pages_);
  dirty_[page / 64] &= ~(uint64_t{1} << (page % 64));
}

void Bitmap::MarkDirty(uint64_t page) {
  CHECK(page < pages());
  dirty_[page / 64] |= uint64_t{1} << (page % 64);
}

}  // namespace drbdts::core
