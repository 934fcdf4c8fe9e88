#pragma once
// The sockets of one resource: listens, connects, receives into and sends from the core. Decides nothing.
#include <array>
#include <cstdint>
#include <string>

#include "core/resource.h"
#include "io/ring.h"
#include "io/socket.h"

namespace drbdts::engine {

/// Told about notable facts (a listener that cannot bind).
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Log(int level, int volume, std::string_view text) = 0;
};

class Links {
 public:
  static constexpr uint32_t kCount = 8;  // link numbers the core knows: two of a connection and those that cross it

  Links(io::Ring& ring, core::Resource& resource, LogSink& log, const core::Endpoint& local, const core::Endpoint& peer);
  ~Links();
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  void SetOptions(const core::NetOptions& options);

  // ---- the core's actions ----
  void StartListening(core::TimeUs now);
  void StopListening();
  void Connect(core::TimeUs now);
  void Close(core::LinkId link);

  // ---- completions ----
  void OnSocket(const io::Completion& completion, core::TimeUs now);
  void OnListener(const io::Completion& completion, core::TimeUs now);
  void OnTick(core::TimeUs now);
  core::TimeUs deadline() const;

  /// Receives what there is and the core wants, up to `budget` calls per link.
  void Receive(uint32_t budget, core::TimeUs now);
  bool HasOutput() const;
  /// Sends what the sockets take.
  void Send(core::TimeUs now);
  /// Could Receive() or Send() do something without a further event?
  bool CanProgress() const;
  void CloseAll();

 private:
  enum class Phase : uint8_t { kFree, kConnecting, kOpen };
  struct Link {
    Phase phase = Phase::kFree;
    int fd = -1;
    uint32_t generation = 0;
    bool readable = false;
    bool writable = false;
    bool hung_up = false;  // the peer closed or an error is pending: read on until it shows
  };
  int FreeLink() const;
  void Open(uint32_t index, int fd, Phase phase);
  void Release(uint32_t index);
  void Lost(uint32_t index, int error, core::TimeUs now);
  void ConnectDecided(uint32_t index, int error, core::TimeUs now);
  void AcceptAll(core::TimeUs now);
  void DropListener();
  io::Tag TagOf(uint32_t index) const { return {io::TagKind::kSocket, links_[index].generation, index}; }
  io::Tag ListenerTag() const { return {io::TagKind::kListener, listener_generation_, 0}; }

  io::Ring& ring_;
  core::Resource& resource_;
  LogSink& log_;
  io::SocketAddress local_;
  io::SocketAddress peer_;
  io::SocketBuffers buffers_;
  core::TimeUs connect_timeout_us_ = 10 * 1000000;
  bool cork_ = true;
  std::array<Link, kCount> links_;
  int listener_ = -1;
  uint32_t listener_generation_ = 0;
  bool want_listener_ = false;
  int listen_error_ = 0;
  core::TimeUs listen_retry_at_ = core::kNever;
  core::TimeUs connect_until_ = core::kNever;
};

}  // namespace drbdts::engine
