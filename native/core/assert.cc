#include "core/assert.h"

#include <cstdio>
#include <cstdlib>

namespace drbdts::core {

void CheckFailed(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "drbdts: broken invariant at %s:%d: %s\n", file, line, expression);
  std::abort();
}

}  // namespace drbdts::core
