// Archives as control sees them: what an upload contains (reading only, bounded), and tars of the platform's own files (writing, deterministic).
//
// All of it blocks; what may be large is called through off_loop(). Nothing is ever unpacked here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skerry {

struct ArchiveListing {
  std::set<std::string> files;                    // regular files and links, without a leading "./"
  std::map<std::string, std::string> contents;    // of the files that were asked for
  uint64_t bytes = 0;                             // of all files
};
inline constexpr size_t kMaxManifestBytes = 8U << 20;   // a large package-lock.json is 2 MB
inline constexpr size_t kMaxManifestsBytes = 32U << 20;  // all of one project together

struct ArchiveBounds {
  uint64_t bytes = 0;
  uint32_t files = 0;
};

// Reads a tar, compressed with gzip or zstd or not, from the start of `fd` (its offset moves). kInvalidArgument when it is none, kTooLarge past
// the bounds.
Result<ArchiveListing> list_archive(int fd, const std::function<bool(std::string_view)>& wanted, const ArchiveBounds& bounds);

// The head of one regular file in a tar: mode 0644 or 0755, owner 0, time 0; a pax record in front when the name is long. Its bytes and
// tar_padding() follow.
Result<std::string> tar_header(const std::string& path, uint64_t size, bool executable);
[[nodiscard]] std::string tar_padding(uint64_t size);
[[nodiscard]] std::string tar_end();
// A comment (pax global record) to put in front of a tar: the same files for two places are two archives with two digests, because a layer is
// known by the digest of its archive alone.
[[nodiscard]] std::string tar_comment(std::string_view text);

// Appends to a tar in memory.
class TarText {
 public:
  Result<void> add(const std::string& path, std::string_view bytes, bool executable = false);
  // Everything below a folder of the host, in the order of names, without those named in `skip`; `prefix` ("" or "a/b/") goes before each name.
  Result<void> add_folder(const std::string& folder, const std::set<std::string>& skip, const std::string& prefix = {});
  [[nodiscard]] std::string finish();

 private:
  std::string out_;
};

// One regular file of a folder of the host.
struct FolderFile {
  std::string path;  // below the folder
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  bool executable = false;
};
// The regular files below `folder`, in the order of names; kTooLarge past the bounds. Symbolic links are left out, never followed.
Result<std::vector<FolderFile>> list_folder(const std::string& folder, const std::set<std::string>& skip, const ArchiveBounds& bounds);

}  // namespace skerry
