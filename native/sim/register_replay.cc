// `sim --register`: the register of the simulator by itself, operations from stdin and one answer per line, so that others who keep a
// register can be compared with it. Operations: `read`, `swap INCARNATION EPOCH IN_SYNC NODE`, `vouch INCARNATION NODE EPOCH IN_SYNC BY ALONE`,
// `restart`, `backup`, `restore`; IN_SYNC has a bit per node, BY is -1 for nobody. Answers:
// `DONE VOUCHED INCARNATION EPOCH IN_SYNC BY`.
#include "sim/register_replay.h"

#include <iostream>
#include <sstream>
#include <string>

#include "sim/arbiter.h"

namespace drbdts::sim {

int ReplayRegister() {
  Register r(1);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    std::string op;
    in >> op;
    Register::Answer answer = r.Read(0);
    uint64_t incarnation = 0;
    Record record;
    if (op == "swap") {
      in >> incarnation >> record.epoch >> record.in_sync >> record.by;
      if (in) answer = r.Swap(0, incarnation, record.epoch, record.in_sync, record.by);
    } else if (op == "vouch") {
      int node = 0;
      bool alone = false;
      in >> incarnation >> node >> record.epoch >> record.in_sync >> record.by >> alone;
      if (in && (node == 0 || node == 1)) answer = r.Vouch(0, incarnation, node, record, alone);
    } else if (op == "restart") {
      r.Restart();
      answer = r.Read(0);
    } else if (op == "backup") {
      r.Backup();
    } else if (op == "restore") {
      r.Restore();
      answer = r.Read(0);
    } else if (op != "read") {
      in.setstate(std::ios::failbit);
    }
    if (in.fail()) {
      std::cerr << "not an operation of the register: " << line << "\n";
      return 64;
    }
    std::cout << answer.done << ' ' << answer.vouched << ' ' << answer.incarnation << ' ' << answer.record.epoch << ' ' << answer.record.in_sync << ' ' << answer.record.by << '\n';
  }
  return 0;
}

}  // namespace drbdts::sim
