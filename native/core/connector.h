#pragma once
// From nothing to two live sockets, as DRBD does it (drbd-protocol §1.1). Decides; the engine connects, listens and reads.
#include <cstdint>

#include "core/random.h"
#include "core/units.h"

namespace drbdts::core {

/// A TCP connection as the engine numbers it. kNoLink = none.
using LinkId = uint8_t;
inline constexpr LinkId kNoLink = 0xff;

struct ConnectorOptions {
  uint32_t connect_int_s = 10;
  uint32_t ping_timeout_ds = 5;         // 0.1 s
  uint32_t socket_check_timeout_ds = 0; // 0 = ping_timeout
};

class Connector {
 public:
  explicit Connector(const ConnectorOptions& options) : options_(options) {}
  void SetOptions(const ConnectorOptions& options) { options_ = options; }

  struct Output {
    enum class Kind : uint8_t { kListen, kStopListen, kConnect, kClose, kSendInitialData, kSendInitialMeta, kEstablished } kind;
    LinkId link = kNoLink;           // kClose, kSendInitial*, kEstablished: the data link
    LinkId meta = kNoLink;           // kEstablished
    bool resolve_conflicts = false;  // kEstablished: this node accepted the meta socket
    bool silent = false;             // kClose: it sent no first packet in time
  };
  /// Small fixed list of what to do now, in order.
  struct Outputs {
    Output item[12];
    uint32_t count = 0;
    void Add(const Output& o);
  };

  /// Begins (again): listen and try one active connect. kConnect always means one attempt that the engine gives up after connect-int;
  /// its end is told by OnConnected or OnConnectFailed.
  void Start(TimeUs now, Random& random, Outputs& out);
  /// Gives up: closes what there is, stops listening.
  void Stop(Outputs& out);
  bool running() const { return phase_ != Phase::kIdle; }

  /// A link whose end is told too late (the next step has begun) is closed again.
  void OnConnected(LinkId link, TimeUs now, Random& random, Outputs& out);
  void OnConnectFailed(TimeUs now, Random& random, Outputs& out);
  void OnAccepted(LinkId link, TimeUs now, Random& random, Outputs& out);
  enum class First : uint8_t { kInitialData, kInitialMeta, kOther };
  /// First packet of an accepted link.
  void OnFirstPacket(LinkId link, First first, TimeUs now, Random& random, Outputs& out);
  /// The link is gone (end of file or error) and its number free again. Links named in kClose are not told here.
  void OnClosed(LinkId link, TimeUs now, Random& random, Outputs& out);
  /// To be called at deadline() or later.
  void OnTick(TimeUs now, Random& random, Outputs& out);
  TimeUs deadline() const;

 private:
  // kConnecting: an active connect is under way. kAccept: waiting on the listener. kCheck: both sockets exist, looking whether they last.
  enum class Phase : uint8_t { kIdle, kConnecting, kCheck, kAccept };
  static constexpr uint32_t kMaxWaiting = 4;
  /// An accepted link that has no part yet. They are served oldest first, and only while accepting.
  struct Waiting {
    LinkId link = kNoLink;
    TimeUs until = kNever;  // first packet due
    bool has_first = false;
    First first = First::kOther;
  };

  TimeUs PingTimeoutUs(uint32_t factor) const;
  void BeginConnect(TimeUs now, Outputs& out);
  void BeginAccept(TimeUs now, Random& random, Outputs& out);
  void BeginCheck(bool after_accept, TimeUs now);
  void TakeCrossedMeta(Outputs& out);
  void EndCheck(TimeUs now, Random& random, Outputs& out);
  void Loop(TimeUs now, Outputs& out);
  void ServeWaiting(TimeUs now, Random& random, Outputs& out);
  bool Adopt(LinkId& slot, LinkId link, Outputs& out);
  void Toss(TimeUs now, Random& random, Outputs& out);
  Waiting RemoveWaiting(uint32_t index);
  void CloseAll(Outputs& out);

  ConnectorOptions options_;
  Phase phase_ = Phase::kIdle;
  LinkId data_ = kNoLink;
  LinkId meta_ = kNoLink;
  bool resolve_conflicts_ = false;
  bool made_data_ = false;           // the data link is one that we made
  bool check_after_accept_ = false;
  TimeUs until_ = kNever;  // end of the phase
  Waiting waiting_[kMaxWaiting];
  uint32_t waiting_count_ = 0;
};

}  // namespace drbdts::core
