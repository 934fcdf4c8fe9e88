#pragma once
// How a volume becomes a block device. One interface, several implementations (fuse_loop; memory for tests), one shared test suite.
// Everything runs on the resource's own thread unless said otherwise. The data path allocates nothing.
#include <cstdint>
#include <string>
#include <vector>

#include "core/block_io.h"
#include "core/page_arena.h"

namespace drbdts::frontend {

/// The volume behind the device.
class BlockTarget {
 public:
  virtual ~BlockTarget() = default;
  /// May another request be handed over now? If not, the front end stops reading until Resume().
  virtual bool CanAccept() const = 0;
  /// Takes a request; Frontend::Complete follows, maybe from inside this call.
  virtual void Submit(const core::BlockIo& io) = 0;
  /// Buffers for requests (page aligned, locked memory).
  virtual core::PageArena& arena() = 0;
};

struct KeptFd {
  std::string name;
  int fd = -1;
};

struct FrontendConfig {
  std::string resource;
  uint16_t volume = 0;
  uint32_t minor = 0;
  std::string device;               // /dev/drbd0: made as a device node
  std::vector<std::string> links;   // made as symbolic links to the device
  uint64_t sectors = 0;
  uint32_t block_bytes = 512;       // logical block size: 512 or 4096
  std::vector<KeptFd> kept;         // descriptors of an earlier life, to take the open device over
  std::string notify_socket;        // keeper; empty = none
};

/// Told by the front end on the resource's thread.
class FrontendEvents {
 public:
  virtual ~FrontendEvents() = default;
  virtual void OnUp(int error, const std::string& detail) = 0;
  virtual void OnDown(int error, const std::string& detail) = 0;
  /// `sentence` is empty if nobody holds the device.
  virtual void OnHolders(const std::string& sentence) = 0;
  /// After Resize() of a device that is up.
  virtual void OnResized(int error, const std::string& detail) {
    static_cast<void>(error);
    static_cast<void>(detail);
  }
};

class Frontend {
 public:
  virtual ~Frontend() = default;
  /// Makes the device (or takes it over from `kept`); OnUp follows, later. The thread must keep calling OnReadable meanwhile.
  /// A device taken over may bring requests before OnUp, some of them a second time; disk I/O of the earlier life must have ended before.
  virtual void Start() = 0;
  /// Removes device and links; OnDown follows. Refused with EBUSY and the holders' names while somebody has it open.
  virtual void Stop() = 0;
  /// Who holds the device? OnHolders follows (a scan of /proc runs on a helper thread; calls made during a scan share the next answer).
  virtual void CheckHolders() = 0;
  virtual void Resize(uint64_t sectors) = 0;
  /// Lets go of everything without touching the device: the keeper holds it for the next life.
  virtual void Abandon() = 0;
  /// Answers a request. error: errno, 0 = success.
  virtual void Complete(uint64_t tag, int error) = 0;
  /// Descriptors to poll for input; they may change after any call (-1 = none).
  virtual int request_fd() const = 0;   // requests
  virtual int notice_fd() const = 0;    // helper threads' results
  /// Reads and submits requests until there are none, the target cannot accept, or `budget` were taken. Returns false if it stopped for the
  /// target's sake or the budget's: call again later without waiting for input.
  virtual bool OnReadable(uint32_t budget) = 0;
  virtual void OnNotice() = 0;
  virtual bool up() const = 0;
};

}  // namespace drbdts::frontend
