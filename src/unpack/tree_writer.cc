#include "unpack/tree_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace skerry::unpack {
namespace {

constexpr mode_t kImpliedMode = 0755;

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}
std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

Result<UniqueFd> open_strict(int root, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = mode;
  // SECURITY: no component may be a symbolic link, so "link -> /etc" followed by "link/passwd" ends here.
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
  if (fd < 0) return fail_errno("open");
  return UniqueFd(static_cast<int>(fd));
}

struct Times {
  timespec both[2];
};
Times times_of(const Attributes& a) {
  const timespec at{a.mtime, static_cast<long>(a.mtime_ns)};
  return {{at, at}};
}

// What exists in the way is the archive's fault, not the machine's.
std::unexpected<Error> refuse(std::string_view doing) {
  const int err = errno;
  if (err == EEXIST) return fail(ErrorCode::kInvalidArgument, "the archive has this path already");
  if (err == ELOOP) return fail(ErrorCode::kInvalidArgument, "the path leads through a symbolic link");
  if (err == ENOTDIR)
    return fail(ErrorCode::kInvalidArgument, "the path leads through something that is no directory");
  return std::unexpected(Error::from_errno(err, doing));
}

}  // namespace

Result<void> TreeWriter::count() {
  if (entries_ >= max_entries_) return fail(ErrorCode::kTooLarge, "more than {} files", max_entries_);
  ++entries_;
  return {};
}

Result<UniqueFd> TreeWriter::open_directory(const std::string& path) const {
  auto fd = open_strict(root_, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY, 0);
  if (fd) return fd;
  errno = fd.error().sys_errno();
  return refuse("open its directory");
}

// Makes one directory in an existing parent. One that is there already is fine, anything else in its place is
// not.
Result<void> TreeWriter::make_directory(const std::string& path) {
  TRY_ASSIGN(const Place at, place(path));
  if (::mkdirat(at.parent, at.name.c_str(), 0700) == 0) {
    TRY(count());
    directories_.try_emplace(path, Attributes{.mode = kImpliedMode});
    return {};
  }
  if (errno != EEXIST) return refuse("mkdir");
  struct stat existing{};
  if (::fstatat(at.parent, at.name.c_str(), &existing, AT_SYMLINK_NOFOLLOW) != 0) return refuse("stat");
  if (!S_ISDIR(existing.st_mode))
    return fail(ErrorCode::kInvalidArgument, "a directory where the archive has a file or link already");
  return {};
}

// The directory and the name in it, with the directories above made where they are missing.
Result<TreeWriter::Place> TreeWriter::place(const std::string& path) {
  const std::string parent = parent_of(path);
  if (parent.empty()) return Place{root_, name_of(path)};
  if (!cached_parent_ || cached_path_ != parent) {
    auto opened = open_directory(parent);
    if (!opened && opened.error().sys_errno() == ENOENT) {
      // Depth is bounded by unpack.cc's limit on components.
      TRY(make_directory(parent));
      opened = open_directory(parent);
    }
    if (!opened) return pass(std::move(opened).error());
    cached_parent_ = std::move(*opened);
    cached_path_ = parent;
  }
  return Place{cached_parent_.get(), name_of(path)};
}

Result<void> TreeWriter::directory(const std::string& path, const Attributes& attributes) {
  if (!path.empty()) TRY(make_directory(path));
  directories_[path] = attributes;  // the last mention wins, as with every tar
  return {};
}

Result<OpenFile> TreeWriter::file(const std::string& path, const Attributes& attributes) {
  TRY_ASSIGN(const Place at, place(path));
  TRY(count());
  auto fd = open_strict(at.parent, at.name, O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY, 0600);
  if (!fd) {
    errno = fd.error().sys_errno();
    return refuse("create");
  }
  return OpenFile{std::move(*fd), attributes};
}

Result<void> TreeWriter::finish_file(const OpenFile& file) {
  const Attributes& a = file.attributes;
  if (::fchown(file.fd.get(), a.uid, a.gid) != 0) return fail_errno("chown");
  if (::fchmod(file.fd.get(), a.mode) != 0) return fail_errno("chmod");
  if (::futimens(file.fd.get(), times_of(a).both) != 0) return fail_errno("set its time");
  return {};
}

Result<void> TreeWriter::symlink(const std::string& path, const std::string& target,
                                 const Attributes& attributes) {
  TRY_ASSIGN(const Place at, place(path));
  TRY(count());
  if (::symlinkat(target.c_str(), at.parent, at.name.c_str()) != 0) return refuse("symlink");
  if (::fchownat(at.parent, at.name.c_str(), attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("chown");
  if (::utimensat(at.parent, at.name.c_str(), times_of(attributes).both, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno("set its time");
  return {};
}

Result<void> TreeWriter::hardlink(const std::string& path, const std::string& target) {
  auto target_parent = open_directory(parent_of(target));
  struct stat found{};
  const std::string name = name_of(target);
  if (!target_parent || ::fstatat(target_parent->get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail(ErrorCode::kInvalidArgument, "hard link to `{}`, which was not unpacked before", target);
  }
  // SECURITY: a hard link to a symbolic link is followed by some tools and not by others; to a directory it
  // is not a file system any more.
  if (!S_ISREG(found.st_mode))
    return fail(ErrorCode::kInvalidArgument, "hard link to `{}`, which is no regular file", target);
  TRY_ASSIGN(const Place at, place(path));
  TRY(count());
  if (::linkat(target_parent->get(), name.c_str(), at.parent, at.name.c_str(), 0) != 0) return refuse("link");
  return {};
}

Result<void> TreeWriter::finish() {
  cached_parent_.reset();
  // Backwards in order of names: children before parents, so that a mode that shuts even us out comes last.
  for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
    const auto& [path, a] = *it;
    TRY_ASSIGN(const UniqueFd fd, open_directory(path), path);
    if (::fchown(fd.get(), a.uid, a.gid) != 0) return fail_errno("chown `{}`", path);
    if (::fchmod(fd.get(), a.mode) != 0) return fail_errno("chmod `{}`", path);
    if (::futimens(fd.get(), times_of(a).both) != 0) return fail_errno("set time of `{}`", path);
  }
  return {};
}

}  // namespace skerry::unpack
