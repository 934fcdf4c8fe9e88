#include "engine/meta_tools.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "core/bitmap.h"
#include "core/meta_dump.h"
#include "io/disk.h"
#include "io/signatures.h"

namespace drbdts::engine {
namespace {

using core::ErrorCode;
using core::kMetaBlockBytes;
using io::Failure;

constexpr uint32_t kLockWaitMs = 500;  // udev looks at disks too, for a moment
constexpr uint64_t kPieceBytes = 1u << 20;

struct Freer {
  void operator()(uint8_t* p) const { std::free(p); }
};
using AlignedBytes = std::unique_ptr<uint8_t[], Freer>;
AlignedBytes Aligned(uint64_t bytes) {
  auto* p = static_cast<uint8_t*>(std::aligned_alloc(kMetaBlockBytes, bytes));
  if (p != nullptr) std::memset(p, 0, bytes);
  return AlignedBytes(p);
}

/// Meta-data under work.
struct Session {
  std::string place;  // path of the meta-data device, for messages
  std::unique_ptr<io::Disk> disk;
  core::MetaDataLayout layout;
  core::SuperBlock super_block;
  AlignedBytes block = Aligned(kMetaBlockBytes);

  std::span<uint8_t, kMetaBlockBytes> Block() { return std::span<uint8_t, kMetaBlockBytes>(block.get(), kMetaBlockBytes); }
  int fd() const { return disk->meta_fd(); }
};

Failure FromCore(const core::Error& error, const std::string& place) {
  const char* remedy = "";
  switch (error.code) {
    case ErrorCode::kNoMetaData: remedy = "create meta-data: drbdts create-md RESOURCE"; break;
    case ErrorCode::kWrongMetaDataVersion: remedy = "convert it with the tool that made it, or overwrite it: drbdts create-md --force RESOURCE"; break;
    case ErrorCode::kBadSuperBlock: remedy = "check that disk and meta-disk are the configured ones and have the size they had; else create-md --force"; break;
    case ErrorCode::kBadActivityLog: remedy = "the log cannot be replayed: invalidate this disk and let it resync from the peer"; break;
    case ErrorCode::kMetaDataTooSmall: remedy = "give a larger meta-disk"; break;
    case ErrorCode::kDeviceTooSmall: remedy = "give a larger disk"; break;
    case ErrorCode::kDeviceTooLarge: remedy = "set `size` or give a smaller disk: 16 TiB at most"; break;
    default: break;
  }
  return Failure{error.code, error.os_errno, place + ": " + error.detail, place, remedy};
}

Failure IoFailure(int error, const char* what, const std::string& place) {
  return io::SystemFailure(ErrorCode::kIo, error, what, place, "check the disk and the kernel's log (dmesg)");
}

Failure OpenSession(const MetaLocation& at, bool read_only, Session& session) {
  session.place = at.meta_disk.empty() ? at.disk : at.meta_disk;
  if (session.block == nullptr) return Failure{ErrorCode::kNoMemory, ENOMEM, "no memory", session.place, "free some memory"};
  Failure failure;
  session.disk = io::Disk::Open(io::DiskSpec{at.disk, at.meta_disk, at.place, kLockWaitMs, read_only}, failure);
  return failure;
}

Failure ComputePlace(const MetaLocation& at, uint32_t stripes, uint32_t stripe_size_4k, Session& session) {
  const core::DiskFacts& facts = session.disk->facts();
  auto layout = core::ComputeLayout(at.place, facts.backing_sectors, facts.meta_sectors, stripes, stripe_size_4k);
  if (!layout.ok()) return FromCore(layout.error(), session.place);
  session.layout = layout.value();
  return {};
}

Failure ReadSuperBlock(const MetaLocation& at, Session& session) {
  Failure failure = ComputePlace(at, 1, 8, session);  // the super block's own place does not depend on the stripes
  if (failure.failed()) return failure;
  const int error = io::ReadFully(session.fd(), session.block.get(), kMetaBlockBytes, session.layout.super_block_sector * core::kSectorSize);
  if (error != 0) return IoFailure(error, "cannot read meta-data of", session.place);
  auto decoded = core::DecodeSuperBlock(session.Block());
  if (!decoded.ok()) return FromCore(decoded.error(), session.place);
  session.super_block = decoded.value();
  failure = ComputePlace(at, session.super_block.al_stripes, session.super_block.al_stripe_size_4k, session);
  if (failure.failed()) return failure;
  const core::Status status = core::CheckAgainstLayout(session.super_block, session.layout);
  return status.ok() ? Failure{} : FromCore(status.error(), session.place);
}

Failure OpenAndRead(const MetaLocation& at, bool read_only, Session& session) {
  Failure failure = OpenSession(at, read_only, session);
  return failure.failed() ? failure : ReadSuperBlock(at, session);
}

Failure Sync(const Session& session) {
  return fdatasync(session.fd()) == 0 ? Failure{} : IoFailure(errno, "cannot flush", session.place);
}

Failure WriteSuperBlock(Session& session) {
  core::EncodeSuperBlock(session.super_block, session.Block());
  const int error = io::WriteFully(session.fd(), session.block.get(), kMetaBlockBytes, session.layout.super_block_sector * core::kSectorSize);
  return error == 0 ? Sync(session) : IoFailure(error, "cannot write meta-data of", session.place);
}

Failure InitialiseActivityLog(Session& session) {
  core::AlBlock empty;
  empty.initialized_only = true;
  core::EncodeAlBlock(empty, session.Block());
  for (uint64_t i = 0; i < session.layout.al_blocks; i++) {
    const uint64_t offset = session.layout.al_sector * core::kSectorSize + i * kMetaBlockBytes;
    if (const int error = io::WriteFully(session.fd(), session.block.get(), kMetaBlockBytes, offset)) {
      return IoFailure(error, "cannot write the activity log of", session.place);
    }
  }
  return Sync(session);
}

Failure ZeroBitmap(const Session& session) {
  const uint64_t offset = session.layout.bitmap_sector * core::kSectorSize;
  // Whole blocks; the last ones of a flexible meta-disk may be cut short.
  const uint64_t bytes = session.layout.bitmap_sectors * core::kSectorSize & ~uint64_t{kMetaBlockBytes - 1};
  if (fallocate(session.fd(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(bytes)) == 0) {
    return Sync(session);
  }
  const AlignedBytes zeroes = Aligned(kPieceBytes);
  if (zeroes == nullptr) return Failure{ErrorCode::kNoMemory, ENOMEM, "no memory", session.place, "free some memory"};
  for (uint64_t done = 0; done < bytes; done += kPieceBytes) {
    if (const int error = io::WriteFully(session.fd(), zeroes.get(), std::min(kPieceBytes, bytes - done), offset + done)) {
      return IoFailure(error, "cannot write the bitmap of", session.place);
    }
  }
  return Sync(session);
}

/// Bitmap in whole pages up to the last agreed size, with what lies behind the end of the device.
struct DiskBitmap {
  uint64_t pages = 0;
  std::unique_ptr<core::Bitmap> bitmap;
};

Failure LoadBitmap(Session& session, DiskBitmap& out) {
  const uint64_t room_pages = session.layout.bitmap_sectors * core::kSectorSize / core::Bitmap::kPageBytes;
  const uint64_t bits = core::BitsOfSectors(session.super_block.la_size_sect);
  out.pages = (bits + core::Bitmap::kBitsPerPage - 1) / core::Bitmap::kBitsPerPage;
  if (out.pages > room_pages || session.super_block.la_size_sect > core::kMaxDeviceSectors) {
    return Failure{ErrorCode::kBadSuperBlock, 0, session.place + ": last agreed size is larger than the bitmap has room for", session.place,
                   "check that disk and meta-disk are the configured ones; else create-md --force"};
  }
  const uint64_t sectors = out.pages * core::Bitmap::kBitsPerPage * core::kSectorsPerBlock;
  out.bitmap = std::make_unique<core::Bitmap>(std::max<uint64_t>(sectors, core::kSectorsPerBlock));
  out.bitmap->Resize(sectors, false);
  const AlignedBytes buffer = Aligned(kPieceBytes);
  if (buffer == nullptr) return Failure{ErrorCode::kNoMemory, ENOMEM, "no memory", session.place, "free some memory"};
  constexpr uint64_t kPagesPerPiece = kPieceBytes / core::Bitmap::kPageBytes;
  for (uint64_t page = 0; page < out.pages; page += kPagesPerPiece) {
    const uint64_t count = std::min(kPagesPerPiece, out.pages - page);
    const uint64_t offset = session.layout.bitmap_sector * core::kSectorSize + page * core::Bitmap::kPageBytes;
    if (const int error = io::ReadFully(session.fd(), buffer.get(), count * core::Bitmap::kPageBytes, offset)) {
      return IoFailure(error, "cannot read the bitmap of", session.place);
    }
    for (uint64_t i = 0; i < count; i++) {
      out.bitmap->LoadPage(page + i, {buffer.get() + i * core::Bitmap::kPageBytes, core::Bitmap::kPageBytes});
    }
  }
  return {};
}

Failure StoreDirtyPages(Session& session, DiskBitmap& disk_bitmap) {
  core::Bitmap& bitmap = *disk_bitmap.bitmap;
  for (uint64_t page = bitmap.NextDirty(0); page < disk_bitmap.pages; page = bitmap.NextDirty(page + 1)) {
    const auto bytes = bitmap.Page(page);
    std::memcpy(session.block.get(), bytes.data(), bytes.size());
    const uint64_t offset = session.layout.bitmap_sector * core::kSectorSize + page * core::Bitmap::kPageBytes;
    if (const int error = io::WriteFully(session.fd(), session.block.get(), core::Bitmap::kPageBytes, offset)) {
      return IoFailure(error, "cannot write the bitmap of", session.place);
    }
    bitmap.MarkClean(page);
  }
  return Sync(session);
}

struct MarkContext {
  core::Bitmap* bitmap;
  uint64_t extents;
};
void MarkExtent(void* context, uint32_t extent) {
  const auto* mark = static_cast<MarkContext*>(context);
  if (extent < mark->extents) mark->bitmap->SetBits(uint64_t{extent} * core::kBitsPerAlExtent, core::kBitsPerAlExtent);
}

Failure ReplayIntoBitmap(Session& session, uint64_t& marked_kib) {
  const uint64_t ring_bytes = session.layout.al_blocks * kMetaBlockBytes;
  const AlignedBytes ring = Aligned(ring_bytes);
  if (ring == nullptr) return Failure{ErrorCode::kNoMemory, ENOMEM, "no memory", session.place, "free some memory"};
  if (const int error = io::ReadFully(session.fd(), ring.get(), ring_bytes, session.layout.al_sector * core::kSectorSize)) {
    return IoFailure(error, "cannot read the activity log of", session.place);
  }
  DiskBitmap disk_bitmap;
  Failure failure = LoadBitmap(session, disk_bitmap);
  if (failure.failed()) return failure;
  const uint64_t before = disk_bitmap.bitmap->set_count();
  std::vector<uint32_t> slots(core::kAlExtentsMax + 1);
  MarkContext context{disk_bitmap.bitmap.get(), disk_bitmap.pages * core::Bitmap::kBitsPerPage / core::kBitsPerAlExtent};
  auto replay = core::ReplayActivityLog({ring.get(), ring_bytes}, slots, MarkExtent, &context);
  if (!replay.ok()) return FromCore(replay.error(), session.place);
  marked_kib = (disk_bitmap.bitmap->set_count() - before) * (core::kBlockSize / 1024);
  return marked_kib == 0 ? Failure{} : StoreDirtyPages(session, disk_bitmap);
}

ProbeResult Probe(const MetaLocation& at, Session& session) {
  ProbeResult result;
  const core::DiskFacts& facts = session.disk->facts();
  const auto read = [&](uint64_t offset, std::span<uint8_t> out) { return io::ReadFully(session.fd(), out.data(), out.size(), offset) == 0; };
  const Failure failure = ReadSuperBlock(at, session);
  result.has_meta_data = !failure.failed();
  if (failure.code == ErrorCode::kWrongMetaDataVersion) result.found = "DRBD meta-data of another version (" + failure.detail + ")";
  const bool internal = at.place.kind == core::MetaDataPlace::Kind::kInternal;
  // A slot other than the first of an indexed meta-disk does not touch what lies at the start.
  if (!internal && (result.has_meta_data || at.place.index != 0)) return result;
  const io::Signature signature = io::FindSignature(facts.meta_sectors * core::kSectorSize, read);
  if (signature.name.empty()) return result;
  result.found = signature.name;
  if (internal) {
    const uint64_t usable_bytes = session.layout.usable_sectors * core::kSectorSize;
    result.would_cut = signature.used_bytes == 0 || signature.used_bytes > usable_bytes;
  }
  return result;
}

}  // namespace

Failure ProbeMetaData(const MetaLocation& at, ProbeResult& out) {
  Session session;
  Failure failure = OpenSession(at, true, session);
  if (!failure.failed()) failure = ComputePlace(at, 1, 8, session);
  if (!failure.failed()) out = Probe(at, session);
  return failure;
}

Failure CreateMetaData(const MetaLocation& at, const CreateOptions& options) {
  Session session;
  Failure failure = OpenSession(at, false, session);
  if (failure.failed()) return failure;
  const uint32_t stripe_size_4k = options.al_stripe_size_kb / 4;
  if (options.al_stripe_size_kb % 4 != 0 || options.al_stripe_size_kb == 0 || options.al_stripes == 0) {
    return Failure{ErrorCode::kInvalidArgument, EINVAL, "activity log stripes: at least one, of a multiple of 4 KiB", session.place,
                   "leave al-stripes and al-stripe-size-kB out for one stripe of 32 KiB"};
  }
  failure = ComputePlace(at, options.al_stripes, stripe_size_4k, session);
  if (failure.failed()) return failure;
  const core::MetaDataLayout wanted = session.layout;
  const ProbeResult found = Probe(at, session);
  session.layout = wanted;
  const uint64_t usable_kib = wanted.usable_sectors / 2;
  if (found.would_cut) {
    return Failure{ErrorCode::kWouldOverwriteData, 0,
                   at.disk + " holds " + found.found + " that reaches into the place of the meta-data; only " + std::to_string(usable_kib) +
                       " KiB would remain",
                   at.disk, "use an external meta-disk, shrink it to that size first, or wipe it if it is not needed (wipefs -a " + at.disk + ")"};
  }
  if (!options.force && found.has_meta_data) {
    return Failure{ErrorCode::kMetaDataExists, EEXIST, session.place + " has meta-data already", session.place,
                   "keep it, or overwrite it (the next connection is a full sync): create-md --force"};
  }
  if (!options.force && !found.found.empty()) {
    return Failure{ErrorCode::kWouldOverwriteData, 0, session.place + " holds " + found.found, session.place,
                   "check that it is the right disk; to go on nevertheless: create-md --force"};
  }
  session.super_block = core::FreshSuperBlock(wanted, options.device_uuid, options.peer_max_bio_size, options.al_stripes, stripe_size_4k);
  failure = ZeroBitmap(session);
  if (!failure.failed()) failure = InitialiseActivityLog(session);
  if (!failure.failed()) failure = WriteSuperBlock(session);
  return failure;
}

Failure DumpMetaDataText(const MetaLocation& at, bool force, std::string& out) {
  Session session;
  Failure failure = OpenAndRead(at, true, session);
  if (failure.failed()) return failure;
  if (!session.super_block.clean() && !force) {
    return Failure{ErrorCode::kUncleanMetaData, 0, "Found meta data is \"unclean\", please apply-al first", session.place,
                   "drbdts apply-al RESOURCE, or dump-md --force to look at it as it is"};
  }
  DiskBitmap disk_bitmap;
  failure = LoadBitmap(session, disk_bitmap);
  if (!failure.failed()) out = core::DumpMetaData(session.super_block, session.layout, *disk_bitmap.bitmap);
  return failure;
}

Failure GetGi(const MetaLocation& at, std::string& out) {
  Session session;
  Failure failure = OpenAndRead(at, true, session);
  if (!failure.failed()) out = core::FormatGi(session.super_block);
  return failure;
}

Failure ApplyActivityLog(const MetaLocation& at, ApplyAlResult& out) {
  Session session;
  Failure failure = OpenAndRead(at, false, session);
  if (failure.failed()) return failure;
  core::SuperBlock& super_block = session.super_block;
  out.was_clean = super_block.clean();
  if (out.was_clean) return {};
  if ((super_block.flags & core::kMdPrimaryInd) != 0) failure = ReplayIntoBitmap(session, out.marked_kib);
  // The bitmap is on disk by now; only then may the log forget.
  if (!failure.failed()) failure = InitialiseActivityLog(session);
  if (failure.failed()) return failure;
  super_block.flags |= core::kMdAlClean;
  super_block.magic = core::kMdMagicV08;
  return WriteSuperBlock(session);
}

Failure DiskStateOfFlags(const MetaLocation& at, std::string& out) {
  Session session;
  Failure failure = OpenAndRead(at, true, session);
  if (failure.failed()) return failure;
  const uint32_t flags = session.super_block.flags;
  if ((flags & core::kMdConsistent) == 0) {
    out = "Inconsistent";
  } else if ((flags & core::kMdWasUpToDate) == 0) {
    out = "Outdated";
  } else {
    out = (flags & core::kMdPeerOutdated) != 0 ? "UpToDate" : "Consistent";
  }
  return {};
}

Failure OutdateMetaData(const MetaLocation& at) {
  Session session;
  Failure failure = OpenAndRead(at, false, session);
  if (failure.failed()) return failure;
  if ((session.super_block.flags & core::kMdConsistent) == 0) {
    return Failure{ErrorCode::kInvalidArgument, 0, "Device is inconsistent.", session.place, "nothing to do: an Inconsistent disk is not used anyway"};
  }
  session.super_block.flags &= ~core::kMdWasUpToDate;
  return WriteSuperBlock(session);
}

Failure InvalidateMetaData(const MetaLocation& at) {
  Session session;
  Failure failure = OpenAndRead(at, false, session);
  if (failure.failed()) return failure;
  session.super_block.flags = (session.super_block.flags & ~(core::kMdConsistent | core::kMdWasUpToDate)) | core::kMdFullSync;
  failure = WriteSuperBlock(session);
  if (failure.failed() || session.super_block.clean()) return failure;
  // Everything is resynced, so what the activity log of a crashed Primary says, readable or not, no longer matters.
  failure = InitialiseActivityLog(session);
  if (failure.failed()) return failure;
  session.super_block.flags = (session.super_block.flags & ~(core::kMdPrimaryInd | core::kMdCrashedPrimary)) | core::kMdAlClean;
  session.super_block.magic = core::kMdMagicV08;
  return WriteSuperBlock(session);
}

Failure WipeMetaData(const MetaLocation& at) {
  Session session;
  Failure failure = OpenSession(at, false, session);
  if (!failure.failed()) failure = ReadSuperBlock(at, session);
  if (failure.failed() && failure.code != ErrorCode::kBadSuperBlock && failure.code != ErrorCode::kWrongMetaDataVersion) return failure;
  std::memset(session.block.get(), 0, kMetaBlockBytes);
  const int error = io::WriteFully(session.fd(), session.block.get(), kMetaBlockBytes, session.layout.super_block_sector * core::kSectorSize);
  return error == 0 ? Sync(session) : IoFailure(error, "cannot write meta-data of", session.place);
}

}  // namespace drbdts::engine
