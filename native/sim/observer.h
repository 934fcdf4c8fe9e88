#pragma once
// Who watches a life: checkers, the coverage tables, the trace. Called from inside the world, and must not change it.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/resource_api.h"
#include "core/wire_format.h"

namespace drbdts::sim {

class Node;

/// What reaches a core, beside packets from its peer.
enum class Input : uint8_t {
  kTimer, kDiskDone, kReadError, kWriteError, kMetaDataError, kConnected, kAccepted, kConnectFailed, kLinkReset, kLinkClosed, kHandlerDone, kAppRead, kAppWrite, kAppFlush, kAppDiscard, kAppWriteZeroes, kCommandAttach, kCommandDetach, kCommandConnect, kCommandDisconnect, kCommandPrimary, kCommandSecondary, kCommandInvalidate, kCommandInvalidateRemote, kCommandOutdate, kCommandPauseSync, kCommandResumeSync, kCommandNewCurrentUuid, kCommandVerify, kCommandResize, kCommandSuspendIo, kCommandResumeIo, kCommandNetOptions, kCommandDiskOptions, kCommandDown,
};
inline constexpr const char* kInputNames[] = {
    "timer", "disk done", "read error", "write error", "meta-data error", "connected", "accepted", "connect failed", "link reset", "link closed", "handler done", "app read", "app write", "app flush", "app discard", "app write-zeroes", "cmd attach", "cmd detach", "cmd connect", "cmd disconnect", "cmd primary", "cmd secondary", "cmd invalidate", "cmd invalidate-remote", "cmd outdate", "cmd pause-sync", "cmd resume-sync", "cmd new-current-uuid", "cmd verify", "cmd resize", "cmd suspend-io", "cmd resume-io", "cmd net-options", "cmd disk-options", "cmd down"};
inline constexpr size_t kInputs = sizeof kInputNames / sizeof kInputNames[0];

class Observer {
 public:
  virtual ~Observer() = default;
  /// The state of a volume changed. node.state(volume) is the new one.
  virtual void OnState(Node&, uint16_t /*volume*/, const core::State& /*before*/) {}
  virtual void OnLog(Node&, int /*volume*/, const std::string& /*text*/) {}
  /// A packet is about to be handed over completely; volume 0 if it is about the whole connection. `alone`: nothing is handed over with it that
  /// could change the node's state before its turn comes.
  virtual void OnPacket(Node&, core::Command, uint16_t /*volume*/, bool /*alone*/) {}
  /// Anything else is about to be handed over; volume 0 if it is about the whole node.
  virtual void OnInput(Node&, Input, uint16_t /*volume*/) {}
  virtual void OnCompleted(Node&, uint16_t /*volume*/, uint64_t /*tag*/, int /*error*/) {}
  /// The core asked for something; before it is carried out.
  virtual void OnAction(Node&, const core::Action&) {}
  virtual void OnStarted(Node&) {}
  virtual void OnDied(Node&, bool /*power*/) {}
};

}  // namespace drbdts::sim
