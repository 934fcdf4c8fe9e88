#pragma once
// A failure at the edge of the system, with the words a person needs: what, where, and what to do.
#include <string>
#include <utility>

#include "core/result.h"

namespace drbdts::io {

struct Failure {
  core::ErrorCode code = core::ErrorCode::kOk;
  int os_errno = 0;
  std::string detail;  // one sentence: what happened
  std::string place;   // file, device or address
  std::string remedy;  // one sentence: what to do

  bool failed() const { return code != core::ErrorCode::kOk; }
};

/// errno with its text, e.g. "cannot open /dev/sdb: No such device (errno 19)".
Failure SystemFailure(core::ErrorCode code, int os_errno, const std::string& what, const std::string& place, std::string remedy);

/// "drbdtsd (pid 4711)"; just the number if the process is gone.
std::string ProcessName(int pid);

}  // namespace drbdts::io
