#include "build/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>

#include "os/file.h"

namespace skerry {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kMaxShimFileBytes = 8U << 20;
constexpr ArchiveBounds kShimBounds{64U << 20, 2000};
constexpr size_t kMaxTarPath = 4096;

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

Result<std::string> read_entry(archive* reader, const std::string& path) {
  std::string text;
  char buffer[16384];
  for (;;) {
    const la_ssize_t n = ::archive_read_data(reader, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0) return fail(ErrorCode::kInvalidArgument, "the archive is damaged at `{}`", path);
    if (text.size() + static_cast<size_t>(n) > kMaxManifestBytes) return fail(ErrorCode::kTooLarge, "`{}` is larger than {} MB", path, kMaxManifestBytes >> 20);
    text.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

Result<ArchiveListing> list_archive(int fd, const std::function<bool(std::string_view)>& wanted, const ArchiveBounds& bounds) {
  if (::lseek(fd, 0, SEEK_SET) < 0) return fail_errno("lseek");
  const Reader reader(::archive_read_new(), ::archive_read_free);
  if (!reader) return fail(ErrorCode::kNoCapacity, "no memory to read an archive");
  ::archive_read_support_format_tar(reader.get());
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  const auto bad = [&] {
    const char* text = ::archive_error_string(reader.get());
    return fail(ErrorCode::kInvalidArgument, "not a tar: {}", text != nullptr ? text : "unknown format");
  };
  if (::archive_read_open_fd(reader.get(), fd, 65536) != ARCHIVE_OK) return bad();
  ArchiveListing listing;
  size_t kept = 0;
  uint32_t entries = 0;
  archive_entry* entry = nullptr;
  for (;;) {
    const int status = ::archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return bad();
    const char* raw = ::archive_entry_pathname(entry);
    std::string path = raw != nullptr ? raw : "";
    while (path.starts_with("./")) path.erase(0, 2);
    listing.bytes += static_cast<uint64_t>(std::max<int64_t>(0, ::archive_entry_size(entry)));
    if (listing.bytes > bounds.bytes) return fail(ErrorCode::kTooLarge, "larger than {} MB unpacked", bounds.bytes >> 20);
    if (++entries > bounds.files) return fail(ErrorCode::kTooLarge, "more than {} files", bounds.files);
    const auto type = ::archive_entry_filetype(entry);
    if (type == AE_IFDIR || path.empty()) continue;
    if (type == AE_IFREG && ::archive_entry_hardlink(entry) == nullptr && wanted(path)) {
      TRY_ASSIGN(std::string text, read_entry(reader.get(), path));
      kept += text.size();
      if (kept > kMaxManifestsBytes) return fail(ErrorCode::kTooLarge, "the manifests are larger than {} MB together", kMaxManifestsBytes >> 20);
      listing.contents[path] = std::move(text);
    }
    listing.files.insert(std::move(path));
  }
  return listing;
}

// ---- writing

namespace {

std::string ustar(std::string_view name, uint64_t size, bool executable, char type) {
  char header[kBlock] = {};
  const auto put = [&](size_t at, std::string_view text) { std::memcpy(header + at, text.data(), text.size()); };
  put(0, name.substr(0, 100));
  put(100, executable ? "0000755" : "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, fmt::format("{:011o}", size));
  put(136, "00000000000");
  header[156] = type;
  put(257, std::string_view("ustar\0" "00", 8));
  std::memset(header + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, fmt::format("{:06o}", sum));
  header[154] = '\0';
  return {header, kBlock};
}

// "27 path=...\n", whose number counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t size = rest + 1;
  while (std::to_string(size).size() + rest != size) ++size;
  return fmt::format("{} {}={}\n", size, key, value);
}

}  // namespace

std::string tar_padding(uint64_t size) { return std::string((kBlock - size % kBlock) % kBlock, '\0'); }
std::string tar_end() { return std::string(2 * kBlock, '\0'); }

std::string tar_comment(std::string_view text) {
  const std::string record = pax_record("comment", text);
  return ustar("pax_global_header", record.size(), false, 'g') + record + tar_padding(record.size());
}

Result<std::string> tar_header(const std::string& path, uint64_t size, bool executable) {
  if (path.empty() || path.size() > kMaxTarPath) return fail(ErrorCode::kInvalidArgument, "a name of {} bytes in a tar", path.size());
  if (size >= 8ULL << 30) return fail(ErrorCode::kTooLarge, "`{}` is larger than 8 GB", path);
  std::string out;
  if (path.size() > 100) {
    const std::string record = pax_record("path", path);
    out = ustar("pax_header", record.size(), false, 'x') + record + tar_padding(record.size());
  }
  return out + ustar(path, size, executable, '0');
}

Result<void> TarText::add(const std::string& path, std::string_view bytes, bool executable) {
  TRY_ASSIGN(const std::string header, tar_header(path, bytes.size(), executable));
  out_ += header;
  out_ += bytes;
  out_ += tar_padding(bytes.size());
  return {};
}

Result<void> TarText::add_folder(const std::string& folder, const std::set<std::string>& skip, const std::string& prefix) {
  TRY_ASSIGN(const std::vector<FolderFile> files, list_folder(folder, skip, kShimBounds));
  for (const FolderFile& file : files) {
    TRY_ASSIGN(const std::string bytes, read_file(folder + "/" + file.path, kMaxShimFileBytes));
    TRY(add(prefix + file.path, bytes, file.executable));
  }
  return {};
}

std::string TarText::finish() {
  out_ += tar_end();
  return std::move(out_);
}

Result<std::vector<FolderFile>> list_folder(const std::string& folder, const std::set<std::string>& skip, const ArchiveBounds& bounds) {
  namespace fs = std::filesystem;
  std::vector<FolderFile> files;
  uint64_t bytes = 0;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (skip.contains(it->path().filename().string())) {
      it.disable_recursion_pending();
      continue;
    }
    struct stat st {};
    if (::lstat(it->path().c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
    bytes += static_cast<uint64_t>(st.st_size);
    if (files.size() >= bounds.files || bytes > bounds.bytes)
      return fail(ErrorCode::kTooLarge, "`{}` holds more than {} files or {} MB", folder, bounds.files, bounds.bytes >> 20);
    files.push_back({it->path().string().substr(folder.size() + 1), static_cast<uint64_t>(st.st_size), st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec,
                     (st.st_mode & 0100) != 0});
  }
  if (error) return fail(ErrorCode::kNotFound, "`{}`: {}", folder, error.message());
  std::sort(files.begin(), files.end(), [](const FolderFile& a, const FolderFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace skerry
