#pragma once
#include <cstdint>
#include <span>

namespace drbdts::core {

/// CRC-32C (Castagnoli, reflected 0x82f63b78) continuing from `crc` without any inversion. Meta-data starts with 0 and takes the
/// result as it is (drbd-protocol §4.5); the standard value is ~Crc32cRaw(~0u, bytes). Uses the CPU's instruction when it has one.
uint32_t Crc32cRaw(uint32_t crc, std::span<const uint8_t> bytes);

}  // namespace drbdts::core
