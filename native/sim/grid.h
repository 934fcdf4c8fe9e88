#pragma once
// The grid: every administrator's command, request and fault in every connection state, on a Primary and on a Secondary. Random lives meet
// the common states mostly; here each pair gets a small life of its own.
#include <string>
#include <vector>

#include "sim/step.h"

namespace drbdts::sim {

struct Cell {
  std::string name;          // STATE/NODE/EVENT/RULES
  Scenario scenario;
};
/// Those whose name contains `part`, in a fixed order.
std::vector<Cell> GridCells(const std::string& part);

}  // namespace drbdts::sim
