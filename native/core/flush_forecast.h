#pragma once
// Foresees the application's next flush, so that making writes durable can start before it is asked for.
#include <cstdint>

namespace drbdts::core {

/// A database that commits writes its log and flushes, again and again, one after the other. Once the same number of writes has come between two
/// flushes several times in a row, the next flush is expected right after that many. A wrong guess costs one flush too many, and ends the guessing
/// until the pattern has shown itself again. Nothing is ever acknowledged because of a guess.
class FlushForecast {
 public:
  void OnWrite() {
    if (writes_ == expected_writes_) streak_ = 0;  // the flush did not come
    ++writes_;
  }
  void OnFlush() {
    if (writes_ == 0) return;  // one flush after another says nothing about the writes
    if (writes_ != expected_writes_) streak_ = 0;
    else if (streak_ < kConvinced) ++streak_;
    expected_writes_ = writes_;
    writes_ = 0;
  }
  /// The last write was, by all experience, the one that is flushed next.
  bool due() const { return streak_ == kConvinced && writes_ == expected_writes_; }

 private:
  static constexpr uint32_t kConvinced = 4;
  uint32_t writes_ = 0;           // since the last flush
  uint32_t expected_writes_ = 0;  // between the two flushes before
  uint32_t streak_ = 0;
};

}  // namespace drbdts::core
