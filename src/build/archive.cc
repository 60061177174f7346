#include "build/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "contract/function_config.h"
#include "os/file.h"

namespace skerry {
namespace {
constexpr size_t kBlock = 512;
constexpr size_t kMaxShimFileBytes = 8U << 20;
}  // namespace

Result<ArchiveListing> list_archive(int fd, const std::set<std::string>& wanted) {
  if (::lseek(fd, 0, SEEK_SET) < 0) return fail_errno("lseek");
  const std::unique_ptr<archive, int (*)(archive*)> reader(::archive_read_new(), ::archive_read_free);
  ::archive_read_support_format_tar(reader.get());
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  const auto bad = [&] {
    const char* text = ::archive_error_string(reader.get());
    return fail(ErrorCode::kInvalidArgument, "the upload is not a tar: {}", text != nullptr ? text : "unknown format");
  };
  if (::archive_read_open_fd(reader.get(), fd, 65536) != ARCHIVE_OK) return bad();
  ArchiveListing listing;
  uint64_t bytes = 0;
  archive_entry* entry = nullptr;
  for (;;) {
    const int status = ::archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return bad();
    const char* raw = ::archive_entry_pathname(entry);
    std::string path = raw != nullptr ? raw : "";
    while (path.starts_with("./")) path.erase(0, 2);
    bytes += static_cast<uint64_t>(std::max<int64_t>(0, ::archive_entry_size(entry)));
    if (bytes > limits::kUnpackedBytes) return fail(ErrorCode::kTooLarge, "the project is larger than {} MB unpacked", limits::kUnpackedBytes >> 20);
    if (listing.files.size() >= limits::kUploadFiles) return fail(ErrorCode::kTooLarge, "the project has more than {} files", limits::kUploadFiles);
    if (::archive_entry_filetype(entry) != AE_IFREG) continue;
    if (wanted.contains(path)) {
      std::string text;
      char buffer[16384];
      for (la_ssize_t n; (n = ::archive_read_data(reader.get(), buffer, sizeof buffer)) > 0;) {
        if (text.size() + static_cast<size_t>(n) > kMaxManifestBytes) return fail(ErrorCode::kTooLarge, "`{}` is larger than 1 MB", path);
        text.append(buffer, static_cast<size_t>(n));
      }
      listing.contents[path] = std::move(text);
    }
    listing.files.insert(std::move(path));
  }
  if (listing.files.empty()) return fail(ErrorCode::kInvalidArgument, "the upload has no file");
  return listing;
}

Result<void> TarText::add(const std::string& path, std::string_view bytes, bool executable) {
  // ustar: a name of up to 100 bytes, or a prefix of up to 155 before a slash.
  std::string name = path, prefix;
  if (name.size() > 100) {
    const size_t slash = path.find('/', path.size() - 101);
    if (slash == std::string::npos || slash > 155) return fail(ErrorCode::kInvalidArgument, "`{}` is too long for a tar", path);
    prefix = path.substr(0, slash);
    name = path.substr(slash + 1);
  }
  char header[kBlock] = {};
  const auto put = [&](size_t at, std::string_view text) { std::memcpy(header + at, text.data(), text.size()); };
  put(0, name);
  put(100, executable ? "0000755" : "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, fmt::format("{:011o}", bytes.size()));
  put(136, "00000000000");
  put(156, "0");
  put(257, std::string_view("ustar\0" "00", 8));
  put(345, prefix);
  std::memset(header + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, fmt::format("{:06o}", sum));
  header[154] = '\0';
  out_.append(header, kBlock);
  out_ += bytes;
  out_.append((kBlock - bytes.size() % kBlock) % kBlock, '\0');
  return {};
}

Result<void> TarText::add_folder(const std::string& folder, const std::set<std::string>& skip) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(folder, error); !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (skip.contains(it->path().filename().string())) {
      it.disable_recursion_pending();
      continue;
    }
    if (it->is_regular_file(error)) paths.push_back(it->path().string());
  }
  if (error) return fail(ErrorCode::kNotFound, "`{}`: {}", folder, error.message());
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    TRY_ASSIGN(const std::string bytes, read_file(path, kMaxShimFileBytes));
    struct stat st {};
    const bool executable = ::stat(path.c_str(), &st) == 0 && (st.st_mode & 0100) != 0;
    TRY(add(path.substr(folder.size() + 1), bytes, executable));
  }
  return {};
}

std::string TarText::finish() {
  out_.append(2 * kBlock, '\0');
  return std::move(out_);
}

}  // namespace skerry
