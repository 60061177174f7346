#include "unpack/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clocale>
#include <optional>

#include "crypto/hash.h"

namespace skerry::unpack {
namespace {

constexpr size_t kReadBytes = 64 * 1024;

std::string_view name_of(mode_t type) {
  switch (type) {
    case S_IFCHR:
      return "a character device";
    case S_IFBLK:
      return "a block device";
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    default:
      return "of an unknown type";
  }
}

}  // namespace

struct ArchiveReader::Impl {
  struct Free {
    void operator()(archive* a) const { ::archive_read_free(a); }
  };

  int fd = -1;
  uint64_t max_input = 0;
  uint64_t max_output = 0;
  uint64_t input = 0;
  std::unique_ptr<char[]> buffer = std::make_unique<char[]>(kReadBytes);
  Sha256 hash;
  std::optional<Error> read_error;  // what the read callback met, in our own words
  std::unique_ptr<archive, Free> reader;

  // The next bytes of the input, hashed; 0 at its end, -1 with `read_error` set.
  ssize_t fill() {
    ssize_t n = 0;
    do {
      n = ::read(fd, buffer.get(), kReadBytes);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return read_error = Error::from_errno(errno, "read archive"), -1;
    input += static_cast<uint64_t>(n);
    // SECURITY: an input without an end (a pipe, a file that grows) does not hold this process for ever.
    if (input > max_input)
      return read_error =
                 Error(ErrorCode::kTooLarge, fmt::format("archive is longer than {} bytes", max_input)),
             -1;
    hash.update({buffer.get(), static_cast<size_t>(n)});
    return n;
  }

  static la_ssize_t on_read(archive* a, void* self_pointer, const void** out) {
    auto* const self = static_cast<Impl*>(self_pointer);
    *out = self->buffer.get();
    const ssize_t n = self->fill();
    if (n < 0) ::archive_set_error(a, EIO, "%s", "input");
    return n;
  }

  // SECURITY: a few kilobytes of gzip may inflate for hours between two headers; what went through the filter
  // is bounded as well.
  Result<void> check_output() {
    if (static_cast<uint64_t>(::archive_filter_bytes(reader.get(), 0)) > max_output) {
      return fail(ErrorCode::kTooLarge, "archive inflates to more than {} bytes", max_output);
    }
    return {};
  }

  std::unexpected<Error> failure() {
    if (read_error) return std::unexpected(*read_error);
    const char* const text = ::archive_error_string(reader.get());
    return fail(ErrorCode::kInvalidArgument, "not a usable tar archive: {}",
                text != nullptr ? text : "malformed");
  }
};

ArchiveReader::ArchiveReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ArchiveReader::ArchiveReader(ArchiveReader&&) noexcept = default;
ArchiveReader::~ArchiveReader() = default;

Result<ArchiveReader> ArchiveReader::open(int fd, uint64_t max_input, uint64_t max_output) {
  auto impl = std::make_unique<Impl>();
  impl->fd = fd;
  impl->max_input = max_input;
  impl->max_output = max_output;
  impl->reader.reset(::archive_read_new());
  archive* const a = impl->reader.get();
  if (a == nullptr) return fail(ErrorCode::kNoCapacity, "archive_read_new");
  // SECURITY: only what is named; "all" would bring parsers nobody needs, and filters that start programs.
  if (::archive_read_support_format_tar(a) != ARCHIVE_OK ||
      ::archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
      ::archive_read_support_filter_zstd(a) != ARCHIVE_OK) {
    return fail(ErrorCode::kInternal, "libarchive lacks tar, gzip or zstd");
  }
  if (::archive_read_open(a, impl.get(), nullptr, &Impl::on_read, nullptr) != ARCHIVE_OK)
    return impl->failure();
  return ArchiveReader(std::move(impl));
}

Result<bool> ArchiveReader::next(Entry& entry) {
  archive_entry* e = nullptr;
  const int status = ::archive_read_next_header(impl_->reader.get(), &e);
  TRY(impl_->check_output());
  if (status == ARCHIVE_EOF && !impl_->read_error) return false;
  // SECURITY: a warning means that a name or a header was not understood as written; guessing is how two
  // readers come to differ.
  if (status != ARCHIVE_OK) return impl_->failure();
  const char* const path = ::archive_entry_pathname(e);
  if (path == nullptr) return fail(ErrorCode::kInvalidArgument, "an entry has no usable name");
  entry = Entry{};
  entry.path = path;
  const mode_t type = ::archive_entry_filetype(e);
  if (const char* const hardlink = ::archive_entry_hardlink(e); hardlink != nullptr) {
    entry.type = EntryType::kHardlink;
    entry.link = hardlink;
  } else if (type == S_IFREG) {
    entry.type = EntryType::kFile;
  } else if (type == S_IFDIR) {
    entry.type = EntryType::kDirectory;
  } else if (type == S_IFLNK) {
    const char* const target = ::archive_entry_symlink(e);
    entry.type = EntryType::kSymlink;
    entry.link = target != nullptr ? target : "";
  } else {
    entry.other_type = name_of(type);
  }
  entry.mode = ::archive_entry_perm(e);
  entry.uid = ::archive_entry_uid(e);
  entry.gid = ::archive_entry_gid(e);
  entry.mtime = ::archive_entry_mtime_is_set(e) != 0 ? ::archive_entry_mtime(e) : 0;
  entry.mtime_ns = static_cast<uint32_t>(::archive_entry_mtime_nsec(e));
  if (::archive_entry_size_is_set(e) != 0) entry.size = ::archive_entry_size(e);
  entry.has_acl = ::archive_entry_acl_types(e) != 0;
  ::archive_entry_xattr_reset(e);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (::archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) entry.xattrs.emplace_back(name);
  return true;
}

Result<bool> ArchiveReader::read(Block& block) {
  const void* data = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  const int status = ::archive_read_data_block(impl_->reader.get(), &data, &size, &offset);
  TRY(impl_->check_output());
  if (status == ARCHIVE_EOF) return false;
  if (status != ARCHIVE_OK) return impl_->failure();
  block = Block{{static_cast<const char*>(data), size}, offset};
  return true;
}

Result<std::string> ArchiveReader::finish() {
  for (;;) {
    const ssize_t n = impl_->fill();
    if (n < 0) return impl_->failure();
    if (n == 0) return impl_->hash.finish();
  }
}

Result<void> prepare_conversions() {
  // Without a UTF-8 locale libarchive replaces what it cannot convert, so that two names could become one.
  if (std::setlocale(LC_CTYPE, "C.UTF-8") == nullptr)
    return fail(ErrorCode::kInternal, "no C.UTF-8 locale on this machine");
  archive* const a = ::archive_read_new();
  if (a == nullptr) return fail(ErrorCode::kNoCapacity, "archive_read_new");
  archive_entry* const e = ::archive_entry_new();
  ::archive_entry_update_pathname_utf8(e, "\xc3\xa9");
  const bool converted = ::archive_entry_pathname_w(e) != nullptr && ::archive_entry_pathname(e) != nullptr;
  ::archive_entry_free(e);
  ::archive_read_free(a);
  if (!converted) return fail(ErrorCode::kInternal, "libarchive does not convert UTF-8 names");
  return {};
}

}  // namespace skerry::unpack
