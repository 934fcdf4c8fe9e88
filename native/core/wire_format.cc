#include "core/wire_format.h"

#include <cstring>

namespace drbdts::core {

const char* CommandName(Command command) {
  switch (command) {
    case Command::kData: return "P_DATA";
    case Command::kDataReply: return "P_DATA_REPLY";
    case Command::kRsDataReply: return "P_RS_DATA_REPLY";
    case Command::kBarrier: return "P_BARRIER";
    case Command::kBitmap: return "P_BITMAP";
    case Command::kUnplugRemote: return "P_UNPLUG_REMOTE";
    case Command::kDataRequest: return "P_DATA_REQUEST";
    case Command::kRsDataRequest: return "P_RS_DATA_REQUEST";
    case Command::kSyncParam: return "P_SYNC_PARAM";
    case Command::kProtocol: return "P_PROTOCOL";
    case Command::kUuids: return "P_UUIDS";
    case Command::kSizes: return "P_SIZES";
    case Command::kState: return "P_STATE";
    case Command::kSyncUuid: return "P_SYNC_UUID";
    case Command::kAuthChallenge: return "P_AUTH_CHALLENGE";
    case Command::kAuthResponse: return "P_AUTH_RESPONSE";
    case Command::kStateChgReq: return "P_STATE_CHG_REQ";
    case Command::kPing: return "P_PING";
    case Command::kPingAck: return "P_PING_ACK";
    case Command::kRecvAck: return "P_RECV_ACK";
    case Command::kWriteAck: return "P_WRITE_ACK";
    case Command::kRsWriteAck: return "P_RS_WRITE_ACK";
    case Command::kSuperseded: return "P_SUPERSEDED";
    case Command::kNegAck: return "P_NEG_ACK";
    case Command::kNegDreply: return "P_NEG_DREPLY";
    case Command::kNegRsDreply: return "P_NEG_RS_DREPLY";
    case Command::kBarrierAck: return "P_BARRIER_ACK";
    case Command::kStateChgReply: return "P_STATE_CHG_REPLY";
    case Command::kOvRequest: return "P_OV_REQUEST";
    case Command::kOvReply: return "P_OV_REPLY";
    case Command::kOvResult: return "P_OV_RESULT";
    case Command::kCsumRsRequest: return "P_CSUM_RS_REQUEST";
    case Command::kRsIsInSync: return "P_RS_IS_IN_SYNC";
    case Command::kSyncParam89: return "P_SYNC_PARAM89";
    case Command::kCompressedBitmap: return "P_COMPRESSED_BITMAP";
    case Command::kDelayProbe: return "P_DELAY_PROBE";
    case Command::kOutOfSync: return "P_OUT_OF_SYNC";
    case Command::kRsCancel: return "P_RS_CANCEL";
    case Command::kConnStChgReq: return "P_CONN_ST_CHG_REQ";
    case Command::kConnStChgReply: return "P_CONN_ST_CHG_REPLY";
    case Command::kRetryWrite: return "P_RETRY_WRITE";
    case Command::kProtocolUpdate: return "P_PROTOCOL_UPDATE";
    case Command::kTrim: return "P_TRIM";
    case Command::kRsThinReq: return "P_RS_THIN_REQ";
    case Command::kRsDeallocated: return "P_RS_DEALLOCATED";
    case Command::kWsame: return "P_WSAME";
    case Command::kZeroes: return "P_ZEROES";
    case Command::kInitialMeta: return "P_INITIAL_META";
    case Command::kInitialData: return "P_INITIAL_DATA";
    case Command::kConnectionFeatures: return "P_CONNECTION_FEATURES";
  }
  return "P_UNKNOWN";
}

uint32_t BulkBytes(const Packet& packet) {
  const DataPacket* data = std::get_if<DataPacket>(&packet.body);
  if (data == nullptr) return 0;
  switch (packet.command) {
    case Command::kData:
    case Command::kDataReply:
    case Command::kRsDataReply: return data->size;
    case Command::kWsame: return data->bulk;
    default: return 0;
  }
}

bool Digest::operator==(const Digest& o) const {
  return size == o.size && size <= kMaxDigestBytes && std::memcmp(bytes.data(), o.bytes.data(), size) == 0;
}

}  // namespace drbdts::core
