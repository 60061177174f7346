// The ids that cross rooms and processes, and the content digest.
#pragma once

#include <string>
#include <string_view>

#include "base/id.h"
#include "base/result.h"

namespace skerry {

using OrgId = Id<struct OrgTag>;
using FunctionId = Id<struct FunctionTag>;
using RevisionId = Id<struct RevisionTag>;
using InstanceId = Id<struct InstanceTag>;  // a ULID; also the name of the instance's cgroup and socket
using LocationId = Id<struct LocationTag>;

// "sha256:" and 64 lower-case hexadecimal digits. As a file name: hex() alone, which cannot leave a directory.
class Digest {
 public:
  Digest() = default;
  static Result<Digest> parse(std::string_view text);
  static Digest of_bytes(std::string_view raw32);  // the 32 bytes of a SHA-256
  [[nodiscard]] const std::string& str() const { return text_; }
  [[nodiscard]] std::string hex() const { return text_.empty() ? std::string() : text_.substr(7); }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  auto operator<=>(const Digest&) const = default;

 private:
  std::string text_;
};

}  // namespace skerry

template <>
struct std::hash<skerry::Digest> {
  size_t operator()(const skerry::Digest& digest) const noexcept { return std::hash<std::string>{}(digest.str()); }
};
