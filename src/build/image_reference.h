// ImageReference: where a container image lies, as an author writes it: "registry.example:5000/shop/orders:1.4", or with "@sha256:..".
//
// A tenant's word that becomes part of URLs: parse() takes the grammar of the distribution protocol and nothing else (no scheme, user, query,
// percent or upper-case path). A registry is always named: what a short name would mean differs from tool to tool.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "contract/ids.h"

namespace skerry {

struct ImageReference {
  static constexpr size_t kMaxBytes = 512;
  static constexpr size_t kMaxRepositoryBytes = 255;
  static constexpr size_t kMaxTagBytes = 128;

  std::string registry;    // host, or host:port
  std::string repository;  // "shop/orders"
  std::string tag = "latest";
  std::optional<Digest> digest;  // decides, where it is there

  // kInvalidArgument says what is wrong and what is allowed.
  static Result<ImageReference> parse(std::string_view text);
  // Without the digest.
  [[nodiscard]] std::string name() const { return registry + "/" + repository + ":" + tag; }
};

}  // namespace skerry
