#include "core/out_queue.h"

#include <vector>

#include <doctest/doctest.h>  // last: its CHECK replaces that of core/assert.h

using namespace drbdts::core;

TEST_CASE("a queue that is never quite empty holds any number of packets, and sends them unchanged") {
  constexpr uint32_t kRing = 1024, kPacket = 60;
  OutQueue queue(kRing, 16);
  uint8_t next = 0, expected = 0;
  const auto put = [&] {
    REQUIRE(queue.Fits(kPacket));
    for (uint8_t& b : queue.Reserve(kPacket)) b = next++;
    queue.Commit(kPacket, nullptr, 0, 0);
  };
  // A socket takes what it likes, and there is always something left.
  put();
  for (uint32_t i = 0; i < 1000; ++i) {
    put();
    uint64_t take = kPacket - 7 + i % 15;
    while (take >= queue.queued_bytes()) --take;
    IoSlice slice[16];
    const uint32_t n = queue.Peek(slice);
    uint64_t seen = 0;
    bool same = true;
    for (uint32_t k = 0; k < n; ++k) {
      for (uint64_t b = 0; b < slice[k].bytes && seen < take; ++b, ++seen) same = same && static_cast<const uint8_t*>(slice[k].data)[b] == expected++;
    }
    REQUIRE(same);
    REQUIRE(seen == take);
    queue.Consume(take, [](uint64_t) {});
  }
}
