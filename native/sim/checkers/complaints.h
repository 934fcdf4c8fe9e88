#pragma once
// Rule: nodes of one make, on a network that loses no bytes, never have to complain about what the other sends.
#include <string>

#include "sim/findings.h"
#include "sim/node.h"
#include "sim/observer.h"

namespace drbdts::sim {

class ComplaintsChecker : public Observer {
 public:
  explicit ComplaintsChecker(Findings& findings) : findings_(findings) {}
  void OnLog(Node& node, int volume, const std::string& text) override;

 private:
  Findings& findings_;
};

}  // namespace drbdts::sim
