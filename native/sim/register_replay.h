#pragma once

namespace drbdts::sim {

/// Plays operations on a register from stdin, answers on stdout. Returns the exit code: 0, or 64 for a line that is none.
int ReplayRegister();

}  // namespace drbdts::sim
