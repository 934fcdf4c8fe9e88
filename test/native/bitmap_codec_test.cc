#include "core/bitmap_codec.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>  // last: its CHECK replaces that of core/assert.h

using namespace drbdts::core;

namespace {

using Bytes = std::vector<uint8_t>;
struct Sent {
  Command command;
  Bytes payload;
};

uint64_t Seed() {
  const char* given = std::getenv("DRBDTS_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

Bytes FromHex(const std::string& hex) {
  Bytes out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  return out;
}

struct Sized : Bitmap {
  explicit Sized(uint64_t bits) : Bitmap(bits * 8) { Resize(bits * 8, false); }
};

std::vector<Sent> Send(const Bitmap& bitmap, bool rle) {
  BitmapSender sender(bitmap, rle);
  std::vector<Sent> packets;
  Bytes buffer(kBitmapPacketBytes);
  for (;;) {
    const auto chunk = sender.Next(buffer);
    packets.push_back({chunk.command, Bytes(buffer.begin(), buffer.begin() + chunk.bytes)});
    if (chunk.last) return packets;
    REQUIRE(packets.size() < 100000);
  }
}

/// Feeds all packets; only the last may complete the transfer.
void Receive(Bitmap& bitmap, const std::vector<Sent>& packets) {
  BitmapReceiver receiver(bitmap);
  for (size_t i = 0; i < packets.size(); ++i) {
    const auto done = receiver.Take(packets[i].command, packets[i].payload);
    REQUIRE(done.ok());
    REQUIRE(done.value() == (i + 1 == packets.size()));
  }
}

bool Equal(const Bitmap& a, const Bitmap& b) {
  if (a.bits() != b.bits() || a.set_count() != b.set_count()) return false;
  for (uint64_t page = 0; page < a.pages(); ++page) {
    if (!std::ranges::equal(a.Page(page), b.Page(page))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("bitmap codec: known run length packets") {
  const auto encode = [](uint64_t bits, auto fill) {
    Sized bitmap(bits);
    fill(bitmap);
    const auto packets = Send(bitmap, true);
    REQUIRE(packets.size() == 1);
    CHECK(packets[0].command == Command::kCompressedBitmap);
    Sized back(bits);
    Receive(back, packets);
    CHECK(Equal(bitmap, back));
    return packets[0].payload;
  };
  const auto all = [](Bitmap& b) { b.SetAll(); };
  const auto none = [](Bitmap&) {};
  CHECK(encode(256, all) == FromHex("a2df33"));
  CHECK(encode(4086, all) == FromHex("b23fc50e"));
  CHECK(encode(4086, [](Bitmap& b) { b.SetBits(1, 1); }) == FromHex("72f033ec00"));
  CHECK(encode(262127, all) == FromHex("b27fbede03"));
  CHECK(encode(262127, none) == FromHex("327fbede03"));
  CHECK(encode(262127, [](Bitmap& b) { b.SetBits(10, 3); }) == FromHex("1297fcc57a0f"));
}

TEST_CASE("bitmap codec: the compressed packets of real peers cover all 4086 bits and come out again byte for byte") {
  for (const char* hex : {"22f231df7f6a1b", "323fc50e", "32df933f430e", "529b1f45c40f4001", "72f033ec00", "72f035f343dc00", "72f223ec00", "b23fc50e",
                          "c2fd96f97102f79f1a06", "e23fcfe2a75801", "e23fcfeaa75800", "e2fcc00e7ed8c3fda7d600"}) {
    CAPTURE(hex);
    Sized bitmap(4086);
    Receive(bitmap, {{Command::kCompressedBitmap, FromHex(hex)}});
    const auto again = Send(bitmap, true);
    REQUIRE(again.size() == 1);
    CHECK(again[0].payload == FromHex(hex));
  }
}

TEST_CASE("bitmap codec: a plain transfer has fixed sizes and ends with an empty packet") {
  Sized bitmap(4086);
  bitmap.SetAll();
  auto packets = Send(bitmap, false);
  REQUIRE(packets.size() == 2);
  CHECK(packets[0].payload.size() == 512);
  CHECK(packets[1].command == Command::kBitmap);
  CHECK(packets[1].payload.empty());

  Sized large(510 * 64 * 2 + 1);
  packets = Send(large, false);
  REQUIRE(packets.size() == 4);
  CHECK(packets[0].payload.size() == 4080);
  CHECK(packets[1].payload.size() == 4080);
  CHECK(packets[2].payload.size() == 8);

  Sized empty(0);
  packets = Send(empty, true);
  REQUIRE(packets.size() == 1);
  CHECK(packets[0].payload.empty());
  Receive(empty, packets);
}

TEST_CASE("bitmap codec: where run lengths do not pay, plain words go out from the word that holds the position") {
  Sized bitmap(64 * 4000);
  bitmap.SetBits(0, 100000);
  std::mt19937_64 random(1);
  for (uint64_t bit = 100000; bit < bitmap.bits(); ++bit) {
    if (random() % 2 == 0) bitmap.SetBits(bit, 1);
  }
  const auto packets = Send(bitmap, true);
  CHECK(packets[0].command == Command::kCompressedBitmap);  // the long run pays for some noise behind it
  CHECK(packets[1].command == Command::kBitmap);
  CHECK(packets.back().command == Command::kBitmap);
  CHECK(packets.back().payload.empty());
  for (const Sent& packet : packets) CHECK(packet.payload.size() <= kBitmapPacketBytes);
  Sized back(bitmap.bits());
  Receive(back, packets);
  CHECK(Equal(bitmap, back));
}

TEST_CASE("bitmap codec: property, the receiver ends with the union of both bitmaps") {
  const uint64_t seed = Seed();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  const auto fill = [&](Bitmap& bitmap) {
    // Runs whose lengths spread over all rows of the code, in stretches of different density.
    uint64_t bit = 0;
    bool set = below(2) == 0;
    double scale = 1;
    uint64_t stretch_end = 0;
    while (bit < bitmap.bits()) {
      if (bit >= stretch_end) {
        stretch_end = bit + below(120000);
        scale = below(2) == 0 ? 1 : std::pow(2.0, static_cast<double>(below(20)));
      }
      const auto length = 1 + static_cast<uint64_t>(scale * static_cast<double>(below(1000)) / 500.0);
      if (set) bitmap.SetBits(bit, length);
      bit += length;
      set = !set;
    }
  };
  size_t mixed = 0;
  for (int round = 0; round < 150; ++round) {
    const uint64_t bits = round < 70 ? static_cast<uint64_t>(round) + 1 : 1 + below(round % 5 == 0 ? 3000000 : 200000);
    const bool rle = below(4) != 0;
    CAPTURE(round);
    CAPTURE(bits);
    Sized source(bits);
    Sized target(bits);
    Sized expected(bits);
    fill(source);
    if (below(2) == 0) fill(target);
    for (const Bitmap* part : {static_cast<const Bitmap*>(&source), static_cast<const Bitmap*>(&target)}) {
      Bytes words(part->words() * 8);
      part->ReadWords(0, words);
      expected.MergeWords(0, words);
    }
    const auto packets = Send(source, rle);
    bool plain = false;
    bool compressed = false;
    uint64_t code_bits = 0;
    for (const Sent& packet : packets) {
      (packet.command == Command::kBitmap ? plain : compressed) = true;
      REQUIRE(packet.payload.size() <= kBitmapPacketBytes);
      code_bits += packet.payload.size() * 8;
    }
    mixed += plain && compressed;
    REQUIRE((rle || !compressed));
    REQUIRE(packets.back().payload.empty() == (packets.back().command == Command::kBitmap));
    Receive(target, packets);
    REQUIRE(Equal(target, expected));
  }
  CHECK(mixed > 0);
}

TEST_CASE("bitmap codec: hostile payloads are errors") {
  const auto take = [](Command command, const Bytes& payload, uint64_t bits = 4086) {
    Sized bitmap(bits);
    BitmapReceiver receiver(bitmap);
    const auto r = receiver.Take(command, payload);
    return r.ok() ? ErrorCode::kOk : r.error().code;
  };
  CHECK(take(Command::kBitmap, {}) == ErrorCode::kBadLength);  // before the end
  CHECK(take(Command::kBitmap, Bytes(504)) == ErrorCode::kBadLength);
  CHECK(take(Command::kBitmap, Bytes(520)) == ErrorCode::kBadLength);
  CHECK(take(Command::kBitmap, Bytes(511)) == ErrorCode::kBadLength);
  CHECK(take(Command::kCompressedBitmap, {}) == ErrorCode::kBadLength);
  CHECK(take(Command::kCompressedBitmap, {0xb2}) == ErrorCode::kBadLength);
  CHECK(take(Command::kCompressedBitmap, Bytes(4081, 2)) == ErrorCode::kBadLength);
  CHECK(take(Command::kCompressedBitmap, FromHex("b13fc50e")) == ErrorCode::kBadPayload);  // encoding 1
  CHECK(take(Command::kCompressedBitmap, FromHex("b23fc5")) == ErrorCode::kBadPayload);    // cut off
  CHECK(take(Command::kCompressedBitmap, FromHex("f23fc50e")) == ErrorCode::kBadPayload);  // two pad bits too many
  CHECK(take(Command::kCompressedBitmap, FromHex("b23fc50e"), 4085) == ErrorCode::kBadPayload);
  CHECK(take(Command::kCompressedBitmap, FromHex("82ffffffffffffffff")) == ErrorCode::kBadPayload);  // the longest run there is
  CHECK(take(Command::kCompressedBitmap, FromHex("8200"), 0) == ErrorCode::kBadPayload);
  CHECK(take(Command::kPing, {}) == ErrorCode::kBadPayload);
  CHECK(take(Command::kCompressedBitmap, FromHex("b23fc50e"), 4087) == ErrorCode::kOk);  // only a part so far

  const uint64_t seed = Seed();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 3000; ++round) {
    Sized bitmap(1 + random() % 100000);
    BitmapReceiver receiver(bitmap);
    for (int i = 0; i < 5; ++i) {
      Bytes payload(random() % 200);
      std::generate(payload.begin(), payload.end(), [&] { return static_cast<uint8_t>(random()); });
      if (!payload.empty()) payload[0] = static_cast<uint8_t>((payload[0] & 0xf0) | 2);
      const auto r = receiver.Take(Command::kCompressedBitmap, payload);
      if (!r.ok()) break;
    }
    CHECK(bitmap.set_count() == bitmap.CountRange(0, bitmap.bits()));
  }
}
