#include "core/result.h"

namespace drbdts::core {

const char* ErrorName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk: return "OK";
    case ErrorCode::kBadMagic: return "ERR_BAD_MAGIC";
    case ErrorCode::kBadPadding: return "ERR_BAD_PADDING";
    case ErrorCode::kUnknownPacket: return "ERR_UNKNOWN_PACKET";
    case ErrorCode::kBadLength: return "ERR_BAD_LENGTH";
    case ErrorCode::kBadPayload: return "ERR_BAD_PAYLOAD";
    case ErrorCode::kUnknownVolume: return "ERR_UNKNOWN_VOLUME";
    case ErrorCode::kDigestMismatch: return "ERR_DIGEST_MISMATCH";
    case ErrorCode::kNoMetaData: return "ERR_NO_META_DATA";
    case ErrorCode::kUncleanMetaData: return "ERR_UNCLEAN_META_DATA";
    case ErrorCode::kWrongMetaDataVersion: return "ERR_WRONG_META_DATA_VERSION";
    case ErrorCode::kBadSuperBlock: return "ERR_BAD_SUPER_BLOCK";
    case ErrorCode::kBadActivityLog: return "ERR_BAD_ACTIVITY_LOG";
    case ErrorCode::kMetaDataTooSmall: return "ERR_META_DATA_TOO_SMALL";
    case ErrorCode::kDeviceTooSmall: return "ERR_DEVICE_TOO_SMALL";
    case ErrorCode::kDeviceTooLarge: return "ERR_DEVICE_TOO_LARGE";
    case ErrorCode::kMetaDataExists: return "ERR_META_DATA_EXISTS";
    case ErrorCode::kWouldOverwriteData: return "ERR_WOULD_OVERWRITE_DATA";
    case ErrorCode::kIo: return "ERR_IO";
    case ErrorCode::kBusy: return "ERR_BUSY";
    case ErrorCode::kNotFound: return "ERR_NOT_FOUND";
    case ErrorCode::kInvalidArgument: return "ERR_INVALID_ARGUMENT";
    case ErrorCode::kNoMemory: return "ERR_NO_MEMORY";
  }
  return "ERR_UNKNOWN";
}

}  // namespace drbdts::core
