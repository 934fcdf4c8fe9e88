#pragma once
// Thin wrapper of io_uring: one ring, one thread, tagged completions.
#include <liburing.h>

#include <cstdint>

#include "core/units.h"
#include "io/failure.h"

namespace drbdts::io {

/// Whose completion it is.
enum class TagKind : uint8_t { kIgnore = 0, kDisk, kSocket, kListener, kFrontendRequest, kFrontendNotice, kMailbox, kWorker };

/// user_data of a submission. `generation` tells a completion of a slot's earlier user from one of the present user.
struct Tag {
  TagKind kind = TagKind::kIgnore;
  uint32_t generation = 0;  // 24 bits are kept
  uint32_t index = 0;
};
inline constexpr uint32_t kTagGenerationMask = 0xffffff;
inline constexpr uint64_t EncodeTag(const Tag& tag) {
  return uint64_t{static_cast<uint8_t>(tag.kind)} << 56 | uint64_t{tag.generation & kTagGenerationMask} << 32 | tag.index;
}
inline constexpr Tag DecodeTag(uint64_t user_data) {
  return Tag{static_cast<TagKind>(user_data >> 56), static_cast<uint32_t>(user_data >> 32) & kTagGenerationMask, static_cast<uint32_t>(user_data)};
}

struct Completion {
  Tag tag;
  int32_t result = 0;
  bool more = false;  // a multishot request goes on
};

/// Not thread safe: made and used by one thread.
class Ring {
 public:
  Ring() = default;
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  /// Makes the ring with room for `entries` submissions and four times as many completions.
  Failure Open(uint32_t entries);
  bool open() const { return open_; }

  void Read(int fd, void* data, uint32_t bytes, uint64_t offset, const Tag& tag);
  /// dsync: durable when done (RWF_DSYNC).
  void Write(int fd, const void* data, uint32_t bytes, uint64_t offset, bool dsync, const Tag& tag);
  /// fdatasync.
  void Flush(int fd, const Tag& tag);
  void Fallocate(int fd, int mode, uint64_t offset, uint64_t bytes, const Tag& tag);
  /// Reports every change to readiness until removed; like an edge: drain, then wait for the next report.
  void Poll(int fd, uint32_t events, const Tag& tag);
  /// Ends a Poll(); the poll reports a last completion with result -ECANCELED.
  void RemovePoll(const Tag& tag);

  bool has_unsubmitted() const { return unsubmitted_ != 0; }
  void Submit();
  /// Submits and waits until there is a completion or `timeout_us` has passed; kNever: no limit; 0: only collects.
  void SubmitAndWait(core::TimeUs timeout_us);
  /// Takes up to `room` completions; returns how many.
  uint32_t Take(Completion* out, uint32_t room);

 private:
  io_uring_sqe* Next(const Tag& tag);
  io_uring ring_{};
  bool open_ = false;
  uint32_t unsubmitted_ = 0;
};

}  // namespace drbdts::io
