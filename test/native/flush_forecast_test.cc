// A flush that is foreseen is quicker, and promises as much as any other.
#include "core/flush_forecast.h"

#include "support/pair.h"

#undef CHECK
#include <doctest/doctest.h>

using namespace pair_test;
using Kind = AdminCommand::Kind;

namespace {

constexpr uint64_t kDisk = 16u << 20;

uint64_t Seed() {
  const char* given = std::getenv("DRBDTS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  MESSAGE("DRBDTS_SEED=" << seed);
  return seed;
}

/// Writes one block, waits for it, and tells what it wrote.
struct Log {
  Pair& p;
  std::map<uint64_t, uint8_t> written = {};  // sector -> fill
  std::vector<std::unique_ptr<std::vector<uint8_t>>> buffers = {};

  uint64_t Start(uint64_t sector) {
    const auto fill = static_cast<uint8_t>(1 + p.rng() % 255);
    buffers.push_back(std::make_unique<std::vector<uint8_t>>(4096, fill));
    written[sector] = fill;
    return p.a().Submit(BlockOp::kWrite, sector, 4096, buffers.back()->data());
  }
  void Write(uint64_t sector) {
    const uint64_t tag = Start(sector);
    REQUIRE(p.Until([&] { return p.a().Done(tag); }));
    REQUIRE(p.a().completed[tag] == 0);
  }
  int Flush() {
    const uint64_t tag = p.a().Submit(BlockOp::kFlush, 0, 0, nullptr);
    REQUIRE(p.Until([&] { return p.a().Done(tag); }));
    return p.a().completed[tag];
  }
  bool DurableOn(Node& n) const {
    for (const auto& [sector, fill] : written) {
      for (uint64_t i = 0; i < 4096; i++) {
        if (n.disk.durable[sector * 512 + i] != fill) return false;
      }
    }
    return true;
  }
};

bool InSync(Pair& p) {
  for (int i = 0; i < 2; ++i) {
    const State s = p.node(i).state();
    if (s.conn != Conn::kConnected || s.disk != Disk::kUpToDate || s.pdsk != Disk::kUpToDate) return false;
  }
  return true;
}

void UpInSync(Pair& p) {
  for (int i = 0; i < 2; ++i) {
    p.node(i).CreateMdInSync(0x1234567890abcde0);
    REQUIRE(p.node(i).Run(Kind::kAttach) == 1);
    REQUIRE(p.node(i).Run(Kind::kConnect) == 1);
  }
  REQUIRE(p.Until([&] { return InSync(p); }));
  REQUIRE(p.a().Run(Kind::kPrimary) == 1);
}

void UpAlone(Pair& p) {
  p.a().CreateMd();
  REQUIRE(p.a().Run(Kind::kAttach) == 1);
  REQUIRE(p.a().Run(Kind::kPrimary, [](AdminCommand& c) { c.force = true; }) == 1);
}

}  // namespace

TEST_CASE("a flush is expected after the pattern has shown itself, and not after it has broken") {
  FlushForecast f;
  for (int i = 0; i < 5; ++i) {
    f.OnWrite();
    CHECK_FALSE(f.due());
    f.OnWrite();
    CHECK_FALSE(f.due());
    f.OnFlush();
  }
  f.OnWrite();
  CHECK_FALSE(f.due());
  f.OnWrite();
  CHECK(f.due());
  f.OnWrite();  // instead of the flush
  CHECK_FALSE(f.due());
  f.OnFlush();
  f.OnWrite();
  f.OnWrite();
  CHECK_FALSE(f.due());
}

TEST_CASE("writes without flushes, and flushes without writes, make nobody expect anything") {
  FlushForecast f;
  for (int i = 0; i < 100; ++i) f.OnFlush();
  CHECK_FALSE(f.due());
  for (int i = 0; i < 100; ++i) {
    f.OnWrite();
    CHECK_FALSE(f.due());
  }
}

TEST_CASE("a log that flushes after each write finds it durable on both nodes already") {
  Pair p(kDisk, Seed());
  UpInSync(p);
  Log log{p};
  for (uint64_t i = 0; i < 8; ++i) {
    log.Write(i * 8);
    REQUIRE(log.Flush() == 0);
  }
  log.Write(800);
  p.For(5000);
  CHECK(log.DurableOn(p.a()));
  CHECK(log.DurableOn(p.b()));
}

TEST_CASE("what is flushed is durable on both nodes, foreseen or not") {
  for (int round = 0; round < 20; ++round) {
    Pair p(kDisk, Seed());
    UpInSync(p);
    Log log{p};
    uint64_t between = 1;
    for (int commit = 0; commit < 200; ++commit) {
      if (p.rng() % 20 == 0) between = 1 + p.rng() % 4;
      if (p.rng() % 10 == 0) p.disk_delay = 1 + p.rng() % 400;
      if (p.rng() % 10 == 0) p.net_delay = 1 + p.rng() % 400;
      std::vector<uint64_t> open;
      const uint64_t writes = p.rng() % 8 == 0 ? p.rng() % 6 : between;
      for (uint64_t i = 0; i < writes; ++i) {
        const uint64_t sector = p.rng() % 1024 * 8;
        if (p.rng() % 4 == 0) open.push_back(log.Start(sector));
        else log.Write(sector);
      }
      if (p.rng() % 4 == 0) p.For(p.rng() % 300);
      REQUIRE(p.Until([&] { return std::all_of(open.begin(), open.end(), [&](uint64_t tag) { return p.a().Done(tag); }); }));
      REQUIRE(log.Flush() == 0);
      REQUIRE(log.DurableOn(p.a()));
      REQUIRE(log.DurableOn(p.b()));
      log.written.clear();
    }
    for (int i = 0; i < 2; ++i) CHECK(p.node(i).violations.empty());
  }
}

TEST_CASE("a foreseen flush that fails is not hidden from the application") {
  for (const OnIoError policy : {OnIoError::kDetach, OnIoError::kPassOn}) {
    Pair p(kDisk, Seed(), [&](ResourceConfig& c, int) { c.volumes[0].options.on_io_error = policy; });
    UpAlone(p);
    Log log{p};
    for (uint64_t i = 0; i < 8; ++i) {
      log.Write(i * 8);
      REQUIRE(log.Flush() == 0);
    }
    log.Write(800);
    p.a().disk.fail_writes = true;
    p.For(5000);
    p.a().disk.fail_writes = false;
    CHECK(log.Flush() != 0);
  }
}

TEST_CASE("a disk that comes back is flushed for what it was given before") {
  Pair p(kDisk, Seed());
  UpInSync(p);
  Log log{p};
  log.Write(0);
  REQUIRE(log.Flush() == 0);
  log.Write(8);
  REQUIRE(p.a().Run(Kind::kDetach) == 1);
  REQUIRE(p.a().Run(Kind::kAttach) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  REQUIRE(log.Flush() == 0);
  CHECK(log.DurableOn(p.a()));
  CHECK(log.DurableOn(p.b()));
}
