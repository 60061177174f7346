// A TOML document as a plain tree with line numbers. The one place that knows toml++; the readers above it
// are pure.
//
// Fields keep the order of the file. Bounds: kMaxTomlBytes of text; toml++ bounds the nesting at 256.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::manifest {

inline constexpr size_t kMaxTomlBytes = 512 * 1024;  // 64 variables of 5 KB and everything else, with room

enum class TomlKind { kString, kInteger, kFloat, kBoolean, kTime, kArray, kTable };

struct TomlField;
struct TomlNode {
  TomlKind kind = TomlKind::kTable;
  uint32_t line = 0;
  std::string text;               // kString: the value; kTime, kFloat: as printed
  int64_t integer = 0;            // kInteger
  double number = 0;              // kFloat, and kInteger as well
  bool boolean = false;           // kBoolean
  std::vector<TomlNode> items;    // kArray
  std::vector<TomlField> fields;  // kTable

  [[nodiscard]] const TomlField* find(std::string_view name) const;
};
struct TomlField {
  std::string name;
  uint32_t line = 0;
  TomlNode node;
};

// "a string", "a number", ...
[[nodiscard]] std::string_view describe(TomlKind kind);
// The value as it would be written, in one line: for proposals like `A = "3"`.
[[nodiscard]] std::string printed(const TomlNode& node);

struct TomlSyntaxError {
  uint32_t line = 0;
  std::string message;
};
std::expected<TomlNode, TomlSyntaxError> parse_toml(std::string_view text);

}  // namespace skerry::manifest
