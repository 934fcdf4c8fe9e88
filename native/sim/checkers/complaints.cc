#include "sim/checkers/complaints.h"

namespace drbdts::sim {

void ComplaintsChecker::OnLog(Node& node, int, const std::string& text) {
  static const char* const bad[] = {"ProtocolError", "failed to find", "bad bytes", "unexpected", "nobody asked", "never made", "not the oldest", "beyond the end",
                                    "was not agreed", "before the handshake", "bad bitmap", "no room for resync", "more writes in flight", "send queue is full",
                                    "Digest integrity", "epochs than this", "outside the device"};
  for (const char* b : bad) {
    if (text.find(b) != std::string::npos) findings_.Report("complaints", std::string("node ") + node.name() + " logged: " + text);
  }
}

}  // namespace drbdts::sim
