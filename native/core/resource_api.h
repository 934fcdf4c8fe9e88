#pragma once
// What goes into the resource's state machine and what comes out of it. The machine itself: resource.h.
//
// The core never waits: callers hand in what happened (On...), together with monotonic time, and then carry out the actions and the
// socket output that stand ready. Order matters: actions are carried out in the order given.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/block_io.h"
#include "core/connector.h"
#include "core/options.h"
#include "core/state.h"

namespace drbdts::core {

/// Names one disk operation; comes back with OnDiskDone.
using IoId = uint64_t;

struct Action {
  enum class Kind : uint8_t {
    // Disk I/O: volume, io, byte offset, bytes, data, dsync. Answered by OnDiskDone(io, errno).
    kDiskRead,      // data device
    kDiskWrite,     // data device; dsync: durable when done
    kDiskFlush,     // data device: everything completed before is durable when done
    kDiskDiscard,   // data device; a device that cannot discard answers EOPNOTSUPP
    kDiskZero,      // data device: reads back as zeroes; flag may_unmap
    kMetaRead,      // meta-data device
    kMetaWrite,     // meta-data device; dsync by md-flushes; preflush: what the data device completed before is durable first
    // Disk life: answered by OnDiskOpened / OnDiskClosed.
    kOpenDisk,      // open, lock (exclusively) and measure backing and meta-data device of `volume`
    kCloseDisk,     // when all its I/O has been answered; releases the lock
    // Links. kConnect is answered by OnConnected/OnConnectFailed, kListen by OnAccepted whenever one comes.
    kListen,
    kStopListen,
    kConnect,
    kCloseLink,     // drop the link with everything unsent, at once; no OnLinkClosed follows
    // Front end
    kComplete,      // request `tag` of `volume` is done with `error` (errno, 0 = success)
    kDeviceUp,      // make the block device (size in sectors); answered by OnDeviceUp
    kDeviceDown,    // remove it; answered by OnDeviceDown. Only asked for while nobody holds it open
    kDeviceCheckOpen, // is anybody holding it? answered by OnDeviceOpen(volume, holders)
    kDeviceResize,  // size in sectors
    // To the daemon
    kHandler,       // run handler `text` for `volume`; id; `wait`: OnHandlerDone(id, exit) is expected
    kLog,           // level in `error` (0 info, 1 warn, 2 error), text
    kChanged,       // the snapshot changed
    kCommandDone,   // id, verdict code in `error`, text, detail
  };
  Kind kind = Kind::kChanged;
  uint16_t volume = 0;  // index into ResourceConfig::volumes (not the volume number)
  LinkId link = kNoLink;
  bool dsync = false;
  bool preflush = false;
  bool may_unmap = false;
  bool wait = false;
  IoId io = 0;
  uint64_t tag = 0;
  uint64_t offset_bytes = 0;
  uint64_t bytes = 0;   // also: sectors for kDeviceUp/kDeviceResize
  uint8_t* data = nullptr;
  int error = 0;
  uint64_t id = 0;
  std::string text;     // empty on the data path: no allocation there
  std::string detail;
};

/// Facts about an opened disk.
struct DiskFacts {
  uint64_t backing_sectors = 0;
  uint64_t meta_sectors = 0;  // equal to backing_sectors for internal meta-data
  uint32_t logical_block_bytes = 512;
  uint32_t physical_block_bytes = 512;
  bool can_discard = false;
  bool discard_zeroes = false;  // a discarded range is known to read back as zeroes
  bool rotational = false;
};

/// A piece of output for a link, in order.
struct IoSlice {
  const uint8_t* data = nullptr;
  uint32_t bytes = 0;
};

struct AdminCommand {
  enum class Kind : uint8_t {
    kAttach, kDetach, kConnect, kDisconnect, kPrimary, kSecondary, kInvalidate, kInvalidateRemote, kOutdate, kPauseSync, kResumeSync,
    kNewCurrentUuid, kVerify, kResize, kSuspendIo, kResumeIo, kNetOptions, kDiskOptions, kDown, kCheckPeer,
  };
  Kind kind = Kind::kConnect;
  int volume = -1;  // index, -1 = all
  bool force = false;
  bool discard_my_data = false;
  bool tentative = false;
  bool recover = false;
  bool clear_bitmap = false;
  bool assume_clean = false;
  uint64_t sectors = 0;
  uint32_t timeout_ms = 0;  // kCheckPeer
  NetOptions net;
  DiskOptions disk;
};

struct VolumeSnapshot {
  uint16_t volume = 0;
  uint32_t minor = 0;
  State state;
  bool device_up = false;
  uint64_t size_sectors = 0;
  UuidSet uuids;
  uint32_t meta_flags = 0;
  uint64_t out_of_sync_bits = 0;
  uint64_t resync_total_bits = 0;
  uint64_t resync_left_bits = 0;
  uint64_t resync_failed_bits = 0;
  uint32_t resync_speed_kib = 0;
  uint32_t resync_average_kib = 0;
  uint32_t resync_want_kib = 0;
  int64_t resync_finish_s = -1;
  bool resync_stalled = false;
  std::array<char, 7> flags{};  // six characters and NUL
  uint64_t ns_kib = 0, nr_kib = 0, dw_kib = 0, dr_kib = 0, al_writes = 0, bm_writes = 0;
  uint32_t lo = 0, pe = 0, ua = 0, ap = 0, ep = 1;
  char write_ordering = 'f';
  std::array<char, 160> reason{};
};

inline constexpr uint32_t kMaxVolumes = 16;

struct Snapshot {
  Conn conn = Conn::kStandAlone;
  char protocol = ' ';
  Role role = Role::kSecondary;
  Role peer_role = Role::kUnknown;
  uint32_t agreed_version = 0;
  uint32_t features = 0;
  std::array<char, 160> reason{};
  uint32_t volume_count = 0;
  std::array<VolumeSnapshot, kMaxVolumes> volumes;
};

}  // namespace drbdts::core
