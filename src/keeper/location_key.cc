#include "keeper/location_key.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "crypto/encoding.h"
#include "crypto/hash.h"
#include "os/file.h"

namespace skerry::keeper {
namespace {

// "skerry-location-key 1 <base64 of the secret half> <first 16 hexadecimal digits of its SHA-256>\n"
constexpr std::string_view kPrefix = "skerry-location-key 1 ";
constexpr size_t kCheckDigits = 16;
constexpr size_t kMaxKeyFileBytes = 256;
constexpr char kKeyFile[] = "location.key";
constexpr char kPublicFile[] = "location.pub";

std::string check_of(std::string_view secret) {
  return hex(sha256(secret)).substr(0, kCheckDigits);
}

Result<LocationKeypair> parse(std::string text) {
  const SecretBytes wiped = SecretBytes::take_from(text);
  std::string_view rest = wiped.reveal();
  const auto corrupt = [] {
    return fail(ErrorCode::kCorrupt, "damaged, or of another version; put back its backup");
  };
  if (!rest.starts_with(kPrefix) || !rest.ends_with('\n')) return corrupt();
  rest.remove_prefix(kPrefix.size());
  rest.remove_suffix(1);
  const size_t space = rest.find(' ');
  if (space == std::string_view::npos) return corrupt();
  auto decoded = decode_base64(rest.substr(0, space));
  if (!decoded) return corrupt();
  const SecretBytes secret = SecretBytes::take_from(*decoded);
  if (rest.substr(space + 1) != check_of(secret.reveal())) return corrupt();
  return location_keypair_of(SecretBytes::copy_of(secret.reveal()));
}

Result<LocationKeypair> read_key(int directory) {
  TRY_ASSIGN(const UniqueFd fd, open_at(directory, kKeyFile, O_RDONLY | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("stat");
  if ((status.st_mode & 077) != 0) {
    return fail(ErrorCode::kForbidden,
                "others may read it (mode {:o}); chmod 600, and consider its secrets known",
                status.st_mode & 07777);
  }
  TRY_ASSIGN(std::string text, read_all(fd.get(), kMaxKeyFileBytes));
  return parse(std::move(text));
}

}  // namespace

Result<LocationKeypair> load_or_make_location_key(const std::string& directory) {
  TRY(make_directories(directory, 0711));
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  const std::string where = directory + "/" + kKeyFile;
  auto keys = read_key(fd.get());
  if (!keys && keys.error().code() == ErrorCode::kNotFound) {
    keys = make_location_keypair();
    const std::string_view secret = keys->secret_key.reveal();
    std::string text = fmt::format("{}{} {}\n", kPrefix, base64(secret), check_of(secret));
    auto written = write_file_atomic(fd.get(), kKeyFile, text, 0600);
    wipe(text);
    TRY(std::move(written), where);
  }
  if (!keys) return pass(std::move(keys).error(), where);
  const std::string public_text = base64(keys->public_key) + "\n";
  const auto present = read_file(fd.get(), kPublicFile, kMaxKeyFileBytes);
  if (!present || *present != public_text)
    TRY(write_file_atomic(fd.get(), kPublicFile, public_text, 0644), directory);
  return std::move(*keys);
}

}  // namespace skerry::keeper
