// "Is the peer there, now?" asked by a cluster manager that has not heard its heartbeats: a ping with a limit of its own, beside the queue of commands.
#include <algorithm>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr size_t kMaxPeerChecks = 8;
// Verdicts of the command: something came from the peer after we asked; there is no connection (any more).
constexpr int kPeerAnswers = 1, kNoPeer = 2;
}  // namespace

void ResourceImpl::EndPeerChecks(int code) {
  for (const uint64_t id : peer_checks) {
    Action& a = Do(Action::Kind::kCommandDone);
    a.id = id;
    a.error = code;
    a.text = code == kPeerAnswers ? "the peer answers" : "the peer does not answer";
  }
  peer_checks.clear();
  check_since = check_until = kNever;
}

void ResourceImpl::CheckPeer(uint64_t id, uint32_t timeout_ms) {
  if (!Linked() || phase != SessionPhase::kParameters || peer_checks.size() >= kMaxPeerChecks) {
    Action& a = Do(Action::Kind::kCommandDone);
    a.id = id;
    a.error = kNoPeer;
    a.text = "the peer does not answer";
    return;
  }
  const TimeUs until = now + std::max<TimeUs>(timeout_ms, 1) * (kSecond / 1000);
  if (peer_checks.empty()) {
    peer_checks.reserve(kMaxPeerChecks);
    check_since = now;
    check_until = until;
    if (ping_answer_until == kNever) SendPing();
  } else {
    check_until = std::min(check_until, until);
  }
  peer_checks.push_back(id);
}

/// Who does not answer in the time the cluster gives is as good as gone: the connection ends, and everything that follows from that.
void ResourceImpl::PeerCheckTick() {
  if (peer_checks.empty()) return;
  if (last_received > check_since) {
    EndPeerChecks(kPeerAnswers);
  } else if (check_until <= now) {
    Drop(Conn::kNetworkFailure, false, "the peer did not answer the cluster's question in time");
  }
}

}  // namespace drbdts::core
