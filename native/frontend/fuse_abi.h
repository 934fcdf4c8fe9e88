#pragma once
// What /dev/fuse speaks. The structures come from the system's header; the numbers that older headers lack are given here (ABI 7.39 to 7.45).
#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>

namespace drbdts::frontend {

inline constexpr uint64_t kFuseInitExt = 1ull << 30;
inline constexpr uint64_t kFuseHasResend = 1ull << 39;
inline constexpr int32_t kFuseNotifyResend = 7;
inline constexpr uint32_t kFopenDirectIo = 1u << 0;
inline constexpr uint32_t kFopenParallelDirectWrites = 1u << 6;

inline constexpr uint64_t kFuseRootNode = 1;

inline constexpr uint32_t kFuseMinorSpoken = 45;
/// Without resending (7.40, Linux 6.9) a restart could not be hidden; everything else used is older.
inline constexpr uint32_t kFuseMinorNeeded = 31;

/// Every request starts with these two together, when it is a write; the payload follows.
inline constexpr size_t kFuseWriteHeaderBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);
static_assert(sizeof(fuse_in_header) == 40 && sizeof(fuse_write_in) == 40 && kFuseWriteHeaderBytes == 80);
static_assert(sizeof(fuse_out_header) == 16 && sizeof(fuse_init_out) == 64);

}  // namespace drbdts::frontend
