#pragma once
// Generation identifiers: how they move, what two sets of them mean, and what follows from it (drbd-protocol §6).
#include <cstdint>

#include "core/meta_data.h"
#include "core/state.h"

namespace drbdts::core {

inline constexpr uint64_t WithoutRoleBit(uint64_t uuid) { return uuid & ~uint64_t{1}; }
inline constexpr uint64_t WithRoleBit(uint64_t uuid, bool primary) { return WithoutRoleBit(uuid) | (primary ? 1 : 0); }

/// B := C; C := random with the role bit (§6.2 "new current").
void NewCurrentUuid(UuidSet& uuids, uint64_t random, bool primary);
/// Clear B: if B != 0: H1 := H0; H0 := B; B := 0.
void ClearBitmapUuid(UuidSet& uuids);
/// Store into B with rotation: if B was not 0: H1 := H0, H0 := B; B := value.
void SetBitmapUuidRotating(UuidSet& uuids, uint64_t value);
/// Become SyncSource: returns S and puts it into B (§6.2).
uint64_t BeginSyncSource(UuidSet& uuids, uint64_t random);
/// Is B an identifier that BeginSyncSource() put there, and not the base of a generation? (Wrong in one of 65536 cases, in which it says yes.)
bool ResyncBegun(const UuidSet& uuids);
/// SyncTarget got P_SYNC_UUID(S).
void BeginSyncTarget(UuidSet& uuids, uint64_t sync_uuid, bool primary);
/// Resync finished without failed blocks. `source`: the source's set as last received in P_UUIDS.
void FinishSyncSource(UuidSet& uuids);
/// What a SyncSource knows of its target at the moment it loses contact.
struct LostSyncTarget {
  /// The resync began with equal current identifiers (rules 34 to 41) and nothing proves yet that P_SYNC_UUID arrived (no resync request or
  /// acknowledgement came after it).
  bool may_share_current = false;
  /// P_SYNC_UUID did arrive and every block was acknowledged (own bitmap empty, before lost writes are marked): the target may have
  /// finished.
  bool all_acknowledged = false;
};
/// SyncSource (or WFBitMapS after BeginSyncSource) lost contact. In both cases above the target may hold our current identifier while our
/// bitmap identifier is not 0, and so no promotion would give us a new one: what we then acknowledge alone could be overwritten as if it
/// had never been. So the identifiers are parted here. Call it before the rule that gives a Primary whose bitmap identifier is 0 a new
/// current one. Price: a full resync if the target had got P_SYNC_UUID but did not finish.
void SyncTargetLost(UuidSet& uuids, const LostSyncTarget& target, uint64_t random, bool primary);
void FinishSyncTarget(UuidSet& uuids, const UuidSet& source, bool primary);

struct CompareInput {
  UuidSet self;
  UuidSet peer;
  bool self_crashed_primary = false;
  bool peer_crashed_primary = false;  // P_UUIDS flag 2
  bool self_primary = false;          // roles now
  bool peer_primary = false;
  bool resolve_conflicts = false;
  bool feature_wsame = false;         // "new enough" for rule 41
};

/// 0, +-1 (bitmap), +-2 (full), 100, -100, -1000; kNeedsNewerPeer for rule 41 without the feature.
inline constexpr int kCompareUnrelated = -1000;
inline constexpr int kCompareNeedsFeature = -1001;
/// A corrected own set is to be stored together with BeginSyncSource and not before: were it stored and the link then lost, the next
/// comparison would end in rule 40, see nothing to do and forget the blocks that still differ.
struct CompareResult {
  int value = 0;
  int rule = 0;      // number of §6.3
  UuidSet self;      // as corrected by rules 34, 71 and 80
  UuidSet peer;      // as corrected by rules 35, 51 and 60
};
CompareResult CompareUuids(const CompareInput& in);

// After-split-brain policies, wire values of §6.5
enum class AfterSb : uint8_t {
  kDisconnect = 0, kDiscardYoungerPrimary, kDiscardOlderPrimary, kDiscardZeroChanges, kDiscardLeastChanges, kDiscardLocal, kDiscardRemote,
  kConsensus, kDiscardSecondary, kCallPriLost, kViolently,
};
enum class RrConflict : uint8_t { kDisconnect, kCallPriLost, kViolently };

struct HandshakeInput {
  CompareInput compare;
  Disk self_disk = Disk::kDiskless;
  Disk peer_disk = Disk::kDiskless;
  uint64_t self_bits_set = 0;
  uint64_t peer_bits_set = 0;
  AfterSb after_sb_0pri = AfterSb::kDisconnect;
  AfterSb after_sb_1pri = AfterSb::kDisconnect;
  AfterSb after_sb_2pri = AfterSb::kDisconnect;
  bool always_asbp = false;
  RrConflict rr_conflict = RrConflict::kDisconnect;
  bool self_discard_my_data = false;
  bool peer_discard_my_data = false;  // P_UUIDS flag 1 or P_PROTOCOL conn_flags 1
  bool dry_run = false;
  bool self_negotiating = false;      // our disk is just being attached: a Primary that reads over the network may become target
};

enum class HandshakeAction : uint8_t {
  kNoSync,          // Connected
  kSourceBitmap, kSourceFull, kTargetBitmap, kTargetFull,
  kSplitBrain,      // unresolved: StandAlone, handler split-brain
  kUnrelated,       // StandAlone
  kRefused,         // StandAlone, see reason
  kDryRun,          // report and drop
};
struct HandshakeDecision {
  HandshakeAction action = HandshakeAction::kNoSync;
  CompareResult compare;
  bool split_brain_seen = false;      // +-100 came up (handler initial-split-brain), even if a policy solved it
  bool solved_by_policy = false;
  bool call_pri_lost = false;         // the loser is Primary: handler pri-lost-after-sb / pri-lost
  HandshakeAction dry_run_would = HandshakeAction::kNoSync;
  const char* reason = "";            // one sentence, as the kernel logs it
};
/// §6.3 to §6.5. Run on both nodes with self and peer exchanged it gives mirror-image results.
HandshakeDecision DecideHandshake(const HandshakeInput& in);

}  // namespace drbdts::core
