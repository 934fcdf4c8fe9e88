#pragma once
#include <cstdint>

namespace drbdts::core {

inline constexpr uint32_t kSectorSize = 512;
inline constexpr uint32_t kBlockSize = 4096;             // one bitmap bit
inline constexpr uint32_t kSectorsPerBlock = 8;
inline constexpr uint32_t kAlExtentSectors = 8192;       // 4 MiB: one activity log extent
inline constexpr uint32_t kBitsPerAlExtent = 1024;
inline constexpr uint32_t kResyncExtentSectors = 32768;  // 16 MiB
inline constexpr uint32_t kMaxRequestBytes = 1u << 20;   // largest P_DATA payload and resync request
inline constexpr uint64_t kMaxDeviceSectors = uint64_t{1} << 35;  // 16 TiB

/// Number of bitmap bits of a device of that many sectors (the last block may be partial).
constexpr uint64_t BitsOfSectors(uint64_t sectors) { return (sectors + kSectorsPerBlock - 1) / kSectorsPerBlock; }

/// A half-open range of sectors.
struct SectorRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  constexpr bool Overlaps(const SectorRange& o) const { return begin < o.end && o.begin < end; }
  constexpr uint64_t size() const { return end - begin; }
};

/// Monotonic time in microseconds, as given to Step(). Never wall time.
using TimeUs = uint64_t;
inline constexpr TimeUs kNever = ~TimeUs{0};

}  // namespace drbdts::core
