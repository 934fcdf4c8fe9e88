#pragma once
// Meta-data as text, in the form that drbdmeta prints (drbd-protocol §4.6). For tools: these allocate.
#include <string>

#include "core/bitmap.h"
#include "core/meta_data.h"

namespace drbdts::core {

/// The body of `drbdmeta dump-md` from `version "v08";` to `# bits-set N;`, byte for byte as drbdmeta 9.22 prints it after its time stamp,
/// so that dumps can be compared. The bitmap is printed in whole 4 KiB pages up to the last agreed size; a `bitmap` that is larger
/// than that size shows what it holds behind the end of the device, one that is smaller shows zeros.
std::string DumpMetaData(const SuperBlock& super_block, const MetaDataLayout& layout, const Bitmap& bitmap);

/// `CURRENT:BITMAP:HISTORY0:HISTORY1:c:u:p:n:f:o:x`: identifiers as 16 upper-case hex digits, then as 0 or 1: consistent,
/// was-up-to-date, primary, connected, full-sync, peer-outdated, crashed-primary.
std::string FormatGi(const SuperBlock& super_block);

}  // namespace drbdts::core
