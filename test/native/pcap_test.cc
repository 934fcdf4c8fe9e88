// Recorded sessions of two kernel peers: everything in them must decode, encode again to the same bytes, and agree with what the
// protocol says about digests and sequence numbers. The recordings lie in $DRBDTS_LAB/vectors/pcaps (default ../shared/lab).
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/digest.h"
#include "core/units.h"
#include "core/wire_codec.h"
#include "pcap_reader.h"

#undef CHECK  // here it is the test framework's, not the one that aborts
#include <doctest/doctest.h>

using namespace drbdts::core;
using namespace drbdts::test;

namespace {

using Bytes = std::vector<uint8_t>;
using Next = PacketReader::Next;

struct Record {
  uint64_t ordinal = 0;  // place in the capture
  uint32_t sender = 0;
  size_t session = 0;
  Packet packet;  // body of blob packets: see blob
  Bytes blob;
  Bytes payload;
};

struct Recording {
  std::string name;
  std::vector<Record> records;  // in the order of the capture
  size_t sessions = 0;
};

std::optional<std::filesystem::path> PcapFolder() {
  const char* lab = std::getenv("DRBDTS_LAB");
  const std::filesystem::path folder = std::filesystem::path(lab != nullptr ? lab : "../shared/lab") / "vectors" / "pcaps";
  if (std::filesystem::is_directory(folder)) return folder;
  MESSAGE("skipped: no recordings in " << folder.string() << "; set DRBDTS_LAB");
  return std::nullopt;
}

uint8_t DigestBytesOf(const std::array<char, kAlgorithmNameBytes>& name) {
  const std::optional<DigestAlgorithm> algorithm = DigestByName(name.data());
  REQUIRE(algorithm.has_value());
  return DigestBytes(*algorithm);
}

/// What the sender of `packet` will use from its next packet on.
void FollowDialect(const Packet& packet, WireDialect& dialect) {
  if (const auto* protocol = std::get_if<ProtocolPacket>(&packet.body)) dialect.integrity_bytes = DigestBytesOf(protocol->integrity_alg);
  if (const auto* param = std::get_if<SyncParamPacket>(&packet.body)) {
    dialect.verify_bytes = DigestBytesOf(param->verify_alg);
    dialect.csums_bytes = DigestBytesOf(param->csums_alg);
  }
}

/// Features word of the first packets of a data socket, nothing if the stream ends before it.
std::optional<uint32_t> OfferedFeatures(const Bytes& stream) {
  PacketReader reader;
  std::span<const uint8_t> rest = stream;
  while (reader.Feed(rest) == Next::kPacket) {
    if (const auto* features = std::get_if<FeaturesPacket>(&reader.packet().body)) return features->feature_flags;
  }
  return std::nullopt;
}

Command FirstCommand(const Bytes& stream) {
  PacketReader reader;
  std::span<const uint8_t> rest = stream;
  return reader.Feed(rest) == Next::kPacket ? reader.packet().command : Command::kPing;
}

/// Decodes one direction, checking at each packet that it encodes to the bytes it came from.
void DecodeStream(const PcapStream& stream, WireDialect agreed, bool begins_h80, size_t session, std::vector<Record>& out) {
  PacketReader reader;
  WireDialect dialect = begins_h80 ? WireDialect{} : agreed;
  reader.SetDialect(dialect);
  std::span<const uint8_t> rest = stream.bytes;
  std::array<uint8_t, kHeaderBytesH100 + kBitmapPacketBytes> encoded{};
  while (!rest.empty()) {
    const uint8_t* const begin = rest.data();
    Record record;
    Next next = reader.Feed(rest);
    if (next == Next::kNeedPayload) {
      record.payload.resize(BulkBytes(reader.packet()));
      reader.SetPayload(record.payload);
      next = reader.Feed(rest);
    }
    if (next == Next::kError) FAIL("refused at byte " << begin - stream.bytes.data() << ": " << reader.error().detail);
    if (next != Next::kPacket) FAIL("the stream ends inside a packet");
    record.packet = reader.packet();
    const size_t fields = EncodePacket(record.packet, dialect, encoded);
    REQUIRE(fields + record.payload.size() == static_cast<size_t>(rest.data() - begin));
    REQUIRE(std::equal(encoded.begin(), encoded.begin() + static_cast<ptrdiff_t>(fields), begin));
    REQUIRE(std::equal(record.payload.begin(), record.payload.end(), begin + fields));
    if (const auto* blob = std::get_if<BlobPacket>(&record.packet.body)) record.blob.assign(blob->bytes.begin(), blob->bytes.end());
    FollowDialect(record.packet, agreed);
    const bool last_h80 = record.packet.command == Command::kConnectionFeatures || record.packet.command == Command::kInitialMeta;
    if (last_h80 || dialect.h100) dialect = agreed;
    reader.SetDialect(dialect);
    record.session = session;
    record.sender = stream.sender;
    record.ordinal = stream.OrdinalAt(static_cast<size_t>(rest.data() - stream.bytes.data()));
    out.push_back(std::move(record));
  }
}

Recording Decode(const std::filesystem::path& path) {
  Recording recording;
  recording.name = path.stem().stem().string();
  CAPTURE(recording.name);
  const PcapFile file = ReadPcap(path.string());
  REQUIRE(file.error == "");
  std::vector<uint64_t> session_starts;  // place of the features packets
  const auto both_ways = [&](const PcapConnection& connection, WireDialect agreed, bool data, size_t session) {
    CHECK(connection.from_opener.out_of_order + connection.from_listener.out_of_order == 0);
    DecodeStream(connection.from_opener, agreed, true, session, recording.records);
    DecodeStream(connection.from_listener, agreed, data, session, recording.records);
  };
  for (const PcapConnection& connection : file.connections) {
    if (FirstCommand(connection.from_opener.bytes) != Command::kInitialData) continue;
    const std::optional<uint32_t> mine = OfferedFeatures(connection.from_opener.bytes);
    const std::optional<uint32_t> theirs = OfferedFeatures(connection.from_listener.bytes);
    WireDialect agreed;
    agreed.h100 = mine.has_value() && theirs.has_value();
    agreed.features = agreed.h100 ? *mine & *theirs : 0;
    both_ways(connection, agreed, true, session_starts.size());
    if (agreed.h100) session_starts.push_back(connection.from_listener.OrdinalAt(kHeaderBytesH80 + 1));
  }
  for (const PcapConnection& connection : file.connections) {
    if (FirstCommand(connection.from_opener.bytes) == Command::kInitialData) continue;
    if (connection.from_opener.bytes.empty() && connection.from_listener.bytes.empty()) continue;
    REQUIRE(FirstCommand(connection.from_opener.bytes) == Command::kInitialMeta);
    // The session it serves is the last whose handshake came before its first real packet.
    uint64_t first = connection.from_opener.OrdinalAt(kHeaderBytesH80 + 1);
    const uint64_t answer = connection.from_listener.OrdinalAt(1);
    if (first == 0 || (answer != 0 && answer < first)) first = answer;
    const auto after = std::upper_bound(session_starts.begin(), session_starts.end(), first);
    WireDialect agreed;
    agreed.h100 = true;
    both_ways(connection, agreed, false, static_cast<size_t>(std::max<ptrdiff_t>(0, after - session_starts.begin() - 1)));
  }
  recording.sessions = session_starts.size();
  std::stable_sort(recording.records.begin(), recording.records.end(),
                   [](const Record& a, const Record& b) { return a.ordinal < b.ordinal; });
  return recording;
}

/// All recordings, decoded once for all tests; empty (with a message) when there are none.
const std::vector<Recording>& Recordings() {
  static const std::vector<Recording> all = [] {
    std::vector<Recording> decoded;
    const std::optional<std::filesystem::path> folder = PcapFolder();
    if (!folder.has_value()) return decoded;
    std::set<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
      if (entry.path().extension() == ".gz") paths.insert(entry.path());
    }
    for (const auto& path : paths) decoded.push_back(Decode(path));
    return decoded;
  }();
  return all;
}

const Recording* Find(const std::string& name) {
  for (const Recording& recording : Recordings()) {
    if (recording.name == name) return &recording;
  }
  if (!Recordings().empty()) FAIL("recording " << name << " is missing");
  return nullptr;
}

/// What is known of a node's disk from the traffic, one entry per 512-byte sector.
class DiskModel {
 public:
  void Write(uint64_t sector, const Bytes& data) {
    for (size_t at = 0; at < data.size(); at += kSectorSize) {
      const auto begin = data.begin() + static_cast<ptrdiff_t>(at);
      sectors_[sector + at / kSectorSize].assign(begin, begin + kSectorSize);
    }
  }
  /// Sectors never written are zeros: so the recordings begin, but for session-C, which first copies the whole disk.
  Bytes Read(uint64_t sector, uint32_t size) const {
    Bytes out;
    for (uint32_t i = 0; i < size / kSectorSize; ++i) {
      const auto found = sectors_.find(sector + i);
      if (found == sectors_.end()) {
        out.resize(out.size() + kSectorSize, 0);
      } else {
        out.insert(out.end(), found->second.begin(), found->second.end());
      }
    }
    return out;
  }
  void Take(const Record& record) {
    const auto* data = std::get_if<DataPacket>(&record.packet.body);
    if (data == nullptr) return;
    Write(data->sector, record.payload.empty() ? Bytes(data->size, 0) : record.payload);
  }

 private:
  std::map<uint64_t, Bytes> sectors_;
};

}  // namespace

TEST_CASE("recorded sessions decode to the last byte and encode again to the same bytes") {
  size_t packets = 0;
  for (const Recording& recording : Recordings()) {
    CAPTURE(recording.name);
    CHECK(recording.sessions > 0);
    packets += recording.records.size();
  }
  MESSAGE(Recordings().size() << " recordings, " << packets << " packets");
}

TEST_CASE("recorded answers to a challenge are its HMAC under the shared secret") {
  const Recording* recording = Find("auth-sha1");
  if (recording == nullptr) return;
  const std::string secret = "FooFunFactory";
  const std::span<const uint8_t> key(reinterpret_cast<const uint8_t*>(secret.data()), secret.size());
  std::map<std::pair<size_t, uint32_t>, Bytes> challenges;  // by session and sender
  size_t answers = 0;
  for (const Record& record : recording->records) {
    if (record.packet.command == Command::kAuthChallenge) challenges[{record.session, record.sender}] = record.blob;
    if (record.packet.command != Command::kAuthResponse) continue;
    ++answers;
    bool fits = false;
    for (const auto& [key_of, challenge] : challenges) {
      if (key_of.first != record.session || key_of.second == record.sender) continue;
      const Digest expected = ComputeHmac(DigestAlgorithm::kSha1, key, challenge);
      fits = record.blob == Bytes(expected.bytes.begin(), expected.bytes.begin() + expected.size);
    }
    CHECK(fits);
  }
  CHECK(answers >= 2);
}

TEST_CASE("recorded data-integrity digests are the SHA1 of the payload") {
  const Recording* recording = Find("integrity-sha1");
  if (recording == nullptr) return;
  size_t checked = 0;
  for (const Record& record : recording->records) {
    if (record.payload.empty()) continue;
    ++checked;
    CHECK(std::get<DataPacket>(record.packet.body).digest == ComputeDigest(DigestAlgorithm::kSha1, record.payload));
  }
  CHECK(checked == 91);  // counted by another decoder
}

TEST_CASE("recorded checksum requests carry the SHA1 of what the target has") {
  const Recording* recording = Find("csums-sha1");
  if (recording == nullptr) return;
  DiskModel disk;
  size_t checked = 0;
  for (const Record& record : recording->records) {
    disk.Take(record);
    if (record.packet.command != Command::kCsumRsRequest) continue;
    ++checked;
    const BlockRequest& request = std::get<BlockRequest>(record.packet.body);
    CHECK(request.digest == ComputeDigest(DigestAlgorithm::kSha1, disk.Read(request.sector, request.size)));
  }
  CHECK(checked > 0);
}

TEST_CASE("recorded verify replies carry the CRC-32C of the block, but for the blocks then found out of sync") {
  const Recording* recording = Find("session-C");
  if (recording == nullptr) return;
  DiskModel disk;
  std::set<uint64_t> differing;
  std::set<uint64_t> reported;
  size_t replies = 0;
  size_t results = 0;
  for (const Record& record : recording->records) {
    disk.Take(record);
    if (record.packet.command == Command::kOvReply) {
      ++replies;
      const BlockRequest& reply = std::get<BlockRequest>(record.packet.body);
      if (!(reply.digest == ComputeDigest(DigestAlgorithm::kCrc32c, disk.Read(reply.sector, reply.size)))) differing.insert(reply.sector);
    }
    if (record.packet.command == Command::kOvResult) {
      ++results;
      const BlockAck& result = std::get<BlockAck>(record.packet.body);
      if (result.block_id == kOvOutOfSync) reported.insert(result.sector);
    }
  }
  CHECK(replies > 4000);
  CHECK(results == replies);
  CHECK(differing == reported);
  CHECK(reported.size() == 2);  // as many blocks were altered on purpose
}

TEST_CASE("recorded sequence numbers run from 1 without gap over writes and acknowledgements together") {
  size_t numbers = 0;
  for (const Recording& recording : Recordings()) {
    CAPTURE(recording.name);
    std::map<std::tuple<size_t, uint32_t, uint16_t>, std::vector<uint32_t>> series;  // by session, sender, volume
    for (const Record& record : recording.records) {
      std::optional<uint32_t> number;
      if (const auto* ack = std::get_if<BlockAck>(&record.packet.body)) number = ack->seq_num;
      const bool reply = record.packet.command == Command::kDataReply || record.packet.command == Command::kRsDataReply;
      if (const auto* data = std::get_if<DataPacket>(&record.packet.body)) {
        if (reply) {
          CHECK(data->seq_num == 0);
        } else {
          number = data->seq_num;
        }
      }
      if (number.has_value()) series[{record.session, record.sender, record.packet.volume}].push_back(*number);
    }
    for (auto& [key, found] : series) {
      std::sort(found.begin(), found.end());
      numbers += found.size();
      bool gap_free = true;
      for (size_t i = 0; i < found.size(); ++i) gap_free = gap_free && found[i] == i + 1;
      CHECK(gap_free);
    }
  }
  MESSAGE(numbers << " sequence numbers");
}

TEST_CASE("mutated recordings give packets or an error, never a crash") {
  const char* given = std::getenv("DRBDTS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);
  const std::optional<std::filesystem::path> folder = PcapFolder();
  if (!folder.has_value()) return;
  const PcapFile file = ReadPcap((*folder / "session-C.pcap.gz").string());
  REQUIRE(file.error == "");
  size_t refused = 0;
  for (int round = 0; round < 300; ++round) {
    const PcapConnection& connection = file.connections[random() % file.connections.size()];
    Bytes stream = random() % 2 == 0 ? connection.from_opener.bytes : connection.from_listener.bytes;
    stream.resize(std::min<size_t>(stream.size(), 20000));
    if (stream.empty()) continue;
    for (size_t hits = 1 + random() % 5; hits > 0; --hits) stream[random() % std::min<size_t>(stream.size(), 2000)] ^= 1u << random() % 8;
    PacketReader reader;
    WireDialect dialect;
    Bytes payload;
    std::span<const uint8_t> rest = stream;
    while (true) {
      const size_t before = rest.size();
      std::span<const uint8_t> part = rest.first(std::min<size_t>(rest.size(), 1 + random() % 3000));
      const size_t given_bytes = part.size();
      const Next next = reader.Feed(part);
      rest = rest.subspan(given_bytes - part.size());
      if (next == Next::kNeedPayload) {
        payload.resize(BulkBytes(reader.packet()));
        reader.SetPayload(payload);
      } else if (next == Next::kPacket) {
        const Command command = reader.packet().command;
        if (command == Command::kConnectionFeatures || command == Command::kInitialMeta) {
          dialect.h100 = true;
          dialect.features = 15;
          reader.SetDialect(dialect);
        }
      } else if (next == Next::kError) {
        ++refused;
        CHECK(reader.error().code != ErrorCode::kOk);
        break;
      } else if (rest.empty()) {
        break;
      }
      REQUIRE(rest.size() <= before);
    }
  }
  CHECK(refused > 0);
}
