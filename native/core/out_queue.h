#pragma once
// Output of one link: encoded headers in a ring, payload by reference, in order. Fixed memory.
#include <cstdint>
#include <cstring>
#include <span>

#include "core/resource_api.h"
#include "core/touched_memory.h"

namespace drbdts::core {

class OutQueue {
 public:
  OutQueue(uint32_t ring_bytes, uint32_t pieces) : ring_(ring_bytes), piece_(pieces) {}

  /// Room for one more packet of at most `header_bytes` and a payload?
  bool Fits(uint32_t header_bytes) const { return count_ + 3 <= piece_.size() && FreeRun(header_bytes) != kNoRun; }
  bool empty() const { return count_ == 0; }
  uint64_t queued_bytes() const { return queued_bytes_; }
  uint32_t pieces() const { return count_; }
  uint32_t capacity() const { return static_cast<uint32_t>(piece_.size()); }

  /// Contiguous memory for a header; write it, then Commit(). Call only if Fits().
  std::span<uint8_t> Reserve(uint32_t bytes) {
    const uint32_t at = FreeRun(bytes);
    CHECK(at != kNoRun);
    reserved_ = at;
    return {ring_.data() + at, bytes};
  }
  /// Queues `header_bytes` of the reserved memory and then `payload`; `cookie` (0 = none) comes back when all of it was sent.
  void Commit(uint32_t header_bytes, const uint8_t* payload, uint32_t payload_bytes, uint64_t cookie) {
    Add({ring_.data() + reserved_, header_bytes, true, payload_bytes == 0 ? cookie : 0});
    head_ = reserved_ + header_bytes;
    if (payload_bytes != 0) Add({payload, payload_bytes, false, cookie});
  }
  uint32_t Peek(std::span<IoSlice> out) const {
    uint32_t n = 0;
    uint32_t skip = sent_of_first_;
    for (uint32_t i = 0; i < count_ && n < out.size(); ++i) {
      const Piece& p = piece_[(first_ + i) % piece_.size()];
      out[n++] = {p.data + skip, p.bytes - skip};
      skip = 0;
    }
    return n;
  }
  /// `bytes` were sent; calls done(cookie) for every finished piece that has one.
  template <typename F>
  void Consume(uint64_t bytes, F done) {
    CHECK(bytes <= queued_bytes_);
    queued_bytes_ -= bytes;
    while (bytes != 0) {
      Piece& p = piece_[first_];
      const uint32_t left = p.bytes - sent_of_first_;
      if (bytes < left) {
        sent_of_first_ += static_cast<uint32_t>(bytes);
        // Headers are added to this piece as long as it is the last one: what was sent of it is free now, not when all of them are.
        if (p.in_ring) tail_ = static_cast<uint32_t>(p.data - ring_.data()) + sent_of_first_;
        return;
      }
      bytes -= left;
      sent_of_first_ = 0;
      if (p.in_ring) tail_ = static_cast<uint32_t>(p.data - ring_.data()) + p.bytes;
      const uint64_t cookie = p.cookie;
      first_ = (first_ + 1) % static_cast<uint32_t>(piece_.size());
      --count_;
      if (cookie != 0) done(cookie);
    }
    if (count_ == 0) head_ = tail_ = 0;
  }
  /// Drops everything unsent; calls done(cookie) for what is dropped.
  template <typename F>
  void Clear(F done) {
    while (count_ != 0) {
      const uint64_t cookie = piece_[first_].cookie;
      first_ = (first_ + 1) % static_cast<uint32_t>(piece_.size());
      --count_;
      if (cookie != 0) done(cookie);
    }
    first_ = head_ = tail_ = sent_of_first_ = 0;
    queued_bytes_ = 0;
  }

 private:
  static constexpr uint32_t kNoRun = ~uint32_t{0};
  struct Piece {
    const uint8_t* data;
    uint32_t bytes;
    bool in_ring;
    uint64_t cookie;
  };
  bool RingEmpty() const {
    for (uint32_t i = 0; i < count_; ++i) {
      if (piece_[(first_ + i) % piece_.size()].in_ring) return false;
    }
    return true;
  }
  // Used part is [tail, head) or, wrapped, [tail, end) + [0, head). One byte stays free so that head == tail means empty.
  uint32_t FreeRun(uint32_t bytes) const {
    const uint32_t size = static_cast<uint32_t>(ring_.size());
    if (count_ == 0) return bytes <= size ? 0 : kNoRun;
    if (head_ >= tail_) {
      if (head_ == tail_ && !RingEmpty()) return kNoRun;
      if (head_ + bytes <= size) return head_;
      return bytes < tail_ ? 0 : kNoRun;
    }
    return head_ + bytes < tail_ ? head_ : kNoRun;
  }
  void Add(const Piece& p) {
    queued_bytes_ += p.bytes;
    if (count_ != 0 && p.in_ring) {  // headers that follow one another are one piece
      Piece& last = piece_[(first_ + count_ - 1) % piece_.size()];
      if (last.in_ring && last.cookie == 0 && last.data + last.bytes == p.data) {
        last.bytes += p.bytes;
        last.cookie = p.cookie;
        return;
      }
    }
    CHECK(count_ < piece_.size());
    piece_[(first_ + count_) % piece_.size()] = p;
    ++count_;
  }

  TouchedMemory<uint8_t> ring_;
  TouchedMemory<Piece> piece_;
  uint32_t first_ = 0, count_ = 0;
  uint32_t sent_of_first_ = 0;
  uint32_t head_ = 0, tail_ = 0, reserved_ = 0;
  uint64_t queued_bytes_ = 0;
};

}  // namespace drbdts::core
