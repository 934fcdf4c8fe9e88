#include "sim/shrink.h"

namespace drbdts::sim {

namespace {
/// The checker's name, and the first word of what it says: enough to tell one finding from another.
std::string Kind(const std::string& finding) {
  const size_t colon = finding.find(':');
  return colon == std::string::npos ? finding : finding.substr(0, colon);
}
}  // namespace

Scenario Shrink(Scenario best, const std::function<std::string(const Scenario&)>& play, const std::function<void(size_t)>& progress) {
  const std::string kind = Kind(play(best));
  if (kind.empty()) return best;
  const auto fails = [&](const Scenario& s) { return Kind(play(s)) == kind; };
  bool smaller = true;
  while (smaller) {
    smaller = false;
    for (size_t part = best.steps.size() / 2; part != 0; part /= 2) {
      for (size_t at = 0; at + part <= best.steps.size();) {
        Scenario next = best;
        // The time that passed in what is left out still passes.
        core::TimeUs delay = 0;
        for (size_t i = at; i < at + part; ++i) delay += next.steps[i].delay_us;
        next.steps.erase(next.steps.begin() + static_cast<long>(at), next.steps.begin() + static_cast<long>(at + part));
        if (at < next.steps.size()) next.steps[at].delay_us += delay;
        if (fails(next)) {
          best = std::move(next);
          smaller = true;
          if (progress) progress(best.steps.size());
        } else {
          at += part;
        }
      }
    }
    for (size_t i = 0; i < best.steps.size(); ++i) {
      Scenario next = best;
      if (next.steps[i].delay_us != 0) {
        next.steps[i].delay_us = 0;
        if (fails(next)) best = std::move(next), smaller = true;
      }
    }
  }
  return best;
}

}  // namespace drbdts::sim
