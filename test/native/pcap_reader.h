#pragma once
// Reads recorded TCP traffic: (gzipped) pcap in, reassembled byte streams out. Enough for captures of one Ethernet segment over IPv4.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace drbdts::test {

/// Bytes one side sent on one connection, in order.
struct PcapStream {
  uint32_t sender = 0;  // IPv4 address, host order
  std::vector<uint8_t> bytes;
  struct Arrival {
    size_t end = 0;        // stream length once the segment was taken in
    uint64_t ordinal = 0;  // number of the segment in the capture
  };
  std::vector<Arrival> arrivals;
  size_t out_of_order = 0;  // segments behind a hole that was never filled

  /// Number of the captured segment with which the byte before `end` was there: an order over all streams of a capture.
  uint64_t OrdinalAt(size_t end) const;
};

struct PcapConnection {
  PcapStream from_opener;  // sent by the side that opened the connection
  PcapStream from_listener;
};

/// Connections in the order of their SYN packets. `error` is empty on success.
struct PcapFile {
  std::vector<PcapConnection> connections;
  std::string error;
};

PcapFile ReadPcap(const std::string& path);

}  // namespace drbdts::test
