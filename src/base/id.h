// Ids are types: a FunctionId cannot be passed where a RevisionId is meant. The text form is what the API, logs and files show.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace skerry {

class RandomPool;

template <typename Tag>
class Id {
 public:
  Id() = default;
  explicit Id(std::string text) : text_(std::move(text)) {}
  [[nodiscard]] const std::string& str() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  std::string text_;
};

// 26 characters of Crockford base32: 48 bits of Unix milliseconds, then 80 random bits, so ids sort by creation.
// `random` gives 10 bytes. Text: [0-9a-hjkmnp-tv-z]{26}.
[[nodiscard]] std::string make_ulid(int64_t unix_ms, std::string_view random10);
// The same with the system clock and getrandom(2).
[[nodiscard]] std::string new_ulid();
[[nodiscard]] std::string new_ulid(RandomPool& random);
[[nodiscard]] bool is_ulid(std::string_view text);

}  // namespace skerry

template <typename Tag>
struct std::hash<skerry::Id<Tag>> {
  size_t operator()(const skerry::Id<Tag>& id) const noexcept { return std::hash<std::string>{}(id.str()); }
};
