#pragma once
// Always-on invariant check. Input from disk, peer, socket or configuration must never be able to trip one: a dead node is
// safe, a wrong block is not.
namespace drbdts::core {
/// Prints file, line and expression to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);
}  // namespace drbdts::core

#define CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::drbdts::core::CheckFailed(__FILE__, __LINE__, #expression))
