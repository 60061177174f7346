// ArchiveReader: the entries of one tar (plain, gzip or zstd) from a descriptor, and the SHA-256 of every
// byte that was read.
//
// Gives what the archive says, believing none of it: names, sizes and types are checked by unpack.cc. Errors
// of the format are kInvalidArgument with libarchive's words. The descriptor is borrowed, need not be
// seekable, and is read once from where it stands.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skerry::unpack {

enum class EntryType { kFile, kDirectory, kSymlink, kHardlink, kOther };

struct Entry {
  EntryType type = EntryType::kOther;
  std::string path;
  std::string link;        // target of a symbolic or hard link
  std::string other_type;  // with kOther, for the error: "a character device"
  uint32_t mode = 0;       // permission and set-id bits
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t mtime = 0;  // seconds
  uint32_t mtime_ns = 0;
  int64_t size = -1;                // -1: not stated
  std::vector<std::string> xattrs;  // names
  bool has_acl = false;
};

// A piece of the current file's content. What lies between pieces is a hole.
struct Block {
  std::string_view bytes;  // valid until the next call
  int64_t offset = 0;
};

class ArchiveReader {
 public:
  // Reads at most `max_input` bytes, and inflates them to at most `max_output`; beyond either is kTooLarge.
  static Result<ArchiveReader> open(int fd, uint64_t max_input, uint64_t max_output);
  ArchiveReader(ArchiveReader&&) noexcept;
  ~ArchiveReader();

  // False at the end of the archive.
  Result<bool> next(Entry& entry);
  // False at the end of the file's content.
  Result<bool> read(Block& block);
  // Reads what is left of the input behind the archive's end; then the raw SHA-256 of the whole input.
  Result<std::string> finish();

 private:
  struct Impl;
  explicit ArchiveReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Makes whatever the C library loads lazily for name conversion load now, before the filter forbids opening
// files. kInternal where the machine has no C.UTF-8 locale.
Result<void> prepare_conversions();

}  // namespace skerry::unpack
