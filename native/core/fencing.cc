// When a disk drops out of those that hold everything: I/O stands still until somebody confirms that it is out (design §3, drbd-protocol §6.5).
#include "core/resource_impl.h"

namespace drbdts::core {

namespace {

/// Whose disk holds every acknowledged write, as far as we can see.
constexpr uint32_t kSelf = 1, kPeer = 2, kBoth = 3;
uint32_t Complete(const State& s) {
  return (s.disk == Disk::kUpToDate ? kSelf : 0) | (s.conn >= Conn::kConnected && s.pdsk == Disk::kUpToDate && !SyncsToPeer(s.conn) ? kPeer : 0);
}

}  // namespace

/// Fencing with stonith: when a disk that held everything no longer does, no write is acknowledged before it is known to be out; else that
/// disk could be served later without it (design §3). The one that lost its peer asks `fence-peer`, a Primary that lost its own disk
/// `fence-self`.
void ResourceImpl::FreezeForFencing(Volume& v, State& next) {
  if (v.config.options.fencing != Fencing::kResourceAndStonith) return;
  const uint32_t complete = Complete(next);
  if (complete == kBoth) v.peer_out = v.peer_out_asked = false;
  if ((complete & kSelf) != 0 || next.role != Role::kPrimary) v.self_out = false;
  if (next.role != Role::kPrimary) {
    // Nothing was acknowledged alone. Who is promoted again begins a generation then, if one is due.
    v.fence_open = v.fence_due = v.new_uuid_after_fence = next.susp_fen = false;
    return;
  }
  if (complete == kBoth) {
    v.fence_open = v.fence_due = v.new_uuid_after_fence = next.susp_fen = false;
    return;
  }
  const State& old = v.state;
  const bool promoted = old.role != Role::kPrimary;
  const bool left = old.conn >= Conn::kConnected && next.conn < Conn::kConnected;
  // A promotion without connection has asked before.
  const uint32_t before = !promoted ? Complete(old) : next.conn >= Conn::kConnected ? kBoth : 0;
  // Our disk went while no peer was there. With the peer back we would go on without it, and it may be all that is in.
  const bool without_us = complete == kPeer && (before & kPeer) == 0 && !v.self_out;
  const bool lost = (before & ~complete) != 0 || (left && (v.fence_open || complete == kSelf)) || without_us;
  if (lost && complete == kSelf && v.peer_out_asked) {
    // It was confirmed to be out before, and never came back in.
    if (next.conn < Conn::kConnected && next.pdsk > Disk::kOutdated) next.pdsk = Disk::kOutdated;
    next.susp_fen = old.susp_fen;
  } else if (lost && complete != 0) {
    next.susp_fen = v.fence_open = v.fence_due = true;
    // Our generation stays the same until the answer, but the peer may lack what it never confirmed to be on its disk, or may come back
    // without it. Should we meet again in this generation, our marks decide, as after a crash of a Primary (rule 40).
    if (v.meta_ok() && next.disk == Disk::kUpToDate) v.crashed_primary = true;
  } else if (next.susp_fen && next.conn >= Conn::kConnected && old.conn < Conn::kConnected) {
    // The peer is back, though not complete. Its disk and ours have met in the old generation; whoever is asked next can see what it is worth.
    // One that came without its disk has not been compared with: that disk still has our generation.
    if (next.pdsk >= Disk::kInconsistent) v.new_uuid_after_fence = false;
    if (!v.fence_open) next.susp_fen = false;
    v.fence_due = v.fence_open;
  } else if (next.susp_fen && !v.fence_open && next.conn < Conn::kConnected && !promoted && (complete & ~Complete(old)) == kSelf) {
    // Frozen since nobody's copy was in reach, and now ours is back.
    v.fence_open = v.fence_due = true;
  }
}

void ResourceImpl::AskForFencing(Volume& v) {
  v.fence_due = false;
  const bool self = (Complete(v.state) & kSelf) == 0;
  // Our own disk is good again: nobody needs to know any more whether it is out, and while no other copy has everything nobody may answer that.
  const bool void_question = v.fence_running && v.fence_self && !self;
  if (v.fence_running && !void_question) {
    v.fence_again = true;  // its answer will be about something that is over
    return;
  }
  v.fence_running = true;
  if (!cutting) v.io_reason.clear();
  v.fence_again = false;
  v.fence_self = self;
  v.fence_handler = CallHandler(v.fence_self ? "fence-self" : "fence-peer", v.index, true);
}

/// Exit codes of fence-peer (drbd-protocol §6.5): 3 inconsistent, 4 outdated, 5 unreachable, 6 peer is primary, 7 stonithed. fence-self: 0, 3, 4
/// and 7 say that our own copy is out.
void ResourceImpl::OnFenceAnswer(Volume& v, int exit_code) {
  v.fence_running = false;
  if (v.fence_again) {
    v.fence_again = false;
    if (v.fence_open || v.state.conn < Conn::kConnected) AskForFencing(v);
    return;
  }
  // The peer is just coming back, and has been told our identifiers: whoever is asked next can see what it is worth.
  if (Linked() && v.state.conn < Conn::kConnected && v.fence_open) return;
  const bool out = exit_code == 3 || exit_code == 4 || exit_code == 7 || (v.fence_self && exit_code == 0);
  const char* verdict = nullptr;
  switch (exit_code) {
    case 3: verdict = "the peer's disk is Inconsistent"; break;
    case 4: verdict = "the peer was outdated"; break;
    case 5: verdict = "the peer could not be reached"; break;
    case 6: verdict = "the peer is Primary: our disk is Outdated"; break;
    case 7: verdict = "the peer was stonithed"; break;
    default: break;
  }
  if (v.fence_self) {
    Log(out ? 0 : 2, v.index, out ? "fence-self helper: our own copy is out" : "fence-self helper ended with exit code " + std::to_string(exit_code));
  } else if (verdict == nullptr) {
    Log(2, v.index, "fence-peer handler ended with exit code " + std::to_string(exit_code) + ": nothing is known of the peer");
  } else {
    Log(1, v.index, std::string("fence-peer helper: ") + verdict);
  }
  const bool connected = v.state.conn >= Conn::kConnected;
  State s = v.state;
  if (out) {
    v.fence_open = false;
    v.peer_out = v.peer_out_asked = !v.fence_self;
    v.self_out = v.fence_self;
    if (!connected && !v.fence_self) s.pdsk = exit_code == 3 ? Disk::kInconsistent : Disk::kOutdated;
    // A peer whose disk is back has been compared with in the old generation.
    // A copy that is out itself begins no generation: that would look like a split brain to the one who serves.
    if (v.new_uuid_after_fence && v.meta_ok() && s.disk == Disk::kUpToDate && (!connected || (s.conn == Conn::kConnected && s.pdsk < Disk::kInconsistent))) {
      NewCurrent(v);
      if (connected) v.after_meta.send_uuids = true;
    }
    v.new_uuid_after_fence = s.susp_fen = false;
    Force(v, s);
    UpdateMetaFlags(v);
  } else if (connected) {
    // Both see each other: what the peer's disk is worth is known. It is asked for again should the connection go.
    s.susp_fen = false;
    Force(v, s);
  } else if (exit_code == 6) {
    if (s.disk == Disk::kUpToDate) s.disk = Disk::kOutdated;
    Force(v, s);
  } else if (v.state.susp_fen) {
    v.io_reason = "I/O is frozen: the fence-peer handler could not fence the peer; reconnect it, or fence it by hand and run resume-io";
    Changed();
  }
}

}  // namespace drbdts::core
