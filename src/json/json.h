// JSON for configuration, the API and files: Boost.JSON behind bounds and Result.
//
// ObjectReader reads one object field by field, refuses wrong types by name and, at finish(), every field nobody asked for.
#pragma once

#include <boost/json.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skerry::json {

using boost::json::array;
using boost::json::object;
using boost::json::value;

inline constexpr size_t kMaxDepth = 32;

// Parses one document; kInvalidArgument with the position for malformed text. The caller bounds the size of `text`.
Result<value> parse(std::string_view text);
[[nodiscard]] inline std::string serialize(const value& v) { return boost::json::serialize(v); }
[[nodiscard]] inline std::string serialize(const object& v) { return boost::json::serialize(v); }

class ObjectReader {
 public:
  // `where` names the object in errors: "config". The value must outlive the reader; anything but an object makes every read fail.
  ObjectReader(const value& v, std::string where);

  // Each returns `absent` when the field is missing or null; a wrong type or a value out of bounds is remembered as the first error.
  std::string string(std::string_view key, size_t max_bytes, std::string absent = {});
  int64_t integer(std::string_view key, int64_t min, int64_t max, int64_t absent);
  bool boolean(std::string_view key, bool absent);
  std::vector<std::string> strings(std::string_view key, size_t max_count, size_t max_bytes);
  // nullptr when missing or null.
  const object* child(std::string_view key);
  const array* list(std::string_view key, size_t max_count);
  const value* any(std::string_view key);
  [[nodiscard]] bool has(std::string_view key) const;
  // Says that a field is missing or wrong.
  void refuse(std::string_view key, std::string_view why);

  // The first error, or one for the first field that nobody asked for.
  Result<void> finish();

 private:
  const value* find(std::string_view key);

  const object* object_ = nullptr;
  std::string where_;
  std::set<std::string, std::less<>> asked_;
  std::string error_;
};

}  // namespace skerry::json
