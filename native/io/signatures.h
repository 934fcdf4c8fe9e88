#pragma once
// What lies on a disk already? Recognises the start (and where needed the end) of what people keep on disks, so that create-md does not
// destroy it by accident. Bytes in, facts out; `read` does the I/O.
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace drbdts::io {

struct Signature {
  std::string name;         // "ext4 file system", "LVM2 physical volume", ...; empty = nothing known
  uint64_t used_bytes = 0;  // what it occupies from the start of the device; 0 = it does not say (take the whole device)
};

/// Fills `out` from byte `offset`; both multiples of 4096. False if it cannot be read (past the end, I/O error).
using ReadBlocks = std::function<bool(uint64_t offset, std::span<uint8_t> out)>;

/// Looks for ext2/3/4, xfs, btrfs, ntfs, LVM2, swap, Linux md raid, LUKS, and partition tables.
Signature FindSignature(uint64_t device_bytes, const ReadBlocks& read);

}  // namespace drbdts::io
