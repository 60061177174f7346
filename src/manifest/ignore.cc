#include "manifest/ignore.h"

#include <optional>

namespace skerry::manifest {
namespace {

// Matches one character against the bracket at glob[0] == '['; the length of the bracket, or nothing if it is
// not closed.
std::optional<size_t> match_bracket(std::string_view glob, char c, bool& matched) {
  size_t i = 1;
  const bool negated = i < glob.size() && (glob[i] == '!' || glob[i] == '^');
  if (negated) ++i;
  bool found = false;
  const size_t first = i;
  for (; i < glob.size(); ++i) {
    if (glob[i] == ']' && i != first) {
      matched = found != negated && c != '/';
      return i + 1;
    }
    if (glob[i] == '\\' && i + 1 < glob.size()) ++i;
    const char low = glob[i];
    if (i + 2 < glob.size() && glob[i + 1] == '-' && glob[i + 2] != ']') {
      i += 2;
      if (glob[i] == '\\' && i + 1 < glob.size()) ++i;
      if (c >= low && c <= glob[i]) found = true;
    } else if (c == low) {
      found = true;
    }
  }
  return std::nullopt;
}

// One path component against one glob component, without '/' in either. Linear with one point of return: the
// last '*'.
bool match_component(std::string_view glob, std::string_view text) {
  size_t g = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t star_text = 0;
  while (t < text.size()) {
    bool advanced = false;
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_text = t;
      continue;
    }
    if (g < glob.size() && glob[g] == '?') {
      ++g, ++t, advanced = true;
    } else if (g < glob.size() && glob[g] == '[') {
      bool matched = false;
      const auto length = match_bracket(glob.substr(g), text[t], matched);
      if (length && matched)
        g += *length, ++t, advanced = true;
      else if (!length && text[t] == '[')
        ++g, ++t, advanced = true;
    } else if (g < glob.size()) {
      const size_t literal = glob[g] == '\\' && g + 1 < glob.size() ? g + 1 : g;
      if (glob[literal] == text[t]) g = literal + 1, ++t, advanced = true;
    }
    if (advanced) continue;
    if (star == std::string_view::npos) return false;
    g = star + 1;
    t = ++star_text;
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> out;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (slash != 0) out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return out;
}

std::string_view trim_right(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  // Trailing spaces do not count unless escaped.
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t') &&
         !(line.size() >= 2 && line[line.size() - 2] == '\\'))
    line.remove_suffix(1);
  return line;
}

}  // namespace

bool glob_match(std::string_view glob, std::string_view path) {
  const std::vector<std::string_view> g = components(glob);
  const std::vector<std::string_view> p = components(path);
  // reach[j]: the globs so far match the first j components. `**` spreads it to the right, so the cost is |g|
  // * |p|, whatever the pattern.
  std::vector<char> reach(p.size() + 1, 0);
  reach[0] = 1;
  for (size_t i = 0; i < g.size(); ++i) {
    if (g[i] == "**") {
      // At the end `a/**` means what is inside `a`, not `a` itself.
      const size_t at_least = i + 1 == g.size() ? 1 : 0;
      std::vector<char> next(p.size() + 1, 0);
      for (size_t j = 0, seen = 0; j <= p.size(); ++j) {
        if (j >= at_least && reach[j - at_least]) seen = 1;
        next[j] = static_cast<char>(seen);
      }
      reach = std::move(next);
      continue;
    }
    std::vector<char> next(p.size() + 1, 0);
    for (size_t j = 1; j <= p.size(); ++j) {
      if (reach[j - 1] && match_component(g[i], p[j - 1])) next[j] = 1;
    }
    reach = std::move(next);
  }
  return reach[p.size()] != 0;
}

IgnoreRules IgnoreRules::parse(std::string_view text, IgnoreSyntax syntax) {
  IgnoreRules out;
  out.syntax_ = syntax;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = trim_right(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    if (out.patterns_.size() == kMaxIgnorePatterns || line.size() > kMaxPatternBytes) {
      out.overflowed_ = true;
      continue;
    }
    syntax == IgnoreSyntax::kGit ? out.add_git(line) : out.add_docker(line);
  }
  return out;
}

void IgnoreRules::add_git(std::string_view line) {
  Pattern pattern;
  if (line.front() == '!') {
    pattern.negated = true;
    line.remove_prefix(1);
  } else if (line.starts_with("\\!") || line.starts_with("\\#")) {
    line.remove_prefix(1);
  }
  if (!line.empty() && line.back() == '/') {
    pattern.directories_only = true;
    line.remove_suffix(1);
  }
  if (!line.empty() && line.front() == '/') {
    pattern.anchored = true;
    line.remove_prefix(1);
  }
  if (line.empty()) return;
  if (line.find('/') != std::string_view::npos) pattern.anchored = true;
  pattern.glob = pattern.anchored ? std::string(line) : "**/" + std::string(line);
  has_exceptions_ |= pattern.negated;
  patterns_.push_back(std::move(pattern));
}

void IgnoreRules::add_docker(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  Pattern pattern;
  pattern.anchored = true;
  if (!line.empty() && line.front() == '!') {
    pattern.negated = true;
    line.remove_prefix(1);
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  }
  while (line.starts_with("./")) line.remove_prefix(2);
  while (!line.empty() && line.front() == '/') line.remove_prefix(1);
  while (!line.empty() && line.back() == '/') line.remove_suffix(1);
  if (line.empty() || line == ".") return;
  pattern.glob = std::string(line);
  has_exceptions_ |= pattern.negated;
  patterns_.push_back(std::move(pattern));
}

Verdict IgnoreRules::verdict(std::string_view path, PathKind kind) const {
  Verdict out = Verdict::kNoMatch;
  for (const Pattern& pattern : patterns_) {
    bool matches =
        !(pattern.directories_only && kind != PathKind::kDirectory) && glob_match(pattern.glob, path);
    if (syntax_ == IgnoreSyntax::kDocker) {
      for (size_t slash = path.rfind('/'); !matches && slash != std::string_view::npos && slash > 0;
           slash = path.rfind('/', slash - 1)) {
        matches = glob_match(pattern.glob, path.substr(0, slash));
      }
    }
    if (matches) out = pattern.negated ? Verdict::kKept : Verdict::kIgnored;
  }
  return out;
}

}  // namespace skerry::manifest
