// RegistrySettings: what the daemon's configuration says of container registries, and what of it one pull is told.
//
// Read at each ship, so that a renewed password needs no restart. SECURITY: the orders go to the standard input of the platform's own program
// (shims/image/pull.py), in a container where no code of a tenant runs, and hold the credentials of the one registry that is asked.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "build/image_reference.h"

namespace skerry {

struct RegistrySettings {
  std::string auth_file;                                     // in the form of Docker's config.json (`auths`); "" for none
  std::string ca_file;                                       // PEM, trusted beside the machine's own; "" for none
  std::vector<std::string> plain_http;                       // hosts that speak no TLS
  std::vector<std::pair<std::string, std::string>> mirrors;  // registry -> "host[:port][/prefix]" that is asked instead
};

// One JSON object for pull.py. kUnavailable names a file of the configuration that cannot be read or is malformed, never what is in it.
Result<std::string> registry_orders(const RegistrySettings& settings, const ImageReference& reference);

}  // namespace skerry
