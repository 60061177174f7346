#include "manifest/names.h"

#include <algorithm>
#include <array>
#include <vector>

namespace skerry::manifest {
namespace {

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
char to_lower(char c) {
  return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}

// Edits between two words (insert, delete, replace, swap of neighbours), without regard to case.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> previous(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const char x = to_lower(a[i - 1]);
      const char y = to_lower(b[j - 1]);
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x == y ? 0U : 1U)});
      if (i > 1 && j > 1 && x == to_lower(b[j - 2]) && to_lower(a[i - 2]) == y)
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, row);
  }
  return previous[b.size()];
}

template <typename Text>
std::optional<std::string> nearest_of(std::string_view word, std::span<const Text> candidates) {
  if (word.empty() || word.size() > kMaxWordForNearest) return std::nullopt;
  const size_t allowed = std::max<size_t>(1, (word.size() + 1) / 3);
  size_t best = allowed + 1;
  std::string_view found;
  for (const Text& candidate : candidates) {
    const std::string_view text = candidate;
    if (text.size() > kMaxWordForNearest) continue;
    const size_t edits = distance(word, text);
    if (edits < best) best = edits, found = text;
  }
  if (!found.empty()) return std::string(found);
  // "mem" for "memory": a beginning of exactly one candidate.
  if (word.size() < 3) return std::nullopt;
  for (const Text& candidate : candidates) {
    if (!std::string_view(candidate).starts_with(word)) continue;
    if (!found.empty()) return std::nullopt;
    found = candidate;
  }
  return found.empty() ? std::nullopt : std::optional<std::string>(found);
}

}  // namespace

std::string propose_function_name(std::string_view raw) {
  std::string out;
  for (const char c : raw) {
    const char l = to_lower(c);
    if (is_lower(l) || is_digit(l))
      out += l;
    else if (!out.empty() && out.back() != '-')
      out += '-';
  }
  if (!out.empty() && is_digit(out.front())) out.insert(0, "fn-");
  if (out.size() > kMaxFunctionName) {
    const size_t boundary = out.rfind('-', kMaxFunctionName);
    // A boundary in the first half would lose more of the name than it is worth.
    out.resize(boundary != std::string::npos && boundary >= kMaxFunctionName / 2 ? boundary
                                                                                 : kMaxFunctionName);
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "function" : out;
}

Result<void> check_function_name(std::string_view name) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kInvalidArgument, "`{}` cannot name a function: {}; `{}` would do",
                name.substr(0, 200), why, propose_function_name(name));
  };
  if (name.empty())
    return fail(ErrorCode::kInvalidArgument,
                "a function needs a name: 1 to {} of a-z, 0-9 and '-', beginning with a letter",
                kMaxFunctionName);
  if (name.size() > kMaxFunctionName)
    return refuse(fmt::format("{} characters, and {} is the most (it becomes part of a host name)",
                              name.size(), kMaxFunctionName));
  for (const char c : name) {
    if (!is_lower(c) && !is_digit(c) && c != '-') return refuse("only a-z, 0-9 and '-' are allowed");
  }
  if (!is_lower(name.front())) return refuse("it must begin with a letter");
  if (name.back() == '-') return refuse("it must not end with '-'");
  if (name.find("--") != std::string_view::npos)
    return refuse("'--' separates the parts of a revision's host name");
  return {};
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t length = c < 0x80                ? 1
                          : c >= 0xc2 && c < 0xe0 ? 2
                          : (c & 0xf0) == 0xe0    ? 3
                          : c >= 0xf0 && c < 0xf5 ? 4
                                                  : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t j = 1; j < length; ++j) {
      if ((static_cast<unsigned char>(text[i + j]) & 0xc0) != 0x80) return false;
    }
    const auto second = length > 2 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
        (c == 0xf4 && second > 0x8f))
      return false;
    i += length;
  }
  return true;
}

Result<void> check_env_name(std::string_view name) {
  if (name.empty()) return fail(ErrorCode::kInvalidArgument, "an environment variable needs a name");
  if (name.size() > kMaxEnvNameBytes)
    return fail(ErrorCode::kInvalidArgument, "the name has {} bytes, and {} is the most", name.size(),
                kMaxEnvNameBytes);
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (is_lower(c) || is_upper(c) || c == '_' || (i > 0 && is_digit(c))) continue;
    return fail(
        ErrorCode::kInvalidArgument,
        "`{}` cannot name an environment variable: use letters, digits and '_', not beginning with a digit",
        name);
  }
  if (name == "PORT" || name.starts_with("SKERRY_") || name.starts_with("K_")) {
    return fail(ErrorCode::kInvalidArgument,
                "`{}` is set by the platform and may not be set (PORT, SKERRY_* and K_* are reserved)", name);
  }
  return {};
}

Result<void> check_binding_name(std::string_view name) {
  if (name.empty()) return fail(ErrorCode::kInvalidArgument, "a binding needs a name");
  if (name.size() > kMaxBindingName)
    return fail(ErrorCode::kInvalidArgument, "a binding's name has at most {} characters", kMaxBindingName);
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (is_lower(c) || is_upper(c) || c == '_' || c == '$' || (i > 0 && is_digit(c))) continue;
    return fail(ErrorCode::kInvalidArgument,
                "`{}` cannot name a binding: it is an identifier in code (letters, digits, '_')", name);
  }
  return {};
}

std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> candidates) {
  return nearest_of(word, candidates);
}
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates) {
  return nearest_of(word, candidates);
}

}  // namespace skerry::manifest
