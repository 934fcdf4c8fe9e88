#include "sim/checkers/bounds.h"

namespace drbdts::sim {

void BoundsChecker::Look() {
  if (world_.livelock) findings_.Report("bounds", "time stands still: the core asks to be called again and again");
  for (int i = 0; i < 2; ++i) {
    Node& n = world_.node(i);
    if (!n.violation.empty()) findings_.Report("bounds", std::string("node ") + n.name() + ": " + n.violation);
    if (n.alive() && n.resource->actions().capacity() > kActionsMax) findings_.Report("bounds", std::string("node ") + n.name() + ": a batch of actions outgrew its reserve");
  }
}

void BoundsChecker::AfterDown() {
  for (int i = 0; i < 2; ++i) {
    for (core::PageArena* a : world_.node(i).arenas()) {
      if (a->free_pages() == a->pages()) continue;
      findings_.Report("bounds", std::string("node ") + world_.node(i).name() + " keeps " + std::to_string(a->pages() - a->free_pages()) + " pages after down");
    }
  }
}

}  // namespace drbdts::sim
