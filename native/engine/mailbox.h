#pragma once
// What crosses between the owner of a resource (the JavaScript side) and its data thread. All memory of the data thread's side is taken at
// the start; nothing here has a lock.
#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/resource_api.h"
#include "engine/snapshot_cell.h"
#include "engine/spsc_ring.h"

namespace drbdts::engine {

/// Owner -> data thread. The data thread hands it back when done with it, so that only the owner allocates and frees.
struct Command {
  enum class Kind : uint8_t { kAdmin, kHandlerDone, kStop };
  Kind kind = Kind::kAdmin;
  uint64_t id = 0;  // of the command, or of the handler
  int exit_code = 0;
  core::AdminCommand admin;
};

/// Data thread -> owner.
struct Event {
  enum class Kind : uint8_t { kLog, kHandler, kCommandDone, kStopped };
  Kind kind = Kind::kLog;
  bool wait = false;   // kHandler
  int volume = -1;     // index, -1 = whole resource
  int code = 0;        // kLog: level; kCommandDone: verdict
  uint64_t id = 0;
  std::array<char, 512> text{};
  std::array<char, 1024> detail{};
};

/// Copies as much as fits, always NUL terminated.
template <size_t N>
void CopyText(std::array<char, N>& to, std::string_view from) {
  const size_t n = from.size() < N - 1 ? from.size() : N - 1;
  from.copy(to.data(), n);
  to[n] = 0;
}

/// Wakes the owner; called by the data thread, so it must not wait, lock or allocate.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void Wake() = 0;
};

struct Mailbox {
  SpscRing<Command*, 256> commands;
  SpscRing<Command*, 256> spent;
  SpscRing<Event, 256> results;  // command results, handlers, the end
  SpscRing<Event, 256> logs;     // may overflow: then `lost_logs` counts
  std::atomic<uint32_t> lost_logs{0};
  std::atomic<bool> changed{false};
  SnapshotCell<core::Snapshot> snapshot;
};

}  // namespace drbdts::engine
