#include "core/rate_controller.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <vector>

using namespace drbdts::core;

namespace {

// Requests of one tick over a bitmap that is all set: merge while the start is aligned to the size so far doubled, never over 1 MiB or a
// 16 MiB extent; only the merging is stopped by the count.
std::vector<uint32_t> BuildRequests(uint32_t blocks, uint64_t& next_block, uint64_t device_blocks) {
  std::vector<uint32_t> sizes;
  uint32_t i = 0;
  while (i < blocks && next_block < device_blocks) {
    const uint64_t start = next_block;
    uint32_t length = 1;
    uint32_t align = 2;
    while (i < blocks && start + length < device_blocks && length < 256 && start % align == 0 && (start + length) % 4096 != 0) {
      ++length;
      if (align <= length) align *= 2;
      ++i;
    }
    ++i;
    next_block = start + length;
    sizes.push_back(length * 4096);
  }
  return sizes;
}

// A line that carries at most so many sectors per tick, in order.
struct Line {
  uint64_t sectors_per_tick;
  uint64_t queued = 0;
  uint64_t Tick() {
    const uint64_t moved = std::min(queued, sectors_per_tick);
    queued -= moved;
    return moved;
  }
};

}  // namespace

TEST_CASE("a full resync of 1 MiB is asked for in the kernel's own steps") {
  RateController rate;
  rate.Reset(RateOptions{});
  uint64_t next_block = 0;
  std::vector<uint32_t> sizes;
  for (int tick = 0; tick < 1000 && next_block < 256; ++tick) {
    for (const uint32_t size : BuildRequests(rate.Tick(), next_block, 256)) {
      sizes.push_back(size);
      rate.Requested(size / 512);
      rate.Received(size / 512);  // answered before the next tick
    }
  }
  REQUIRE(next_block == 256);
  CHECK(sizes.size() == 30);
  const std::vector<uint32_t> first(sizes.begin(), sizes.begin() + 4);
  CHECK(first == std::vector<uint32_t>{28672, 4096, 32768, 45056});
}

TEST_CASE("on a fast line the rate settles at c-max-rate") {
  RateOptions options;
  options.c_max_rate_kib = 40960;
  options.c_fill_target = 0;
  options.c_delay_target = 20;
  RateController rate;
  rate.Reset(options);
  Line line{1u << 20};
  uint32_t blocks = 0;
  for (int tick = 0; tick < 600; ++tick) {
    rate.Received(line.Tick());
    blocks = rate.Tick();
    rate.Requested(blocks * 8);
    line.queued += blocks * 8;
    CHECK(rate.want_kib() <= options.c_max_rate_kib);
  }
  CHECK(rate.want_kib() == options.c_max_rate_kib);
}

TEST_CASE("on a slow line the queue settles at c-fill-target") {
  RateOptions options;
  options.c_fill_target = 4000;
  RateController rate;
  rate.Reset(options);
  Line line{2000};  // 10 MB/s
  uint64_t moved = 0;
  for (int tick = 0; tick < 1200; ++tick) {
    const uint64_t arrived = line.Tick();
    rate.Received(arrived);
    if (tick >= 1000) {
      moved += arrived;
      CHECK(line.queued <= 2 * options.c_fill_target);
    }
    const uint32_t blocks = rate.Tick();
    rate.Requested(blocks * 8);
    line.queued += blocks * 8;
  }
  CHECK(moved >= 200 * 2000 * 95 / 100);  // and the line is busy
}

TEST_CASE("receive buffers bound what is in flight") {
  RateOptions options;
  options.c_fill_target = 1048576;
  options.c_max_rate_kib = 4194304;
  options.resync_rate_kib = 8388608;
  options.c_plan_ahead = 300;
  options.max_buffers = 64;
  RateController rate;
  rate.Reset(options);
  uint32_t in_flight = 0;
  for (int tick = 0; tick < 50; ++tick) {
    const uint32_t blocks = rate.Tick();
    rate.Requested(blocks * 8);
    in_flight += blocks;
    CHECK(in_flight <= 32);
  }
  CHECK(in_flight == 32);
}

TEST_CASE("without plan-ahead the rate is fixed") {
  RateOptions options;
  options.c_plan_ahead = 0;
  options.resync_rate_kib = 4000;
  RateController rate;
  rate.Reset(options);
  for (int tick = 0; tick < 20; ++tick) {
    const uint32_t blocks = rate.Tick();
    CHECK(blocks == 100);
    CHECK(rate.want_kib() == 4000);
    rate.Requested(blocks * 8);
    rate.Received(blocks * 8);
  }
  // Nothing arrives any more: at most half of max-buffers is asked for.
  uint32_t asked = 0;
  for (int tick = 0; tick < 100; ++tick) {
    const uint32_t blocks = rate.Tick();
    rate.Requested(blocks * 8);
    asked += blocks;
  }
  CHECK(asked <= options.max_buffers / 2);
}

TEST_CASE("options may change while a resync runs") {
  RateController rate;
  rate.Reset(RateOptions{});
  for (const uint32_t plan : {20u, 300u, 0u, 1u, 4000000u, 20u}) {
    RateOptions options;
    options.c_plan_ahead = plan;
    rate.SetOptions(options);
    for (int tick = 0; tick < 400; ++tick) {
      const uint32_t blocks = rate.Tick();
      CHECK(blocks <= options.max_buffers / 2);
      rate.Requested(blocks * 8);
      rate.Received(blocks * 8 + (tick % 50 == 0 ? 1000 : 0));  // sometimes more than was asked for
    }
  }
}
