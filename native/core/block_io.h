#pragma once
// A request to the volume, as every front end makes it and the core takes it.
#include <cstdint>

#include "core/page_arena.h"

namespace drbdts::core {

enum class BlockOp : uint8_t { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

/// Largest discard or write-zeroes in one request; front ends split longer ones.
inline constexpr uint32_t kMaxDiscardPieceBytes = 4u << 20;

struct BlockIo {
  uint64_t tag = 0;       // the front end's own, comes back with the completion
  BlockOp op = BlockOp::kRead;
  bool fua = false;       // kWrite: durable on both nodes when completed
  bool may_unmap = true;  // kWriteZeroes
  uint64_t sector = 0;
  uint32_t bytes = 0;     // multiple of 512; <= 1 MiB for reads and writes, <= kMaxDiscardPieceBytes for discards; 0 for kFlush
  uint8_t* data = nullptr; // page aligned, stays valid and unchanged until completion
};

}  // namespace drbdts::core
