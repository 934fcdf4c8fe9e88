#pragma once
#include <cstdint>

namespace drbdts::io {

/// Smallest O_DIRECT transfer on this regular file in bytes, as the kernel tells (STATX_DIOALIGN, Linux 6.1); 0 = it does not say.
uint32_t StatxDirectIoAlignment(int fd);

}  // namespace drbdts::io
