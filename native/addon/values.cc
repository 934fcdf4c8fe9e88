#include "addon/values.h"

#include <cstdio>

namespace drbdts::addon {

std::string Hex64(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llX", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace drbdts::addon
