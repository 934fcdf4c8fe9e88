#pragma once
// The insides of core::Resource, shared by the .cc files that implement its parts:
//   resource.cc      public surface, logging, timers          session.cc       links, handshake, pings, timeouts, loss of the peer
//   receive.cc       what a packet from the peer does         state_change.cc  the state machine's steps and what follows from them
//   fencing.cc       who has to be out before I/O goes on
//   commands*.cc     administrator's commands                 attach.cc        attach
//   disk_life.cc     disk errors, closing                     sizes.cc         device sizes, growing
//   meta_io.cc       super block, bitmap pages, activity log  request.cc       application requests
//   peer_request.cc  the peer's reads and writes, its epochs  transfer_log.cc  our epochs
//   resync.cc        bitmap exchange, resync, finishing       verify.cc        online verify
//   snapshot.cc      what status shows
#include <memory>
#include <string>
#include <vector>

#include "core/activity_log.h"
#include "core/bitmap.h"
#include "core/bitmap_codec.h"
#include "core/connector.h"
#include "core/digest.h"
#include "core/flush_forecast.h"
#include "core/generation_uuid.h"
#include "core/interval_set.h"
#include "core/meta_data.h"
#include "core/options.h"
#include "core/out_queue.h"
#include "core/page_arena.h"
#include "core/random.h"
#include "core/rate_controller.h"
#include "core/resource.h"
#include "core/state.h"
#include "core/touched_memory.h"
#include "core/wire_codec.h"

namespace drbdts::core {

inline constexpr uint32_t kAppSlots = 512;         // application requests in flight per resource
inline constexpr uint32_t kPeerSlots = 2048;       // the peer's requests, resync and verify operations in flight
inline constexpr uint32_t kEpochRing = 512;
inline constexpr uint32_t kLinkSlots = 8;
inline constexpr TimeUs kSecond = 1000000;
inline constexpr TimeUs kTenth = 100000;
inline constexpr uint16_t kNoSlot16 = 0xffff;

/// What an I/O belongs to; part of its IoId.
enum class IoKind : uint8_t {
  kAppRead = 1, kAppWrite, kAppFlush,
  kForecastFlush,   // of the local disk, before the application asks for it
  kPeer,            // PeerRequest slot
  kPeerFlush,       // receiver's epoch
  kResyncFlush,     // volume: makes resync writes durable before they are acknowledged
  kSuperBlock, kAlBlock, kBitmapPages, kAttach,
};
inline IoId MakeIoId(IoKind kind, uint16_t volume, uint32_t index) {
  return static_cast<uint64_t>(kind) << 56 | static_cast<uint64_t>(volume) << 40 | index;
}

/// Index part of the IoIds of kind kAttach: which step of attaching, closing or moving it was. kBitmap + n: page_write[n].
namespace attach_io {
inline constexpr uint32_t kSuper = 1, kLog = 2, kLogInit = 3, kCleanLog = 4, kCleanSuper = 5, kMoveLog = 6, kMoveSuper = 7, kReplayed = 8, kBitmap = 16;
}  // namespace attach_io

struct Link {
  bool used = false;
  bool identified = false;       // its first packet was sent or seen: the rest waits for the handshake
  bool stalled = false;          // waiting for a buffer or a slot
  PacketReader reader;
  TouchedMemory<uint8_t> rx;     // received, not yet decoded: [rx_begin, rx_end)
  uint32_t rx_begin = 0, rx_end = 0;
  Buffer payload;                // being filled
  std::unique_ptr<OutQueue> out;
  bool dropped = false;          // closed during the processing of its own input
  TimeUs out_progress = 0;       // last time the queue moved or was empty
};

/// An application request.
struct AppRequest {
  enum class Phase : uint8_t { kFree, kHeld, kLogging, kActive };
  Phase phase = Phase::kFree;
  uint16_t volume = 0;
  uint16_t generation = 0;
  BlockIo io;
  SectorRange range;
  IntervalSet::Handle interval = IntervalSet::kNone;
  bool local_pending = false;
  bool local_failed = false;
  bool local_done = false;       // a local copy was asked for and succeeded
  uint32_t net_pending = 0;      // packets without their final acknowledgement
  bool net_failed = false;
  bool net_done = false;
  bool in_transfer_log = false;
  bool al_pinned = false;
  bool counted_sync = false;     // sent with MAY_SET_IN_SYNC
  bool set_in_sync = false;      // the peer cleared its bits: so do we
  bool lost_peer = false;        // the connection went while it was under way
  bool again = false;            // froze under way and is done once more: reads may have shown it
  uint32_t connection = 0;       // number of the connection it was sent on
  bool remote_read = false;
  uint32_t flush_epoch = 0;      // flush: complete when this epoch and all before are acknowledged
  uint64_t flush_covers = 0;     // flush: the local disk's writes_done when it began
  TimeUs sent_at = 0;
};

/// A write the peer has, until the barrier of its epoch is acknowledged.
struct LoggedWrite {
  uint16_t volume = 0;
  uint16_t slot = 0;
  uint16_t generation = 0;
  bool al_pinned = false;
  uint32_t epoch = 0;
  SectorRange range;
};

/// Something the peer asked for, or a step of resync and verify.
struct PeerRequest {
  enum class Kind : uint8_t {
    kFree, kWrite, kDiscard, kZero, kRead, kResyncRead, kCsumServe, kVerifyServe, kVerifyCompare, kResyncWrite, kResyncDeallocate, kCsumOwn,
  };
  enum class Phase : uint8_t { kHeld, kLogging, kDisk, kFlush, kSending };
  Kind kind = Kind::kFree;
  Phase phase = Phase::kHeld;
  bool orphan = false;        // its connection is gone: finish silently
  bool of_ended_run = false;  // of a run that is over: it says nothing about the blocks in the next one, and is not counted there
  bool failed = false;
  bool al_pinned = false;
  bool tainted = false;       // verify: the range was written meanwhile
  bool overtaken = false;     // resync data that is older than a write of our own
  uint16_t volume = 0;
  uint64_t sector = 0;
  uint32_t bytes = 0;
  uint64_t block_id = 0;
  uint32_t dp_flags = 0;
  uint32_t epoch = 0;         // receiver's epoch of a write
  Buffer buffer;
  PageArena* arena = nullptr;
  Digest digest;
  IntervalSet::Handle interval = IntervalSet::kNone;
  TimeUs not_before = 0;
  SectorRange range() const { return {sector, sector + bytes / kSectorSize}; }
  bool is_resync_data() const { return kind == Kind::kResyncWrite || kind == Kind::kResyncDeallocate; }
};

struct SendEpoch {
  uint32_t number = 0;
  uint32_t writes = 0;
  TimeUs closed_at = 0;
};

struct ReceiveEpoch {
  uint32_t writes = 0;        // counted for the barrier ack
  uint32_t active = 0;        // not yet answered
  bool closed = false;
  bool flushing = false;
  uint32_t handle = 0;
  uint32_t flushes_pending = 0;
  uint16_t volumes = 0;       // bit per volume index with writes
};

struct ResyncRun {
  uint64_t total_bits = 0;
  uint64_t failed_bits = 0;
  uint64_t cursor = 0;              // next bit to look at
  uint32_t requests_open = 0;       // target: asked, not answered
  uint32_t writes_open = 0;         // target: answered, not durable
  bool asked_any = false;
  bool heard_from_target = false;   // source: a request or acknowledgement came after P_SYNC_UUID
  bool identifier_saved = false;    // target: P_SYNC_UUID is on disk
  bool finishing = false;           // ping sent
  bool flush_first = false;         // checksum based target: nothing is compared before a flush
  bool peer_finished = false;       // source: the target said it is done
  TimeUs started = 0;
  TimeUs paused_us = 0;
  TimeUs paused_since = 0;
  TimeUs next_tick = kNever;
  uint32_t slices_left = 0, tick_blocks = 0;
  // Primary target: what its users wrote while requests were open. A reply that overlaps may have been read before: it is not used.
  SectorRange written[64];
  uint32_t written_count = 0;
  bool written_anywhere = false;    // more than the list holds
  // verify
  uint64_t verify_left = 0;
  uint64_t out_of_sync_found = 0;
  uint64_t oos_start = 0, oos_sectors = 0;  // pending report of adjoining blocks
  // rolling marks for the speed, every 3 s
  struct Mark {
    TimeUs at = 0;
    uint64_t left_bits = 0;
  };
  Mark marks[8];
  uint32_t mark = 0;
  RateController rate;
  uint64_t app_sectors_seen = 0;
};

struct Volume {
  Volume(uint16_t i, const VolumeConfig& c) : index(i), config(c), intervals(kAppSlots + kPeerSlots), held(kAppSlots), al_waiting(kAppSlots) {}

  uint16_t index;
  VolumeConfig config;
  State state;
  std::string reason;     // why the disk is gone; '' while it is there
  std::string io_reason;  // why I/O stands still or is cut off; of no meaning while it is neither

  // ---- disk ----
  enum class DiskPhase : uint8_t { kClosed, kOpening, kReadSuper, kReadLog, kReadBitmap, kWriteBack, kOpen, kClosing };
  DiskPhase disk_phase = DiskPhase::kClosed;
  bool measuring = false;
  bool sizes_wait = false;           // the peer's P_SIZES waits for the disk to be measured again
  DiskFacts facts;
  MetaDataLayout layout;
  SuperBlock super_block;
  std::unique_ptr<Bitmap> bitmap;
  std::unique_ptr<ActivityLog> log;
  uint64_t size_sectors = 0;         // of the device
  bool crashed_primary = false;
  uint32_t io_in_flight = 0;         // every disk operation of this volume that has not been answered
  uint64_t writes_done = 1;          // writes the disk has finished; of what came before it was attached nothing is known
  uint64_t writes_durable = 0;       // writes_done when the last successful flush began: equal means that there is nothing to flush
  uint64_t forecast_covers = 0;
  bool forecast_open = false;        // a flush nobody has asked for yet is under way
  Buffer attach_buffer;
  uint64_t attach_cursor = 0;        // sectors / pages done
  uint32_t attach_open = 0;
  bool attach_error = false;
  bool attach_written = false;       // bitmap, log and super block are as they have to be before use
  enum class Answer : uint8_t { kNone, kNotAsked, kAsked };
  Answer attach_answer = Answer::kNone;  // Negotiating: whether the peer has compared with what we told it about this disk
  int attach_code = 0;               // DRBD's number when an attach or resize failed
  std::string attach_text, attach_detail;
  bool close_pending = false;
  uint64_t attach_size = 0;
  std::vector<uint32_t> replayed;
  MetaDataLayout move_layout;
  DiskFacts move_facts;
  uint32_t move_step = 0;
  bool moving = false;               // internal meta-data goes to the device's new end
  bool resize_assume_clean = false;
  uint32_t clean_close = 0;          // steps of leaving clean meta-data

  // ---- meta-data ----
  Buffer super_buffer, al_buffer;
  bool md_dirty = false, md_in_flight = false;
  struct AfterMeta {                 // what waits for the super block to be safe
    bool send_uuids = false, send_state = false, send_sizes = false;
    bool send_sync_uuid = false;
    bool finish_target_state = false;
    bool any() const { return send_uuids || send_state || send_sizes || send_sync_uuid || finish_target_state; }
  } after_meta;
  bool al_in_flight = false;
  bool al_block_written = false;
  AlBlock al_block;
  std::vector<uint32_t> al_evicted;
  struct PageWrite {
    bool used = false;
    uint64_t first = 0;
    uint32_t count = 0;
    Buffer buffer;
  };
  PageWrite page_write[8];
  uint32_t page_writes = 0;
  bool primary_ind_waits = false;    // the flag goes when the bitmap is on disk
  bool bitmap_before_super = false;  // the super block waits for the bitmap
  bool write_all_pages = false;      // one pass over the dirty pages is under way
  uint64_t write_cursor = 0;
  TimeUs lazy_write_at = kNever;
  uint64_t al_writes = 0, bm_writes = 0;

  // ---- peer's view ----
  bool have_peer_uuids = false;
  UuidsPacket peer_uuids;
  bool have_peer_sizes = false;
  SizesPacket peer_sizes;
  bool params_done = false;          // left WFReportParams
  bool consider_resync = false;
  uint32_t seq_out = 0;

  // ---- application requests ----
  IntervalSet intervals;
  FixedQueue<uint16_t> held;         // not started, in order
  FixedQueue<uint16_t> al_waiting;   // waiting for an activity log transaction
  bool kick_due = false;
  bool answers_due = false;          // a request that is done waits until it may be answered
  bool lost_unsafe_writes = false;   // acknowledged writes that only the peer had were not confirmed as durable: the next flush says so
  uint32_t app_open = 0;
  uint32_t app_again = 0;            // writes under way or held that are done once more
  bool device_up = false, device_changing = false;
  int device_error = 0;
  std::string device_detail;
  std::string holders;
  bool holders_known = false;
  bool detaching = false;            // no new I/O for the local disk

  // ---- peer requests ----
  std::vector<uint16_t> peer_waiting;   // held, in order; reserved at start
  std::vector<uint16_t> resync_durable; // written, waiting for the flush that makes them durable; reserved at start
  bool resync_flush_open = false;
  uint32_t resync_flush_covers = 0;
  TimeUs resync_flush_at = kNever;

  // ---- bitmap exchange and resync ----
  std::unique_ptr<BitmapSender> bitmap_out;
  std::unique_ptr<BitmapReceiver> bitmap_in;
  bool bitmap_hold = false;          // full sync: wait until the set bitmap is on disk
  bool bitmap_out_wanted = false;
  ResyncRun run;
  SectorRange verify_tainted[64];
  uint64_t verify_taint_all_before = 0;
  bool bitmap_received = false;
  uint64_t early_sync_uuid = 0;      // came before the answer to our own request did
  uint32_t answers_after_ping = 0;   // what is said about resync blocks before this ping is answered belongs to an earlier resync
  uint64_t pending_sync_uuid = 0;    // SyncTarget: from P_SYNC_UUID, waiting for the handler
  uint64_t sync_uuid_to_send = 0;
  uint64_t waiting_handler = 0;
  bool fence_running = false;        // a handler was asked
  bool fence_open = false;           // a disk that held everything does no more, and nobody has confirmed yet that it is out
  bool fence_due = false;            // a handler is to be asked
  bool fence_again = false;          // things changed while one was running
  bool fence_self = false;           // it is our own disk
  bool self_out = false;             // Primary: our own disk was confirmed to be out, and was not complete since
  bool peer_out = false;             // the peer was confirmed to be out, and was not complete since
  bool peer_out_asked = false;       // and that since our disk was attached: what a disk says may be from before it was itself out
  UuidSet corrected_uuids;           // own set as the comparison corrected it
  bool use_corrected = false;
  bool target_unknown = false;       // we died as SyncSource and the peer may have finished, or it said so: it may share our current identifier
  bool equal_current = false;        // the resync began with equal current identifiers
  uint64_t exposed_uuid = 0;         // Primary: generation of the data its users see, own or the peer's; 0 = none yet
  bool exposed_on_peer = false;      // Primary: writes since then are on the peer's disk alone, which may have made a generation of them
  TimeUs peer_generation_until = kNever;  // Primary that lost its disk: the peer has to begin a generation, and to say so, before this
  bool behind_peer = false;          // our disk lacks what was acknowledged, and may not have been able to write that down
  uint64_t fence_handler = 0;
  bool new_uuid_after_fence = false;
  bool after_send_state = false;
  bool source_waits = false;         // before-resync-source handler runs
  Disk disk_before_negotiating = Disk::kInconsistent;

  // ---- counters ----
  uint64_t net_sent_sectors = 0, net_received_sectors = 0, disk_written_sectors = 0, disk_read_sectors = 0, app_sectors = 0;
  uint32_t local_count = 0;          // /proc lo
  uint32_t unacked = 0;              // /proc ua

  bool has_disk() const { return disk_phase == DiskPhase::kOpen && state.disk >= Disk::kInconsistent; }
  bool meta_ok() const { return disk_phase == DiskPhase::kOpen && state.disk > Disk::kFailed; }
};

/// Phases of a connection after both sockets stand.
enum class SessionPhase : uint8_t { kNone, kFeatures, kAuthChallenge, kAuthResponse, kParameters };

struct Command_ {
  uint64_t id = 0;
  AdminCommand admin;
};

struct ResourceImpl {
  ResourceImpl(const ResourceConfig& config, const Arenas& arenas, const std::array<uint8_t, 32>& seed, const Limits& limits);

  ResourceConfig config;
  Arenas arenas;
  Random random;
  TimeUs now = 0;
  std::vector<Action> actions;
  std::vector<std::unique_ptr<Volume>> volumes;
  bool changed = false;
  uint64_t progress = 0;             // counts what moved, see Settle
  bool unsettled = false;            // more was left to do: OnTick at once

  // ---- connection ----
  Conn conn = Conn::kStandAlone;     // of the connection; volumes refine it once connected
  std::string reason;                // of the connection's state
  Connector connector;
  Link links[kLinkSlots];
  LinkId data = kNoLink, meta = kNoLink;
  bool resolve_conflicts = false;
  SessionPhase phase = SessionPhase::kNone;
  TimeUs phase_until = kNever;
  TimeUs reconnect_at = kNever;
  TimeUs stranger_quiet_until = 0;  // strangers at the port are not logged before
  uint32_t agreed_version = 0;
  uint32_t features = 0;
  WireDialect dialect;
  std::array<uint8_t, 64> challenge{};
  bool features_received = false;
  bool protocol_received = false;
  bool peer_discard_my_data = false;
  bool peer_dry_run = false;
  bool discard_my_data = false;      // of this connection attempt
  bool tentative = false;
  TimeUs last_received = 0;          // on either socket
  TimeUs ping_due = kNever;          // idle time over
  TimeUs ping_answer_until = kNever;
  bool ping_for_finish = false;
  uint32_t pings_out = 0, pings_sent = 0, pings_answered = 0;
  uint32_t ko_left = 0;
  TimeUs ko_check = kNever;
  uint32_t connection_number = 0;    // counts connections

  // ---- requests ----
  std::vector<AppRequest> app;
  std::vector<uint16_t> app_free;
  std::vector<PeerRequest> peer;
  std::vector<uint16_t> peer_free;
  FixedQueue<LoggedWrite> transfer_log;
  uint32_t epoch = 1;                // number of the open epoch
  uint32_t epoch_writes = 0;
  TimeUs epoch_first = 0, epoch_last = 0;
  FixedQueue<SendEpoch> closed_epochs{kEpochRing};
  FixedQueue<ReceiveEpoch> receive_epochs{kEpochRing};
  uint32_t receive_epoch_first = 0;  // number of receive_epochs.Front()
  FlushForecast flush_forecast;
  std::span<const uint8_t> zeroes;   // kMaxRequestBytes

  // ---- commands ----
  std::vector<Command_> queue;
  bool busy = false;
  Command_ current;
  uint32_t step = 0, substep = 0, substep2 = 0;
  uint32_t demote = 0, leave = 0;     // progress of giving up Primary, of leaving the peer
  uint32_t at_volume = 0;
  int32_t state_reply = 0;
  bool state_reply_pending = false;
  bool state_request_connection = false;
  uint32_t state_replies_void = 0;    // that commands no longer wait for
  uint32_t tries = 0;
  TimeUs command_wakeup = kNever;
  int handler_exit = 0;
  uint64_t handler_wanted = 0;
  uint64_t next_handler = 1;

  // ---- resource.cc ----
  void Log(int level, int volume, std::string text);
  void Changed() { changed = true; }
  Action& Do(Action::Kind kind, uint16_t volume = 0);
  uint64_t CallHandler(const char* name, uint16_t volume, bool wait);
  void Tick();
  TimeUs Deadline() const;
  void Settle();  // after every event: starts what can start now
  Volume& V(uint16_t i) { return *volumes[i]; }
  bool Connected() const { return conn >= Conn::kConnected; }
  bool Linked() const { return phase == SessionPhase::kParameters && data != kNoLink; }
  Volume* ByNumber(uint16_t volume_number);

  // ---- entry points behind Resource's ----
  void OnDeviceUp(Volume& v, int error, const std::string& detail);
  void OnDeviceDown(Volume& v, int error, const std::string& detail);
  void OnDeviceOpen(Volume& v, const std::string& holders);
  void OnDiskOpened(Volume& v, int error, const std::string& detail, const DiskFacts& facts);
  void OnDiskClosed(Volume& v);
  void OnDiskDone(IoId io, int error);
  void OnHandlerDone(uint64_t id, int exit_code);
  void OnLinkClosed(LinkId id, int error);
  std::span<uint8_t> ReceiveInto(LinkId id);
  void OnReceived(LinkId id, uint32_t bytes);
  void OnSent(LinkId id, uint32_t bytes);

  // ---- session.cc ----
  void OpenLink(LinkId id);
  void ReleaseLink(LinkId id);
  void StartConnecting();
  void HandleConnector(const Connector::Outputs& out);
  void Established(LinkId data_link, LinkId meta_link, bool resolve);
  void SendFeatures();
  void OnFeatures(const FeaturesPacket& p);
  void StartAuth();
  void OnAuth(const Packet& p);
  void StartParameters();
  void OnProtocol(const ProtocolPacket& p, bool update);
  void SendSyncParam(Volume& v);
  void SendSizes(Volume& v, uint16_t dds_flags, bool ask);
  void SendUuids(Volume& v, uint64_t extra_flags = 0);
  void SendState(Volume& v) { SendState(v, v.state.conn); }
  void SendState(Volume& v, Conn conn_shown);
  /// Closes the connection; `how` is the state DRBD would show; stand_alone: do not try again.
  void Drop(Conn how, bool stand_alone, const std::string& why);
  void DropLater(Conn how, bool stand_alone, const std::string& why);
  void LostPeer(Volume& v);
  void SettleNegotiation(Volume& v);
  void SetConnection(Conn c);
  bool SendPacket(LinkId link, const Packet& p, const uint8_t* payload = nullptr, uint32_t payload_bytes = 0, uint64_t cookie = 0);
  bool SendData(uint16_t volume, Command c, PacketBody body, const uint8_t* payload = nullptr, uint32_t bytes = 0, uint64_t cookie = 0);
  bool SendMeta(uint16_t volume, Command c, PacketBody body);
  void SendPing();
  void CheckPeer(uint64_t id, uint32_t timeout_ms);
  void PeerCheckTick();
  void EndPeerChecks(int code);
  void CutIo();
  void FailCut(uint16_t slot);
  void OnPingAck();
  void SessionTick();
  TimeUs SessionDeadline() const;
  void UpdateDialect();
  bool drop_pending = false;
  TimeUs drop_deadline = kNever;
  std::vector<uint64_t> peer_checks;  // commands that wait for a sign of the peer
  TimeUs check_since = kNever, check_until = kNever;
  bool cutting = false;              // secondary --force: every request fails
  TimeUs meta_gone_until = kNever;   // the meta socket ended, the data socket not yet
  Conn drop_how = Conn::kBrokenPipe;
  bool drop_stand_alone = false;
  std::string drop_why;
  void RunPendingDrop();

  // ---- receive.cc ----
  void Drain(LinkId id);
  bool PlacePayload(LinkId id, std::span<uint8_t>& out);
  void NoteStranger(std::string_view why);
  void OnPacket(LinkId id, const Packet& p);
  void OnDataPacket(const Packet& p, Buffer payload);
  void OnMetaPacket(const Packet& p);
  void OnUnknownVolume(const Packet& p, bool data_socket);
  void OnSizes(Volume& v, const SizesPacket& p);
  void ApplySizes(Volume& v);
  void OnUuids(Volume& v, const UuidsPacket& p);
  void OnState(Volume& v, State peer);
  void OnStateRequest(Volume* v, const StateRequest& p);
  void OnSyncUuid(Volume& v, uint64_t uuid);
  void OnOutOfSync(Volume& v, const BlockDescription& p);
  void ProtocolError(const std::string& why) { DropLater(Conn::kProtocolError, false, why); }

  // ---- state_change.cc ----
  StateContext Context(const Volume& v) const;
  /// Checks and, if allowed, makes the change.
  Verdict Change(Volume& v, const State& wanted);
  /// Makes the change after sanitising only (facts: a lost connection, a failed disk).
  void Force(Volume& v, const State& wanted);
  void Apply(Volume& v, State next);
  void AfterChange(Volume& v, const State& old);
  void FreezeForFencing(Volume& v, State& next);
  void AskForFencing(Volume& v);
  void OnFenceAnswer(Volume& v, int exit_code);
  void UpdateMetaFlags(Volume& v);
  void NewCurrent(Volume& v);
  bool PeerMayShareGeneration(const Volume& v) const { return v.super_block.uuids.bitmap == 0 || v.target_unknown; }
  void AwaitPeerGeneration(Volume& v, const State& old);
  Role ResourceRole() const;
  bool AllParamsDone() const;
  HandshakeAction SyncHandshake(Volume& v, Role peer_role, Disk peer_disk, std::string& why, bool& refused);

  // ---- commands.cc ----
  void Enqueue(uint64_t id, const AdminCommand& c);
  void Advance();
  void Finish(Verdict verdict, const std::string& detail = "");
  /// The peer said no to a cluster-wide change; `answer` is its own refusal.
  void FinishRefused(Verdict answer);
  void FinishCode(int code, const std::string& text, const std::string& detail);
  void StepPrimary();
  void StepSecondary();
  void StepConnect();
  void StepDisconnect();
  void StepAttach();
  void StepDetach();
  void StepInvalidate(bool remote);
  void StepOutdate();
  void StepPauseSync(bool pause);
  void StepNewCurrentUuid();
  void StepVerify();
  void StepResize();
  void StepSuspend(bool suspend);
  void StepNetOptions();
  void StepDiskOptions();
  void StepDown();
  bool Demote();        // one step of giving up Primary; true when done
  bool DisconnectNow(); // one step; true when done
  bool DetachNow(Volume& v);
  bool Selected(const Volume& v) const { return current.admin.volume < 0 || current.admin.volume == v.index; }
  void AskPeer(Volume* v, uint32_t mask, uint32_t value);
  bool PeerAnswered(Verdict& verdict);
  bool AllMetaIdle() const;
  void StartForcedResync(Volume& v);

  // ---- disk_life.cc ----
  void BeginAttach(Volume& v);
  void AttachFailed(Volume& v, int code, const std::string& text, const std::string& detail);
  void OnAttachIo(Volume& v, uint32_t index, int error);
  void AttachSuper(Volume& v);
  void AttachLog(Volume& v);
  void AttachBitmapNext(Volume& v);
  void AttachWriteBack(Volume& v);
  void AttachDone(Volume& v);
  bool OlderThanSeen(const Volume& v) const;
  void CloseDiskWhenIdle(Volume& v);
  void DiskError(Volume& v, const char* what, bool meta_data, int error);
  uint64_t AgreedSize(const Volume& v, uint64_t peer_d_size, uint64_t peer_u_size, uint64_t peer_c_size) const;
  bool SetDeviceSize(Volume& v, uint64_t sectors, bool assume_clean, bool& grew);
  void MoveInternalMetaData(Volume& v, const DiskFacts& facts);
  void MovePump(Volume& v);
  bool BeginCleanClose(Volume& v);
  void ReleaseDiskMemory(Volume& v);
  uint64_t OwnSize(const Volume& v) const;

  // ---- meta_io.cc ----
  void MarkMeta(Volume& v);
  void WriteSuperBlock(Volume& v, const SuperBlock& super_block, IoId io);
  /// Writes the whole activity log ring afresh: `pristine` as create-md leaves it, else as empty transactions. False: no buffer now.
  bool WriteLogRing(Volume& v, bool pristine, uint32_t step_of_attach);
  void MetaPump(Volume& v);
  void WriteBitmapSoon(Volume& v);
  void WriteBitmapAll(Volume& v);
  bool PageInFlight(const Volume& v, uint64_t page) const;
  bool WritePages(Volume& v, uint64_t first);
  void RetryLogWaiters(Volume& v);
  void BitmapPump(Volume& v);
  void LogPump(Volume& v);
  void OnMetaIo(Volume& v, IoKind kind, uint32_t index, int error);
  bool PinExtents(Volume& v, const SectorRange& range, bool& hot);
  void UnpinExtents(Volume& v, const SectorRange& range);
  bool ExtentsHot(const Volume& v, const SectorRange& range) const;
  void OnMetaSaved(Volume& v);
  bool MetaIdle(const Volume& v) const;

  // ---- request.cc ----
  void OnRequest(uint16_t volume, const BlockIo& io);
  void Kick(Volume& v);
  bool StartApp(uint16_t slot);
  bool ShownBefore(const Volume& v, const SectorRange& r) const;
  void StartRead(uint16_t slot);
  void StartRemoteRead(uint16_t slot);
  void StartWrite(uint16_t slot);
  void StartFlush(uint16_t slot);
  void SendWrite(uint16_t slot);
  void OnAppIo(IoKind kind, uint16_t slot, int error);
  bool PeerHasIt(const AppRequest& a) const;
  bool MayAnswer(const AppRequest& a) const;
  void MaybeComplete(uint16_t slot);
  void AnswerWaiting(Volume& v);
  void CompleteApp(uint16_t slot, int error);
  void StartForecastFlush(Volume& v);
  void OnForecastFlushed(Volume& v, int error);
  bool Replicating(const Volume& v) const;
  bool SendsOutOfSync(const Volume& v) const;
  bool Suspended(const Volume& v) const;
  AppRequest* FindApp(uint64_t block_id, uint16_t volume, uint64_t sector, uint16_t& slot);
  uint64_t BlockId(uint16_t slot) const { return (static_cast<uint64_t>(app[slot].generation) << 16 | slot) + 1; }
  void OnWriteAck(Volume& v, Command c, const BlockAck& p);
  void AbortNetwork(uint16_t slot);
  void RemoveInterval(Volume& v, IntervalSet::Handle& h);
  void SetOutOfSync(Volume& v, const SectorRange& r);
  void SetInSync(Volume& v, const SectorRange& r);

  // ---- transfer_log.cc ----
  void LogWrite(uint16_t slot);
  void CloseEpoch();
  void CountEpochWrite();
  bool close_after_send = false;
  FixedQueue<uint16_t> flush_waiters{kAppSlots};  // flushes that wait for a barrier acknowledgement, oldest first
  void Retire(const LoggedWrite& w);
  void OnBarrierAck(const BarrierAckPacket& p);
  void TransferLogTick();
  TimeUs TransferLogDeadline() const;
  void ForgetTransferLog();
  bool EpochsPendingUpTo(uint32_t epoch_number) const;

  // ---- peer_request.cc ----
  uint16_t TakePeerSlot(PeerRequest::Kind kind, Volume& v);
  void FreePeerSlot(uint16_t slot);
  void OnPeerWrite(Volume& v, const Packet& p, Buffer payload);
  void OnPeerRead(Volume& v, const Packet& p);
  void KickPeer(Volume& v);
  bool StartPeer(uint16_t slot);
  void LetResyncPass(Volume& v, const PeerRequest& r);
  void OnPeerIo(uint16_t slot, int error);
  void FinishPeerWrite(uint16_t slot);
  void SendReadReply(uint16_t slot, Command c);
  void OnReplySent(uint16_t slot);
  void OnBarrier(const BarrierPacket& p);
  void PumpReceiveEpochs();
  void OnPeerFlushDone(Volume& v, uint32_t of_connection, int error);
  void Ack(Volume& v, Command c, uint64_t sector, uint64_t block_id, uint32_t bytes);
  void AbortPeerRequests(Volume& v);
  bool TracksForPeer(const Volume& v) const;

  // ---- resync.cc ----
  void ForgetSetInSync(const Volume& v);
  void StartBitmapExchange(Volume& v, HandshakeAction action);
  void BitmapPumpOut(Volume& v);
  void OnBitmapPacket(Volume& v, Command c, std::span<const uint8_t> bytes);
  uint64_t LeftBits(const Volume& v) const;
  void BitmapExchanged(Volume& v);
  void BecomeSyncSource(Volume& v);
  void BecomeSyncTarget(Volume& v);
  void BeginRun(Volume& v, bool verify);
  void ResyncTick(Volume& v);
  void MakeRequests(Volume& v, uint32_t blocks);
  void NoteWriteDuringResync(Volume& v, const SectorRange& r);
  bool WrittenSinceAsked(const Volume& v, const SectorRange& r) const;
  bool Throttled(Volume& v);
  void OnResyncReply(Volume& v, const Packet& p, Buffer payload);
  void RefuseResyncWrite(Volume& v, uint16_t slot);
  void OnResyncWritten(Volume& v, uint16_t slot);
  void ResyncFlush(Volume& v);
  void OnResyncFlushed(Volume& v, int error);
  void OnResyncAck(Volume& v, const BlockAck& p, bool failed);
  bool AnswersAreOld(const Volume& v) const { return pings_answered < v.answers_after_ping; }
  void OnInSync(Volume& v, const BlockAck& p);
  void OnNegResyncReply(Volume& v, const BlockAck& p, bool cancelled);
  void CheckResyncDone(Volume& v);
  void FinishResync(Volume& v);
  void EndRun(Volume& v);
  void Mark(Volume& v);
  void CheckSourceDone(Volume& v);

  // ---- verify.cc ----
  void StartVerify(Volume& v, uint64_t start_sector);
  void MakeVerifyRequests(Volume& v, uint32_t blocks);
  void OnVerifyReply(Volume& v, const BlockRequest& p);
  void CompareVerify(uint16_t slot);
  void OnVerifyResult(Volume& v, const BlockAck& p);
  void VerifyResult(Volume& v, uint64_t sector, uint32_t bytes, bool equal);
  void ReportOutOfSync(Volume& v);
  void CheckVerifyDone(Volume& v);
  void TaintVerify(Volume& v, const SectorRange& r);

  // ---- snapshot.cc ----
  void FillSnapshot(Snapshot& out) const;
};

}  // namespace drbdts::core
