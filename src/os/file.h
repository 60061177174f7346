// Files by directory descriptor: bounded reads, atomic writes. All descriptors are close-on-exec.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry {

// openat(2) with O_CLOEXEC added. `dirfd` may be AT_FDCWD.
Result<UniqueFd> open_at(int dirfd, const std::string& path, int flags, mode_t mode = 0);

// Opens `path` below `dirfd` so that no component, symlink or magic link leads out of it (openat2 RESOLVE_BENEATH).
// SECURITY: for every path below a directory that a tenant's bytes made.
Result<UniqueFd> open_beneath(int dirfd, const std::string& path, int flags, mode_t mode = 0);

// Reads to the end of `fd`; over `max_bytes` is kTooLarge.
Result<std::string> read_all(int fd, size_t max_bytes);
Result<std::string> read_file(int dirfd, const std::string& path, size_t max_bytes);
inline Result<std::string> read_file(const std::string& path, size_t max_bytes) { return read_file(-100 /* AT_FDCWD */, path, max_bytes); }

// Writes all of `bytes` (EINTR and short writes handled).
Result<void> write_all(int fd, std::string_view bytes);

// Writes a file that is either the old or the whole new one after a crash: temporary name, fsync, rename, fsync of the directory.
Result<void> write_file_atomic(int dirfd, const std::string& name, std::string_view bytes, mode_t mode);

// mkdir -p with `mode` for what it makes; an existing directory is fine.
Result<void> make_directories(const std::string& path, mode_t mode);

// An anonymous file of `bytes`, sealed against any change (memfd_create + F_SEAL_*), offset 0.
Result<UniqueFd> make_sealed_memfd(const char* name, std::string_view bytes);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
Result<Pipe> make_pipe(int flags = 0);  // O_CLOEXEC is added

Result<void> set_nonblocking(int fd);

}  // namespace skerry
