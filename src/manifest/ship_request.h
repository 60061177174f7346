// The body of POST /v1/functions/ship (docs/api.md), made from a manifest.
//
// Only what the author wrote is sent; the gateway knows the defaults, so raising one there reaches every
// function that did not choose.
#pragma once

#include <string>
#include <variant>

#include "json/json.h"
#include "manifest/manifest.h"

namespace skerry::manifest {

struct UploadSource {
  std::string digest;  // "sha256:.."
};
struct ImageSource {
  std::string reference;
};
struct CurrentSource {};  // a config-only change
using Source = std::variant<UploadSource, ImageSource, CurrentSource>;

[[nodiscard]] json::object ship_request(const Manifest& manifest, const Source& source);

}  // namespace skerry::manifest
