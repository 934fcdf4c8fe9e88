#pragma once
// Offline work on meta-data: what drbdmeta does. The disk is locked meanwhile, so the volume must not be attached. Blocks and allocates.
#include <cstdint>
#include <string>

#include "core/meta_data.h"
#include "io/failure.h"

namespace drbdts::engine {

struct MetaLocation {
  std::string disk;
  std::string meta_disk;  // empty = internal
  core::MetaDataPlace place;
};

struct ProbeResult {
  std::string found;           // what create-md would destroy; empty = nothing known
  bool has_meta_data = false;  // v08, of this very place
  bool would_cut = false;      // internal: it reaches into the place of the meta-data
};

struct CreateOptions {
  bool force = false;
  uint32_t al_stripes = 1;
  uint32_t al_stripe_size_kb = 32;
  uint32_t peer_max_bio_size = 0;
  uint64_t device_uuid = 0;
};

struct ApplyAlResult {
  uint64_t marked_kib = 0;
  bool was_clean = false;
};

/// Looks, changes nothing.
io::Failure ProbeMetaData(const MetaLocation& at, ProbeResult& out);
/// Fresh v08 meta-data (§4.6): bitmap zero, activity log initialised, super block last. kMetaDataExists and kWouldOverwriteData unless
/// `force`; what would be cut off is never overwritten.
io::Failure CreateMetaData(const MetaLocation& at, const CreateOptions& options);
/// Text of dump-md. kUncleanMetaData unless `force`.
io::Failure DumpMetaDataText(const MetaLocation& at, bool force, std::string& out);
/// `CURRENT:BITMAP:H0:H1:c:u:p:n:f:o:x`
io::Failure GetGi(const MetaLocation& at, std::string& out);
/// Replays the activity log of a crashed Primary into the bitmap and leaves clean meta-data (§4.6, §4.7).
io::Failure ApplyActivityLog(const MetaLocation& at, ApplyAlResult& out);
/// Inconsistent, Outdated, Consistent or UpToDate.
io::Failure DiskStateOfFlags(const MetaLocation& at, std::string& out);
/// kInvalidArgument "Device is inconsistent." if it is.
io::Failure OutdateMetaData(const MetaLocation& at);
io::Failure InvalidateMetaData(const MetaLocation& at);
/// Zeroes the super block.
io::Failure WipeMetaData(const MetaLocation& at);

}  // namespace drbdts::engine
