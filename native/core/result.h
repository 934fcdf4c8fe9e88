#pragma once
#include <cstdint>
#include <optional>
#include <utility>

#include "core/assert.h"

namespace drbdts::core {

/// Expected failures. The names are stable: `src/shared/errors.ts` has the same list with cause and remedy.
enum class ErrorCode : uint16_t {
  kOk = 0,
  // wire
  kBadMagic,
  kBadPadding,
  kUnknownPacket,
  kBadLength,
  kBadPayload,
  kUnknownVolume,
  kDigestMismatch,
  // meta-data
  kNoMetaData,
  kUncleanMetaData,
  kWrongMetaDataVersion,
  kBadSuperBlock,
  kBadActivityLog,
  kMetaDataTooSmall,
  kDeviceTooSmall,
  kDeviceTooLarge,
  kMetaDataExists,
  kWouldOverwriteData,
  // environment
  kIo,
  kBusy,
  kNotFound,
  kInvalidArgument,
  kNoMemory,
};

/// A failure as a value: a stable code, the errno behind it (0 if none) and a short English detail with static storage.
struct Error {
  ErrorCode code = ErrorCode::kOk;
  int os_errno = 0;
  const char* detail = "";
};

/// Stable spelling, e.g. "ERR_BAD_MAGIC".
const char* ErrorName(ErrorCode code);

/// A value or an Error.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : error_(error) { CHECK(error.code != ErrorCode::kOk); }  // NOLINT
  bool ok() const { return value_.has_value(); }
  const T& value() const {
    CHECK(ok());
    return *value_;
  }
  T& value() {
    CHECK(ok());
    return *value_;
  }
  const Error& error() const { return error_; }

 private:
  std::optional<T> value_;
  Error error_;
};

/// Success or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(error) {}  // NOLINT
  bool ok() const { return error_.code == ErrorCode::kOk; }
  const Error& error() const { return error_; }

 private:
  Error error_;
};

}  // namespace drbdts::core
