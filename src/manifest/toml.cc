#include "manifest/toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "manifest/tomlpp.h"

namespace skerry::manifest {
namespace {

TomlNode convert(const toml::node& node);

std::string time_text(const toml::node& node) {
  std::ostringstream out;
  if (const auto* date = node.as_date())
    out << date->get();
  else if (const auto* time = node.as_time())
    out << time->get();
  else if (const auto* both = node.as_date_time())
    out << both->get();
  return std::move(out).str();
}

std::vector<TomlField> convert_fields(const toml::table& table) {
  struct Placed {
    uint32_t line;
    uint32_t column;
    TomlField field;
  };
  std::vector<Placed> placed;
  for (const auto& [key, value] : table) {
    const toml::source_position at = key.source().begin;
    TomlField field{std::string(key.str()), static_cast<uint32_t>(at.line), convert(value)};
    placed.push_back({field.line, static_cast<uint32_t>(at.column), std::move(field)});
  }
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::vector<TomlField> fields;
  for (Placed& p : placed) fields.push_back(std::move(p.field));
  return fields;
}

TomlNode convert(const toml::node& node) {
  TomlNode out;
  out.line = static_cast<uint32_t>(node.source().begin.line);
  if (const auto* s = node.as_string()) {
    out.kind = TomlKind::kString;
    out.text = s->get();
  } else if (const auto* i = node.as_integer()) {
    out.kind = TomlKind::kInteger;
    out.integer = i->get();
    out.number = static_cast<double>(out.integer);
  } else if (const auto* f = node.as_floating_point()) {
    out.kind = TomlKind::kFloat;
    out.number = f->get();
    out.text = fmt::format("{}", out.number);
  } else if (const auto* b = node.as_boolean()) {
    out.kind = TomlKind::kBoolean;
    out.boolean = b->get();
  } else if (const auto* a = node.as_array()) {
    out.kind = TomlKind::kArray;
    for (const toml::node& item : *a) out.items.push_back(convert(item));
  } else if (const auto* t = node.as_table()) {
    out.kind = TomlKind::kTable;
    out.fields = convert_fields(*t);
  } else {
    out.kind = TomlKind::kTime;
    out.text = time_text(node);
  }
  return out;
}

// The first line that begins with '[' or '[[' and goes on with what cannot begin a key; line 1 if none does.
uint32_t line_of_bad_header(std::string_view text) {
  uint32_t line = 1;
  for (size_t at = 0; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view rest = text.substr(at, end - at);
    const auto skip = [&rest](char c) {
      while (rest.starts_with(' ') || rest.starts_with('\t')) rest.remove_prefix(1);
      const bool there = rest.starts_with(c);
      if (there) rest.remove_prefix(1);
      return there;
    };
    if (skip('[')) {
      skip('[');
      while (rest.starts_with(' ') || rest.starts_with('\t')) rest.remove_prefix(1);
      const char c = rest.empty() ? '\0' : rest.front();
      const bool begins_key = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                              c == '_' || c == '-' || c == '"' || c == '\'';
      if (!begins_key) return line;
    }
    at = end + 1;
  }
  return 1;
}

}  // namespace

const TomlField* TomlNode::find(std::string_view name) const {
  const auto at =
      std::find_if(fields.begin(), fields.end(), [&](const TomlField& f) { return f.name == name; });
  return at == fields.end() ? nullptr : &*at;
}

std::string_view describe(TomlKind kind) {
  switch (kind) {
    case TomlKind::kString:
      return "a string";
    case TomlKind::kInteger:
    case TomlKind::kFloat:
      return "a number";
    case TomlKind::kBoolean:
      return "a boolean";
    case TomlKind::kTime:
      return "a date or time";
    case TomlKind::kArray:
      return "a list";
    case TomlKind::kTable:
      return "a table";
  }
  return "something else";
}

std::string printed(const TomlNode& node) {
  switch (node.kind) {
    case TomlKind::kString:
    case TomlKind::kFloat:
    case TomlKind::kTime:
      return node.text;
    case TomlKind::kInteger:
      return fmt::format("{}", node.integer);
    case TomlKind::kBoolean:
      return node.boolean ? "true" : "false";
    case TomlKind::kArray:
      return "[...]";
    case TomlKind::kTable:
      return "{...}";
  }
  return {};
}

std::expected<TomlNode, TomlSyntaxError> parse_toml(std::string_view text) {
  if (text.size() > kMaxTomlBytes)
    return std::unexpected(TomlSyntaxError{
        0, fmt::format("the file has {} bytes, and {} is the most", text.size(), kMaxTomlBytes)});
  try {
    const toml::parse_result result = toml::parse(text);
    if (result) return convert(result.table());
    const toml::parse_error& error = result.error();
    return std::unexpected(
        TomlSyntaxError{static_cast<uint32_t>(error.source().begin.line), std::string(error.description())});
  } catch (const safe_toml::ParserGaveUp&) {
    return std::unexpected(TomlSyntaxError{line_of_bad_header(text), "a table's name is expected after '['"});
  }
}

}  // namespace skerry::manifest
