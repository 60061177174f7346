// Vault: secrets sealed at rest under the master key, and sealed again for a location's keeper when they are delivered.
//
// The master key is a file that only control's user may read, made at the first start. Values live in SecretBytes; nothing here logs or returns
// one in plain memory. Thread: control's loop.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "crypto/secret_bytes.h"

namespace skerry {

class Vault {
 public:
  // `directory` is control's own, 0700. kCorrupt for a key file of another size or that others can read: it is never replaced.
  static Result<Vault> open(const std::string& directory);

  // `what` binds the text to its place: a sealed value moved to another name or function does not open.
  Result<std::string> seal(const SecretBytes& value, const std::string& what) const;  // base64
  Result<SecretBytes> open_sealed(const std::string& sealed, const std::string& what) const;

 private:
  explicit Vault(SecretBytes key) : key_(std::move(key)) {}
  SecretBytes key_;
};

struct NamedSecret {
  std::string name;
  SecretBytes value;
};
// What only the keeper with that public key (base64) opens, as base64; see contract/secret_blob.h.
Result<std::string> seal_for_location(const std::string& public_key, const std::vector<NamedSecret>& secrets);

}  // namespace skerry
