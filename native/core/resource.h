#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "core/page_arena.h"
#include "core/resource_api.h"

namespace drbdts::core {

/// Memory for payloads, given at the start. `device` is shared with the front ends (they put requests there), `net` takes what the
/// peer sends, `sync` serves resync, verify and meta-data.
struct Arenas {
  PageArena* device = nullptr;
  PageArena* net = nullptr;
  PageArena* sync = nullptr;
};

/// Room for queues, taken at the start. A node that serves takes the defaults; a simulator that makes nodes by the thousand takes less.
struct Limits {
  uint32_t send_ring_bytes = 256u << 10;  // headers under way, per link
  uint32_t send_pieces = 8192;            // headers and payloads under way, per link
  uint32_t receive_bytes = 128u << 10;    // received and not yet decoded, per link
  uint32_t actions = 8192;                // of one batch
  uint32_t logged_writes = 16384;         // writes whose barrier is not acknowledged
};

struct ResourceImpl;

/// One resource: its connection to the peer and its volumes. Pure: the caller does all I/O and tells the time.
/// Not thread safe; every method may append to actions().
class Resource {
 public:
  Resource(const ResourceConfig& config, const Arenas& arenas, const std::array<uint8_t, 32>& seed, const Limits& limits = {});
  ~Resource();
  Resource(const Resource&) = delete;
  Resource& operator=(const Resource&) = delete;

  // ---- what happened ----
  void OnCommand(uint64_t id, const AdminCommand& command, TimeUs now);
  void OnHandlerDone(uint64_t id, int exit_code, TimeUs now);
  void OnTick(TimeUs now);

  /// A front end has a request. CanAccept() must have been true.
  void OnRequest(uint16_t volume, const BlockIo& io, TimeUs now);
  bool CanAccept(uint16_t volume) const;
  void OnDeviceUp(uint16_t volume, int error, const std::string& detail, TimeUs now);
  void OnDeviceDown(uint16_t volume, int error, const std::string& detail, TimeUs now);
  /// `holders`: empty if nobody holds the device, else one sentence naming pid, command and mount point.
  void OnDeviceOpen(uint16_t volume, const std::string& holders, TimeUs now);

  void OnDiskOpened(uint16_t volume, int error, const std::string& detail, const DiskFacts& facts, TimeUs now);
  void OnDiskClosed(uint16_t volume, TimeUs now);
  void OnDiskDone(IoId io, int error, TimeUs now);

  void OnConnected(LinkId link, TimeUs now);
  void OnConnectFailed(int error, TimeUs now);
  void OnAccepted(LinkId link, TimeUs now);
  /// The peer or the network closed the link; error 0 = end of file. Nothing of it may be in use any more.
  void OnLinkClosed(LinkId link, int error, TimeUs now);

  // ---- sockets ----
  /// Where to receive the next bytes of a link; empty: not now (ask again after the next action batch).
  std::span<uint8_t> ReceiveInto(LinkId link);
  void OnReceived(LinkId link, uint32_t bytes, TimeUs now);
  /// Pieces waiting to be sent, oldest first; returns how many were filled in.
  uint32_t SendPieces(LinkId link, std::span<IoSlice> out) const;
  void OnSent(LinkId link, uint32_t bytes, TimeUs now);

  // ---- what to do ----
  std::vector<Action>& actions();
  /// When OnTick is due at the latest; kNever if not.
  TimeUs deadline() const;
  void FillSnapshot(Snapshot& out, TimeUs now) const;

 private:
  std::unique_ptr<ResourceImpl> impl_;
};

}  // namespace drbdts::core
