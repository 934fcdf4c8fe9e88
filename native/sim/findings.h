#pragma once
// Where checkers report. The first finding ends the life.
#include <string>

namespace drbdts::sim {

class Findings {
 public:
  /// `rule`: the checker's name; `what`: one sentence with the place.
  void Report(const std::string& rule, const std::string& what) {
    if (first_.empty()) first_ = rule + ": " + what;
  }
  bool any() const { return !first_.empty(); }
  const std::string& first() const { return first_; }

 private:
  std::string first_;
};

}  // namespace drbdts::sim
