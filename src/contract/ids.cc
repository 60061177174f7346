#include "contract/ids.h"

namespace skerry {

Result<Digest> Digest::parse(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 64 ||
      text.find_first_not_of("0123456789abcdef", kPrefix.size()) != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "`{}` is not a digest (sha256: and 64 hexadecimal digits)", text.substr(0, 80));
  }
  Digest digest;
  digest.text_ = text;
  return digest;
}

Digest Digest::of_bytes(std::string_view raw32) {
  constexpr char kHex[] = "0123456789abcdef";
  Digest digest;
  digest.text_ = "sha256:";
  for (const char c : raw32) {
    digest.text_ += kHex[static_cast<unsigned char>(c) >> 4];
    digest.text_ += kHex[static_cast<unsigned char>(c) & 15];
  }
  return digest;
}

}  // namespace skerry
