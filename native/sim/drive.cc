#include "sim/drive.h"

#include <cstdlib>
#include <cstring>

namespace drbdts::sim {

namespace {
constexpr size_t kCacheBytes = 8u << 20;  // beyond this the disk writes back on its own

bool AllZero(const uint8_t* data, uint64_t count) {
  uint64_t first;
  std::memcpy(&first, data, sizeof first);
  return first == 0 && std::memcmp(data, data + sizeof first, count - sizeof first) == 0;
}
}

Drive::Drive(uint64_t size_bytes) : size_(size_bytes), memory_(DiskMemory::Take()) {
  if (size_bytes > kDiskBytesMax) std::abort();
}
Drive::~Drive() { DiskMemory::GiveBack(std::move(memory_)); }

void Drive::Write(uint64_t offset, const uint8_t* data, uint64_t count, bool durable) {
  if (count == 0) return;
  const uint64_t sector = offset / 512, sectors = count / 512;
  const bool zeroes = data == nullptr || AllZero(data, count);
  const bool work = memory_->Touch(sector, sectors, zeroes);
  if (!zeroes) std::memcpy(memory_->visible + offset, data, count);
  else if (work) std::memset(memory_->visible + offset, 0, count);
  ++sequence_;
  if (durable) {
    if (work) std::memcpy(memory_->durable + offset, memory_->visible + offset, count);
    for (uint64_t s = sector; s < sector + sectors; ++s) memory_->DurableSequence(s) = sequence_;
    return;
  }
  Entry e{sequence_, static_cast<uint32_t>(sectors), sector, kZeroes, kZeroes};
  if (data != nullptr) {
    e.cached = cached_;
    cached_ += count;
  }
  if (!zeroes) {
    e.content = content_.size();
    content_.insert(content_.end(), data, data + count);
  }
  journal_.push_back(e);
  if (cached_ > kCacheBytes) EndFlush(journal_[head_ + (journal_.size() - head_) / 2].sequence);
}

void Drive::Harden(const Entry& e, uint64_t i) {
  uint32_t& sequence = memory_->DurableSequence(e.sector + i);
  if (sequence >= e.sequence) return;
  sequence = e.sequence;
  if (memory_->Blank((e.sector + i) / 8)) return;
  uint8_t* to = memory_->durable + (e.sector + i) * 512;
  if (e.content == kZeroes) std::memset(to, 0, 512);
  else std::memcpy(to, content_.data() + e.content + i * 512, 512);
}

void Drive::Read(uint64_t offset, uint8_t* to, uint64_t count) const {
  if (count != 0 && memory_->Blank(offset / 512, count / 512)) std::memset(to, 0, count);
  else std::memcpy(to, memory_->visible + offset, count);
}

/// All of it; in one go if no part of it has been overtaken.
void Drive::Harden(const Entry& e) {
  bool newest = true;
  for (uint64_t i = 0; i < e.sectors; ++i) newest = newest && memory_->DurableSequence(e.sector + i) < e.sequence;
  if (!newest) {
    for (uint64_t i = 0; i < e.sectors; ++i) Harden(e, i);
    return;
  }
  for (uint64_t i = 0; i < e.sectors; ++i) memory_->DurableSequence(e.sector + i) = e.sequence;
  if (memory_->Blank(e.sector, e.sectors)) return;
  uint8_t* to = memory_->durable + e.sector * 512;
  if (e.content == kZeroes) std::memset(to, 0, uint64_t{e.sectors} * 512);
  else std::memcpy(to, content_.data() + e.content, uint64_t{e.sectors} * 512);
}

void Drive::EndFlush(uint64_t begun) {
  for (; head_ < journal_.size() && journal_[head_].sequence <= begun; ++head_) Harden(journal_[head_]);
  Retire();
}

void Drive::Retire() {
  if (head_ == journal_.size()) {
    journal_.clear();
    content_.clear();
    cached_ = 0;
    head_ = 0;
  } else if (cached_ > kCacheBytes) {
    const auto first = [this](uint64_t Entry::* offset, uint64_t end) {
      for (size_t i = head_; i < journal_.size(); ++i) {
        if (journal_[i].*offset != kZeroes) return journal_[i].*offset;
      }
      return end;
    };
    const uint64_t drop = first(&Entry::content, content_.size()), leave = first(&Entry::cached, cached_);
    content_.erase(content_.begin(), content_.begin() + static_cast<long>(drop));
    cached_ -= leave;
    journal_.erase(journal_.begin(), journal_.begin() + static_cast<long>(head_));
    head_ = 0;
    for (Entry& e : journal_) {
      if (e.content != kZeroes) e.content -= drop;
      if (e.cached != kZeroes) e.cached -= leave;
    }
  }
}

Drive::Image Drive::Save() const {
  Image image;
  image.pages = memory_->pages;
  for (const uint64_t page : image.pages) image.bytes.insert(image.bytes.end(), memory_->visible + page * 4096, memory_->visible + (page + 1) * 4096);
  return image;
}

void Drive::Load(const Image& image) {
  const std::vector<uint32_t> all = memory_->pages;
  for (const uint64_t page : all) Write(page * 4096, nullptr, 4096, true);
  for (size_t i = 0; i < image.pages.size(); ++i) Write(uint64_t{image.pages[i]} * 4096, image.bytes.data() + i * 4096, 4096, true);
}

void Drive::Resize(uint64_t size_bytes) {
  if (size_bytes > kDiskBytesMax) std::abort();
  size_ = size_bytes;
}

void Drive::PowerLoss(Rng& rng) {
  // Everything or nothing of the cache survives in two cases of three, else a wild mixture.
  const uint64_t odds = rng.Below(3);
  for (size_t n = head_; n < journal_.size(); ++n) {
    for (uint64_t i = 0; i < journal_[n].sectors; ++i) {
      if (odds == 1 || (odds == 2 && rng.Chance(50))) Harden(journal_[n], i);
    }
  }
  for (size_t n = head_; n < journal_.size(); ++n) {
    const uint64_t offset = journal_[n].sector * 512, count = uint64_t{journal_[n].sectors} * 512;
    if (memory_->Blank(journal_[n].sector, journal_[n].sectors)) continue;
    std::memcpy(memory_->visible + offset, memory_->durable + offset, count);
  }
  head_ = journal_.size();
  Retire();
}

}  // namespace drbdts::sim
