#include "os/file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/id.h"

namespace skerry {

Result<UniqueFd> open_at(int dirfd, const std::string& path, int flags, mode_t mode) {
  const int fd = ::openat(dirfd, path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return fail_errno("open `{}`", path);
  return UniqueFd(fd);
}

Result<UniqueFd> open_beneath(int dirfd, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, dirfd, path.c_str(), &how, sizeof how);
  if (fd < 0) return fail_errno("open `{}` beneath its directory", path);
  return UniqueFd(static_cast<int>(fd));
}

Result<std::string> read_all(int fd, size_t max_bytes) {
  std::string out;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read");
    if (n == 0) return out;
    if (out.size() + static_cast<size_t>(n) > max_bytes) return fail(ErrorCode::kTooLarge, "more than {} bytes", max_bytes);
    out.append(buffer, static_cast<size_t>(n));
  }
}

Result<std::string> read_file(int dirfd, const std::string& path, size_t max_bytes) {
  TRY_ASSIGN(const UniqueFd fd, open_at(dirfd, path, O_RDONLY | O_NOCTTY));
  TRY_ASSIGN(std::string bytes, read_all(fd.get(), max_bytes), path);
  return bytes;
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("write");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<void> write_file_atomic(int dirfd, const std::string& name, std::string_view bytes, mode_t mode) {
  const std::string temporary = fmt::format(".{}.{}.tmp", name, new_ulid());
  const auto write_temporary = [&]() -> Result<void> {
    TRY_ASSIGN(const UniqueFd fd, open_at(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
    TRY(write_all(fd.get(), bytes), temporary);
    if (::fsync(fd.get()) != 0) return fail_errno("fsync `{}`", temporary);
    if (::renameat(dirfd, temporary.c_str(), dirfd, name.c_str()) != 0) return fail_errno("rename to `{}`", name);
    return {};
  };
  if (auto done = write_temporary(); !done) {
    ::unlinkat(dirfd, temporary.c_str(), 0);
    return pass(std::move(done).error());
  }
  TRY_ASSIGN(const UniqueFd directory, open_at(dirfd, ".", O_RDONLY | O_DIRECTORY));
  if (::fsync(directory.get()) != 0) return fail_errno("fsync directory of `{}`", name);
  return {};
}

Result<void> make_directories(const std::string& path, mode_t mode) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string prefix = path.substr(0, at);
    if (!prefix.empty() && ::mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) return fail_errno("mkdir `{}`", prefix);
    if (at == std::string::npos) return {};
  }
}

Result<UniqueFd> make_sealed_memfd(const char* name, std::string_view bytes) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("memfd_create `{}`", name);
  TRY(write_all(fd.get(), bytes), name);
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return fail_errno("lseek `{}`", name);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) return fail_errno("seal `{}`", name);
  return fd;
}

Result<Pipe> make_pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, flags | O_CLOEXEC) != 0) return fail_errno("pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<void> set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return fail_errno("set O_NONBLOCK");
  return {};
}

}  // namespace skerry
