#include "pcap_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <tuple>

namespace drbdts::test {
namespace {

struct Endpoint {
  uint32_t address = 0;
  uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

struct Segment {
  Endpoint from;
  Endpoint to;
  uint32_t sequence = 0;
  uint8_t flags = 0;
  std::span<const uint8_t> payload;
};

constexpr uint8_t kSyn = 2;
constexpr uint8_t kAck = 16;

uint32_t Be(const uint8_t* p, size_t count) {
  uint32_t v = 0;
  for (size_t i = 0; i < count; ++i) v = v << 8 | p[i];
  return v;
}

std::vector<uint8_t> Gunzip(const std::string& path, std::string& error) {
  std::vector<uint8_t> all;
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) {
    error = "cannot open " + path;
    return all;
  }
  std::array<uint8_t, 65536> part;
  int count;
  while ((count = gzread(file, part.data(), part.size())) > 0) all.insert(all.end(), part.begin(), part.begin() + count);
  if (count < 0) error = "cannot decompress " + path;
  gzclose(file);
  return all;
}

/// False if the frame is not TCP over IPv4 over Ethernet.
bool ParseFrame(std::span<const uint8_t> frame, Segment& out) {
  if (frame.size() < 54 || Be(&frame[12], 2) != 0x0800 || frame[23] != 6) return false;
  const size_t ip_total = Be(&frame[16], 2);
  const size_t end = ip_total == 0 ? frame.size() : std::min<size_t>(frame.size(), 14 + ip_total);
  const size_t tcp = 14 + (frame[14] & 15u) * 4;
  if (tcp + 20 > end) return false;
  const size_t data = tcp + (frame[tcp + 12] >> 4) * 4u;
  if (data > end) return false;
  out.from = {Be(&frame[26], 4), static_cast<uint16_t>(Be(&frame[tcp], 2))};
  out.to = {Be(&frame[30], 4), static_cast<uint16_t>(Be(&frame[tcp + 2], 2))};
  out.sequence = Be(&frame[tcp + 4], 4);
  out.flags = frame[tcp + 13];
  out.payload = frame.subspan(data, end - data);
  return true;
}

/// Puts the segments of one direction into order; sequence numbers wrap.
class Reassembler {
 public:
  void Start(uint32_t next) {
    next_ = next;
    started_ = true;
  }
  void Take(const Segment& segment, uint64_t ordinal, PcapStream& stream) {
    if (!started_) Start(segment.sequence);
    if (segment.payload.empty()) return;
    waiting_.emplace_back(segment.sequence, std::vector<uint8_t>(segment.payload.begin(), segment.payload.end()));
    for (size_t i = 0; i < waiting_.size();) {
      const uint32_t known = next_ - waiting_[i].first;  // bytes of it that are there already, "negative" if it lies ahead
      if (known >= 0x80000000u) {
        ++i;
        continue;
      }
      const std::vector<uint8_t> bytes = std::move(waiting_[i].second);
      waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
      if (known < bytes.size()) {
        stream.bytes.insert(stream.bytes.end(), bytes.begin() + known, bytes.end());
        stream.arrivals.push_back({stream.bytes.size(), ordinal});
        next_ += static_cast<uint32_t>(bytes.size()) - known;
      }
      i = 0;
    }
    stream.out_of_order = waiting_.size();
  }

 private:
  bool started_ = false;
  uint32_t next_ = 0;
  std::vector<std::pair<uint32_t, std::vector<uint8_t>>> waiting_;
};

struct Tracked {
  size_t index = 0;
  Endpoint opener;
  Reassembler from_opener;
  Reassembler from_listener;
};

}  // namespace

uint64_t PcapStream::OrdinalAt(size_t end) const {
  const auto at = std::lower_bound(arrivals.begin(), arrivals.end(), end, [](const Arrival& a, size_t e) { return a.end < e; });
  return at == arrivals.end() ? 0 : at->ordinal;
}

PcapFile ReadPcap(const std::string& path) {
  PcapFile file;
  const std::vector<uint8_t> raw = Gunzip(path, file.error);
  if (!file.error.empty()) return file;
  const auto word = [&raw](size_t at) {
    uint32_t v;
    std::memcpy(&v, &raw[at], 4);
    return v;
  };
  // Little-endian with microseconds or nanoseconds; link type 1 is Ethernet.
  if (raw.size() < 24 || (word(0) != 0xa1b2c3d4 && word(0) != 0xa1b23c4d) || word(20) != 1) {
    file.error = path + " is not a little-endian Ethernet pcap";
    return file;
  }
  std::map<std::pair<Endpoint, Endpoint>, Tracked> live;
  uint64_t ordinal = 0;
  for (size_t at = 24; at + 16 <= raw.size();) {
    const size_t captured = word(at + 8);
    at += 16;
    if (captured > raw.size() - at) break;
    Segment segment;
    const bool is_tcp = ParseFrame({&raw[at], captured}, segment);
    at += captured;
    if (!is_tcp) continue;
    ++ordinal;
    const auto key = std::minmax(segment.from, segment.to);
    auto found = live.find(key);
    const bool opens = (segment.flags & kSyn) != 0 && (segment.flags & kAck) == 0;
    if (opens || found == live.end()) {
      found = live.insert_or_assign(key, Tracked{file.connections.size(), segment.from, {}, {}}).first;
      file.connections.emplace_back();
    }
    Tracked& tracked = found->second;
    const bool opener = segment.from == tracked.opener;
    PcapConnection& connection = file.connections[tracked.index];
    PcapStream& stream = opener ? connection.from_opener : connection.from_listener;
    Reassembler& reassembler = opener ? tracked.from_opener : tracked.from_listener;
    stream.sender = segment.from.address;
    if ((segment.flags & kSyn) != 0) {
      reassembler.Start(segment.sequence + 1);
    } else {
      reassembler.Take(segment, ordinal, stream);
    }
  }
  return file;
}

}  // namespace drbdts::test
