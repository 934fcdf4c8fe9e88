#pragma once
// The state of one volume, DRBD's 32-bit word, its sanitising rules and refusals (drbd-protocol §5).
#include <cstdint>
#include <string>

namespace drbdts::core {

enum class Role : uint8_t { kUnknown = 0, kPrimary = 1, kSecondary = 2 };

enum class Conn : uint8_t {
  kStandAlone = 0, kDisconnecting, kUnconnected, kTimeout, kBrokenPipe, kNetworkFailure, kProtocolError, kTearDown,
  kWFConnection = 8, kWFReportParams, kConnected, kStartingSyncS, kStartingSyncT, kWFBitMapS, kWFBitMapT, kWFSyncUuid,
  kSyncSource = 16, kSyncTarget, kVerifyS, kVerifyT, kPausedSyncS, kPausedSyncT, kAhead, kBehind,
};

enum class Disk : uint8_t {
  kDiskless = 0, kAttaching, kFailed, kNegotiating, kInconsistent, kOutdated, kDUnknown, kConsistent, kUpToDate,
};

struct State {
  Role role = Role::kSecondary;
  Role peer = Role::kUnknown;
  Conn conn = Conn::kStandAlone;
  Disk disk = Disk::kDiskless;
  Disk pdsk = Disk::kDUnknown;
  bool susp = false;       // suspended by the administrator
  bool aftr_isp = false;   // resync paused by a resync-after dependency
  bool peer_isp = false;   // resync paused by the peer
  bool user_isp = false;   // resync paused by the local administrator
  bool susp_nod = false;   // suspended: no data accessible
  bool susp_fen = false;   // suspended: fencing
  bool operator==(const State&) const = default;
};

/// A resync between its first step and its end, from the peer to us / from us to the peer.
bool SyncsFromPeer(Conn conn);
bool SyncsToPeer(Conn conn);

uint32_t EncodeState(const State& state);
/// Values outside the tables (conn > 23, disk > 8, role 3) are clamped to Unknown/StandAlone/DUnknown; never fails.
State DecodeState(uint32_t word);

const char* RoleName(Role role);
const char* ConnName(Conn conn);
const char* DiskName(Disk disk);
/// One line as the kernel logs it: `role( Secondary -> Primary ) disk( Inconsistent -> UpToDate )`; only what changed; empty if nothing did.
std::string DescribeChange(const State& from, const State& to);
/// `cs:Connected ro:Secondary/Secondary ds:Inconsistent/Inconsistent r-----`
std::string DescribeState(const State& state);

/// Refusals and successes of a state change, DRBD's numbers.
enum class Verdict : int16_t {
  kUnknownError = 0, kSuccess = 1, kNothingToDo = 2, kClusterWideSuccess = 3, kClusterWideNotNeeded = 4,
  kTwoPrimaries = -1, kNoUpToDateDisk = -2, kNoLocalDisk = -4, kNoRemoteDisk = -5, kConnectedOutdates = -6, kPrimaryNoPeerOutdated = -7,
  kResyncRunning = -8, kAlreadyStandAlone = -9, kRefusedByPeer = -10, kIsDiskless = -11, kDeviceInUse = -12, kNoNetConfig = -13,
  kNoVerifyAlg = -14, kNeedConnection = -15, kLowerThanOutdated = -16, kNotSupported = -17, kInTransientState = -18,
  kConcurrentStateChange = -19, kOtherVolumePrimary = -20, kPeerOutdateNeedsConnection = -21,
};
/// DRBD's sentence for a code, e.g. "Need access to UpToDate data".
const char* VerdictText(Verdict verdict);

enum class Fencing : uint8_t { kDontCare = 0, kResourceOnly = 1, kResourceAndStonith = 2 };

/// What the rules of §5.6 need beside the state itself.
struct StateContext {
  bool allow_two_primaries = false;
  bool has_verify_alg = false;
  bool has_net_config = true;
  bool device_open = false;               // somebody holds the device
  bool other_volume_peer_primary = false; // another volume's peer is Primary
  Fencing fencing = Fencing::kDontCare;
  bool no_data_suspends = false;          // on-no-data-accessible suspend-io
};

/// §5.6 rules 1 to 5, in order: what DRBD makes of a wanted state.
State Sanitize(const State& wanted, const StateContext& context);
/// Is this state allowed at all (first block of refusals)? kSuccess or the code.
Verdict CheckState(const State& state, const StateContext& context);
/// Is this step allowed (second block)? kSuccess or the code.
Verdict CheckTransition(const State& from, const State& to, const StateContext& context);
/// Sanitize + both checks; a refusal is overridden when `from` already violates the same rule. Returns the verdict, `out` = sanitised state.
Verdict Decide(const State& from, const State& wanted, const StateContext& context, State& out);

/// mask/value of P_STATE_CHG_REQ. The receiver sees the sender's request from its own side (§5.4).
struct StateRequestWord {
  uint32_t mask = 0;
  uint32_t value = 0;
};
StateRequestWord TranslateRequest(const StateRequestWord& from_peer);
/// (old & ~mask) | value, before sanitising.
State ApplyRequest(const State& old, const StateRequestWord& request);

/// Six characters of /proc/drbd (§8.1). al_suspended is the sixth; congestion '-'.
std::string StateFlags(const State& state, bool al_suspended);

}  // namespace drbdts::core
