// Packing a project: a gzip-compressed tar in an unnamed temporary file, byte for byte the same for the same
// tree.
//
// Sorted entries, no times, no owners, modes 0644/0755: the digest depends on the names and bytes alone.
// Memory is bounded by libarchive's buffers; the disk in TMPDIR by the limit. The only place that knows
// libarchive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "manifest/select.h"

namespace skerry::cli {

struct Package {
  UniqueFd fd;  // offset not defined; read with pread
  uint64_t bytes = 0;
  std::string digest;  // "sha256:.." of the file
};

// kTooLarge past limits.compressed_bytes; kConflict when a file changes while it is read.
Result<Package> pack(const std::filesystem::path& root, const manifest::Selection& selection,
                     const manifest::SelectLimits& limits = {});

}  // namespace skerry::cli
