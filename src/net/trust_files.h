// A certificate authority in the forms in which programs look for one: under the name that OpenSSL looks up, and in a Java trust store.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace skerry {

// "1a2b3c4d.0": its file in a folder such as /etc/ssl/certs.
Result<std::string> hashed_certificate_name(const std::string& pem);
// A JKS trust store with the first certificate of `pem` added, under `alias`. Java's usual password ("changeit") seals it, as before. kInvalidArgument for what is no
// JKS store.
Result<std::string> java_trust_store_with(std::string_view store, const std::string& pem, std::string_view alias);

}  // namespace skerry
