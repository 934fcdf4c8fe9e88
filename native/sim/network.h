#pragma once
// TCP as two nodes meet it: connections of two byte streams each, any split, delays, resets, half-open ends, one-way stalls. Within one
// stream nothing is lost or reordered; what is under way is lost when the connection is reset.
#include <cstdint>
#include <vector>

#include "core/connector.h"
#include "core/units.h"

namespace drbdts::sim {

using core::LinkId;
using core::TimeUs;

/// Follows the packet headers of one stream, to know which packet a byte belongs to.
class WireTap {
 public:
  static constexpr uint16_t kNothing = 0xffff;
  /// Takes the next bytes; calls on_packet(command, volume) for every packet that is complete with them.
  template <typename F>
  void Feed(const uint8_t* bytes, uint64_t count, F on_packet) {
    while (count != 0) {
      if (payload_ != 0) {
        const uint64_t take = count < payload_ ? count : payload_;
        payload_ -= take, bytes += take, count -= take;
        if (payload_ == 0) on_packet(command_, volume_);
        continue;
      }
      header_[have_++] = *bytes++;
      --count;
      if (!HeaderComplete()) continue;
      have_ = 0;
      if (lost_) return;
      if (payload_ == 0) on_packet(command_, volume_);
    }
  }
  void Reset() { have_ = 0, payload_ = 0, lost_ = false; }
  bool lost() const { return lost_; }
  uint16_t command() const { return command_; }
  /// The next byte begins a packet.
  bool AtPacket() const { return have_ == 0 && payload_ == 0; }
  /// Bytes that certainly still belong to the packet that was begun.
  uint64_t Rest() const { return payload_ != 0 ? payload_ : 1; }

 private:
  bool HeaderComplete();
  uint8_t header_[16] = {};
  uint32_t have_ = 0;
  uint64_t payload_ = 0;
  uint16_t command_ = kNothing, volume_ = 0;
  bool lost_ = false;        // not a packet stream (a corrupted one): nothing more is said about it
};

/// What begins at `bytes`: the command and the length with header and payload; length 0: more bytes are needed to tell.
struct PacketHead {
  uint16_t command = WireTap::kNothing;
  uint64_t bytes = 0;
};
PacketHead PeekPacket(const uint8_t* bytes, size_t count);

/// What happens when a certain packet is about to reach a node.
enum class AtPacket : uint8_t { kHold, kReset, kCrash, kPowerLoss };
inline constexpr const char* kAtPacketNames[] = {"hold", "reset", "crash", "power-loss"};

struct PacketTrigger {
  int to = 0;
  uint16_t command = 0;
  uint64_t nth = 1;          // counted down
  AtPacket what = AtPacket::kHold;
  int line = 0;              // of the scenario that asked for it
};

/// One direction of a connection.
struct Pipe {
  std::vector<uint8_t> bytes;
  size_t head = 0;
  bool eof = false;
  bool lost = false;         // the machine at the receiving end lost its power: nobody answers
  TimeUs hold_until = 0;
  bool counted = false;      // the packet that begins here has been counted by the triggers
  bool held = false;         // stands still before a packet, until released
  WireTap tap;
  size_t size() const { return bytes.size() - head; }
  bool empty() const { return head == bytes.size(); }
  void Clear() { bytes.clear(), head = 0; }
  void Take(size_t count) {
    counted = false;
    head += count;
    if (empty()) Clear();
    else if (head > (256u << 10)) bytes.erase(bytes.begin(), bytes.begin() + static_cast<long>(head)), head = 0;
  }
};

struct Connection {
  LinkId link[2] = {core::kNoLink, core::kNoLink};
  bool closed[2] = {false, false};
  Pipe to[2];                // bytes on their way to node i
};

}  // namespace drbdts::sim
