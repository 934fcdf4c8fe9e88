#include "core/activity_log.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>  // last: its CHECK replaces that of core/assert.h

using namespace drbdts::core;

namespace {

uint64_t Seed() {
  const char* given = std::getenv("DRBDTS_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

void Transact(ActivityLog& log, AlBlock& block, std::vector<uint32_t>& evicted) {
  REQUIRE(log.CanBegin());
  log.Begin(block, evicted);
  log.Commit();
}

std::set<uint32_t> ReplaySet(const std::vector<uint8_t>& ring, bool& ok) {
  static std::vector<uint32_t> slots(kAlExtentsMax + 1);
  std::set<uint32_t> extents;
  ok = ReplayActivityLog(ring, slots, [](void* set, uint32_t e) { static_cast<std::set<uint32_t>*>(set)->insert(e); }, &extents).ok();
  return extents;
}

}  // namespace

TEST_CASE("activity log: a cold extent is staged, being written it is pending, committed it is hot") {
  ActivityLog log(67, 1000);
  log.Reset(8);
  AlBlock block;
  std::vector<uint32_t> evicted;
  CHECK_FALSE(log.CanBegin());
  CHECK(log.Pin(5) == ActivityLog::Get::kStaged);
  CHECK(log.Pin(5) == ActivityLog::Get::kStaged);
  CHECK_FALSE(log.IsHot(5));
  log.Begin(block, evicted);
  CHECK(log.Pin(5) == ActivityLog::Get::kPending);
  CHECK(log.Pin(6) == ActivityLog::Get::kStaged);
  CHECK_FALSE(log.CanBegin());  // one at a time
  CHECK_FALSE(log.IsHot(5));
  log.Commit();
  CHECK(log.IsHot(5));
  CHECK_FALSE(log.IsHot(6));
  CHECK(log.Pin(5) == ActivityLog::Get::kHot);
  CHECK(block.transaction == 8);
  CHECK(block.n_updates == 1);
  CHECK(block.context_size == 67);
  CHECK(block.updates[0].slot == 66);  // from the highest number down
  CHECK(block.updates[0].extent == 5);
  CHECK(block.context[66] == kAlNoExtent);  // the value before
  CHECK(evicted.empty());
  Transact(log, block, evicted);
  CHECK(block.updates[0].slot == 65);
  CHECK(block.context[66] == 5);
  CHECK(log.transactions() == 2);
  CHECK(log.next_transaction() == 10);
  for (int i = 0; i < 4; ++i) log.Unpin(5);
  CHECK_FALSE(log.idle());
  log.Unpin(6);
  CHECK(log.idle());
  CHECK(log.IsHot(5));
  CHECK(log.used() == 2);
}

TEST_CASE("activity log: the least recently used idle extent is evicted, a pinned one never") {
  ActivityLog log(67, 1000);
  log.Reset(0);
  AlBlock block;
  std::vector<uint32_t> evicted;
  for (uint32_t e = 0; e < 67; ++e) {
    CHECK(log.Pin(e) == ActivityLog::Get::kStaged);
    if (e == 63) Transact(log, block, evicted);  // 64 changes fill a transaction
  }
  Transact(log, block, evicted);
  CHECK(log.Pin(100) == ActivityLog::Get::kNoSlot);  // all pinned
  log.Unpin(9);
  log.Unpin(3);
  log.Unpin(7);
  CHECK(log.Pin(9) == ActivityLog::Get::kHot);
  log.Unpin(9);  // now 3, 7, 9
  CHECK(log.Pin(100) == ActivityLog::Get::kStaged);
  CHECK_FALSE(log.IsHot(3));
  CHECK(log.Pin(3) == ActivityLog::Get::kStaged);  // back again while on its way out: takes the slot of 7
  log.Begin(block, evicted);
  CHECK(evicted == std::vector<uint32_t>{3, 7});
  CHECK(block.n_updates == 2);
  CHECK(block.updates[0].extent == 100);
  CHECK(block.updates[1].extent == 3);
  CHECK(block.context[block.updates[0].slot] == 3);
  CHECK(block.context[block.updates[1].slot] == 7);
  log.Commit();
  CHECK(log.IsHot(100));
  CHECK(log.IsHot(3));
  CHECK_FALSE(log.IsHot(7));
  CHECK(log.used() == 67);
}

TEST_CASE("activity log: at most 64 changes wait; an extent whose pins are gone before the commit becomes evictable after it") {
  ActivityLog log(200, 1000);
  log.Reset(0);
  AlBlock block;
  std::vector<uint32_t> evicted;
  for (uint32_t e = 0; e < 64; ++e) CHECK(log.Pin(e) == ActivityLog::Get::kStaged);
  CHECK(log.Pin(64) == ActivityLog::Get::kNoSlot);
  for (uint32_t e = 0; e < 64; ++e) log.Unpin(e);
  CHECK(log.idle());
  log.Begin(block, evicted);
  CHECK(block.n_updates == 64);
  CHECK(log.Pin(64) == ActivityLog::Get::kStaged);  // room again for the next one
  log.Commit();
  for (uint32_t e = 0; e < 64; ++e) CHECK(log.IsHot(e));
}

TEST_CASE("activity log: the context goes round in steps of 919") {
  ActivityLog log(1237, 100000);
  log.Reset(0);
  AlBlock block;
  std::vector<uint16_t> starts;
  for (uint32_t t = 0; t < 8; ++t) {
    log.FillEmptyTransaction(block);
    CHECK(block.transaction == t);
    CHECK(block.n_updates == 0);
    CHECK(block.context_size == 1237);
    starts.push_back(block.context_start_slot);
  }
  CHECK(starts == std::vector<uint16_t>{0, 919, 0, 919, 0, 919, 0, 919});
  std::vector<uint32_t> evicted;
  CHECK(log.Pin(1) == ActivityLog::Get::kStaged);
  log.Begin(block, evicted);
  CHECK(block.transaction == 8);
  CHECK(block.updates[0].slot == 1236);
}

// A plain model beside it: reference counts, and what is on "disk". At every step the machine may lose power, with the block
// under way not written, torn or written: replaying the ring must find every extent that was hot, and nothing that was
// committed to be gone.
TEST_CASE("activity log: property, replay after a crash at any moment finds all hot extents and only those on disk") {
  const uint64_t seed = Seed();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  size_t evictions = 0;
  size_t full = 0;
  for (int round = 0; round < 24; ++round) {
    const uint32_t stripes = static_cast<uint32_t>(1 + below(3));
    const uint32_t stripe_size = static_cast<uint32_t>(8 + below(3));
    const uint32_t blocks = stripes * stripe_size;
    const uint32_t slots = round % 3 == 0 ? AlExtentsLimit(8) : static_cast<uint32_t>(67 + below(round % 3 == 1 ? 60 : 1500));
    const uint32_t extents = static_cast<uint32_t>(slots / 2 + 1 + below(slots * 2));
    const auto first = static_cast<uint32_t>(below(2) == 0 ? 0 : below(1000));
    CAPTURE(round);
    CAPTURE(slots);
    ActivityLog log(slots, extents);
    log.Reset(first);
    std::vector<uint8_t> ring(size_t{blocks} * kMetaBlockBytes);
    AlBlock block;
    const auto place = [&](const AlBlock& b) {
      return std::span<uint8_t, kMetaBlockBytes>(ring.data() + AlBlockIndex(b.transaction, stripes, stripe_size) * kMetaBlockBytes, kMetaBlockBytes);
    };
    AlBlock init;
    init.initialized_only = true;
    for (uint32_t i = 0; i < blocks; ++i) EncodeAlBlock(init, std::span<uint8_t, kMetaBlockBytes>(ring.data() + size_t{i} * kMetaBlockBytes, kMetaBlockBytes));

    std::map<uint32_t, int> pins;       // per extent
    std::map<uint32_t, uint32_t> disk;  // slot -> extent, as committed
    std::set<uint32_t> hot;             // what Pin must call hot
    std::vector<uint32_t> evicted;
    bool in_flight = false;
    std::array<uint8_t, kMetaBlockBytes> coming{};

    const auto on_disk = [&] {
      std::set<uint32_t> set;
      for (const auto& [slot, extent] : disk) set.insert(extent);
      return set;
    };
    const auto check_crash = [&] {
      bool ok = false;
      REQUIRE(ReplaySet(ring, ok) == on_disk());
      REQUIRE(ok);
      for (const uint32_t e : hot) REQUIRE(log.IsHot(e));
      if (!in_flight) return;
      const auto target = place(block);
      std::array<uint8_t, kMetaBlockBytes> old{};
      std::copy(target.begin(), target.end(), old.begin());
      const size_t written = below(9) * 512;  // sectors that made it
      std::copy_n(coming.begin(), written, target.begin());
      const std::set<uint32_t> found = ReplaySet(ring, ok);
      REQUIRE(ok);
      for (uint32_t e = 0; e < extents; ++e) {
        if (log.IsHot(e)) REQUIRE(found.contains(e));
      }
      std::copy(old.begin(), old.end(), target.begin());
    };

    for (int step = 0; step < 4000; ++step) {
      switch (below(8)) {
        case 0:
        case 1:
        case 2: {
          const auto e = static_cast<uint32_t>(below(2) == 0 ? below(extents) : below(extents / 8 + 1));
          const bool was_hot = hot.contains(e);
          const auto got = log.Pin(e);
          if (was_hot) REQUIRE(got == ActivityLog::Get::kHot);
          if (got == ActivityLog::Get::kHot) REQUIRE(log.IsHot(e));
          if (got != ActivityLog::Get::kNoSlot) ++pins[e];
          if (got == ActivityLog::Get::kNoSlot) ++full;
          // Staging may have pushed out an idle extent: only pinned ones must still be hot.
          for (auto it = hot.begin(); it != hot.end();) {
            if (log.IsHot(*it)) {
              ++it;
            } else {
              REQUIRE_FALSE(pins.contains(*it));
              it = hot.erase(it);
            }
          }
          break;
        }
        case 3:
        case 4: {
          if (pins.empty() || pins.size() < below(slots + slots / 4)) break;  // so that at times all slots are pinned
          auto it = pins.begin();
          std::advance(it, static_cast<std::ptrdiff_t>(below(pins.size())));
          if (it->second > 0) {
            log.Unpin(it->first);
            --it->second;
          }
          if (it->second == 0) pins.erase(it);
          break;
        }
        case 5:
          if (log.CanBegin()) {
            REQUIRE_FALSE(in_flight);
            log.Begin(block, evicted);
            EncodeAlBlock(block, coming);
            in_flight = true;
            std::set<uint32_t> replaced;
            for (uint32_t i = 0; i < block.n_updates; ++i) {
              const auto old = disk.find(block.updates[i].slot);
              if (old != disk.end()) replaced.insert(old->second);
            }
            REQUIRE(replaced == std::set<uint32_t>(evicted.begin(), evicted.end()));
            for (const uint32_t e : evicted) REQUIRE_FALSE(log.IsHot(e));
            evictions += evicted.size();
          }
          break;
        case 6:
          if (in_flight) {
            std::copy(coming.begin(), coming.end(), place(block).begin());
            log.Commit();
            in_flight = false;
            for (uint32_t i = 0; i < block.n_updates; ++i) {
              disk[block.updates[i].slot] = block.updates[i].extent;
              hot.insert(block.updates[i].extent);
              REQUIRE(log.IsHot(block.updates[i].extent));
            }
          }
          break;
        default:
          if (!in_flight && below(20) == 0) {
            log.FillEmptyTransaction(block);
            EncodeAlBlock(block, place(block));
          }
          break;
      }
      REQUIRE(log.idle() == pins.empty());
      if (step % 16 == 0 || (in_flight && below(8) == 0)) check_crash();
    }
    check_crash();
  }
  // The run meant something.
  CHECK(evictions > 100);
  CHECK(full > 0);
}
