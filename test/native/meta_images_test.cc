// Meta-data of real devices, and the field's own tool as judge of ours.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "core/activity_log.h"
#include "core/bitmap.h"
#include "core/meta_data.h"
#include "core/meta_dump.h"

#include <doctest/doctest.h>  // last: its CHECK replaces that of core/assert.h

using namespace drbdts::core;
namespace fs = std::filesystem;

namespace {

using Bytes = std::vector<uint8_t>;
using BlockView = std::span<const uint8_t, kMetaBlockBytes>;

std::optional<fs::path> MetaDataVectors() {
  const char* lab = std::getenv("DRBDTS_LAB");
  const fs::path here = fs::path(lab != nullptr ? lab : "../shared/lab") / "vectors" / "metadata";
  if (fs::is_directory(here)) return here;
  MESSAGE("skipped: no recorded meta-data in " << here.string() << " (set DRBDTS_LAB)");
  return std::nullopt;
}

Bytes ReadGz(const fs::path& path) {
  Bytes out;
  const gzFile file = gzopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  uint8_t buffer[65536];
  for (int n = 0; (n = gzread(file, buffer, sizeof(buffer))) > 0;) out.insert(out.end(), buffer, buffer + n);
  gzclose(file);
  return out;
}

std::string ReadText(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Every dump in drbdmeta's output, from the version line to the bit count.
std::vector<std::string> Dumps(const std::string& text) {
  std::vector<std::string> found;
  size_t at = 0;
  while ((at = text.find("version \"v08\";", at)) != std::string::npos) {
    const size_t end = text.find('\n', text.find("# bits-set", at)) + 1;
    found.push_back(text.substr(at, end - at));
    at = end;
  }
  return found;
}

std::string LineAfter(const std::string& text, const std::string& marker) {
  const size_t at = text.find(marker);
  if (at == std::string::npos) return "";
  const size_t begin = text.find('\n', at) + 1;
  return text.substr(begin, text.find('\n', begin) - begin);
}

/// The meta-data part of a device; byte 0 of `bytes` is byte `base` of the device.
struct Area {
  Bytes bytes;
  uint64_t base = 0;
  MetaDataLayout layout;

  uint8_t* At(uint64_t sector) { return bytes.data() + (sector * 512 - base); }
  const uint8_t* At(uint64_t sector) const { return bytes.data() + (sector * 512 - base); }
  std::span<const uint8_t> Ring() const { return {At(layout.al_sector), layout.al_blocks * kMetaBlockBytes}; }
  SuperBlock Super() const {
    const auto decoded = DecodeSuperBlock(BlockView(At(layout.super_block_sector), kMetaBlockBytes));
    REQUIRE(decoded.ok());
    return decoded.value();
  }
  void PutSuper(const SuperBlock& sb) { EncodeSuperBlock(sb, std::span<uint8_t, kMetaBlockBytes>(At(layout.super_block_sector), kMetaBlockBytes)); }
  void PutAlBlock(uint64_t index, const AlBlock& block) {
    EncodeAlBlock(block, std::span<uint8_t, kMetaBlockBytes>(At(layout.al_sector + index * 8), kMetaBlockBytes));
  }
  void ReadBitmap(Bitmap& bitmap) const {
    for (uint64_t page = 0; page < bitmap.pages(); ++page) bitmap.LoadPage(page, {At(layout.bitmap_sector + page * 8), kMetaBlockBytes});
  }
  void WriteBitmap(const Bitmap& bitmap) {
    for (uint64_t page = 0; page < bitmap.pages(); ++page) {
      std::copy(bitmap.Page(page).begin(), bitmap.Page(page).end(), At(layout.bitmap_sector + page * 8));
    }
  }
};

uint64_t WholePages(uint64_t sectors) {
  const uint64_t per_page = Bitmap::kBitsPerPage * kSectorsPerBlock;
  return (sectors + per_page - 1) / per_page * per_page;
}

/// What apply-al does, with our parts. `sectors`: size of the bitmap; whole pages to do as drbdmeta does, which marks whole extents.
void Apply(Area& area, uint64_t sectors) {
  SuperBlock sb = area.Super();
  if (sb.clean()) return;
  Bitmap bitmap(sectors);
  bitmap.Resize(sectors, false);
  area.ReadBitmap(bitmap);
  std::vector<uint32_t> slots(kAlExtentsMax + 1);
  std::vector<uint32_t> extents;
  const auto replay = ReplayActivityLog(
      area.Ring(), slots, [](void* list, uint32_t e) { static_cast<std::vector<uint32_t>*>(list)->push_back(e); }, &extents);
  REQUIRE(replay.ok());
  if ((sb.flags & kMdPrimaryInd) != 0) {
    for (const uint32_t e : extents) bitmap.SetBits(uint64_t{e} * kBitsPerAlExtent, kBitsPerAlExtent);
  }
  area.WriteBitmap(bitmap);
  AlBlock initialized;
  initialized.initialized_only = true;
  for (uint64_t i = 0; i < area.layout.al_blocks; ++i) area.PutAlBlock(i, initialized);
  sb.flags |= kMdAlClean;
  sb.magic = kMdMagicV08;
  area.PutSuper(sb);
}

std::string Dump(const Area& area) {
  const SuperBlock sb = area.Super();
  Bitmap bitmap(WholePages(sb.la_size_sect));
  bitmap.Resize(WholePages(sb.la_size_sect), false);
  area.ReadBitmap(bitmap);
  return DumpMetaData(sb, area.layout, bitmap);
}

struct Command {
  int exit_code = -1;
  std::string output;
};
Command Run(const std::string& line) {
  Command command;
  std::FILE* pipe = popen((line + " </dev/null 2>&1").c_str(), "r");
  if (pipe == nullptr) return command;
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) command.output.append(buffer, n);
  const int status = pclose(pipe);
  command.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return command;
}

/// A loop device over a sparse file; both go away with it, and so does what drbdmeta remembers of the minor.
class Loop {
 public:
  Loop(uint64_t bytes, int minor) : minor_(minor) {
    char name[] = "/tmp/drbdts-meta-XXXXXX";
    const int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    file_ = name;
    REQUIRE(ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    close(fd);
    const Command made = Run("losetup -f --show " + file_);
    if (made.exit_code == 0) device_ = made.output.substr(0, made.output.find('\n'));
  }
  ~Loop() {
    if (!device_.empty()) Run("losetup -d " + device_);
    unlink(file_.c_str());
    unlink(("/var/lib/drbd/drbd-minor-" + std::to_string(minor_) + ".lkbd").c_str());
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  const std::string& device() const { return device_; }
  void Write(const Area& area) { Transfer(O_WRONLY, [&](int fd) { return pwrite(fd, area.bytes.data(), area.bytes.size(), static_cast<off_t>(area.base)); }, area); }
  void Read(Area& area) { Transfer(O_RDONLY, [&](int fd) { return pread(fd, area.bytes.data(), area.bytes.size(), static_cast<off_t>(area.base)); }, area); }
  Command Drbdmeta(const std::string& type, const std::string& arguments) {
    return Run("drbdmeta --force " + std::to_string(minor_) + " v08 " + device_ + " " + type + " " + arguments);
  }

 private:
  template <typename Call>
  void Transfer(int flags, Call call, const Area& area) {
    const int fd = open(device_.c_str(), flags | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK(call(fd) == static_cast<ssize_t>(area.bytes.size()));
    fsync(fd);
    close(fd);
  }
  int minor_;
  std::string file_;
  std::string device_;
};

}  // namespace

TEST_CASE("meta-data images of real devices decode, encode, dump and replay as drbdmeta says") {
  const auto folder = MetaDataVectors();
  if (!folder) return;
  size_t images = 0;
  size_t applied = 0;
  size_t tails = 0;
  for (const auto& entry : fs::directory_iterator(*folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".bin.gz") || name.find(".after-") != std::string::npos) continue;
    const std::string stem = name.substr(0, name.size() - 7);
    CAPTURE(stem);
    Area area;
    area.bytes = ReadGz(entry.path());
    const std::string text = ReadText(*folder / (stem + ".txt"));
    ++images;

    if (stem.starts_with("33-v09")) {
      const auto refused = DecodeSuperBlock(BlockView(area.bytes.data() + area.bytes.size() - kMetaBlockBytes, kMetaBlockBytes));
      REQUIRE_FALSE(refused.ok());
      CHECK(refused.error().code == ErrorCode::kWrongMetaDataVersion);
      CHECK(std::string(refused.error().detail).find("v09") != std::string::npos);
      continue;
    }
    const bool external = stem.starts_with("20-external");
    const uint64_t device = stem.starts_with("30-") ? uint64_t{1} << 30 : uint64_t{16} << 20;
    area.base = external ? 0 : device - area.bytes.size();
    const MetaDataPlace place{external ? MetaDataPlace::Kind::kFlexible : MetaDataPlace::Kind::kInternal, 0};
    const auto layout = ComputeLayout(place, device / 512, device / 512);
    REQUIRE(layout.ok());
    area.layout = layout.value();

    // Structure.
    const SuperBlock sb = area.Super();
    CHECK(CheckAgainstLayout(sb, area.layout).ok());
    Area copy = area;
    copy.PutSuper(sb);
    for (uint64_t i = 0; i < area.layout.al_blocks; ++i) {
      AlBlock block;
      REQUIRE(DecodeAlBlock(BlockView(area.At(area.layout.al_sector + i * 8), kMetaBlockBytes), block).ok());
      copy.PutAlBlock(i, block);
    }
    CHECK(copy.bytes == area.bytes);
    const std::string gi = LineAfter(text, "get-gi\n");
    if (!gi.empty()) CHECK(FormatGi(sb) == gi);

    // Apply, as drbdmeta does it: byte for byte.
    Area theirs = area;
    const fs::path after = *folder / (stem + ".after-apply-al.bin.gz");
    Area ours = area;
    Apply(ours, WholePages(sb.la_size_sect));
    if (fs::exists(after)) {
      theirs.bytes = ReadGz(after);
      CHECK(ours.bytes == theirs.bytes);
      ++applied;
      // With a bitmap of the device's own size it differs by bits behind the end of the device, and by nothing else.
      Area masked = area;
      Apply(masked, sb.la_size_sect);
      REQUIRE(masked.bytes.size() == theirs.bytes.size());
      const uint64_t bitmap_begin = area.layout.bitmap_sector * 512 - area.base;
      const uint64_t bits = BitsOfSectors(sb.la_size_sect);
      for (uint64_t i = 0; i < masked.bytes.size() * 8; ++i) {
        const bool mine = (masked.bytes[i / 8] >> (i % 8) & 1) != 0;
        const bool other = (theirs.bytes[i / 8] >> (i % 8) & 1) != 0;
        const bool tail = i >= bitmap_begin * 8 + bits && i < bitmap_begin * 8 + WholePages(sb.la_size_sect) / 8;
        if (tail) {
          REQUIRE_FALSE(mine);
          tails += other;
        } else {
          REQUIRE(mine == other);
        }
      }
    }

    const auto dumps = Dumps(text);
    CHECK_FALSE(dumps.empty());
    for (const std::string& dump : dumps) CHECK(Dump(ours) == dump);
  }
  CHECK(images >= 17);
  CHECK(applied >= 12);
  CHECK(tails > 0);
}

TEST_CASE("drbdmeta reads what we wrote, for every placement, and replays our activity log as we do") {
  if (Run("command -v drbdmeta").exit_code != 0) {
    MESSAGE("skipped: drbdmeta is not installed");
    return;
  }
  const char* given = std::getenv("DRBDTS_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  MESSAGE("DRBDTS_SEED=" << seed);
  std::mt19937_64 random(seed);

  struct Row {
    MetaDataPlace::Kind kind;
    uint32_t index;
    uint64_t bytes;
    uint32_t stripes, stripe_size;
  };
  using Kind = MetaDataPlace::Kind;
  constexpr uint64_t kMiB = 1 << 20;
  constexpr uint64_t kBackingOfExternal = 40 * 1024 * 2048;  // sectors
  const Row rows[] = {
      {Kind::kInternal, 0, 16 * kMiB, 1, 8},
      {Kind::kInternal, 0, 1024 * kMiB, 1, 8},
      {Kind::kInternal, 0, 10240 * kMiB + 77 * 512, 1, 8},
      {Kind::kInternal, 0, 10240 * kMiB - 3 * 512, 1, 8},
      {Kind::kInternal, 0, 300 * kMiB, 4, 8},
      {Kind::kInternal, 0, 300 * kMiB + 512, 3, 5},
      {Kind::kFlexible, 0, 32 * kMiB + 5 * 512, 1, 8},
      {Kind::kFlexible, 0, 32 * kMiB, 2, 16},
      {Kind::kIndexed, 0, 128 * kMiB, 1, 8},
      {Kind::kIndexed, 2, 400 * kMiB, 1, 8},
  };
  int minor = 210;
  for (const Row& row : rows) {
    const MetaDataPlace place{row.kind, row.index};
    const std::string type = row.kind == Kind::kInternal   ? "internal"
                             : row.kind == Kind::kFlexible ? "flex-external"
                                                           : std::to_string(row.index);
    CAPTURE(type);
    CAPTURE(row.bytes);
    CAPTURE(row.stripes);
    Loop loop(row.bytes, minor++);
    if (loop.device().empty()) {
      MESSAGE("skipped: no loop device can be set up here");
      return;
    }
    const uint64_t sectors = row.bytes / 512;
    const auto layout = ComputeLayout(place, row.kind == Kind::kInternal ? sectors : kBackingOfExternal, sectors, row.stripes, row.stripe_size);
    REQUIRE(layout.ok());
    Area area;
    area.layout = layout.value();
    area.base = std::min(area.layout.super_block_sector, area.layout.bitmap_sector) * 512;
    const uint64_t end = std::max(area.layout.super_block_sector + 8, area.layout.bitmap_sector + std::min<uint64_t>(area.layout.bitmap_sectors, 8192));
    area.bytes.assign(end * 512 - area.base, 0);
    AlBlock block;
    block.initialized_only = true;
    for (uint64_t i = 0; i < area.layout.al_blocks; ++i) area.PutAlBlock(i, block);

    // Fresh, as after create-md.
    SuperBlock sb = FreshSuperBlock(area.layout, 0x0123456789abcdef, 1 << 20, row.stripes, row.stripe_size);
    area.PutSuper(sb);
    loop.Write(area);
    const auto compare = [&] {
      const Command dump = loop.Drbdmeta(type, "dump-md");
      CHECK(dump.exit_code == 0);
      const auto dumps = Dumps(dump.output);
      REQUIRE(dumps.size() == 1);
      CHECK(dumps[0] == Dump(area));
      const Command gi = loop.Drbdmeta(type, "get-gi");
      CHECK(gi.exit_code == 0);
      CHECK(gi.output == FormatGi(area.Super()) + "\n");
    };
    compare();

    // In use, with single bits and runs in the bitmap.
    sb.la_size_sect = area.layout.usable_sectors - (row.kind == Kind::kInternal ? 0 : 11);
    sb.uuids = {random() & ~uint64_t{1}, random(), random(), random()};
    sb.flags = kMdAlClean | static_cast<uint32_t>(random() & 0x7f & ~kMdFullSync);
    area.PutSuper(sb);
    Bitmap bitmap(sb.la_size_sect);
    bitmap.Resize(sb.la_size_sect, false);
    for (int i = 0; i < 40; ++i) bitmap.SetBits(random() % bitmap.bits(), i % 3 == 0 ? random() % 5000 : 1);
    bitmap.SetBits(bitmap.bits() - 1, 1);
    area.WriteBitmap(bitmap);
    loop.Write(area);
    compare();

    // A Primary that crashed: its activity log goes into the bitmap.
    sb.flags = kMdConsistent | kMdWasUpToDate | kMdPrimaryInd | kMdConnectedInd;
    sb.magic = kMdMagicV08Unclean;
    area.PutSuper(sb);
    const auto extents = static_cast<uint32_t>(sb.la_size_sect / kAlExtentSectors);
    ActivityLog log(67, extents);
    log.Reset(0);
    std::vector<uint32_t> evicted;
    for (uint32_t t = 0; t < 2 * area.layout.al_blocks + 3; ++t) {
      for (int i = 0; i < 5; ++i) {
        const auto extent = static_cast<uint32_t>(random() % extents);
        if (log.Pin(extent) != ActivityLog::Get::kNoSlot) log.Unpin(extent);
      }
      if (!log.CanBegin()) continue;
      log.Begin(block, evicted);
      area.PutAlBlock(AlBlockIndex(block.transaction, row.stripes, row.stripe_size), block);
      log.Commit();
    }
    loop.Write(area);
    const Command apply = loop.Drbdmeta(type, "apply-al");
    CHECK(apply.exit_code == 0);
    Apply(area, WholePages(sb.la_size_sect));
    Area theirs = area;
    loop.Read(theirs);
    CHECK(theirs.bytes == area.bytes);
    compare();
  }
}
