#include "io/failure.h"

#include <cstdio>
#include <cstring>

namespace drbdts::io {

Failure SystemFailure(core::ErrorCode code, int os_errno, const std::string& what, const std::string& place, std::string remedy) {
  char text[128];
  const char* message = strerror_r(os_errno, text, sizeof text);
  return Failure{code, os_errno, what + " " + place + ": " + message + " (errno " + std::to_string(os_errno) + ")", place, std::move(remedy)};
}

std::string ProcessName(int pid) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/comm", pid);
  std::string name;
  if (std::FILE* file = std::fopen(path, "re")) {
    char line[64];
    if (std::fgets(line, sizeof line, file) != nullptr) name = line;
    std::fclose(file);
  }
  while (!name.empty() && name.back() == '\n') name.pop_back();
  if (name.empty()) return "pid " + std::to_string(pid);
  return name + " (pid " + std::to_string(pid) + ")";
}

}  // namespace drbdts::io
