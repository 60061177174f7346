#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "contract/ids.h"
#include "crypto/hash.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

using ArchivePtr = std::unique_ptr<archive, decltype(&archive_write_free)>;
using EntryPtr = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;

inline constexpr size_t kReadBytes = 256 * 1024;

Result<UniqueFd> temporary_file() {
  const char* wanted = std::getenv("TMPDIR");
  const std::string folder = wanted != nullptr && *wanted == '/' ? wanted : "/tmp";
  if (auto fd = open_at(AT_FDCWD, folder, O_TMPFILE | O_RDWR, 0600)) return fd;
  // Some file systems have no O_TMPFILE.
  std::string name = folder + "/skerry-upload-XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return fail_errno("make a temporary file in `{}`", folder);
  ::unlink(name.c_str());
  return UniqueFd(fd);
}

Result<std::string> digest_of(int fd) {
  Sha256 sum;
  const std::unique_ptr<char[]> buffer(new char[kReadBytes]);
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(fd, buffer.get(), kReadBytes, at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read the archive");
    if (n == 0) return Digest::of_bytes(sum.finish()).str();
    sum.update({buffer.get(), static_cast<size_t>(n)});
    at += n;
  }
}

class Packer {
 public:
  Packer(archive* out, int root_fd) : out_(out), root_fd_(root_fd), buffer_(new char[kReadBytes]) {}

  Result<void> add(const manifest::SelectedEntry& selected) {
    const EntryPtr entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), selected.path.c_str());
    archive_entry_set_mtime(entry.get(), 0, 0);
    archive_entry_set_uid(entry.get(), 0);
    archive_entry_set_gid(entry.get(), 0);
    switch (selected.kind) {
      case manifest::EntryKind::kDirectory:
        archive_entry_set_filetype(entry.get(), AE_IFDIR);
        archive_entry_set_perm(entry.get(), 0755);
        return header(entry.get(), selected);
      case manifest::EntryKind::kSymlink:
        archive_entry_set_filetype(entry.get(), AE_IFLNK);
        archive_entry_set_perm(entry.get(), 0777);
        archive_entry_set_symlink(entry.get(), selected.link_target.c_str());
        return header(entry.get(), selected);
      case manifest::EntryKind::kFile:
        break;
    }
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), selected.executable ? 0755 : 0644);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(selected.size_bytes));
    TRY(header(entry.get(), selected));
    return content(selected);
  }

 private:
  [[nodiscard]] std::unexpected<Error> broken(const manifest::SelectedEntry& selected) const {
    const char* text = archive_error_string(out_);
    return fail(ErrorCode::kIo, "pack `{}`: {}", selected.path, text == nullptr ? "unknown" : text);
  }

  Result<void> header(archive_entry* entry, const manifest::SelectedEntry& selected) {
    if (archive_write_header(out_, entry) != ARCHIVE_OK) return broken(selected);
    return {};
  }

  Result<void> content(const manifest::SelectedEntry& selected) {
    // SECURITY: between the walk and now a name may have become a symlink to something that was never
    // selected.
    TRY_ASSIGN(const UniqueFd fd, open_beneath(root_fd_, selected.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    uint64_t left = selected.size_bytes;
    for (;;) {
      const ssize_t n = ::read(fd.get(), buffer_.get(), kReadBytes);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("read `{}`", selected.path);
      if (n == 0) break;
      if (static_cast<uint64_t>(n) > left) return changed(selected);
      left -= static_cast<uint64_t>(n);
      if (archive_write_data(out_, buffer_.get(), static_cast<size_t>(n)) != n) return broken(selected);
    }
    return left == 0 ? Result<void>{} : changed(selected);
  }

  static std::unexpected<Error> changed(const manifest::SelectedEntry& selected) {
    return fail(ErrorCode::kConflict,
                "`{}` changed while it was packed; try again when nothing writes to the project",
                selected.path);
  }

  archive* out_;
  int root_fd_;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace

Result<Package> pack(const std::filesystem::path& root, const manifest::Selection& selection,
                     const manifest::SelectLimits& limits) {
  TRY_ASSIGN(const UniqueFd root_fd, open_at(AT_FDCWD, root.string(), O_RDONLY | O_DIRECTORY));
  Package package;
  TRY_ASSIGN(package.fd, temporary_file());
  const ArchivePtr out(archive_write_new(), archive_write_free);
  archive_write_set_format_pax_restricted(out.get());  // plain ustar wherever it suffices
  archive_write_add_filter_gzip(out.get());
  // The gzip header has no time in it, so that the same tree is the same bytes tomorrow.
  if (archive_write_set_options(out.get(), "gzip:!timestamp,gzip:compression-level=6") != ARCHIVE_OK ||
      archive_write_open_fd(out.get(), package.fd.get()) != ARCHIVE_OK) {
    return fail(ErrorCode::kIo, "open the archive: {}", archive_error_string(out.get()));
  }
  Packer packer(out.get(), root_fd.get());
  for (const manifest::SelectedEntry& entry : selection.entries) TRY(packer.add(entry));
  if (archive_write_close(out.get()) != ARCHIVE_OK)
    return fail(ErrorCode::kIo, "finish the archive: {}", archive_error_string(out.get()));
  struct stat info{};
  if (::fstat(package.fd.get(), &info) != 0) return fail_errno("stat the archive");
  package.bytes = static_cast<uint64_t>(info.st_size);
  if (package.bytes > limits.compressed_bytes) {
    return fail(ErrorCode::kTooLarge,
                "the project is {:.1f} MB compressed, and {} MB is the most; leave out what is not needed by "
                "naming it in .skerryignore",
                static_cast<double>(package.bytes) / manifest::kMegabyte,
                limits.compressed_bytes / manifest::kMegabyte);
  }
  TRY_ASSIGN(package.digest, digest_of(package.fd.get()));
  return package;
}

}  // namespace skerry::cli
