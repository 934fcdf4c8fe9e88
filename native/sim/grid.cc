#include "sim/grid.h"

#include <cstdlib>

namespace drbdts::sim {

namespace {

// In all of these X is the node of the cell and Y the other one; A is Primary when they begin.

/// How X gets into the state, and stays there until something happens to it: mostly because the packet that ends it is held back.
struct Recipe {
  const char* state;
  const char* node;          // the X that it works for: A, B or AB
  const char* steps;
  const char* options = "";
};

// A is Primary, B lacks what it wrote meanwhile.
#define DRBDTS_BEHIND "cut\nuntil A cs=WFConnection\nuntil B cs=WFConnection\nwrite A sector=0 sectors=1024\nuntil idle\n"
// A is Primary and has no disk, B has what it wrote meanwhile. After a while: the disk has then forgotten its last flush.
#define DRBDTS_DISKLESS "command A detach\nuntil A disk=Diskless\nwrite A sector=0 sectors=1024\nuntil idle\n+100000 wait\n"

constexpr Recipe kRecipes[] = {
    {"StandAlone", "AB", "command X disconnect\nuntil X cs=StandAlone\n"},
    {"Unconnected", "AB", "reset-all\nuntil X cs=Unconnected\n"},
    {"WFConnection", "AB", "cut\nuntil X cs=WFConnection\n"},
    {"WFReportParams", "AB", "at-packet X P_SIZES hold\nreset-all\nuntil X cs=WFReportParams\n+100000 wait\n"},
    {"TearDown", "AB", "at-packet Y P_CONN_ST_CHG_REPLY hold\ncommand Y disconnect async\nuntil X cs=TearDown\n+100000 wait\n"},
    {"Connected", "AB", ""},
    {"WFBitMapS", "A", DRBDTS_BEHIND "at-packet A P_BITMAP hold\nheal\nuntil A cs=WFBitMapS\n+200000 wait\n"},
    {"WFBitMapS", "B", DRBDTS_DISKLESS "at-packet B P_BITMAP hold\ncommand A attach async\nuntil B cs=WFBitMapS\n+200000 wait\n"},
    {"WFBitMapT", "A", DRBDTS_DISKLESS "at-packet A P_BITMAP hold\ncommand A attach async\nuntil A cs=WFBitMapT\n+200000 wait\n"},
    {"WFBitMapT", "B", DRBDTS_BEHIND "at-packet B P_BITMAP hold\nheal\nuntil B cs=WFBitMapT\n+200000 wait\n"},
    // The same with the streams to X open: what X needs to go on is its own disk, its handler, or an answer that waits at Y.
    {"WFBitMapS-open", "A", DRBDTS_BEHIND "at-packet B P_BITMAP hold\nheal\nuntil A cs=WFBitMapS\nuntil B cs=WFBitMapT\n+200000 wait\n"},
    {"WFBitMapS-open", "B", DRBDTS_DISKLESS "at-packet A P_BITMAP hold\ncommand A attach async\nuntil A cs=WFBitMapT\nuntil B cs=WFBitMapS\n+200000 wait\n"},
    {"WFBitMapT-open", "B", "command B detach\nuntil B disk=Diskless\nnew-disk B\ncommand B attach async\nuntil B cs=WFBitMapT\ndisk-stall B us=3000000\n+1000 wait\n"},
    {"WFSyncUUID-open", "A", DRBDTS_DISKLESS "handler A exit=0 after_us=3000000\ncommand A attach async\nuntil B cs=SyncSource\nuntil A cs=WFSyncUUID\n+1000 wait\n"},
    {"WFSyncUUID-open", "B", DRBDTS_BEHIND "handler B exit=0 after_us=3000000\nheal\nuntil A cs=SyncSource\nuntil B cs=WFSyncUUID\n+1000 wait\n"},
    {"WFSyncUUID", "A", DRBDTS_DISKLESS "at-packet A P_SYNC_UUID hold\ncommand A attach async\nuntil A cs=WFSyncUUID\n+200000 wait\n"},
    {"WFSyncUUID", "B", DRBDTS_BEHIND "at-packet B P_SYNC_UUID hold\nheal\nuntil B cs=WFSyncUUID\n+200000 wait\n"},
    {"SyncSource", "A", DRBDTS_BEHIND "heal\nuntil A cs=SyncSource\nuntil B cs=SyncTarget\n+100000 wait\n"},
    {"SyncSource", "B", DRBDTS_DISKLESS "command A attach async\nuntil B cs=SyncSource\nuntil A cs=SyncTarget\n+100000 wait\n"},
    {"SyncTarget", "A", DRBDTS_DISKLESS "command A attach async\nuntil A cs=SyncTarget\n+100000 wait\n"},
    {"SyncTarget", "B", DRBDTS_BEHIND "heal\nuntil B cs=SyncTarget\n+100000 wait\n"},
    {"PausedSyncS", "A", DRBDTS_BEHIND "heal\nuntil A cs=SyncSource\nuntil B cs=SyncTarget\n+100000 command Y pause-sync\nuntil A cs=PausedSyncS\n"},
    {"PausedSyncS", "B", DRBDTS_DISKLESS "command A attach async\nuntil B cs=SyncSource\nuntil A cs=SyncTarget\n+100000 command Y pause-sync\nuntil B cs=PausedSyncS\n"},
    {"PausedSyncT", "A", DRBDTS_DISKLESS "command A attach async\nuntil B cs=SyncSource\nuntil A cs=SyncTarget\n+100000 command Y pause-sync\nuntil A cs=PausedSyncT\n"},
    {"PausedSyncT", "B", DRBDTS_BEHIND "heal\nuntil A cs=SyncSource\nuntil B cs=SyncTarget\n+100000 command Y pause-sync\nuntil B cs=PausedSyncT\n"},
    {"SyncSource-csums", "A", "command B invalidate async\nuntil A cs=SyncSource\nuntil B cs=SyncTarget\n+100000 wait\n", "option csums yes\n"},
    {"WFBitMapS-open-rle", "A", DRBDTS_BEHIND "at-packet B P_COMPRESSED_BITMAP hold\nheal\nuntil A cs=WFBitMapS\nuntil B cs=WFBitMapT\n+200000 wait\n", "option use-rle yes\n"},
    {"SyncTarget-csums", "B", "command B invalidate async\nuntil A cs=SyncSource\nuntil B cs=SyncTarget\n+100000 wait\n", "option csums yes\n"},
    {"WFBitMapT-rle", "B", DRBDTS_BEHIND "at-packet B P_COMPRESSED_BITMAP hold\nheal\nuntil B cs=WFBitMapT\n+200000 wait\n", "option use-rle yes\n"},
    {"WFBitMapS-rle", "A", DRBDTS_BEHIND "at-packet A P_COMPRESSED_BITMAP hold\nheal\nuntil A cs=WFBitMapS\n+200000 wait\n", "option use-rle yes\n"},
    {"VerifyS", "AB", "command X verify\nuntil X cs=VerifyS\nuntil Y cs=VerifyT\n+100000 wait\n"},
    {"VerifyT", "AB", "command Y verify\nuntil Y cs=VerifyS\nuntil X cs=VerifyT\n+100000 wait\n"},
};
#undef DRBDTS_BEHIND
#undef DRBDTS_DISKLESS

struct Event {
  const char* name;
  const char* steps;
};
// Sector 16384 and what follows is in an extent of the activity log that nothing has written to yet.
constexpr Event kEvents[] = {
    {"attach", "command X attach force async\n"},
    {"detach", "command X detach async\n"},
    {"detach-force", "command X detach force async\n"},
    {"connect", "command X connect async\n"},
    {"disconnect", "command X disconnect async\n"},
    {"disconnect-force", "command X disconnect force async\n"},
    {"primary", "command X primary async\n"},
    {"primary-force", "command X primary force async\n"},
    {"secondary", "command X secondary async\n"},
    {"invalidate", "command X invalidate async\n"},
    {"invalidate-remote", "command X invalidate-remote async\n"},
    {"outdate", "command X outdate async\n"},
    {"pause-sync", "command X pause-sync async\n"},
    {"resume-sync", "command X resume-sync async\n"},
    {"new-current-uuid", "command X new-current-uuid async\n"},
    {"new-current-uuid-clear", "command X new-current-uuid clear-bitmap async\n"},
    {"verify", "command X verify async\n"},
    {"resize", "command X resize async\n"},
    {"suspend-io", "command X suspend-io async\nwrite X sector=0 sectors=8\nread X sector=0 sectors=8\nflush X\n"},
    {"resume-io", "command X resume-io async\n"},
    {"protocol", "command X protocol B async\n"},
    {"disk-options", "command X disk-options async\n"},
    {"down", "command X down async\n"},
    {"requests", "write X sector=0 sectors=16\n+3000 read X sector=512 sectors=16\nflush X\n+3000 discard X sector=1024 sectors=64\n+3000 zero X sector=1536 sectors=64\n"
                 "write X sector=16384 sectors=8 fua=1\n+20000 flush X\n"},
    {"peer-requests", "write Y sector=0 sectors=16\n+3000 read Y sector=512 sectors=16\nflush Y\n+3000 discard Y sector=1024 sectors=64\n+3000 zero Y sector=1536 sectors=64\n+20000 flush Y\n"},
    {"read-error", "disk-error X kinds=1\nread X sector=0 sectors=8\n+200000 wait\n"},
    {"write-error", "disk-error X kinds=2\nwrite X sector=0 sectors=8\n+200000 wait\n"},
    {"flush-error", "write X sector=0 sectors=8\n+5000 disk-error X kinds=2\nflush X\n+200000 wait\n"},
    {"meta-data-error", "disk-error X kinds=4\nwrite X sector=16384 sectors=8\n+200000 command X outdate async\n"},
    {"disk-error-by-peer", "disk-error X kinds=7\nread Y sector=0 sectors=8\nwrite Y sector=16384 sectors=8\n+200000 wait\n"},
    {"peer-write-error", "at-packet X P_STATE hold\ndisk-error Y kinds=2\nwrite X sector=0 sectors=8\n+100000 wait\n"},
    {"peer-read-error", "at-packet X P_STATE hold\ndisk-error Y kinds=1\nread X sector=1016 sectors=8\n+100000 wait\n"},
    {"peer-flush-error", "at-packet X P_STATE hold\nwrite X sector=0 sectors=8\n+5000 disk-error Y kinds=2\nflush X\n+100000 wait\n"},
    {"wait", "+3000000 wait\n"},
    {"peer-primary", "command A secondary\n+5000 command Y primary async\n"},
    {"peer-protocol", "command Y protocol B async\n"},
    {"peer-disk-options", "command Y disk-options async\n"},
    {"peer-leaves-slowly", "at-packet Y P_CONN_ST_CHG_REPLY hold\nwrite X sector=0 sectors=8\ncommand Y disconnect async\nwrite Y sector=8 sectors=8\ndiscard Y sector=64 sectors=64\n"
                           "zero Y sector=128 sectors=64\n+60000 write X sector=0 sectors=8\n"},
    {"reset", "reset-all\n"},
    {"reset-one", "reset\n"},
    {"crash", "crash X\n"},
    {"power-loss", "power-loss X\n"},
    {"peer-crash", "crash Y\n+1000000 wait\n"},
    {"peer-power-loss", "power-loss Y\n"},
    {"black-hole", "black-hole\n"},
    {"peer-disconnect", "command Y disconnect async\n"},
    {"peer-detach", "command Y detach async\n"},
    {"peer-down", "command Y down async\n"},
};
constexpr const char* kEnd = "+300000 release A\nrelease B\n+1000000 wait\n";

std::string ForNode(std::string text, char node) {
  for (size_t i = 0; i < text.size(); ++i) {
    const bool word = (i == 0 || text[i - 1] == ' ') && (i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '\n');
    if (word && text[i] == 'X') text[i] = node;
    if (word && text[i] == 'Y') text[i] = node == 'A' ? 'B' : 'A';
  }
  return text;
}

// ---- packets that come late: what was on its way when the state changed ----

/// How X changes its state by what Y asks for, while a packet of Y on the other socket is held back. "release X" lets both go on.
struct Change {
  const char* state;
  const char* steps;
};
constexpr Change kChangesByPeer[] = {
    {"Connected", "release X\n"},
    {"TearDown", "at-packet Y P_CONN_ST_CHG_REPLY hold\ncommand Y disconnect async\nuntil X cs=TearDown\n+10000 release X\nrelease Y\n"},
    {"VerifyT", "command Y verify async\nuntil X cs=VerifyT\n+1000 release X\nrelease Y\n"},
    {"SyncSource", "command Y invalidate async\nuntil X cs=SyncSource\n+1000 release X\nrelease Y\n"},
    {"PausedSyncS", "command Y invalidate async\nuntil X cs=SyncSource\n+20000 command Y pause-sync async\nuntil X cs=PausedSyncS\n+1000 release X\nrelease Y\n"},
    {"WFSyncUUID", "at-packet X P_SYNC_UUID hold\ncommand Y invalidate-remote async\nuntil X cs=WFSyncUUID\n+1000 release X\nrelease Y\n"},
    {"SyncTarget", "command Y invalidate-remote async\nuntil X cs=SyncTarget\n+1000 release X\nrelease Y\n"},
    {"PausedSyncT", "command Y invalidate-remote async\nuntil X cs=SyncTarget\n+20000 command Y pause-sync async\nuntil X cs=PausedSyncT\n+1000 release X\nrelease Y\n"},
    {"WFBitMapS", "command Y detach\nuntil Y disk=Diskless\nwrite X sector=4096 sectors=8\nat-packet X P_BITMAP hold\ncommand Y attach async\nuntil X cs=WFBitMapS\n+1000 release X\nrelease Y\n"},
};
/// How X changes its state by itself.
constexpr Change kChangesByItself[] = {
    {"VerifyS", "command X verify async\nuntil X cs=VerifyS\n+1000 release X\nrelease Y\n"},
    {"WFSyncUUID", "command X invalidate async\nuntil X cs=WFSyncUUID\n+1000 release X\nrelease Y\n"},
    {"SyncSource", "command X invalidate-remote async\nuntil X cs=SyncSource\n+1000 release X\nrelease Y\n"},
    {"PausedSyncS-now", "command X pause-sync async\nuntil X cs=PausedSyncS\n+1000 release X\n"},
    {"PausedSyncT-now", "command X pause-sync async\nuntil X cs=PausedSyncT\n+1000 release X\n"},
    {"WFBitMapS-again", "at-packet X P_BITMAP hold\ndisk-mend Y\nuntil X cs=WFBitMapS\n+1000 release X\n"},
    {"PausedSyncS", "command X invalidate-remote async\nuntil X cs=SyncSource\n+50000 command X pause-sync async\nuntil X cs=PausedSyncS\n+1000 release X\nrelease Y\n"},
};

/// What makes a packet stop before X, who is Primary, and the changes that it can live to see.
struct Late {
  const char* packet;
  const char* options;
  const char* by_peer;
  const char* by_itself;
  const char* steps;
};
#define DRBDTS_BY_PEER "TearDown VerifyT SyncSource PausedSyncS WFSyncUUID SyncTarget PausedSyncT WFBitMapS"
#define DRBDTS_BY_ITSELF "VerifyS WFSyncUUID SyncSource PausedSyncS"
constexpr Late kLate[] = {
    {"P_WRITE_ACK", "", DRBDTS_BY_PEER, "", "at-packet X P_WRITE_ACK hold\nwrite X sector=0 sectors=8\n+5000 wait\n"},
    {"P_RECV_ACK", "option protocol B\n", "Connected " DRBDTS_BY_PEER, "", "at-packet X P_RECV_ACK hold\nwrite X sector=0 sectors=8\n+5000 wait\n"},
    {"P_BARRIER_ACK", "", DRBDTS_BY_PEER, "", "at-packet X P_BARRIER_ACK hold\nwrite X sector=0 sectors=8\n+5000 flush X\n+5000 wait\n"},
    // One of the clocks runs fast: that node pings first.
    {"P_PING", "option ping-int 1\noption clock-ppm-b 50000\n", DRBDTS_BY_PEER, "", "at-packet X P_PING hold\n+1000000 wait\n"},
    {"P_PING_ACK", "option ping-int 1\noption clock-ppm-a 50000\n", DRBDTS_BY_PEER, "", "at-packet X P_PING_ACK hold\n+1000000 wait\n"},
    {"P_NEG_ACK", "", "TearDown", "", "at-packet X P_NEG_ACK hold\ndisk-error Y kinds=2\nwrite X sector=0 sectors=8\n+5000 disk-mend Y\n"},
    {"slow P_WRITE_ACK", "", "", DRBDTS_BY_ITSELF, "disk-stall Y us=1000000\nwrite X sector=0 sectors=8\n+5000 wait\n"},
    {"slow P_NEG_ACK", "", "", "VerifyS SyncSource PausedSyncS", "at-packet X P_STATE hold\ndisk-stall Y us=1000000\nwrite X sector=0 sectors=8\n+5000 disk-error Y kinds=2\n"},
    {"P_UUIDS", "", "", DRBDTS_BY_ITSELF, "at-packet X P_UUIDS hold\ncommand Y resize async\n+5000 wait\n"},
    {"P_SIZES", "", "", DRBDTS_BY_ITSELF, "at-packet X P_SIZES hold\ncommand Y resize async\n+5000 wait\n"},
    {"P_SIZES in return", "", DRBDTS_BY_PEER, "", "at-packet Y P_SIZES hold\ncommand X resize async\n+5000 wait\n"},
    {"P_NEG_ACK", "", "", "WFBitMapS-again", "at-packet X P_NEG_ACK hold\ndisk-error Y kinds=2\nwrite X sector=0 sectors=8\nuntil Y disk=Diskless\n+5000 wait\n"},
    {"P_CSUM_RS_REQUEST", "option csums yes\n", "", "PausedSyncS-now", "command Y invalidate async\nuntil X cs=SyncSource\nat-packet X P_CSUM_RS_REQUEST hold\n+100000 wait\n"},
    {"P_RS_IS_IN_SYNC", "option csums yes\n", "TearDown", "PausedSyncT-now",
     "command X secondary\ncommand X invalidate async\nuntil X cs=SyncTarget\nat-packet X P_RS_IS_IN_SYNC hold\n+100000 wait\n"},
    {"P_STATE_CHG_REPLY", "", "TearDown", "", "at-packet Y P_STATE_CHG_REQ hold\ncommand X verify async\n+5000 wait\n"},
};
#undef DRBDTS_BY_PEER
#undef DRBDTS_BY_ITSELF


// ---- crossings that need a story of their own ----

struct Story {
  const char* name;
  const char* rules;
  const char* options;
  const char* steps;
};
#define DRBDTS_BEHIND "cut\nuntil A cs=WFConnection\nuntil B cs=WFConnection\nwrite A sector=0 sectors=1024\nuntil idle\n"
// A lost its disk of volume 0 only, and volume 1 goes on.
#define DRBDTS_HALF "disk-error A volume=0 kinds=2\nwrite A sector=0 sectors=8\nuntil A disk=Diskless\nwrite A sector=0 sectors=1024\nuntil idle\n+100000 wait\n"
// A has no disk and has shown its users what B does not have any more: it refuses B, and gives it a moment to read why.
#define DRBDTS_REFUSES \
  "snapshot B\ncommand A detach\nuntil A disk=Diskless\nwrite A sector=0 sectors=8\nuntil idle\n+100000 crash B\nroll-back B\ncut\nstart B\nuntil A cs=WFConnection\n" \
  "until B cs=WFConnection\nheal\nuntil A cs=WFReportParams\nuntil B cs=Connected\n+5000 wait\n"
// A reads from B, which takes its time over that one request.
#define DRBDTS_SLOW_READ \
  "command A detach\nuntil A disk=Diskless\nwrite A sector=0 sectors=64\nuntil idle\n+100000 disk-slow B us=1000 by_us=4000000\nread A sector=8000 sectors=8\nread A sector=8064 sectors=8\n" \
  "read A sector=8128 sectors=8\n+5000 wait\n"
constexpr Story kStories[] = {
    {"a read outlives the attach, then verify", "oracle", "", DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand A verify\nuntil A cs=VerifyS\n+5000000 wait\n"},
    {"a read outlives the attach, then the peer's verify", "oracle", "", DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand B verify\nuntil A cs=VerifyT\n+5000000 wait\n"},
    {"a read outlives the attach, then the peer is invalid", "oracle", "", DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand B invalidate\nuntil A cs=SyncSource\n+5000000 wait\n"},
    {"a read outlives the attach, then the peer is invalid and pauses", "oracle", "",
     DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand B invalidate\nuntil A cs=SyncSource\ncommand B pause-sync\n+5000000 wait\n"},
    {"a read is answered as the resync is about to begin", "oracle", "", DRBDTS_SLOW_READ "handler A exit=0 after_us=5000000\ncommand A attach async\nuntil A cs=WFSyncUUID\n+5000000 wait\n"},
    {"a read is answered as bitmaps are exchanged", "oracle", "", DRBDTS_SLOW_READ "new-disk A\ncommand A attach async\nuntil A cs=WFBitMapT\ndisk-stall A us=5000000\n+5000000 wait\n"},
    {"a read is refused as bitmaps are exchanged", "anarchy", "",
     DRBDTS_SLOW_READ "at-packet A P_BITMAP hold\ncommand A attach async\nuntil A cs=WFBitMapT\ndisk-error B kinds=1\n+4500000 wait\n"},
    {"a read is refused as the resync is about to begin", "anarchy", "",
     DRBDTS_SLOW_READ "at-packet A P_SYNC_UUID hold\ncommand A attach async\nuntil A cs=WFSyncUUID\ndisk-error B kinds=1\n+4500000 wait\n"},
    {"a read is refused in verify", "anarchy", "",
     DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand A verify\nuntil A cs=VerifyS\nat-packet A P_OV_REPLY hold\n+100000 disk-error B kinds=1\n+4500000 wait\n"},
    {"a read is refused in the peer's verify", "anarchy", "",
     DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand B verify\nuntil A cs=VerifyT\nat-packet A P_OV_REQUEST hold\n+100000 disk-error B kinds=1\n+4500000 wait\n"},
    {"a read is refused by an invalid peer", "anarchy", "",
     DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand B invalidate\nuntil A cs=SyncSource\nat-packet A P_RS_DATA_REQUEST hold\n+100000 disk-error B kinds=1\n+4500000 wait\n"},
    {"a read is refused by an invalid peer that pauses", "anarchy", "",
     DRBDTS_SLOW_READ "command A attach\nuntil in-sync\ncommand B invalidate\nuntil A cs=SyncSource\ncommand B pause-sync\nuntil A cs=PausedSyncS\nat-packet A P_STATE hold\ndisk-error B kinds=1\n"
                      "+4500000 wait\n"},
    {"resync acknowledgements come when the target has a new disk", "oracle", "",
     DRBDTS_BEHIND "heal\nuntil A cs=SyncSource\nat-packet A P_RS_WRITE_ACK hold\n+300000 command B detach force async\nuntil B disk=Diskless\nnew-disk B\nat-packet A P_BITMAP hold\n"
                   "command B attach async\nuntil A cs=WFBitMapS\n+1000 release A\n"},
    {"resync acknowledgements come in the resync of a new disk", "oracle", "",
     DRBDTS_BEHIND "heal\nuntil A cs=SyncSource\nat-packet A P_RS_WRITE_ACK hold\n+300000 command B detach force async\nuntil B disk=Diskless\nnew-disk B\n"
                   "command B attach async\nuntil A cs=WFBitMapS\nuntil A cs=SyncSource\n+1000 release A\n"},
    // What is asked of a source while the word that it lost its disk is on its way is refused.
    {"refused resync reads come when the source is back", "anarchy", "option net-delay-us 20000\n",
     DRBDTS_BEHIND "heal\nuntil B cs=SyncTarget\nat-packet B P_NEG_RS_DREPLY hold\n+500000 disk-error A kinds=1\nuntil A disk=Diskless\nuntil B pdsk=Diskless\n"
                   "disk-mend A\nuntil B cs=WFBitMapT\n+1000 release B\n"},
    {"refused resync reads come as the target pauses", "anarchy", "option net-delay-us 20000\n",
     DRBDTS_BEHIND "heal\nuntil B cs=SyncTarget\nat-packet B P_STATE hold\n+500000 disk-error A kinds=1\nuntil A disk=Diskless\n+50000 command B pause-sync async\n+200000 release B\n"},
    {"refused resync reads come as the source leaves", "anarchy", "option net-delay-us 20000\n",
     DRBDTS_BEHIND "heal\nuntil B cs=SyncTarget\nat-packet B P_NEG_RS_DREPLY hold\ncommand A secondary\n+500000 disk-error A kinds=1\nuntil A disk=Diskless\nuntil B pdsk=Diskless\n"
                   "at-packet A P_CONN_ST_CHG_REPLY hold\ncommand A disconnect async\nuntil B cs=TearDown\n+1000 release B\n"},
    {"blocks found equal are told when the source is back", "anarchy", "option csums yes\n",
     "command B invalidate\nuntil B cs=SyncTarget\nat-packet B P_RS_IS_IN_SYNC hold\n+300000 disk-error A kinds=1\nuntil A disk=Diskless\nuntil B pdsk=Diskless\n"
     "at-packet B P_BITMAP hold\ndisk-mend A\nuntil B cs=WFBitMapT\n+1000 release B\n"},
    {"pings during the handshake", "oracle", "option ping-int 1\noption clock-ppm-a 50000\n", "at-packet A P_SIZES hold\nreset-all\nuntil A cs=WFReportParams\n+3000000 wait\n"},
    {"a volume goes on while another exchanges bitmaps", "oracle", "option volumes 2\n",
     DRBDTS_HALF "at-packet A P_BITMAP hold\ndisk-mend A\nuntil A cs=WFBitMapT\nuntil B cs=WFBitMapS\n+100000 write A volume=1 sector=64 sectors=8\n+5000 flush A volume=1\n"},
    {"an epoch ends while the peer is new", "oracle", "",
     "write A sector=0 sectors=8\nuntil idle\ncommand B detach\nnew-disk B\ncommand B attach async\nuntil B cs=WFBitMapT\ndisk-stall B us=200000\nflush A\n+100000 wait\n"},
    {"a write meets the bitmap exchange", "oracle", "option disk-delay-us 2000\n",
     DRBDTS_BEHIND "at-packet A P_STATE hold\nat-packet B P_OUT_OF_SYNC hold\nheal\nuntil B cs=WFBitMapT\nuntil A cs=WFReportParams\n+20000 release A\n+500 write A sector=2048 sectors=8\n"
                   "+20000 release B\n"},
    {"a write meets the bitmap exchange and the target is gone", "oracle", "option disk-delay-us 2000\n",
     DRBDTS_BEHIND "at-packet A P_STATE hold\nat-packet B P_OUT_OF_SYNC hold\nheal\nuntil B cs=WFBitMapT\nuntil A cs=WFReportParams\n+20000 release A\n+500 write A sector=2048 sectors=8\n"
                   "+20000 command B detach force async\nuntil B disk=Diskless\nrelease B\n"},
    {"an attempt to connect outlives a disconnect", "oracle", "", "reset-all\nuntil A cs=WFConnection\ncommand A disconnect async\n+1000000 wait\n"},
    {"an attempt to connect outlives a disconnect of the other", "oracle", "", "reset-all\nuntil B cs=WFConnection\ncommand B disconnect async\n+1000000 wait\n"},
    {"verify ends with the disk, which comes back and is declared invalid", "oracle", "",
     "command B verify\nuntil B cs=VerifyS\nat-packet B P_OV_REPLY hold\n+200000 command B detach force async\nuntil B disk=Diskless\ncommand B attach async\n+100000 command B invalidate async\n"
     "+100000 release B\n"},
    {"a write is logged while verify is asked for", "oracle", "option protocol B\noption net-delay-us 5000\n",
     "at-packet A P_RECV_ACK hold\nwrite A sector=16384 sectors=8\ncommand A verify async\nuntil A cs=VerifyS\n+50000 release A\n"},
    {"a peer that is refused detaches", "anarchy", "", DRBDTS_REFUSES "command B detach async\n"},
    {"a peer that is refused leaves", "anarchy", "", DRBDTS_REFUSES "command B disconnect async\n"},
    {"a peer that is refused changes its options", "anarchy", "", DRBDTS_REFUSES "command B protocol B async\n"},
    {"a peer that is refused becomes Primary", "anarchy", "", DRBDTS_REFUSES "command B primary async\n"},
    {"both leave at once", "oracle", "",
     "at-packet A P_CONN_ST_CHG_REQ hold\nat-packet B P_CONN_ST_CHG_REQ hold\ncommand A disconnect async\ncommand B disconnect async\n+5000 at-packet A P_CONN_ST_CHG_REPLY hold\n"
     "at-packet B P_CONN_ST_CHG_REPLY hold\nrelease A\nrelease B\n+5000 release A\nrelease B\n"},
    {"the peer leaves before its word for the target is safe", "oracle", "",
     "disk-slow A us=3000 by_us=200000\ncommand A invalidate-remote async\nuntil A cs=SyncSource\nat-packet A P_CONN_ST_CHG_REPLY hold\ncommand A disconnect async\nuntil B cs=TearDown\n+300000 wait\n"},
    {"a write of a lost connection fails", "oracle", "option disk-delay-us 1000\n",
     "disk-slow B us=50000 by_us=20000000\nwrite A sector=0 sectors=8\nwrite A sector=64 sectors=8\nwrite A sector=128 sectors=8\n+50000 cut\nuntil A cs=WFConnection\nuntil B cs=WFConnection\n"
     "write A sector=0 sectors=1024\nat-packet B P_BITMAP hold\nheal\nuntil B cs=WFBitMapT\ndisk-error B kinds=2\n+20000000 wait\n"},
    {"a read of a lost connection fails before the bitmap comes", "oracle", "option disk-delay-us 1000\n",
     "command A verify async\nuntil B cs=VerifyT\ndisk-slow B us=100000 by_us=20000000\n+100000 cut\nuntil A cs=WFConnection\nuntil B cs=WFConnection\nwrite A sector=0 sectors=1024\n"
     "at-packet B P_BITMAP hold\nheal\nuntil B cs=WFBitMapT\ndisk-error B kinds=1\n+20000000 wait\n"},
    {"a read of a lost connection fails before the resync", "oracle", "option disk-delay-us 1000\n",
     "command A verify async\nuntil B cs=VerifyT\ndisk-slow B us=100000 by_us=20000000\n+100000 cut\nuntil A cs=WFConnection\nuntil B cs=WFConnection\nwrite A sector=0 sectors=1024\n"
     "at-packet B P_SYNC_UUID hold\nheal\nuntil B cs=WFSyncUUID\ndisk-error B kinds=1\n+20000000 wait\n"},
    {"the fencing answers during the handshake", "oracle", "option fencing resource-and-stonith\n",
     "handler A exit=4 after_us=3000000\ncut\nuntil A cs=WFConnection\nat-packet A P_SIZES hold\nheal\nuntil A cs=WFReportParams\n+3000000 wait\n"},
    {"the fencing answers during verify", "oracle", "option fencing resource-and-stonith\n",
     "handler A exit=4 after_us=6000000\ncut\nuntil A cs=WFConnection\nheal\nuntil A cs=Connected\nuntil B cs=Connected\ncommand A verify async\nuntil A cs=VerifyS\n+6000000 wait\n"},
    {"the fencing answers during the peer's verify", "oracle", "option fencing resource-and-stonith\n",
     "handler A exit=4 after_us=6000000\ncut\nuntil A cs=WFConnection\nheal\nuntil A cs=Connected\nuntil B cs=Connected\ncommand B verify async\nuntil A cs=VerifyT\n+6000000 wait\n"},
    {"the fencing answers while the source pauses", "oracle", "option fencing resource-and-stonith\n",
     "handler A exit=4 after_us=3000000\ncommand B detach\nuntil B disk=Diskless\nnew-disk B\ncommand B attach async\nuntil A cs=WFBitMapS\nhandler A exit=0 after_us=100\n"
     "+10000 command B pause-sync async\n+6000000 wait\n"},
    {"the fencing answers while the target pauses", "oracle", "option fencing resource-and-stonith\n",
     "handler A exit=4 after_us=3000000\ncommand A detach\nuntil A disk=Diskless\nnew-disk A\nhandler A exit=0 after_us=100\ncommand A pause-sync\ncommand A attach async\n+6000000 wait\n"},
    {"the fencing answers before the bitmap comes", "oracle", "option fencing resource-and-stonith\n",
     "handler A exit=4 after_us=3000000\ncommand A detach\nuntil A disk=Diskless\nnew-disk A\nat-packet A P_BITMAP hold\ncommand A attach async\n+4000000 wait\n"},
    {"the peer cannot read either", "anarchy", "", "command A detach\nuntil A disk=Diskless\n+100000 disk-error B kinds=1\nread A sector=0 sectors=8\n+100000 wait\n"},
};
#undef DRBDTS_BEHIND
#undef DRBDTS_HALF
#undef DRBDTS_REFUSES
#undef DRBDTS_SLOW_READ

class Builder {
 public:
  explicit Builder(const std::string& part) : part_(part) {}
  void Add(const std::string& name, const char* rules, const std::string& options, const std::string& steps) {
    ++seed_;
    Cell cell;
    cell.name = name + "/" + rules;
    if (cell.name.find(part_) == std::string::npos) return;
    const std::string text = "option seed " + std::to_string(seed_) + "\noption rules " + rules + "\noption disk-bytes 16777216\noption resync-rate 400\noption use-rle no\n" + options +
                             steps + kEnd;
    if (!ParseScenario(text, cell.scenario).empty()) std::abort();
    for (Step& step : cell.scenario.steps) {
      if (step.verb == Verb::kAtPacket) step.line = 0;  // it need not come in every state
    }
    cells_.push_back(std::move(cell));
  }
  std::vector<Cell> Take() { return std::move(cells_); }

 private:
  const std::string& part_;
  uint64_t seed_ = 0;
  std::vector<Cell> cells_;
};

bool Names(const std::string& list, const std::string& word) { return (" " + list + " ").find(" " + word + " ") != std::string::npos; }

}  // namespace

std::vector<Cell> GridCells(const std::string& part) {
  Builder out(part);
  for (const Recipe& recipe : kRecipes) {
    for (const char* node = recipe.node; *node != '\0'; ++node) {
      for (const Event& event : kEvents) {
        for (const char* rules : {"oracle", "anarchy"}) {
          out.Add(std::string(recipe.state) + "/" + *node + "/" + event.name, rules, recipe.options, ForNode(std::string(recipe.steps) + event.steps, *node));
        }
      }
    }
  }
  for (const Late& late : kLate) {
    for (const Change& change : kChangesByPeer) {
      if (Names(late.by_peer, change.state)) out.Add(std::string(late.packet) + "/" + change.state, "oracle", late.options, ForNode(std::string(late.steps) + change.steps, 'A'));
    }
    for (const Change& change : kChangesByItself) {
      if (Names(late.by_itself, change.state)) out.Add(std::string(late.packet) + "/" + change.state, "oracle", late.options, ForNode(std::string(late.steps) + change.steps, 'A'));
    }
  }
  for (const Story& story : kStories) out.Add(story.name, story.rules, story.options, story.steps);
  return out.Take();
}

}  // namespace drbdts::sim
