#include "contract/secret_blob.h"

#include <cstdint>
#include <cstring>
#include <set>

namespace skerry {
namespace {

constexpr char kVersion = 1;
constexpr size_t kHeaderBytes = 1 + sizeof(uint32_t);

char* put(char* out, std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::memcpy(out, &size, sizeof size);
  if (!text.empty()) std::memcpy(out + sizeof size, text.data(), text.size());
  return out + sizeof size + text.size();
}

bool take(std::string_view& bytes, uint32_t& value) {
  if (bytes.size() < sizeof value) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return true;
}

bool take(std::string_view& bytes, std::string_view& text, size_t max) {
  uint32_t size = 0;
  if (!take(bytes, size) || size > max || size > bytes.size()) return false;
  text = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

}  // namespace

Result<void> check_secrets(std::span<const SecretView> secrets) {
  if (secrets.size() > kMaxSecretEntries) {
    return fail(ErrorCode::kTooLarge, "{} secrets (limit {})", secrets.size(), kMaxSecretEntries);
  }
  std::set<std::string_view> names;
  for (const SecretView& secret : secrets) {
    if (secret.name.empty() || secret.name.size() > kMaxSecretNameBytes ||
        secret.name.find_first_of(std::string_view("=\0", 2)) != std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument,
                  "`{}` is no name of a secret (1 to {} bytes, without `=` and NUL)",
                  secret.name.substr(0, 80), kMaxSecretNameBytes);
    }
    if (!names.insert(secret.name).second)
      return fail(ErrorCode::kInvalidArgument, "secret `{}` is given twice", secret.name);
    if (secret.value.size() > kMaxSecretValueBytes) {
      return fail(ErrorCode::kTooLarge, "secret `{}` has {} bytes (limit {})", secret.name,
                  secret.value.size(), kMaxSecretValueBytes);
    }
    if (secret.value.find('\0') != std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, "secret `{}` has a NUL byte, which no environment can carry",
                  secret.name);
    }
  }
  return {};
}

size_t secret_blob_bytes(std::span<const SecretView> secrets) {
  size_t size = kHeaderBytes;
  for (const SecretView& secret : secrets)
    size += 2 * sizeof(uint32_t) + secret.name.size() + secret.value.size();
  return size;
}

void write_secret_blob(std::span<const SecretView> secrets, char* out) {
  *out++ = kVersion;
  const auto count = static_cast<uint32_t>(secrets.size());
  std::memcpy(out, &count, sizeof count);
  out += sizeof count;
  for (const SecretView& secret : secrets) out = put(put(out, secret.name), secret.value);
}

Result<std::vector<SecretView>> read_secret_blob(std::string_view blob) {
  if (blob.empty() || blob.front() != kVersion)
    return fail(ErrorCode::kCorrupt, "secrets of another version");
  blob.remove_prefix(1);
  uint32_t count = 0;
  if (!take(blob, count) || count > kMaxSecretEntries)
    return fail(ErrorCode::kCorrupt, "secrets: truncated or too many");
  std::vector<SecretView> secrets(count);
  for (SecretView& secret : secrets) {
    if (!take(blob, secret.name, kMaxSecretNameBytes) || !take(blob, secret.value, kMaxSecretValueBytes)) {
      return fail(ErrorCode::kCorrupt, "secrets: truncated or over their bounds");
    }
  }
  if (!blob.empty()) return fail(ErrorCode::kCorrupt, "secrets: {} bytes too many", blob.size());
  TRY(check_secrets(secrets));
  return secrets;
}

}  // namespace skerry
