// From two sets of identifiers, disks and roles to who copies from whom (drbd-protocol §6.4, §6.5).
#include "core/generation_uuid.h"

namespace drbdts::core {

namespace {

constexpr int kSplitBrain = -100;  // no policy has an answer (yet)

// Policies answer +1 (this node's data stays), -1 (the peer's data stays) or kSplitBrain.

// Equal claims: the node that accepted the meta socket gives way.
int BreakTie(const HandshakeInput& in) { return in.compare.resolve_conflicts ? -1 : 1; }

int ByLeastChanges(const HandshakeInput& in) {
  if (in.self_bits_set == in.peer_bits_set) return BreakTie(in);
  return in.self_bits_set > in.peer_bits_set ? 1 : -1;
}

int ByZeroChanges(const HandshakeInput& in) {
  if (in.self_bits_set == 0 && in.peer_bits_set == 0) return BreakTie(in);
  if (in.self_bits_set == 0) return -1;
  if (in.peer_bits_set == 0) return 1;
  return kSplitBrain;
}

// The role bit of a bitmap identifier says who was Primary when the two parted, that is: who is the older Primary.
int ByAgeOfPrimary(const HandshakeInput& in, bool discard_older) {
  const bool self_older = (in.compare.self.bitmap & 1) != 0;
  const bool peer_older = (in.compare.peer.bitmap & 1) != 0;
  if (self_older != peer_older) return self_older == discard_older ? -1 : 1;
  const int by_zero = ByZeroChanges(in);
  return by_zero != kSplitBrain ? by_zero : ByLeastChanges(in);
}

int WithoutPrimary(const HandshakeInput& in) {
  switch (in.after_sb_0pri) {
    case AfterSb::kDiscardYoungerPrimary: return ByAgeOfPrimary(in, false);
    case AfterSb::kDiscardOlderPrimary: return ByAgeOfPrimary(in, true);
    case AfterSb::kDiscardZeroChanges: return ByZeroChanges(in);
    case AfterSb::kDiscardLeastChanges: return ByLeastChanges(in);
    case AfterSb::kDiscardLocal: return -1;
    case AfterSb::kDiscardRemote: return 1;
    default: return kSplitBrain;
  }
}

int WithOnePrimary(const HandshakeInput& in) {
  const bool self_primary = in.compare.self_primary;
  switch (in.after_sb_1pri) {
    case AfterSb::kConsensus: {
      const int answer = WithoutPrimary(in);
      const bool secondary_loses = self_primary ? answer == 1 : answer == -1;
      return secondary_loses ? answer : kSplitBrain;
    }
    case AfterSb::kDiscardSecondary: return self_primary ? 1 : -1;
    case AfterSb::kCallPriLost:
    case AfterSb::kViolently: return WithoutPrimary(in);
    default: return kSplitBrain;
  }
}

int WithTwoPrimaries(const HandshakeInput& in) {
  const bool asks = in.after_sb_2pri == AfterSb::kCallPriLost || in.after_sb_2pri == AfterSb::kViolently;
  return asks ? WithoutPrimary(in) : kSplitBrain;
}

struct PolicyAnswer {
  int value = kSplitBrain;
  bool loser_must_demote = false;  // by call-pri-lost-after-sb
};

PolicyAnswer AskPolicy(const HandshakeInput& in) {
  const int primaries = (in.compare.self_primary ? 1 : 0) + (in.compare.peer_primary ? 1 : 0);
  if (primaries == 0) return {WithoutPrimary(in), false};
  const AfterSb policy = primaries == 1 ? in.after_sb_1pri : in.after_sb_2pri;
  const int value = primaries == 1 ? WithOnePrimary(in) : WithTwoPrimaries(in);
  return {value, policy == AfterSb::kCallPriLost && value == -1 && in.compare.self_primary};
}

HandshakeAction ActionOf(int value) {
  switch (value) {
    case 1: return HandshakeAction::kSourceBitmap;
    case 2: return HandshakeAction::kSourceFull;
    case -1: return HandshakeAction::kTargetBitmap;
    case -2: return HandshakeAction::kTargetFull;
    default: return HandshakeAction::kNoSync;
  }
}

const char* DryRunReason(HandshakeAction would) {
  switch (would) {
    case HandshakeAction::kNoSync: return "dry-run connect: No resync, would become Connected immediately.";
    case HandshakeAction::kSourceBitmap: return "dry-run connect: Would become SyncSource, doing a bit-map based resync.";
    case HandshakeAction::kSourceFull: return "dry-run connect: Would become SyncSource, doing a full resync.";
    case HandshakeAction::kTargetBitmap: return "dry-run connect: Would become SyncTarget, doing a bit-map based resync.";
    case HandshakeAction::kTargetFull: return "dry-run connect: Would become SyncTarget, doing a full resync.";
    default: return "";
  }
}

HandshakeDecision Drop(HandshakeDecision decision, HandshakeAction action, const char* reason) {
  decision.action = action;
  decision.reason = reason;
  return decision;
}

HandshakeDecision DecideWithoutDryRun(const HandshakeInput& in) {
  HandshakeDecision out;
  out.compare = CompareUuids(in.compare);
  int value = out.compare.value;

  // 1. Nothing in common, or no way to tell.
  if (value == kCompareUnrelated) return Drop(out, HandshakeAction::kUnrelated, "Unrelated data, aborting!");
  if (value == kCompareNeedsFeature) {
    return Drop(out, HandshakeAction::kRefused,
                "A crashed Primary meets a current one: both nodes need feature WRITE_SAME to compare their data, aborting!");
  }
  // Equal identifiers that are both Primary, and the like: the common ancestor is not known, so neither is which blocks differ.
  const bool ambiguous = value == kSplitBrain;

  // 2. Half-copied data never wins over whole data.
  const bool self_inconsistent = in.self_disk == Disk::kInconsistent;
  const bool peer_inconsistent = in.peer_disk == Disk::kInconsistent;
  const bool self_better = peer_inconsistent && in.self_disk > Disk::kInconsistent;
  const bool peer_better = self_inconsistent && in.peer_disk > Disk::kInconsistent;
  if (self_better || peer_better) {
    const bool full = ambiguous || value == 2 || value == -2;
    value = (self_better ? 1 : -1) * (full ? 2 : 1);
    out.reason = self_better ? "Becoming sync source due to disk states." : "Becoming sync target due to disk states.";
  }

  // 3. Split brain: the configured policy, by the number of Primaries there are now.
  out.split_brain_seen = value == 100 || value == kSplitBrain;
  bool demotes_first = false;
  if (value == 100 || (value == kSplitBrain && in.always_asbp)) {
    const PolicyAnswer answer = AskPolicy(in);
    value = answer.value;
    if (value != kSplitBrain) {
      out.solved_by_policy = true;
      out.call_pri_lost = demotes_first = answer.loser_must_demote;
      out.reason = value > 0 ? "Split-Brain detected, automatically solved. Sync from this node"
                             : "Split-Brain detected, automatically solved. Sync from peer node";
      if (ambiguous) value *= 2;
    }
  }

  // 4. The administrator's decision. Where the common ancestor is not known the bitmaps need not cover all differences: copy everything.
  if (value == kSplitBrain && in.self_discard_my_data != in.peer_discard_my_data) {
    value = (in.self_discard_my_data ? -1 : 1) * (ambiguous ? 2 : 1);
    out.reason = value > 0 ? "Split-Brain detected, manually solved. Sync from this node"
                           : "Split-Brain detected, manually solved. Sync from peer node";
  }

  // 5.
  if (value == kSplitBrain) return Drop(out, HandshakeAction::kSplitBrain, "Split-Brain detected but unresolved, dropping connection!");

  // 6. Parts this node must not play.
  if (value > 0 && in.self_disk <= Disk::kInconsistent) {
    return Drop(out, HandshakeAction::kRefused, "I shall become SyncSource, but I am inconsistent!");
  }
  // The mirror image, which 8.4 leaves to the other side: a target that went ahead alone would take the peer's disk for a good one.
  if (value < 0 && in.peer_disk <= Disk::kInconsistent) {
    return Drop(out, HandshakeAction::kRefused, "The peer shall become SyncSource, but it is inconsistent! Neither copy is good: disconnect, and make the node with the better one Primary with --force.");
  }
  if (value < 0 && in.compare.self_primary && !demotes_first && in.self_disk >= Disk::kConsistent && !in.self_negotiating) {
    if (in.rr_conflict != RrConflict::kViolently) {
      out.call_pri_lost = in.rr_conflict == RrConflict::kCallPriLost;
      return Drop(out, HandshakeAction::kRefused, "I shall become SyncTarget, but I am primary!");
    }
    out.reason = "Becoming SyncTarget, violating the stable-data assumption";
  }

  // 8., 9.
  out.action = ActionOf(value);
  return out;
}

}  // namespace

HandshakeDecision DecideHandshake(const HandshakeInput& in) {
  HandshakeDecision out = DecideWithoutDryRun(in);
  if (!in.dry_run) return out;
  // 7. Even a split brain is only reported: a try must leave both nodes as they were.
  out.dry_run_would = out.action;
  out.action = HandshakeAction::kDryRun;
  const char* reason = DryRunReason(out.dry_run_would);
  if (*reason != '\0') out.reason = reason;
  return out;
}

}  // namespace drbdts::core
