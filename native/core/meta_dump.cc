#include "core/meta_dump.h"

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstdio>

#include "core/bytes.h"

namespace drbdts::core {
namespace {

constexpr uint64_t kWordsPerLine = 4;
constexpr uint64_t kWordsPerHeading = 32;         // a position is printed where a line starts on a multiple of this
constexpr uint64_t kShortestRun = 8;              // shorter ones are written out
constexpr uint64_t kKiBPerWord = 64 * kBlockSize / 1024;

template <typename... Values>
void Append(std::string& out, const char* format, Values... values) {
  char line[160];
  const int size = std::snprintf(line, sizeof(line), format, values...);
  out.append(line, static_cast<size_t>(std::clamp<int>(size, 0, sizeof(line) - 1)));
}

uint64_t WordAt(const Bitmap& bitmap, uint64_t word) {
  const uint64_t page = word * 8 / Bitmap::kPageBytes;
  if (page >= bitmap.pages()) return 0;
  return LoadLe64(bitmap.Page(page).data() + word * 8 % Bitmap::kPageBytes);
}

/// How many words from `word` on are equal to it, at most up to `end`.
uint64_t RunLength(const Bitmap& bitmap, uint64_t word, uint64_t end) {
  const uint64_t value = WordAt(bitmap, word);
  if (value == 0) {
    const uint64_t next = bitmap.NextSet(word * 64);
    return next == Bitmap::kNone ? end - word : std::min(end, next / 64) - word;
  }
  uint64_t next = word + 1;
  while (next < end && WordAt(bitmap, next) == value) ++next;
  return next - word;
}

}  // namespace

std::string DumpMetaData(const SuperBlock& super_block, const MetaDataLayout& layout, const Bitmap& bitmap) {
  const UuidSet& uuids = super_block.uuids;
  const uint64_t la_bits = BitsOfSectors(std::min(super_block.la_size_sect, kMaxDeviceSectors));
  const uint64_t bytes = (la_bits + Bitmap::kBitsPerPage - 1) / Bitmap::kBitsPerPage * Bitmap::kPageBytes;
  const uint64_t words = bytes / 8;

  std::string out = "version \"v08\";\n\n";
  Append(out, "# md_size_sect %" PRIu32 "\n", super_block.md_size_sect);
  Append(out, "# md_offset %" PRIu64 "\n", layout.super_block_sector * kSectorSize);
  Append(out, "# al_offset %" PRIu64 "\n", layout.al_sector * kSectorSize);
  Append(out, "# bm_offset %" PRIu64 "\n\n", layout.bitmap_sector * kSectorSize);
  Append(out, "uuid {\n    0x%016" PRIX64 "; 0x%016" PRIX64 "; 0x%016" PRIX64 "; 0x%016" PRIX64 ";\n", uuids.current, uuids.bitmap,
         uuids.history0, uuids.history1);
  // Not the real flags: drbdmeta 9.22, like most versions, prints zero here for v08, and dumps are compared byte for byte. FormatGi()
  // tells the truth.
  out += "    flags 0x00000000;\n}\n";
  Append(out, "# al-extents %" PRIu32 ";\n", super_block.al_nr_extents);
  Append(out, "la-size-sect %" PRIu64 ";\n", super_block.la_size_sect);
  Append(out, "bm-byte-per-bit %" PRIu32 ";\n", super_block.bm_bytes_per_bit);
  Append(out, "device-uuid 0x%016" PRIX64 ";\n", super_block.device_uuid);
  Append(out, "la-peer-max-bio-size %" PRIu32 ";\n", super_block.la_peer_max_bio_size);
  Append(out, "al-stripes %" PRIu32 ";\nal-stripe-size-4k %" PRIu32 ";\n", super_block.al_stripes, super_block.al_stripe_size_4k);
  Append(out, "# bm-bytes %" PRIu64 ";\nbm {\n", bytes);

  uint64_t bits_set = 0;
  for (uint64_t word = 0; word < words;) {
    if (word % kWordsPerHeading == 0) Append(out, "   # at %" PRIu64 "kB\n", word * kKiBPerWord);
    const uint64_t value = WordAt(bitmap, word);
    // Only runs of all clear and all set are shortened, and only by whole lines.
    const uint64_t run = value == 0 || value == ~uint64_t{0} ? RunLength(bitmap, word, words) / kWordsPerLine * kWordsPerLine : 0;
    if (run >= kShortestRun) {
      Append(out, "    %" PRIu64 " times 0x%016" PRIX64 ";\n", run, value);
      bits_set += run * static_cast<uint64_t>(std::popcount(value));
      word += run;
      continue;
    }
    out += "   ";
    for (uint64_t i = 0; i < kWordsPerLine; ++i, ++word) {
      Append(out, " 0x%016" PRIX64 ";", WordAt(bitmap, word));
      bits_set += static_cast<uint64_t>(std::popcount(WordAt(bitmap, word)));
    }
    out += "\n";
  }
  Append(out, "}\n# bits-set %" PRIu64 ";\n", bits_set);
  return out;
}

std::string FormatGi(const SuperBlock& super_block) {
  const UuidSet& uuids = super_block.uuids;
  const auto flag = [&](uint32_t mask) { return (super_block.flags & mask) != 0 ? 1 : 0; };
  std::string out;
  Append(out, "%016" PRIX64 ":%016" PRIX64 ":%016" PRIX64 ":%016" PRIX64 ":%d:%d:%d:%d:%d:%d:%d", uuids.current, uuids.bitmap,
         uuids.history0, uuids.history1, flag(kMdConsistent), flag(kMdWasUpToDate), flag(kMdPrimaryInd), flag(kMdConnectedInd),
         flag(kMdFullSync), flag(kMdPeerOutdated), flag(kMdCrashedPrimary));
  return out;
}

}  // namespace drbdts::core
