// Ignore files: which paths of a project an author does not want uploaded. Pure: text in, verdicts out;
// select.h walks the disk.
//
// kGit is what git understands (.gitignore, .skerryignore): last match wins, a file below an ignored folder
// cannot come back, a pattern without an inner slash matches at any depth. kDocker is .dockerignore: every
// pattern is anchored at the root, and `!` brings back files below an ignored folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::manifest {

enum class IgnoreSyntax { kGit, kDocker };
enum class PathKind { kFile, kDirectory };
enum class Verdict { kNoMatch, kIgnored, kKept };

inline constexpr size_t kMaxIgnorePatterns = 2000;
inline constexpr size_t kMaxPatternBytes = 1024;

class IgnoreRules {
 public:
  // Patterns past the bounds are dropped; overflowed() says so.
  static IgnoreRules parse(std::string_view text, IgnoreSyntax syntax);

  // What the last matching pattern says of `path` (relative to the ignore file, no leading slash). With
  // kDocker, parents count as well.
  [[nodiscard]] Verdict verdict(std::string_view path, PathKind kind) const;
  // With kDocker an ignored folder must be walked if anything below may come back.
  [[nodiscard]] bool has_exceptions() const { return has_exceptions_; }
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  [[nodiscard]] IgnoreSyntax syntax() const { return syntax_; }

 private:
  struct Pattern {
    std::string glob;
    bool negated = false;
    bool directories_only = false;
    bool anchored = false;
  };
  void add_git(std::string_view line);
  void add_docker(std::string_view line);

  std::vector<Pattern> patterns_;
  IgnoreSyntax syntax_ = IgnoreSyntax::kGit;
  bool has_exceptions_ = false;
  bool overflowed_ = false;
};

// Shell-style match of a whole path: `*` and `?` stop at '/', `**` as a whole component spans any number of
// them, [a-z] and [!a-z], '\' escapes.
[[nodiscard]] bool glob_match(std::string_view glob, std::string_view path);

}  // namespace skerry::manifest
