#include "build/image_reference.h"

#include <algorithm>
#include <charconv>

namespace skerry {
namespace {

constexpr const char* kAllowed = "an image is written REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:.., such as registry.example/shop/orders:1.4";
constexpr size_t kMaxHostBytes = 253;

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_word(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > kMaxHostBytes) return false;
  while (!host.empty()) {
    const std::string_view label = host.substr(0, host.find('.'));
    const auto inside = [](char c) { return is_lower(c) || c == '-'; };
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' || !std::all_of(label.begin(), label.end(), inside)) return false;
    host.remove_prefix(label.size());
    if (host == ".") return false;
    if (!host.empty()) host.remove_prefix(1);
  }
  return true;
}

bool is_registry(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view digits = text.substr(colon + 1);
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port == 0) return false;
  }
  return is_host(text.substr(0, colon));
}

// One part between slashes: words of a-z and 0-9 with ".", "_", "__" or dashes between them.
bool is_component(std::string_view part) {
  if (part.empty() || !is_lower(part.front()) || !is_lower(part.back())) return false;
  for (size_t at = 0; at < part.size();) {
    size_t end = at;
    while (end < part.size() && !is_lower(part[end])) ++end;
    const std::string_view between = part.substr(at, end - at);
    const bool dashes = between.find_first_not_of('-') == std::string_view::npos;
    if (!dashes && between != "." && between != "_" && between != "__") return false;
    at = end + 1;
  }
  return true;
}

bool is_repository(std::string_view text) {
  if (text.size() > ImageReference::kMaxRepositoryBytes) return false;
  for (;;) {
    const size_t slash = text.find('/');
    if (!is_component(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view tag) {
  return !tag.empty() && tag.size() <= ImageReference::kMaxTagBytes && is_word(tag.front()) && std::all_of(tag.begin(), tag.end(), [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  return fail(ErrorCode::kInvalidArgument, "the image `{}` {}; {}", text.substr(0, 100), why, kAllowed);
}

}  // namespace

Result<ImageReference> ImageReference::parse(std::string_view text) {
  const std::string_view whole = text;
  if (text.size() > kMaxBytes) return refuse(whole, fmt::format("is longer than {} characters", kMaxBytes));
  if (text.find("://") != std::string_view::npos) return refuse(whole, "is a URL");
  ImageReference out;
  if (const size_t at = text.find('@'); at != std::string_view::npos) {
    auto digest = Digest::parse(text.substr(at + 1));
    if (!digest) return refuse(whole, "has something else than a sha256 digest behind its @");
    out.digest = std::move(*digest);
    text = text.substr(0, at);
  }
  const size_t slash = text.find('/');
  const std::string_view first = text.substr(0, slash);
  // As every tool tells a registry from a first folder.
  if (slash == std::string_view::npos || (first.find_first_of(".:") == std::string_view::npos && first != "localhost")) return refuse(whole, "names no registry");
  if (!is_registry(first)) return refuse(whole, fmt::format("names a registry `{}` that is no host or host:port", first.substr(0, 64)));
  out.registry = first;
  text = text.substr(slash + 1);
  if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    out.tag = text.substr(colon + 1);
    if (!is_tag(out.tag)) return refuse(whole, "has a tag that is none ([A-Za-z0-9_.-], at most 128)");
    text = text.substr(0, colon);
  }
  if (!is_repository(text)) return refuse(whole, "has a name that is none (lower case, parts of [a-z0-9] with . _ - between, at most 255)");
  out.repository = text;
  return out;
}

}  // namespace skerry
