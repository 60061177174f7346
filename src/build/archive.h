// Archives as control sees them: what an upload contains (reading only, bounded), and tars of the platform's own files (writing, deterministic).
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/result.h"

namespace skerry {

struct ArchiveListing {
  std::set<std::string> files;                    // without a leading "./"
  std::map<std::string, std::string> contents;    // of the files that were asked for, each at most kMaxManifestBytes
};
inline constexpr size_t kMaxManifestBytes = 1U << 20;

// Reads a tar, compressed with gzip or zstd or not, from the start of `fd` (its offset moves). kInvalidArgument when it is none, kTooLarge past
// CONTRACT's bounds on files and bytes.
Result<ArchiveListing> list_archive(int fd, const std::set<std::string>& wanted);

// Appends to a tar in memory: regular files, mode 0644 or 0755, owner 0, time 0.
class TarText {
 public:
  Result<void> add(const std::string& path, std::string_view bytes, bool executable = false);
  // Everything below a folder of the host, in the order of names, without those named in `skip`.
  Result<void> add_folder(const std::string& folder, const std::set<std::string>& skip);
  [[nodiscard]] std::string finish();

 private:
  std::string out_;
};

}  // namespace skerry
