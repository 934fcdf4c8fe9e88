// Online verify: compare digests of both copies, block by block (drbd-protocol §7.7).
#include <algorithm>

#include "core/resource_impl.h"

namespace drbdts::core {

namespace {
constexpr uint32_t kOpenVerifyMax = 512;  // per volume: the peer's queue has to hold the answers to all of them if we read slowly
}  // namespace

void ResourceImpl::StartVerify(Volume& v, uint64_t start_sector) {
  BeginRun(v, true);
  ResyncRun& r = v.run;
  const uint64_t bits = v.bitmap->bits();
  r.cursor = std::min(bits, start_sector / kSectorsPerBlock);
  r.verify_left = bits - r.cursor;
  r.total_bits = r.verify_left;
  for (auto& m : r.marks) m = {now, r.verify_left};
  Log(0, v.index, std::string("Starting Online Verify as ") + ConnName(v.state.conn) + " from sector " + std::to_string(start_sector));
}

void ResourceImpl::MakeVerifyRequests(Volume& v, uint32_t blocks) {
  ResyncRun& r = v.run;
  const uint64_t bits = v.bitmap->bits();
  for (uint32_t i = 0; i < blocks && r.cursor < bits; ++i) {
    if (peer_free.size() < 64 || r.requests_open >= kOpenVerifyMax || links[data].out->pieces() > links[data].out->capacity() / 2) return;
    const uint64_t sector = r.cursor * kSectorsPerBlock;
    const uint64_t sectors = std::min<uint64_t>(kSectorsPerBlock, v.size_sectors - sector);
    BlockRequest q;
    q.sector = sector;
    q.block_id = kIdSyncer;
    q.size = static_cast<uint32_t>(sectors * kSectorSize);
    ++r.cursor;
    ++r.requests_open;
    r.rate.Requested(sectors);
    SendData(v.config.volume, Command::kOvRequest, q);
  }
  r.asked_any = true;
}

void ResourceImpl::TaintVerify(Volume& v, const SectorRange& range) {
  // A block that is written while it is being compared is in sync by that write; its digests may rightly differ.
  ResyncRun& r = v.run;
  if (r.started == 0) return;
  for (auto& t : v.verify_tainted) {
    if (t.size() == 0) {
      t = range;
      return;
    }
  }
  // More writes than we keep track of: everything asked so far counts as tainted.
  v.verify_taint_all_before = r.cursor * kSectorsPerBlock;
}

void ResourceImpl::OnVerifyReply(Volume& v, const BlockRequest& p) {
  const uint64_t sectors = p.size / kSectorSize;
  if (v.state.conn != Conn::kVerifyS || v.run.requests_open == 0) {
    if (v.state.conn < Conn::kVerifyS || v.state.conn > Conn::kVerifyT) return;  // verify was ended here meanwhile
    ProtocolError("P_OV_REPLY that nobody asked for");
    return;
  }
  if (p.size == 0 || p.size > kMaxRequestBytes || p.sector + sectors > v.size_sectors || p.sector + sectors < p.sector) {
    ProtocolError("P_OV_REPLY outside the device");
    return;
  }
  v.run.rate.Received(sectors);
  const uint16_t slot = v.has_disk() ? TakePeerSlot(PeerRequest::Kind::kVerifyCompare, v) : kNoSlot16;
  if (slot == kNoSlot16) {
    --v.run.requests_open;
    VerifyResult(v, p.sector, p.size, true);
    return;
  }
  PeerRequest& r = peer[slot];
  r.sector = p.sector;
  r.bytes = p.size;
  r.block_id = kIdSyncer;
  r.digest = p.digest;
  ++v.unacked;
  r.interval = v.intervals.Add(r.range());
  if (!v.peer_waiting.empty() || !StartPeer(slot)) v.peer_waiting.push_back(slot);
}

void ResourceImpl::CompareVerify(uint16_t slot) {
  PeerRequest& r = peer[slot];
  Volume& v = V(r.volume);
  if (r.of_ended_run) {
    if (v.unacked > 0) --v.unacked;
    FreePeerSlot(slot);
    return;
  }
  bool equal = false;
  if (!r.failed) equal = ComputeDigest(config.net.verify_alg, r.arena->Bytes(r.buffer).first(r.bytes)) == r.digest;
  bool tainted = r.sector < v.verify_taint_all_before;
  for (const auto& t : v.verify_tainted) tainted = tainted || (t.size() != 0 && t.Overlaps(r.range()));
  const uint64_t sector = r.sector;
  const uint32_t bytes = r.bytes;
  if (v.unacked > 0) --v.unacked;
  FreePeerSlot(slot);
  if (v.run.requests_open > 0) --v.run.requests_open;
  VerifyResult(v, sector, bytes, equal || tainted);
  if (v.run.requests_open == 0) {
    for (auto& t : v.verify_tainted) t = {};
    v.verify_taint_all_before = 0;
  }
}

void ResourceImpl::VerifyResult(Volume& v, uint64_t sector, uint32_t bytes, bool equal) {
  ResyncRun& r = v.run;
  const SectorRange range{sector, sector + bytes / kSectorSize};
  if (v.state.conn == Conn::kVerifyS) Ack(v, Command::kOvResult, sector, equal ? kOvInSync : kOvOutOfSync, bytes);
  r.verify_left -= std::min(r.verify_left, BitsOfSectors(range.size()));
  if (equal) {
    ReportOutOfSync(v);
    return;
  }
  SetOutOfSync(v, range);
  WriteBitmapSoon(v);
  ++r.out_of_sync_found;
  if (r.oos_sectors != 0 && r.oos_start + r.oos_sectors == range.begin) {
    r.oos_sectors += range.size();
  } else {
    ReportOutOfSync(v);
    r.oos_start = range.begin;
    r.oos_sectors = range.size();
  }
}

void ResourceImpl::OnVerifyResult(Volume& v, const BlockAck& p) {
  if (v.state.conn != Conn::kVerifyT) return;
  VerifyResult(v, p.sector, p.size, p.block_id == kOvInSync);
  if (v.run.verify_left == 0) {
    v.run.finishing = true;
    SendPing();
  }
}

void ResourceImpl::ReportOutOfSync(Volume& v) {
  ResyncRun& r = v.run;
  if (r.oos_sectors == 0) return;
  Log(1, v.index, "Out of sync: start=" + std::to_string(r.oos_start) + ", size=" + std::to_string(r.oos_sectors) + " (sectors)");
  r.oos_sectors = 0;
}

void ResourceImpl::CheckVerifyDone(Volume& v) {
  ResyncRun& r = v.run;
  if (!r.asked_any || r.cursor < v.bitmap->bits() || r.requests_open != 0) return;
  r.finishing = true;
  SendPing();
}

}  // namespace drbdts::core
