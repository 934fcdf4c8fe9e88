// Texts of states and refusals, spelled as DRBD 8.4 spells them: scripts grep for these words.
#include <string>

#include "core/state.h"

namespace drbdts::core {

const char* RoleName(Role role) {
  switch (role) {
    case Role::kPrimary: return "Primary";
    case Role::kSecondary: return "Secondary";
    case Role::kUnknown: break;
  }
  return "Unknown";
}

const char* ConnName(Conn conn) {
  switch (conn) {
    case Conn::kStandAlone: return "StandAlone";
    case Conn::kDisconnecting: return "Disconnecting";
    case Conn::kUnconnected: return "Unconnected";
    case Conn::kTimeout: return "Timeout";
    case Conn::kBrokenPipe: return "BrokenPipe";
    case Conn::kNetworkFailure: return "NetworkFailure";
    case Conn::kProtocolError: return "ProtocolError";
    case Conn::kTearDown: return "TearDown";
    case Conn::kWFConnection: return "WFConnection";
    case Conn::kWFReportParams: return "WFReportParams";
    case Conn::kConnected: return "Connected";
    case Conn::kStartingSyncS: return "StartingSyncS";
    case Conn::kStartingSyncT: return "StartingSyncT";
    case Conn::kWFBitMapS: return "WFBitMapS";
    case Conn::kWFBitMapT: return "WFBitMapT";
    case Conn::kWFSyncUuid: return "WFSyncUUID";
    case Conn::kSyncSource: return "SyncSource";
    case Conn::kSyncTarget: return "SyncTarget";
    case Conn::kVerifyS: return "VerifyS";
    case Conn::kVerifyT: return "VerifyT";
    case Conn::kPausedSyncS: return "PausedSyncS";
    case Conn::kPausedSyncT: return "PausedSyncT";
    case Conn::kAhead: return "Ahead";
    case Conn::kBehind: return "Behind";
  }
  return "Unknown";
}

const char* DiskName(Disk disk) {
  switch (disk) {
    case Disk::kDiskless: return "Diskless";
    case Disk::kAttaching: return "Attaching";
    case Disk::kFailed: return "Failed";
    case Disk::kNegotiating: return "Negotiating";
    case Disk::kInconsistent: return "Inconsistent";
    case Disk::kOutdated: return "Outdated";
    case Disk::kDUnknown: return "DUnknown";
    case Disk::kConsistent: return "Consistent";
    case Disk::kUpToDate: return "UpToDate";
  }
  return "Unknown";
}

namespace {

bool Suspended(const State& state) { return state.susp || state.susp_nod || state.susp_fen; }

void Append(std::string& out, const char* field, const char* from, const char* to) {
  if (!out.empty()) out += ' ';
  out += field;
  out += "( ";
  out += from;
  out += " -> ";
  out += to;
  out += " )";
}

void AppendBit(std::string& out, const char* field, bool from, bool to) {
  if (from != to) Append(out, field, from ? "1" : "0", to ? "1" : "0");
}

}  // namespace

std::string DescribeChange(const State& from, const State& to) {
  std::string out;
  if (from.role != to.role) Append(out, "role", RoleName(from.role), RoleName(to.role));
  if (from.peer != to.peer) Append(out, "peer", RoleName(from.peer), RoleName(to.peer));
  if (from.conn != to.conn) Append(out, "conn", ConnName(from.conn), ConnName(to.conn));
  if (from.disk != to.disk) Append(out, "disk", DiskName(from.disk), DiskName(to.disk));
  if (from.pdsk != to.pdsk) Append(out, "pdsk", DiskName(from.pdsk), DiskName(to.pdsk));
  // The three reasons for suspended I/O are one fact to a reader of the log.
  AppendBit(out, "susp", Suspended(from), Suspended(to));
  AppendBit(out, "aftr_isp", from.aftr_isp, to.aftr_isp);
  AppendBit(out, "peer_isp", from.peer_isp, to.peer_isp);
  AppendBit(out, "user_isp", from.user_isp, to.user_isp);
  return out;
}

std::string StateFlags(const State& state, bool al_suspended) {
  std::string flags = "r-----";
  if (Suspended(state)) flags[0] = 's';
  if (state.aftr_isp) flags[1] = 'a';
  if (state.peer_isp) flags[2] = 'p';
  if (state.user_isp) flags[3] = 'u';
  if (al_suspended) flags[5] = 's';
  return flags;
}

std::string DescribeState(const State& state) {
  if (state.conn == Conn::kStandAlone && state.disk == Disk::kDiskless) return "cs:Unconfigured";
  std::string out = "cs:";
  out += ConnName(state.conn);
  out += " ro:";
  out += RoleName(state.role);
  out += '/';
  out += RoleName(state.peer);
  out += " ds:";
  out += DiskName(state.disk);
  out += '/';
  out += DiskName(state.pdsk);
  out += ' ';
  out += StateFlags(state, false);
  return out;
}

const char* VerdictText(Verdict verdict) {
  switch (verdict) {
    case Verdict::kUnknownError: break;
    case Verdict::kSuccess: return "Success";
    case Verdict::kNothingToDo: return "Nothing to do";
    case Verdict::kClusterWideSuccess: return "Cluster-wide success";
    case Verdict::kClusterWideNotNeeded: return "Cluster-wide agreement not needed";
    case Verdict::kTwoPrimaries: return "Multiple primaries not allowed by config";
    case Verdict::kNoUpToDateDisk: return "Need access to UpToDate data";
    case Verdict::kNoLocalDisk: return "Can not resync without local disk";
    case Verdict::kNoRemoteDisk: return "Can not resync without remote disk";
    case Verdict::kConnectedOutdates: return "Refusing to be Outdated while Connected";
    case Verdict::kPrimaryNoPeerOutdated: return "Refusing to be Primary while peer is not outdated";
    case Verdict::kResyncRunning: return "Can not start OV/resync since it is already active";
    case Verdict::kAlreadyStandAlone: return "Can not disconnect a StandAlone device";
    case Verdict::kRefusedByPeer: return "State change was refused by peer node";
    case Verdict::kIsDiskless: return "Device is diskless, the requested operation requires a disk";
    case Verdict::kDeviceInUse: return "Device is held open by someone";
    case Verdict::kNoNetConfig: return "Have no net/connection configuration";
    case Verdict::kNoVerifyAlg: return "Need a verify algorithm to start online verify";
    case Verdict::kNeedConnection: return "Need a connection to start verify or resync";
    case Verdict::kLowerThanOutdated: return "Disk state is lower than outdated";
    case Verdict::kNotSupported: return "Peer does not support protocol";
    case Verdict::kInTransientState: return "In transient state, retry after next state change";
    case Verdict::kConcurrentStateChange: return "Concurrent state changes detected and aborted";
    case Verdict::kOtherVolumePrimary: return "Other vol primary on peer not allowed by config";
    case Verdict::kPeerOutdateNeedsConnection: return "Need a connection for a graceful disconnect/outdate peer";
  }
  return "Unknown error";
}

}  // namespace drbdts::core
