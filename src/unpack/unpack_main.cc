// skerry-unpack: executed by sandboxd's filler in a user namespace of its own (uids 0..65535), without
// network.
//
//   fd 3  the archive; fd 4  the empty target directory; fd 5  where one encoded sandbox::LayerDone is
//   written skerry-unpack --digest sha256:.. --max-bytes N --max-files N [--subfolder /app] [--owner keep|fn]
//
// Exit status 0 when unpacked, 1 when the answer says why not, 2 for wrong arguments. Killed (SIGSYS,
// SIGXCPU, SIGXFSZ) is a refusal too.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <optional>
#include <span>

#include "confine/confine.h"
#include "contract/sandbox_messages.h"
#include "os/file.h"
#include "unpack/archive_reader.h"
#include "unpack/unpack.h"

namespace skerry::unpack {
namespace {

constexpr int kArchiveFd = 3;
constexpr int kTargetFd = 4;
constexpr int kResultFd = 5;
constexpr uint64_t kAddressSpace = 768ULL << 20;  // zstd's largest window that libarchive takes is 128 MB
constexpr uint64_t kCpuSeconds = 600;             // 2 GB of zstd take a few
constexpr uint64_t kOpenFiles = 32;

constexpr AllowedCall kCalls[] = {
    {SYS_read},     {SYS_write},     {SYS_pwrite64},  {SYS_ftruncate},  {SYS_openat2}, {SYS_close},
    {SYS_mkdirat},  {SYS_symlinkat}, {SYS_linkat},    {SYS_newfstatat}, {SYS_fstat},   {SYS_fchown},
    {SYS_fchownat}, {SYS_fchmod},    {SYS_utimensat}, {SYS_getdents64},
};

template <typename T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0;
}

std::optional<Options> parse_arguments(std::span<char*> arguments) {
  Options options;
  if (arguments.size() % 2 != 0) return std::nullopt;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i], value = arguments[i + 1];
    if (name == "--digest") {
      auto digest = Digest::parse(value);
      if (!digest) return std::nullopt;
      options.digest = std::move(*digest);
    } else if (name == "--subfolder") {
      options.subfolder = value;
    } else if (name == "--max-bytes") {
      if (!parse_number(value, options.max_bytes)) return std::nullopt;
    } else if (name == "--max-files") {
      if (!parse_number(value, options.max_files)) return std::nullopt;
    } else if (name == "--owner" && (value == "keep" || value == "fn")) {
      options.owner = value == "keep" ? Owner::kKeep : Owner::kFunction;
    } else {
      return std::nullopt;
    }
  }
  if (options.digest.empty() || options.max_bytes == 0 || options.max_files == 0) return std::nullopt;
  return options;
}

Result<Unpacked> confined_unpack(const Options& options) {
  TRY(prepare_conversions());
  TRY(limit_resource(RLIMIT_AS, kAddressSpace));
  TRY(limit_resource(RLIMIT_CPU, kCpuSeconds));
  TRY(limit_resource(RLIMIT_NOFILE, kOpenFiles));
  TRY(limit_resource(RLIMIT_FSIZE, options.max_bytes));
  TRY(renounce_privileges());
  TRY(allow_only(kCalls));
  return unpack(kArchiveFd, kTargetFd, options);
}

int run(std::span<char*> arguments) {
  const std::optional<Options> options = parse_arguments(arguments);
  if (!options) {
    std::fputs(
        "skerry-unpack --digest sha256:.. --max-bytes N --max-files N [--subfolder /app] [--owner keep|fn]\n",
        stderr);
    return 2;
  }
  sandbox::LayerDone answer;
  if (auto done = confined_unpack(*options); done) {
    answer.ok = true;
    answer.bytes = done->bytes;
    answer.files = done->files;
  } else {
    answer.code = static_cast<uint8_t>(done.error().code());
    answer.message = done.error().message();
  }
  if (!write_all(kResultFd, sandbox::encode(answer))) return 1;
  return answer.ok ? 0 : 1;
}

}  // namespace
}  // namespace skerry::unpack

int main(int argc, char** argv) {
  return skerry::unpack::run(std::span(argv, static_cast<size_t>(argc)).subspan(1));
}
