#include "keeper/scrubber.h"

#include <algorithm>
#include <cstring>

namespace skerry::keeper {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

// A value pasted with a line break at its end is printed without it; and one that began with a line break
// would hold back every line.
std::string_view trimmed(std::string_view value) {
  const size_t first = value.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return value.substr(first, value.find_last_not_of(kBlank) - first + 1);
}

std::vector<uint16_t> borders_of(std::string_view value) {
  std::vector<uint16_t> border(value.size() + 1, 0);
  size_t length = 0;
  for (size_t i = 1; i < value.size(); ++i) {
    while (length > 0 && value[i] != value[length]) length = border[length];
    if (value[i] == value[length]) ++length;
    border[i + 1] = static_cast<uint16_t>(length);
  }
  return border;
}

static_assert(kMaxSecretValueBytes < UINT16_MAX && kMaxPatterns < UINT16_MAX - 2);

}  // namespace

Patterns::Patterns(std::span<const SecretView> secrets) {
  for (const SecretView& secret : secrets) add(trimmed(secret.value), secret.name, kMinScrubbedBytes);
  for (const SecretView& secret : secrets) {
    std::string_view rest = trimmed(secret.value);
    if (rest.find('\n') == std::string_view::npos) continue;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      add(trimmed(rest.substr(0, end)), secret.name, kMinScrubbedLineBytes);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

void Patterns::add(std::string_view value, std::string_view name, size_t min_bytes) {
  if (value.size() < min_bytes || patterns_.size() >= kMaxPatterns) return;
  const auto same = [&](const Pattern& p) {
    return p.value == value;
  };  // one secret under its name and its binding
  if (std::any_of(patterns_.begin(), patterns_.end(), same)) return;
  patterns_.push_back({value, name, borders_of(value)});
}

size_t Patterns::table_bytes() const {
  size_t bytes = 0;
  for (const Pattern& p : patterns_) bytes += sizeof(Pattern) + p.border.size() * sizeof(uint16_t);
  return bytes;
}

// Extends every pattern's match over window_[from..); notes the longest value that ends at each byte.
void Scrubber::match(size_t from) {
  for (size_t n = 0; n < patterns_.patterns_.size(); ++n) {
    const Patterns::Pattern& p = patterns_.patterns_[n];
    size_t length = matched_[n];
    for (size_t i = from; i < window_.size(); ++i) {
      if (length == 0) {  // most of a log matches nothing: jump to the next byte that could begin the value
        const void* const next = std::memchr(window_.data() + i, p.value.front(), window_.size() - i);
        if (next == nullptr) break;
        i = static_cast<size_t>(static_cast<const char*>(next) - window_.data());
        length = 1;
        continue;
      }
      while (length > 0 && window_[i] != p.value[length]) length = p.border[length];
      if (window_[i] == p.value[length]) ++length;
      if (length < p.value.size()) continue;
      if (length > hits_[i].length) hits_[i] = {static_cast<uint16_t>(length), static_cast<uint16_t>(n)};
      length = p.border[length];
    }
    matched_[n] = static_cast<uint16_t>(length);
  }
}

// Joins hits that overlap. A value that began before the window (its beginning was released as a replacement)
// leaves no first byte here.
void Scrubber::mark() {
  mark_.assign(window_.size(), kPlain);
  auto begin = static_cast<ptrdiff_t>(window_.size());  // of the secret that covers the byte looked at
  uint16_t pattern = 0;
  for (auto i = static_cast<ptrdiff_t>(window_.size()) - 1; i >= 0; --i) {
    const Hit& hit = hits_[static_cast<size_t>(i)];
    if (hit.length > 0) {
      const ptrdiff_t hit_begin = i - hit.length + 1;
      if (begin > i || hit_begin < begin) {
        begin = hit_begin;
        pattern = hit.pattern;
      }
    }
    if (begin == i) {
      mark_[static_cast<size_t>(i)] = static_cast<uint16_t>(kFirstPattern + pattern);
      begin = static_cast<ptrdiff_t>(window_.size());
    } else if (begin < i) {
      mark_[static_cast<size_t>(i)] = kInside;
    }
  }
}

void Scrubber::feed(std::string_view bytes) {
  const size_t from = window_.size();
  window_.append(bytes);
  hits_.resize(window_.size());
  match(from);
  size_t hold = 0;
  for (const uint16_t length : matched_) hold = std::max<size_t>(hold, length);
  // Every value that is found from now on begins in the last `hold` bytes, so marks before them are final.
  ready_ = window_.size() - hold;
  if (ready_ > 0) mark();
}

void Scrubber::finish() {
  std::fill(matched_.begin(), matched_.end(), uint16_t{0});
  ready_ = window_.size();
  mark();
}

void Scrubber::release(std::string& out, size_t enough) {
  size_t at = 0;
  while (at < ready_ && out.size() < enough) {
    if (mark_[at] == kPlain) {
      out += window_[at];
    } else if (mark_[at] >= kFirstPattern) {
      out += "[secret ";
      out += patterns_.patterns_[mark_[at] - kFirstPattern].name;
      out += ']';
    }
    ++at;
  }
  ready_ -= at;
  window_.erase(0, at);
  hits_.erase(hits_.begin(), hits_.begin() + static_cast<ptrdiff_t>(at));
  mark_.erase(mark_.begin(), mark_.begin() + static_cast<ptrdiff_t>(at));
}

}  // namespace skerry::keeper
