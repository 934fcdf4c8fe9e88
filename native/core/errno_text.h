#pragma once
// The system's error numbers in words, for log and status. Linux numbers, so that the core needs no system header.
#include <string>

namespace drbdts::core {

inline std::string ErrnoText(int error) {
  switch (error) {
    case 5: return "input/output error";
    case 6: return "no such device or address";
    case 11: return "resource temporarily unavailable";
    case 12: return "out of memory";
    case 13: return "permission denied";
    case 16: return "device or resource busy";
    case 19: return "no such device";
    case 22: return "invalid argument";
    case 27: return "file too large";
    case 28: return "no space left on device";
    case 30: return "read-only file system";
    case 32: return "broken pipe";
    case 61: return "no data available (medium error)";
    case 95: return "operation not supported";
    case 100: return "network is down";
    case 101: return "network is unreachable";
    case 103: return "connection aborted";
    case 104: return "connection reset by the peer";
    case 110: return "connection timed out";
    case 111: return "connection refused";
    case 112: return "host is down";
    case 113: return "no route to host";
    case 117: return "structure needs cleaning";
    case 121: return "remote I/O error";
    default: return "errno " + std::to_string(error);
  }
}

}  // namespace drbdts::core
