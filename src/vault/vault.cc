#include "vault/vault.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "contract/secret_blob.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "crypto/seal.h"
#include "os/file.h"

namespace skerry {
namespace {
constexpr const char* kKeyName = "master.key";
}

Result<Vault> Vault::open(const std::string& directory) {
  TRY_ASSIGN(const UniqueFd folder, open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
  auto file = open_at(folder.get(), kKeyName, O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().code() == ErrorCode::kNotFound) {
    SecretBytes key = random_secret(kBoxKeyBytes);
    TRY(write_file_atomic(folder.get(), kKeyName, key.reveal(), 0600), "master key");
    return Vault(std::move(key));
  }
  if (!file) return pass(std::move(file).error(), "master key");
  struct stat st {};
  if (::fstat(file->get(), &st) != 0) return fail_errno("stat master key");
  // SECURITY: a key that others could have read is no secret any more; saying so is better than going on.
  if ((st.st_mode & 077) != 0) return fail(ErrorCode::kCorrupt, "{}/{} can be read by others (mode {:o}): restore 0600, and set the secrets again", directory, kKeyName, st.st_mode & 0777);
  TRY_ASSIGN(std::string bytes, read_all(file->get(), 4096), "master key");
  if (bytes.size() != kBoxKeyBytes) return fail(ErrorCode::kCorrupt, "{}/{} has {} bytes, not {}", directory, kKeyName, bytes.size(), kBoxKeyBytes);
  return Vault(SecretBytes::take_from(bytes));
}

Result<std::string> Vault::seal(const SecretBytes& value, const std::string& what) const {
  TRY_ASSIGN(const std::string box, secret_box(key_, value.reveal(), what));
  return base64(box);
}

Result<SecretBytes> Vault::open_sealed(const std::string& sealed, const std::string& what) const {
  TRY_ASSIGN(const std::string box, decode_base64(sealed), what);
  TRY_ASSIGN(SecretBytes value, open_secret_box(key_, box, what), what);
  return value;
}

Result<std::string> seal_for_location(const std::string& public_key, const std::vector<NamedSecret>& secrets) {
  TRY_ASSIGN(const std::string key, decode_base64(public_key), "location key");
  std::vector<SecretView> views;
  for (const NamedSecret& s : secrets) views.push_back({s.name, s.value.reveal()});
  TRY(check_secrets(views));
  SecretBytes blob(secret_blob_bytes(views));
  write_secret_blob(views, blob.data());
  TRY_ASSIGN(const std::string sealed, seal_to_location(key, blob.reveal()));
  return base64(sealed);
}

}  // namespace skerry
