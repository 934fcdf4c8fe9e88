// How generation identifiers move (drbd-protocol §6.2) and what two sets of them say (§6.3).
#include "core/generation_uuid.h"

namespace drbdts::core {

namespace {

// 0 and 4 have meanings of their own; a random number must never be mistaken for one.
uint64_t NotReserved(uint64_t random) {
  const uint64_t id = WithoutRoleBit(random);
  return id == 0 || id == kUuidJustCreated ? random | uint64_t{1} << 63 : random;
}

void ShiftHistory(UuidSet& uuids, uint64_t newest) {
  uuids.history1 = uuids.history0;
  uuids.history0 = newest;
}

// A sync identifier that has no base to count from is drawn, but for its upper quarter: by that it is told from a generation.
constexpr uint64_t kDrawn = 0x0000ffffffffffff;
uint64_t DrawnSyncUuid(uint64_t current, uint64_t random) { return (~current & ~kDrawn) | (random & kDrawn); }

bool Same(uint64_t a, uint64_t b) { return WithoutRoleBit(a) == WithoutRoleBit(b); }
bool InHistory(uint64_t id, const UuidSet& uuids) { return Same(id, uuids.history0) || Same(id, uuids.history1); }

// A P_SYNC_UUID that never arrived: the source's bitmap identifier is one step ahead of what the target still has.
bool SyncUuidLost(const UuidSet& source, const UuidSet& target) {
  return Same(target.current, source.history0) && Same(source.history0 + kUuidSyncStep, source.bitmap);
}
// The same before a full resync, where the target is one place further back. Without undoing it, each broken attempt would push the target
// one place further out, until the two looked unrelated.
bool FullSyncUuidLost(const UuidSet& source, const UuidSet& target) {
  return Same(target.current, source.history1) && Same(source.history0 + kUuidSyncStep, source.bitmap);
}
void UndoLostSyncUuid(UuidSet& source) {
  source.bitmap = source.history0;
  source.history0 = source.history1;
}
// Before a full resync to a target that was found in the source's history: from now on it has what it had, the resync's identifier, or in the end
// the source's. Whatever else befalls the two, the source has to know these three, and so the target's place is the newest of its history.
void KeepInHistory(UuidSet& source, const UuidSet& target) {
  if (FullSyncUuidLost(source, target)) UndoLostSyncUuid(source);
  const uint64_t base = source.bitmap != 0 ? source.bitmap : Same(target.current, source.history0) ? source.history1 : source.history0;
  source.history0 = Same(target.current, source.history0) ? source.history0 : source.history1;
  source.history1 = base;
  source.bitmap = 0;
}

// The source still has the bitmap identifier of a resync that the target already finished.
bool FinishMissed(const UuidSet& source, const UuidSet& target) {
  return Same(source.bitmap, target.history0) && Same(source.history0, target.history1);
}

// Rules 40 and 41: same data generation, decided by who crashed as Primary.
void CompareCrashed(const CompareInput& in, CompareResult& out) {
  out.rule = 40;
  if (!in.self_crashed_primary && !in.peer_crashed_primary) return;
  if (in.self_primary || in.peer_primary) {
    out.rule = 41;
    if (!in.feature_wsame) {
      out.value = kCompareNeedsFeature;
    } else if (in.self_primary && in.peer_primary) {
      out.value = -100;
    } else {
      out.value = in.self_primary ? 1 : -1;
    }
  } else if (in.self_crashed_primary && in.peer_crashed_primary) {
    out.value = in.resolve_conflicts ? -1 : 1;
  } else {
    out.value = in.self_crashed_primary ? 1 : -1;
  }
}

void CompareSameCurrent(const CompareInput& in, CompareResult& out) {
  if (in.peer.bitmap == 0 && in.self.bitmap != 0) {
    out.value = 1;
    out.rule = 36;
    if (FinishMissed(in.self, in.peer)) {
      ClearBitmapUuid(out.self);
      out.rule = 34;
    }
  } else if (in.self.bitmap == 0 && in.peer.bitmap != 0) {
    out.value = -1;
    out.rule = 37;
    if (FinishMissed(in.peer, in.self)) {
      ClearBitmapUuid(out.peer);
      out.rule = 35;
    }
  } else {
    CompareCrashed(in, out);
  }
}

void CompareDifferentCurrent(const UuidSet& self, const UuidSet& peer, CompareResult& out) {
  const auto decide = [&out](int value, int rule) {
    out.value = value;
    out.rule = rule;
  };
  if (Same(self.current, peer.bitmap)) return decide(-1, 50);
  if (SyncUuidLost(peer, self)) {
    UndoLostSyncUuid(out.peer);
    return decide(-1, 51);
  }
  if (InHistory(self.current, peer)) {
    KeepInHistory(out.peer, self);
    return decide(-2, 60);
  }
  if (Same(self.bitmap, peer.current)) return decide(1, 70);
  if (SyncUuidLost(self, peer)) {
    UndoLostSyncUuid(out.self);
    return decide(1, 71);
  }
  if (InHistory(peer.current, self)) {
    KeepInHistory(out.self, peer);
    return decide(2, 80);
  }
  if (Same(self.bitmap, peer.bitmap) && WithoutRoleBit(self.bitmap) != 0) return decide(100, 90);
  if (InHistory(self.history0, peer) || InHistory(self.history1, peer)) return decide(-100, 100);
  decide(kCompareUnrelated, 110);
}

CompareResult CompareOneWay(const CompareInput& in) {
  CompareResult out;
  out.self = in.self;
  out.peer = in.peer;
  const uint64_t self = WithoutRoleBit(in.self.current);
  const uint64_t peer = WithoutRoleBit(in.peer.current);
  if (self == kUuidJustCreated && peer == kUuidJustCreated) {
    out.rule = 10;
  } else if ((self == kUuidJustCreated || self == 0) && peer != kUuidJustCreated) {
    out.value = -2;
    out.rule = 20;
  } else if (self != kUuidJustCreated && (peer == kUuidJustCreated || peer == 0)) {
    out.value = 2;
    out.rule = 30;
  } else if (self == peer) {
    CompareSameCurrent(in, out);
  } else {
    CompareDifferentCurrent(in.self, in.peer, out);
  }
  return out;
}

bool Symmetric(int value) {
  return value == 0 || value == 100 || value == -100 || value == kCompareUnrelated || value == kCompareNeedsFeature;
}

}  // namespace

void NewCurrentUuid(UuidSet& uuids, uint64_t random, bool primary) {
  uuids.bitmap = uuids.current;
  uuids.current = WithRoleBit(NotReserved(random), primary);
}

void ClearBitmapUuid(UuidSet& uuids) {
  if (uuids.bitmap == 0) return;
  ShiftHistory(uuids, uuids.bitmap);
  uuids.bitmap = 0;
}

void SetBitmapUuidRotating(UuidSet& uuids, uint64_t value) {
  if (uuids.bitmap != 0) ShiftHistory(uuids, uuids.bitmap);
  uuids.bitmap = value;
}

bool ResyncBegun(const UuidSet& uuids) {
  if (uuids.bitmap == 0) return false;
  return Same(uuids.history0 + kUuidSyncStep, uuids.bitmap) || (uuids.bitmap & ~kDrawn) == (~uuids.current & ~kDrawn);
}

uint64_t BeginSyncSource(UuidSet& uuids, uint64_t random) {
  const bool has_base = uuids.bitmap != 0 && WithoutRoleBit(uuids.bitmap) != kUuidJustCreated;
  const uint64_t sync_uuid = NotReserved(has_base ? uuids.bitmap + kUuidSyncStep : DrawnSyncUuid(uuids.current, random));
  SetBitmapUuidRotating(uuids, sync_uuid);
  return sync_uuid;
}

void BeginSyncTarget(UuidSet& uuids, uint64_t sync_uuid, bool primary) {
  uuids.current = WithRoleBit(sync_uuid, primary);
  uuids.bitmap = 0;
}

void FinishSyncSource(UuidSet& uuids) { ClearBitmapUuid(uuids); }

void SyncTargetLost(UuidSet& uuids, const LostSyncTarget& target, uint64_t random, bool primary) {
  if (!target.may_share_current && !target.all_acknowledged) return;
  ClearBitmapUuid(uuids);
  // Blocks still differ here: equal identifiers without a bitmap one would mean that nothing does.
  if (!target.all_acknowledged) NewCurrentUuid(uuids, random, primary);
}

void FinishSyncTarget(UuidSet& uuids, const UuidSet& source, bool primary) {
  const uint64_t sync_uuid = uuids.current;
  uuids = source;
  SetBitmapUuidRotating(uuids, sync_uuid);
  uuids.current = WithRoleBit(source.current, primary);
  ClearBitmapUuid(uuids);
}

CompareResult CompareUuids(const CompareInput& in) {
  CompareResult out = CompareOneWay(in);
  // No life of two nodes leads to sets in which each is in the other's past (or both have no current one), but a damaged super block or
  // a hostile peer may show them. There the rules give both nodes the same part; taken as unrelated, neither overwrites anything.
  CompareInput mirrored = in;
  mirrored.self = in.peer;
  mirrored.peer = in.self;
  mirrored.self_crashed_primary = in.peer_crashed_primary;
  mirrored.peer_crashed_primary = in.self_crashed_primary;
  mirrored.self_primary = in.peer_primary;
  mirrored.peer_primary = in.self_primary;
  mirrored.resolve_conflicts = !in.resolve_conflicts;
  const int back = CompareOneWay(mirrored).value;
  const bool agrees = Symmetric(out.value) ? back == out.value : back == -out.value;
  if (!agrees) {
    out = CompareResult{kCompareUnrelated, 110, in.self, in.peer};
  }
  return out;
}

}  // namespace drbdts::core
