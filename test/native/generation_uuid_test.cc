#include "core/generation_uuid.h"

#include <cstdlib>
#include <map>
#include <random>
#include <vector>

#undef CHECK  // here it is the test framework's, not the one that aborts
#include <doctest/doctest.h>

using namespace drbdts::core;

namespace {

uint64_t Seed() {
  const char* given = std::getenv("DRBDTS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  MESSAGE("DRBDTS_SEED=" << seed);
  return seed;
}

constexpr uint64_t kStep = kUuidSyncStep;
// Some generations, far enough apart that no step leads from one to another.
constexpr uint64_t kA = 0xa100, kB = 0xb200, kC = 0xc300, kD = 0xd400, kE = 0xe500, kF = 0xf600, kG = 0x9700;

CompareInput Pair(const UuidSet& self, const UuidSet& peer) {
  CompareInput in;
  in.self = self;
  in.peer = peer;
  return in;
}

CompareInput Mirror(const CompareInput& in) {
  CompareInput out = in;
  out.self = in.peer;
  out.peer = in.self;
  out.self_crashed_primary = in.peer_crashed_primary;
  out.peer_crashed_primary = in.self_crashed_primary;
  out.self_primary = in.peer_primary;
  out.peer_primary = in.self_primary;
  out.resolve_conflicts = !in.resolve_conflicts;
  return out;
}

int MirrorValue(int value) { return value >= -2 && value <= 2 ? -value : value; }

void CheckMirror(const CompareInput& in) {
  const CompareResult here = CompareUuids(in);
  const CompareResult there = CompareUuids(Mirror(in));
  REQUIRE(there.value == MirrorValue(here.value));
  REQUIRE((there.self == here.peer));
  REQUIRE((there.peer == here.self));
}

}  // namespace

TEST_CASE("a new current identifier keeps the old one, with its role bit, as bitmap identifier") {
  UuidSet u{kA | 1, 0, kB, kC};
  NewCurrentUuid(u, 0x123456789abcdef0, true);
  CHECK(u == UuidSet{0x123456789abcdef1, kA | 1, kB, kC});
  NewCurrentUuid(u, 0x123456789abcdeff, false);
  CHECK(u.current == 0x123456789abcdefe);
}

TEST_CASE("an unlucky random number never reads as just created or as none") {
  for (const uint64_t unlucky : {0, 1, 4, 5}) {
    UuidSet u{kA, 0, 0, 0};
    NewCurrentUuid(u, unlucky, true);
    CHECK(WithoutRoleBit(u.current) != 0);
    CHECK(WithoutRoleBit(u.current) != kUuidJustCreated);
    u = {kA, 0, 0, 0};
    const uint64_t sync_uuid = BeginSyncSource(u, unlucky);
    CHECK(WithoutRoleBit(sync_uuid) != 0);
    CHECK(WithoutRoleBit(sync_uuid) != kUuidJustCreated);
  }
}

TEST_CASE("clearing and storing the bitmap identifier rotate the history") {
  UuidSet u{kA, kB, kC, kD};
  ClearBitmapUuid(u);
  CHECK(u == UuidSet{kA, 0, kB, kC});
  ClearBitmapUuid(u);
  CHECK(u == UuidSet{kA, 0, kB, kC});
  SetBitmapUuidRotating(u, kE);
  CHECK(u == UuidSet{kA, kE, kB, kC});
  SetBitmapUuidRotating(u, kF);
  CHECK(u == UuidSet{kA, kF, kE, kB});
}

TEST_CASE("a resync that ends well leaves both nodes with the same set") {
  for (const uint64_t old_bitmap : {uint64_t{0}, kUuidJustCreated, kB, kB | 1}) {
    CAPTURE(old_bitmap);
    UuidSet source{kA | 1, old_bitmap, kC, kD};
    const UuidSet announced = source;
    UuidSet target{kE, 0, kF, kG};
    const uint64_t sync_uuid = BeginSyncSource(source, 0x7777777777777777);
    if (old_bitmap == 0 || old_bitmap == kUuidJustCreated) {
      CHECK((sync_uuid & 0xffffffffffff) == 0x777777777777);
    } else {
      CHECK(sync_uuid == old_bitmap + kStep);
    }
    CHECK(ResyncBegun(source));
    CHECK_FALSE(ResyncBegun(announced));
    CHECK(source.bitmap == sync_uuid);
    BeginSyncTarget(target, sync_uuid, false);
    CHECK(target == UuidSet{WithoutRoleBit(sync_uuid), 0, kF, kG});
    // Interrupted here, the target finds itself in the source's bitmap identifier.
    CHECK(CompareUuids(Pair(target, source)).rule == 50);
    FinishSyncTarget(target, announced, false);
    // The target knows before the source does.
    CHECK(CompareUuids(Pair(source, target)).value == 1);
    FinishSyncSource(source);
    CHECK(WithoutRoleBit(source.current) == WithoutRoleBit(target.current));
    CHECK(WithoutRoleBit(source.history0) == WithoutRoleBit(target.history0));
    CHECK(WithoutRoleBit(target.history0) == WithoutRoleBit(sync_uuid));
    CHECK(source.history1 == target.history1);
    CHECK(source.history1 == (old_bitmap != 0 ? old_bitmap : kC));
    CHECK((source.bitmap | target.bitmap) == 0);
    CHECK(CompareUuids(Pair(source, target)).rule == 40);
  }
}

TEST_CASE("a source that lost its target when it may have finished does not go on under the shared identifier") {
  // The target finished and was promoted; the source, still Primary, never heard of either and wrote on.
  UuidSet source{kA | 1, kB + kStep, kB, kC};
  UuidSet target{kA, 0, kB + kStep, kB};
  NewCurrentUuid(target, kE, true);
  CHECK(CompareUuids(Pair(source, target)).value == -1);  // what would happen without
  SyncTargetLost(source, {false, true}, kF, true);
  CHECK(source == UuidSet{kA | 1, 0, kB + kStep, kB});
  NewCurrentUuid(source, kD, true);
  CHECK(CompareUuids(Pair(source, target)).value == 100);

  // The resync began with equal identifiers and P_SYNC_UUID may not have arrived.
  source = {kA, kB, kC, kD};
  SyncTargetLost(source, {true, false}, kF, false);
  CHECK(source == UuidSet{kF, kA, kB, kC});
  CHECK(CompareUuids(Pair(source, {kA, 0, kC, kD})).value == 1);  // it did not
  CHECK(CompareUuids(Pair(source, {kB, 0, kC, kD})).value == 2);  // it did

  source = {kA, kB, kC, kD};
  SyncTargetLost(source, {}, kF, false);
  CHECK(source == UuidSet{kA, kB, kC, kD});
}

TEST_CASE("every rule of the comparison") {
  struct Row {
    int rule;
    int value;
    UuidSet self, peer;
  };
  const Row rows[] = {
      {10, 0, {4, 0, 0, 0}, {5, 0, 0, 0}},
      {20, -2, {4, 0, 0, 0}, {kA, 4, 0, 0}},
      {20, -2, {0, 0, 0, 0}, {kA, 4, 0, 0}},
      {30, 2, {kA, 4, 0, 0}, {4, 0, 0, 0}},
      {30, 2, {kA, 4, 0, 0}, {0, 0, 0, 0}},
      {34, 1, {kA | 1, kB, kC, kD}, {kA, 0, kB | 1, kC}},
      {36, 1, {kA, kB, kC, kD}, {kA, 0, kB, kE}},
      {36, 1, {kA, kB, 0, 0}, {kA, 0, 0, 0}},
      {35, -1, {kA, 0, kB, kC}, {kA, kB, kC, kD}},
      {37, -1, {kA, 0, kE, 0}, {kA, kB, kC, kD}},
      {40, 0, {kA, 0, kB, kC}, {kA | 1, 0, kB, kC}},
      {40, 0, {kA, kD, kB, kC}, {kA, kE, kB, kC}},
      {50, -1, {kA, 0, 0, 0}, {kC, kA | 1, kD, kE}},
      {51, -1, {kA, 0, 0, 0}, {kC, kA + kStep, kA, kE}},
      {60, -2, {kA, 0, 0, 0}, {kC, kB, kA, kD}},
      {60, -2, {kA, 0, 0, 0}, {kC, kB, kD, kA}},
      {70, 1, {kC, kA, kD, kE}, {kA | 1, 0, 0, 0}},
      {71, 1, {kC, kA + kStep, kA | 1, kE}, {kA, 0, 0, 0}},
      {80, 2, {kC, kB, kA, kD}, {kA, 0, 0, 0}},
      {80, 2, {kC, kB, kD, kA}, {kA, 0, 0, 0}},
      {90, 100, {kC, kA, kD, kE}, {kB, kA | 1, kF, kG}},
      {90, 100, {kC, 4, 0, 0}, {kB, 4, 0, 0}},
      {100, -100, {kC, kA, kD, kE}, {kB, kF, kG, kD}},
      {100, -100, {kC, 0, 0, 0}, {kB, 0, 0, 0}},
      {110, kCompareUnrelated, {kC, kA, kD, kE}, {kB, kF, kG, 0}},
      {110, kCompareUnrelated, {kC, 0, kD, kE}, {kB, 0, 0, 0}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.rule);
    const CompareInput in = Pair(row.self, row.peer);
    const CompareResult result = CompareUuids(in);
    CHECK(result.rule == row.rule);
    CHECK(result.value == row.value);
    CheckMirror(in);
  }
}

TEST_CASE("rules 34, 35, 51 and 71 correct the set of the node that missed something") {
  const UuidSet late{kA | 1, kB, kC, kD};
  const UuidSet done{kA, 0, kB, kC};
  const UuidSet late_corrected{kA | 1, 0, kB, kC};
  CHECK(CompareUuids(Pair(late, done)).self == late_corrected);
  CHECK(CompareUuids(Pair(late, done)).peer == done);
  CHECK(CompareUuids(Pair(done, late)).peer == late_corrected);
  CHECK(CompareUuids(Pair(done, late)).self == done);

  const UuidSet target{kA, 0, kF, kG};
  const UuidSet source{kC, kA + kStep, kA, kE};
  const UuidSet source_corrected{kC, kA, kE, kE};
  CHECK(CompareUuids(Pair(target, source)).peer == source_corrected);
  CHECK(CompareUuids(Pair(source, target)).self == source_corrected);
  // Before a full resync the target's place becomes the newest of the source's history, whatever attempts broke off before.
  const UuidSet full_corrected{kC, 0, kA, kB};
  for (const UuidSet& full_source : {UuidSet{kC, kB + kStep, kB, kA}, UuidSet{kC, kB, kE, kA}, UuidSet{kC, kB, kA, kE}, UuidSet{kC, 0, kB, kA}, UuidSet{kC, 0, kA, kB}}) {
    CHECK(CompareUuids(Pair(target, full_source)).peer == full_corrected);
    CHECK(CompareUuids(Pair(full_source, target)).self == full_corrected);
  }
  // So the repeated attempt announces the same identifier again.
  UuidSet again = source_corrected;
  CHECK(BeginSyncSource(again, 0x55) == kA + kStep);
}

TEST_CASE("property: however often resyncs break off and the source dies or begins generations, it knows its target") {
  std::mt19937_64 random(Seed());
  for (int life = 0; life < 2000; ++life) {
    UuidSet source{random() | 1, 0, kA, kB};
    UuidSet target = source;
    NewCurrentUuid(source, random(), true);
    for (int attempt = 0; attempt < 12; ++attempt) {
      const CompareResult found = CompareUuids(Pair(source, target));
      CAPTURE(found.rule);
      REQUIRE(found.value > 0);
      REQUIRE(CompareUuids(Pair(target, source)).value == -found.value);
      const bool equal = WithoutRoleBit(source.current) == WithoutRoleBit(target.current);
      if (random() % 4 == 0) continue;  // the link goes before the resync begins
      source = found.self;
      const uint64_t sync_uuid = BeginSyncSource(source, random());
      const uint64_t got = random() % 3;  // what the target has on disk when the link goes: nothing of it, P_SYNC_UUID, all
      if (got != 0) BeginSyncTarget(target, sync_uuid, false);
      if (got == 2) FinishSyncTarget(target, found.self, false);
      if (random() % 2 == 0) {  // the source dies, and goes on alone
        REQUIRE(ResyncBegun(source));
        ClearBitmapUuid(source);
        NewCurrentUuid(source, random(), true);
      } else {
        const bool all = got == 2 || random() % 3 == 0;  // there may have been nothing to copy
        SyncTargetLost(source, {equal && got == 0 && !all, all}, random(), true);
        if (source.bitmap == 0) NewCurrentUuid(source, random(), true);
      }
    }
  }
}

TEST_CASE("rules 40 and 41: who crashed as Primary, who is one now") {
  CompareInput in = Pair({kA, 0, kB, kC}, {kA, 0, kB, kC});
  in.self_crashed_primary = true;
  CHECK(CompareUuids(in).value == 1);
  CHECK(CompareUuids(in).rule == 40);
  CheckMirror(in);
  in.peer_crashed_primary = true;
  CHECK(CompareUuids(in).value == 1);
  in.resolve_conflicts = true;
  CHECK(CompareUuids(in).value == -1);
  CheckMirror(in);

  in.peer_crashed_primary = false;
  in.peer_primary = true;
  CHECK(CompareUuids(in).rule == 41);
  CHECK(CompareUuids(in).value == kCompareNeedsFeature);
  CheckMirror(in);
  in.feature_wsame = true;
  CHECK(CompareUuids(in).value == -1);
  CheckMirror(in);
  in.self_primary = true;
  CHECK(CompareUuids(in).value == -100);
  CHECK(CompareUuids(in).rule == 41);
  in.peer_primary = false;
  CHECK(CompareUuids(in).value == 1);
  CheckMirror(in);
}

TEST_CASE("sets that no life can produce make neither node a target") {
  const CompareInput loop = Pair({kA, kB, 0, 0}, {kB, kA, 0, 0});
  CHECK(CompareUuids(loop).value == kCompareUnrelated);
  CheckMirror(loop);
  const CompareInput nothing = Pair({}, {});
  CHECK(CompareUuids(nothing).value == kCompareUnrelated);
  CheckMirror(nothing);
}

TEST_CASE("both nodes come to mirror-image results") {
  std::mt19937_64 rng(Seed());
  // Few identifiers, so that they meet; with neighbours one step apart and role bits.
  const auto id = [&]() -> uint64_t {
    static const uint64_t pool[] = {0, 0, 4, kA, kB, kC, kA + kStep, kB + kStep, kD};
    const uint64_t drawn = pool[rng() % std::size(pool)];
    return drawn != 0 && rng() % 2 == 0 ? drawn | 1 : drawn;
  };
  std::map<int, int> hits;
  for (int i = 0; i < 400000; ++i) {
    CompareInput in = Pair({id(), id(), id(), id()}, {id(), id(), id(), id()});
    in.self_crashed_primary = rng() % 2 == 0;
    in.peer_crashed_primary = rng() % 2 == 0;
    in.self_primary = rng() % 3 == 0;
    in.peer_primary = rng() % 3 == 0;
    in.resolve_conflicts = rng() % 2 == 0;
    in.feature_wsame = rng() % 2 == 0;
    CheckMirror(in);
    ++hits[CompareUuids(in).rule];
  }
  for (const int rule : {10, 20, 30, 34, 35, 36, 37, 40, 41, 50, 51, 60, 70, 71, 80, 90, 100, 110}) {
    CAPTURE(rule);
    CHECK(hits[rule] > 20);
  }
}
