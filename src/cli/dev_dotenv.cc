#include "cli/dev_dotenv.h"

#include "manifest/names.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_name(std::string_view text) {
  if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (c < '0' || c > '9')) return false;
  }
  return true;
}

char unescaped(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return c;
  }
}

// The value of `text`, which begins with its quote. Nothing but a comment may follow the closing one.
Result<std::string> quoted(std::string_view text) {
  const char quote = text.front();
  constexpr std::string_view kEscapes = "nrt\"\\$";
  std::string out;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == quote) {
      const std::string_view rest = trimmed(text.substr(i + 1));
      if (!rest.empty() && !rest.starts_with('#'))
        return fail(ErrorCode::kInvalidArgument, "something follows the closing quote");
      return out;
    }
    const bool escape = quote == '"' && text[i] == '\\' && i + 1 < text.size() &&
                        kEscapes.find(text[i + 1]) != std::string_view::npos;
    out += escape ? unescaped(text[++i]) : text[i];
  }
  return fail(ErrorCode::kInvalidArgument,
              "the quote is not closed (a value ends with its line; write \\n in double quotes for a break)");
}

std::string unquoted(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '#' && (i == 0 || is_blank(text[i - 1]))) return std::string(trimmed(text.substr(0, i)));
  }
  return std::string(text);
}

Result<void> parse_line(std::string_view line, DotEnv& into) {
  line = trimmed(line);
  if (line.empty() || line.front() == '#') return {};
  const size_t equals = line.find('=');
  std::string_view name = trimmed(line.substr(0, equals));
  if (name.starts_with("export ") || name.starts_with("export\t")) name = trimmed(name.substr(7));
  if (equals == std::string_view::npos || !is_name(name))
    return fail(ErrorCode::kInvalidArgument, "is not NAME=value");
  const std::string_view rest = trimmed(line.substr(equals + 1));
  std::string value;
  if (rest.starts_with('"') || rest.starts_with('\'')) {
    TRY_ASSIGN(value, quoted(rest), name);
  } else {
    value = unquoted(rest);
  }
  into[std::string(name)] = std::move(value);
  return {};
}

}  // namespace

Result<DotEnv> parse_dotenv(std::string_view text, std::string_view file) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  if (!manifest::is_utf8(text)) return fail(ErrorCode::kInvalidArgument, "{}: is not UTF-8 text", file);
  DotEnv out;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    TRY(parse_line(line, out), fmt::format("{} line {}", file, number));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return out;
}

Result<DotEnv> read_dotenv(const std::string& folder) {
  DotEnv out;
  for (const std::string_view name : kDotEnvNames) {
    auto text = read_file(fmt::format("{}/{}", folder, name), kMaxDotEnvBytes);
    if (!text && text.error().code() == ErrorCode::kNotFound) continue;
    if (!text) return pass(std::move(text).error());
    TRY_ASSIGN(DotEnv values, parse_dotenv(*text, name));
    for (auto& [key, value] : values) out[key] = std::move(value);
  }
  return out;
}

}  // namespace skerry::cli
