// A pair of nodes of the real core: what an administrator types and what the disks hold afterwards.
#include "support/pair.h"

#undef CHECK
#include <doctest/doctest.h>

using namespace pair_test;
using Kind = AdminCommand::Kind;

namespace {

constexpr uint64_t kDisk = 16u << 20;

struct Buffers {
  std::vector<std::unique_ptr<uint8_t[]>> all;
  uint8_t* Make(uint32_t bytes, uint8_t fill) {
    all.push_back(std::make_unique<uint8_t[]>(bytes));
    std::memset(all.back().get(), fill, bytes);
    return all.back().get();
  }
};

bool SameData(Pair& p) {
  const size_t n = p.a().layout.usable_sectors * 512;
  return std::memcmp(p.a().disk.bytes.data(), p.b().disk.bytes.data(), n) == 0;
}

void Up(Pair& p) {
  for (int i = 0; i < 2; ++i) {
    p.node(i).CreateMd();
    REQUIRE(p.node(i).Run(Kind::kAttach) == 1);
    REQUIRE(p.node(i).Run(Kind::kConnect) == 1);
  }
  REQUIRE(p.Until([&] { return p.a().state().conn == Conn::kConnected && p.b().state().conn == Conn::kConnected; }));
}

bool InSync(Pair& p) {
  for (int i = 0; i < 2; ++i) {
    const State s = p.node(i).state();
    if (s.conn != Conn::kConnected || s.disk != Disk::kUpToDate || s.pdsk != Disk::kUpToDate) return false;
  }
  return true;
}

void UpInSync(Pair& p) {
  Up(p);
  REQUIRE(p.a().Run(Kind::kPrimary, [](AdminCommand& c) { c.force = true; }) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
}

void Write(Pair& p, Node& n, Buffers& b, uint64_t sector, uint32_t bytes, uint8_t fill, bool flush = false) {
  const uint64_t t = n.Submit(BlockOp::kWrite, sector, bytes, b.Make(bytes, fill));
  REQUIRE(p.Until([&] { return n.Done(t); }));
  CHECK(n.completed[t] == 0);
  if (flush) {
    const uint64_t f = n.Submit(BlockOp::kFlush, 0, 0, nullptr);
    REQUIRE(p.Until([&] { return n.Done(f); }));
    CHECK(n.completed[f] == 0);
  }
}

}  // namespace

TEST_CASE("create-md, up, primary --force, full sync, role swap") {
  Pair p(kDisk, 1);
  p.trace = getenv("TRACE") != nullptr;
  for (size_t i = 0; i < kDisk / 2; ++i) p.a().disk.bytes[i] = static_cast<uint8_t>(i * 7 >> 3);
  Up(p);
  CHECK(p.a().state().disk == Disk::kInconsistent);
  CHECK(p.b().state().pdsk == Disk::kInconsistent);
  CHECK(p.a().Run(Kind::kPrimary) == -2);
  REQUIRE(p.a().Run(Kind::kPrimary, [](AdminCommand& c) { c.force = true; }) == 1);
  CHECK(p.a().device_up);
  REQUIRE(p.Until([&] { return InSync(p); }));
  CHECK(SameData(p));
  CHECK(p.a().snap().out_of_sync_bits == 0);
  CHECK(p.b().snap().out_of_sync_bits == 0);
  CHECK((p.a().snap().uuids.current & ~1ull) == (p.b().snap().uuids.current & ~1ull));
  CHECK(p.a().snap().uuids.bitmap == 0);
  CHECK((p.a().snap().uuids.history0 | 1) == (p.b().snap().uuids.history0 | 1));

  Buffers b;
  Write(p, p.a(), b, 8, 4096, 0x11);
  Write(p, p.a(), b, 3, 512, 0x22);
  Write(p, p.a(), b, 8192 - 8, 1 << 20, 0x33, true);
  CHECK(SameData(p));
  CHECK(p.b().Run(Kind::kPrimary) == -1);
  REQUIRE(p.a().Run(Kind::kSecondary) == 1);
  CHECK(!p.a().device_up);
  REQUIRE(p.b().Run(Kind::kPrimary) == 1);
  Write(p, p.b(), b, 64, 4096, 0x44, true);
  CHECK(SameData(p));
  const uint64_t t = p.b().Submit(BlockOp::kRead, 64, 4096, b.Make(4096, 0));
  REQUIRE(p.Until([&] { return p.b().Done(t); }));
  CHECK(b.all.back()[17] == 0x44);
  REQUIRE(p.b().Run(Kind::kDown) == 1);
  REQUIRE(p.a().Run(Kind::kDown) == 1);
}

TEST_CASE("a disconnected Primary writes on and the bitmap brings the other up to date") {
  Pair p(kDisk, 2);
  UpInSync(p);
  Buffers b;
  REQUIRE(p.b().Run(Kind::kDisconnect) == 1);
  CHECK(p.b().state().conn == Conn::kStandAlone);
  Write(p, p.a(), b, 1024, 4096, 0x55);
  CHECK(p.a().snap().out_of_sync_bits == 1);
  CHECK(!SameData(p));
  REQUIRE(p.b().Run(Kind::kConnect) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  CHECK(SameData(p));
  CHECK(p.a().snap().out_of_sync_bits == 0);
}

TEST_CASE("cut network: the peer becomes Primary, both wrote: split brain on both, then discard-my-data") {
  Pair p(kDisk, 3);
  p.trace = getenv("TRACE") != nullptr;
  UpInSync(p);
  Buffers b;
  p.Cut();
  p.For(30 * 1000000);
  REQUIRE(p.b().Run(Kind::kPrimary) == 1);
  Write(p, p.a(), b, 1024, 4096, 0x55);
  Write(p, p.b(), b, 2048, 4096, 0x66);
  p.Heal();
  REQUIRE(p.Until([&] { return p.a().state().conn == Conn::kStandAlone && p.b().state().conn == Conn::kStandAlone; }));
  CHECK(std::count(p.a().handlers.begin(), p.a().handlers.end(), "split-brain") == 1);
  CHECK(std::count(p.b().handlers.begin(), p.b().handlers.end(), "split-brain") == 1);
  REQUIRE(p.b().Run(Kind::kSecondary) == 1);
  REQUIRE(p.b().Run(Kind::kConnect, [](AdminCommand& c) { c.discard_my_data = true; }) == 1);
  REQUIRE(p.a().Run(Kind::kConnect) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  CHECK(SameData(p));
}

TEST_CASE("killed Primary comes back: only hot extents are copied") {
  Pair p(64u << 20, 4);
  UpInSync(p);
  Buffers b;
  Write(p, p.a(), b, 0, 4096, 0x01);
  Write(p, p.a(), b, 16384, 4096, 0x02);
  p.a().Crash(false, p.rng);
  p.For(30 * 1000000);
  CHECK(p.b().state().conn == Conn::kWFConnection);
  p.a().Start(99);
  REQUIRE(p.a().Run(Kind::kAttach) == 1);
  CHECK(p.a().snap().out_of_sync_bits == 2048);
  REQUIRE(p.a().Run(Kind::kConnect) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  CHECK(SameData(p));
}

TEST_CASE("failover: the Primary dies, the other has every acknowledged byte and resyncs the one that returns") {
  for (uint64_t seed = 10; seed < 20; ++seed) {
    Pair p(kDisk, seed);
    UpInSync(p);
    Buffers b;
    for (int i = 0; i < 20; ++i) Write(p, p.a(), b, p.rng() % 30000 / 8 * 8, 4096, static_cast<uint8_t>(i + 1));
    std::vector<uint8_t> before(p.a().disk.bytes.begin(), p.a().disk.bytes.begin() + static_cast<long>(p.a().layout.usable_sectors * 512));
    for (int i = 0; i < 5; ++i) p.a().Submit(BlockOp::kWrite, 31000 + static_cast<uint64_t>(i) * 8, 4096, b.Make(4096, 0xee));
    p.a().Crash(true, p.rng);
    CHECK(std::memcmp(before.data(), p.b().disk.bytes.data(), 31000 * 512) == 0);
    p.For(30 * 1000000);
    REQUIRE(p.b().Run(Kind::kPrimary) == 1);
    Write(p, p.b(), b, 0, 8192, 0x77, true);
    p.a().Start(seed + 1000);
    REQUIRE(p.a().Run(Kind::kAttach) == 1);
    REQUIRE(p.a().Run(Kind::kConnect) == 1);
    REQUIRE(p.Until([&] { return InSync(p); }));
    CHECK(SameData(p));
    CHECK(p.a().disk.bytes[100] == 0x77);
  }
}

TEST_CASE("a Primary whose disk fails goes on over the network") {
  Pair p(kDisk, 5);
  p.trace = getenv("TRACE") != nullptr;
  UpInSync(p);
  Buffers b;
  Write(p, p.a(), b, 80, 4096, 0x31);
  p.a().disk.fail_reads = p.a().disk.fail_writes = true;
  Write(p, p.a(), b, 88, 4096, 0x32);
  REQUIRE(p.Until([&] { return p.a().state().disk == Disk::kDiskless; }));
  const uint64_t t = p.a().Submit(BlockOp::kRead, 80, 8192, b.Make(8192, 0));
  REQUIRE(p.Until([&] { return p.a().Done(t); }));
  CHECK(p.a().completed[t] == 0);
  CHECK(b.all.back()[0] == 0x31);
  CHECK(b.all.back()[4096] == 0x32);
  Write(p, p.a(), b, 4000, 4096, 0x33, true);
  p.a().disk.fail_reads = p.a().disk.fail_writes = false;
  REQUIRE(p.a().Run(Kind::kAttach) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  CHECK(SameData(p));
}

TEST_CASE("why the disk is gone is still said after its I/O was cut off") {
  Pair p(kDisk, 6);
  UpInSync(p);
  Buffers b;
  p.a().disk.fail_reads = p.a().disk.fail_writes = true;
  Write(p, p.a(), b, 88, 4096, 0x32);
  REQUIRE(p.Until([&] { return p.a().state().disk == Disk::kDiskless; }));
  const std::string why = std::string(p.a().snap().reason.data());
  CHECK(why.find("failed") != std::string::npos);
  REQUIRE(p.a().Run(Kind::kSecondary, [](AdminCommand& c) { c.force = true; }) == 1);
  CHECK(std::string(p.a().snap().reason.data()) == why);
}

TEST_CASE("invalidate, invalidate-remote, verify finds what differs, reconnect repairs it") {
  Pair p(kDisk, 6, [](ResourceConfig& c, int) { c.net.verify_alg = DigestAlgorithm::kCrc32c; });
  p.trace = getenv("TRACE") != nullptr;
  UpInSync(p);
  REQUIRE(p.b().Run(Kind::kInvalidate) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  REQUIRE(p.a().Run(Kind::kInvalidateRemote) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  p.b().disk.bytes[4096 * 7 + 5] ^= 1;
  p.b().disk.bytes[4096 * 2000 + 5] ^= 1;
  REQUIRE(p.a().Run(Kind::kVerify) == 1);
  REQUIRE(p.Until([&] { return p.a().state().conn == Conn::kConnected && p.b().state().conn == Conn::kConnected; }));
  CHECK(p.a().snap().out_of_sync_bits == 2);
  CHECK(p.b().snap().out_of_sync_bits == 2);
  REQUIRE(p.b().Run(Kind::kDisconnect) == 1);
  REQUIRE(p.b().Run(Kind::kConnect) == 1);
  REQUIRE(p.Until([&] { return InSync(p); }));
  CHECK(SameData(p));
}
