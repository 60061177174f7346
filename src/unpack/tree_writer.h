// TreeWriter: makes files, links and directories below one directory, and nothing anywhere else.
//
// Every path is resolved with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS), so a
// link that was unpacked is never walked through. Nothing that exists is opened for writing, truncated or
// replaced; only a directory may be named twice. Paths are relative, without "." or ".." components
// (unpack.cc cleans them). The directory must be empty and nobody else's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::unpack {

struct Attributes {
  mode_t mode = 0;  // permission bits only
  uid_t uid = 0;
  gid_t gid = 0;
  int64_t mtime = 0;
  uint32_t mtime_ns = 0;
};

// A file that is being written. Content goes to `fd`, then TreeWriter::finish_file.
struct OpenFile {
  UniqueFd fd;
  Attributes attributes;
};

class TreeWriter {
 public:
  // Borrows `root`. Made entries, those implied by a path included, are counted up to `max_entries`.
  TreeWriter(int root, uint32_t max_entries) : root_(root), max_entries_(max_entries) {}

  // A directory that is there already is given the attributes. "" is the root.
  Result<void> directory(const std::string& path, const Attributes& attributes);
  Result<OpenFile> file(const std::string& path, const Attributes& attributes);
  static Result<void> finish_file(const OpenFile& file);
  Result<void> symlink(const std::string& path, const std::string& target, const Attributes& attributes);
  // `target` must be a regular file below the root, therefore one that was unpacked before.
  Result<void> hardlink(const std::string& path, const std::string& target);
  // Sets what directories are to have in the end; until now they were ours alone, with a changing time.
  Result<void> finish();

  [[nodiscard]] uint32_t entries() const { return entries_; }

 private:
  struct Place {
    int parent;  // borrowed: root_ or cached_parent_
    std::string name;
  };
  Result<UniqueFd> open_directory(const std::string& path) const;
  Result<Place> place(const std::string& path);
  Result<void> make_directory(const std::string& path);
  Result<void> count();

  int root_;
  uint32_t max_entries_;
  uint32_t entries_ = 0;
  std::string cached_path_;  // entries come folder by folder: the last parent is usually the next one
  UniqueFd cached_parent_;
  std::map<std::string, Attributes> directories_;  // at most max_entries_ and the root
};

}  // namespace skerry::unpack
