#include "io/signatures.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/bytes.h"

namespace drbdts::io {
namespace {

constexpr uint64_t kHeadBytes = 68 * 1024;  // the furthest super block at the start is btrfs's at 64 KiB
constexpr uint64_t kBlock = 4096;

uint16_t Le16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }
uint32_t Le32(const uint8_t* p) { return static_cast<uint32_t>(Le16(p)) | static_cast<uint32_t>(Le16(p + 2)) << 16; }
bool Is(const uint8_t* p, const char* text, size_t length) { return std::memcmp(p, text, length) == 0; }

bool Ext(const uint8_t* d, Signature& s) {
  const uint8_t* sb = d + 1024;
  if (Le16(sb + 56) != 0xef53) return false;
  const uint32_t compat = Le32(sb + 92);
  const uint32_t incompat = Le32(sb + 96);
  const uint32_t log_block = Le32(sb + 24);
  uint64_t blocks = Le32(sb + 4);
  if ((incompat & 0x80) != 0) blocks |= uint64_t{Le32(sb + 336)} << 32;  // 64bit
  if ((incompat & 0x08) != 0) {
    s.name = "external ext4 journal";
  } else if ((incompat & 0x2c0) != 0) {  // extents, 64bit, flex_bg
    s.name = "ext4 file system";
  } else {
    s.name = (compat & 0x4) != 0 ? "ext3 file system" : "ext2 file system";
  }
  s.used_bytes = log_block <= 6 ? blocks << (10 + log_block) : 0;
  return true;
}

bool Xfs(const uint8_t* d, Signature& s) {
  if (!Is(d, "XFSB", 4)) return false;
  s = {"xfs file system", core::LoadBe64(d + 8) * core::LoadBe32(d + 4)};
  return true;
}

bool Btrfs(const uint8_t* d, Signature& s) {
  const uint8_t* sb = d + 65536;
  if (!Is(sb + 64, "_BHRfS_M", 8)) return false;
  s = {"btrfs file system", core::LoadLe64(sb + 201 + 8)};  // total_bytes of this device's item
  if (s.used_bytes == 0) s.used_bytes = core::LoadLe64(sb + 112);
  return true;
}

bool Lvm(const uint8_t* d, Signature& s) {
  for (uint32_t sector = 0; sector < 4; sector++) {
    const uint8_t* label = d + sector * 512;
    if (!Is(label, "LABELONE", 8) || !Is(label + 24, "LVM2 001", 8)) continue;
    const uint32_t header = Le32(label + 20);
    s.name = "LVM2 physical volume";
    s.used_bytes = header <= 512 - 40 ? core::LoadLe64(label + header + 32) : 0;
    return true;
  }
  return false;
}

bool Swap(const uint8_t* d, Signature& s) {
  for (uint32_t page : {4096u, 16384u, 65536u}) {
    const uint8_t* mark = d + page - 10;
    if (!Is(mark, "SWAPSPACE2", 10) && !Is(mark, "SWAP-SPACE", 10)) continue;
    s.name = "swap area";
    s.used_bytes = (uint64_t{Le32(d + 1024 + 4)} + 1) * page;
    return true;
  }
  return false;
}

bool Ntfs(const uint8_t* d, Signature& s) {
  if (!Is(d + 3, "NTFS    ", 8)) return false;
  s = {"ntfs file system", (core::LoadLe64(d + 40) + 1) * Le16(d + 11)};
  return true;
}

bool Luks(const uint8_t* d, Signature& s) {
  if (!Is(d, "LUKS\xba\xbe", 6)) return false;
  s = {"LUKS encrypted volume", 0};
  return true;
}

bool Partitions(const uint8_t* d, Signature& s) {
  for (uint32_t block : {512u, 4096u}) {
    const uint8_t* header = d + block;
    if (!Is(header, "EFI PART", 8)) continue;
    // The backup header's place: the table owns the device up to there.
    s = {"GPT partition table", (core::LoadLe64(header + 32) + 1) * block};
    return true;
  }
  if (d[510] != 0x55 || d[511] != 0xaa) return false;
  uint64_t end = 0;
  for (uint32_t i = 0; i < 4; i++) {
    const uint8_t* entry = d + 446 + 16 * i;
    if ((entry[0] & 0x7f) != 0) return false;  // no partition table: boot sector of something else
    if (entry[4] != 0 && Le32(entry + 12) != 0) end = std::max(end, uint64_t{Le32(entry + 8)} + Le32(entry + 12));
  }
  if (end == 0) return false;
  s = {"MBR partition table", end * 512};
  return true;
}

bool Fat(const uint8_t* d, Signature& s) {
  if (d[510] != 0x55 || d[511] != 0xaa || (!Is(d + 54, "FAT1", 4) && !Is(d + 82, "FAT32", 5))) return false;
  const uint64_t sectors = Le16(d + 19) != 0 ? Le16(d + 19) : Le32(d + 32);
  s = {"FAT file system", sectors * Le16(d + 11)};
  return true;
}

bool IsMdRaid(const uint8_t* sb) { return Le32(sb) == 0xa92b4efc; }

}  // namespace

Signature FindSignature(uint64_t device_bytes, const ReadBlocks& read) {
  Signature found;
  auto* buffer = static_cast<uint8_t*>(std::aligned_alloc(kBlock, kHeadBytes));
  if (buffer == nullptr) return found;
  std::memset(buffer, 0, kHeadBytes);
  const uint64_t head = std::min(device_bytes & ~(kBlock - 1), kHeadBytes);
  if (head >= kBlock && read(0, {buffer, head})) {
    const uint8_t* d = buffer;
    const bool known = Ext(d, found) || Xfs(d, found) || Btrfs(d, found) || Lvm(d, found) || Luks(d, found) || Swap(d, found) || Ntfs(d, found) ||
                       Fat(d, found) || Partitions(d, found);
    if (!known && (IsMdRaid(d) || IsMdRaid(d + 4096))) found = {"member of a Linux md raid", 0};  // versions 1.1 and 1.2
  }
  if (found.name.empty() && device_bytes >= 256 * 1024) {
    // md versions 0.90 (64 KiB aligned, 64 KiB before the end) and 1.0 (8 KiB before the end, 4 KiB aligned)
    const uint64_t places[] = {(device_bytes & ~uint64_t{65535}) - 65536, ((device_bytes / 512 - 16) & ~uint64_t{7}) * 512};
    for (const uint64_t place : places) {
      if (read(place, {buffer, kBlock}) && IsMdRaid(buffer)) found = {"member of a Linux md raid", 0};
    }
  }
  std::free(buffer);
  return found;
}

}  // namespace drbdts::io
