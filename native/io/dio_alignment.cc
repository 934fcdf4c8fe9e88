// Apart from disk.cc because <linux/stat.h> and <sys/stat.h> define the same names.
#include "io/dio_alignment.h"

#include <linux/fcntl.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace drbdts::io {
namespace {
#ifndef STATX_DIOALIGN
constexpr uint32_t STATX_DIOALIGN = 0x2000;
#endif
// stx_dio_offset_align lies behind stx_mnt_id (offset 144) and stx_dio_mem_align; read by offset, as older headers do not name it.
constexpr uint32_t kDioOffsetAlignAt = 156;
}  // namespace

uint32_t StatxDirectIoAlignment(int fd) {
  alignas(8) unsigned char buffer[256] = {};
  static_assert(sizeof(struct statx) <= sizeof buffer);
  if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, buffer) != 0) return 0;
  uint32_t mask = 0;
  __builtin_memcpy(&mask, buffer, sizeof mask);
  if ((mask & STATX_DIOALIGN) == 0) return 0;
  uint32_t align = 0;
  __builtin_memcpy(&align, buffer + kDioOffsetAlignAt, sizeof align);
  return align;
}

}  // namespace drbdts::io
