#include "sim/network.h"

#include "core/wire_format.h"

namespace drbdts::sim {

bool WireTap::HeaderComplete() {
  if (have_ < 8) return false;
  const auto be16 = [this](int at) { return static_cast<uint16_t>(header_[at] << 8 | header_[at + 1]); };
  const auto be32 = [this](int at) {
    return static_cast<uint32_t>(header_[at]) << 24 | static_cast<uint32_t>(header_[at + 1]) << 16 | static_cast<uint32_t>(header_[at + 2]) << 8 | header_[at + 3];
  };
  switch (be32(0)) {
    case 0x83740267:  // h80: magic, command, length
      command_ = be16(4), payload_ = be16(6), volume_ = 0;
      return true;
    case 0x8620ec20:  // h100: magic, volume, command, length, padding
      if (have_ < 16) return false;
      command_ = be16(6), payload_ = be32(8), volume_ = be16(4);
      return true;
    default:
      if (be16(0) == 0x835a) {  // h95: magic, command, length
        command_ = be16(2), payload_ = be32(4), volume_ = 0;
        return true;
      }
      lost_ = true;
      return true;
  }
}

PacketHead PeekPacket(const uint8_t* bytes, size_t count) {
  if (count < 8) return {};
  PacketHead head;
  const uint64_t header = bytes[0] == 0x86 ? 16 : 8;
  if (count < header) return {};
  WireTap tap;
  uint64_t payload = 0;
  tap.Feed(bytes, header, [&](uint16_t command, uint16_t) { head.command = command; });
  if (!tap.AtPacket()) payload = tap.Rest(), head.command = tap.command();
  head.bytes = header + payload;
  return head;
}

}  // namespace drbdts::sim
