#include "manifest/select.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "json/json.h"
#include "manifest/ignore.h"
#include "manifest/names.h"

namespace skerry::manifest {
namespace {

namespace fs = std::filesystem;

inline constexpr size_t kMaxIgnoreFileBytes = 1024 * 1024;
inline constexpr size_t kMaxPackageJsonBytes = 4 * 1024 * 1024;
inline constexpr size_t kLargestNamed = 3;

Error io_error(const fs::path& path, const std::error_code& ec) {
  return Error::from_errno(ec.value(), fmt::format("read `{}`", path.string()));
}

// A small text file; nothing if it does not exist.
std::optional<std::string> read_small(const fs::path& path, size_t max_bytes) {
  std::error_code ec;
  if (!fs::is_regular_file(path, ec) || fs::file_size(path, ec) > max_bytes || ec) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  if (!in) return std::nullopt;
  return std::move(out).str();
}

// A Node.js project that has no build script ships what it was built to: its dist/ is kept though its
// .gitignore names it.
bool keeps_dist(const fs::path& root) {
  const auto text = read_small(root / "package.json", kMaxPackageJsonBytes);
  if (!text) return false;
  const auto parsed = json::parse(*text);
  if (!parsed || !parsed->is_object()) return false;
  const json::value* scripts = parsed->get_object().if_contains("scripts");
  return scripts == nullptr || !scripts->is_object() || !scripts->get_object().contains("build");
}

class Walk {
 public:
  Walk(const fs::path& root, const SelectLimits& limits) : root_(root), limits_(limits) {}

  Result<Selection> run() {
    std::error_code ec;
    if (!fs::is_directory(root_, ec))
      return fail(ErrorCode::kNotFound, "`{}` is not a folder", root_.string());
    choose_ignore_file();
    keeps_dist_ = keeps_dist(root_);
    TRY(folder(root_, "", 0));
    std::sort(out_.entries.begin(), out_.entries.end(),
              [](const SelectedEntry& a, const SelectedEntry& b) { return a.path < b.path; });
    if (out_.total_bytes > limits_.unpacked_bytes) return too_large();
    return std::move(out_);
  }

 private:
  struct Scope {
    std::string prefix;  // of the folder that holds the ignore file, with '/' at the end, or ""
    IgnoreRules rules;
  };

  void choose_ignore_file() {
    for (const std::string_view name : {".skerryignore", ".dockerignore", ".gitignore"}) {
      std::error_code ec;
      if (!fs::is_regular_file(root_ / name, ec)) continue;
      out_.ignore_file = name;
      break;
    }
  }

  void enter_scope(const fs::path& directory, const std::string& prefix) {
    // .dockerignore counts at the root alone; the other two in every folder, as git does it.
    if (out_.ignore_file.empty() || (out_.ignore_file == ".dockerignore" && !prefix.empty())) return;
    const auto text = read_small(directory / out_.ignore_file, kMaxIgnoreFileBytes);
    if (!text) return;
    const auto syntax = out_.ignore_file == ".dockerignore" ? IgnoreSyntax::kDocker : IgnoreSyntax::kGit;
    scopes_.push_back({prefix, IgnoreRules::parse(*text, syntax)});
    if (scopes_.back().rules.overflowed())
      out_.warnings.push_back(
          fmt::format("{}{}: patterns past the {}th, or longer than {} bytes, are not read", prefix,
                      out_.ignore_file, kMaxIgnorePatterns, kMaxPatternBytes));
  }

  [[nodiscard]] bool ignored(const std::string& path, PathKind kind) const {
    if (keeps_dist_ && (path == "dist" || path.starts_with("dist/"))) return false;
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (!path.starts_with(scope->prefix)) continue;
      const Verdict verdict = scope->rules.verdict(std::string_view(path).substr(scope->prefix.size()), kind);
      if (verdict != Verdict::kNoMatch) return verdict == Verdict::kIgnored;
    }
    return false;
  }

  // Whether something below an ignored folder may come back (`!` in a .dockerignore).
  [[nodiscard]] bool may_come_back() const {
    return !scopes_.empty() && scopes_.front().rules.syntax() == IgnoreSyntax::kDocker &&
           scopes_.front().rules.has_exceptions();
  }

  Result<void> folder(const fs::path& directory, const std::string& prefix, size_t depth) {
    if (depth > kMaxProjectDepth)
      return fail(ErrorCode::kTooLarge, "`{}` is more than {} folders deep", prefix, kMaxProjectDepth);
    const size_t scopes_before = scopes_.size();
    enter_scope(directory, prefix);
    std::error_code ec;
    fs::directory_iterator it(directory, ec);
    if (ec) return std::unexpected(io_error(directory, ec));
    for (; it != fs::directory_iterator(); it.increment(ec)) {
      if (ec) return std::unexpected(io_error(directory, ec));
      TRY(entry(*it, prefix, depth));
    }
    scopes_.resize(scopes_before);
    return {};
  }

  Result<void> entry(const fs::directory_entry& item, const std::string& prefix, size_t depth) {
    std::error_code ec;
    const fs::file_status status = item.symlink_status(ec);
    if (ec) return std::unexpected(io_error(item.path(), ec));
    const std::string name = item.path().filename().string();
    SelectedEntry selected;
    selected.path = prefix + name;
    switch (status.type()) {
      case fs::file_type::regular:
        selected.kind = EntryKind::kFile;
        break;
      case fs::file_type::directory:
        selected.kind = EntryKind::kDirectory;
        break;
      case fs::file_type::symlink:
        selected.kind = EntryKind::kSymlink;
        break;
      default:
        if (!is_always_excluded(name, EntryKind::kFile) && !ignored(selected.path, PathKind::kFile))
          out_.warnings.push_back(
              fmt::format("`{}` is not uploaded: neither a file, a folder nor a symlink", selected.path));
        return {};
    }
    if (is_always_excluded(name, selected.kind)) return {};
    if (selected.kind == EntryKind::kDirectory) return directory_entry(item, std::move(selected), depth);
    if (ignored(selected.path, PathKind::kFile)) return {};
    return selected.kind == EntryKind::kFile ? add_file(item, status, std::move(selected))
                                             : add_symlink(item, std::move(selected));
  }

  Result<void> directory_entry(const fs::directory_entry& item, SelectedEntry selected, size_t depth) {
    const std::string prefix = selected.path + "/";
    if (!ignored(selected.path, PathKind::kDirectory)) {
      TRY(add(std::move(selected)));
      return folder(item.path(), prefix, depth + 1);
    }
    return may_come_back() ? folder(item.path(), prefix, depth + 1) : Result<void>{};
  }

  Result<void> add_file(const fs::directory_entry& item, const fs::file_status& status,
                        SelectedEntry selected) {
    std::error_code ec;
    selected.size_bytes = item.file_size(ec);
    if (ec) return std::unexpected(io_error(item.path(), ec));
    selected.executable = (status.permissions() & fs::perms::owner_exec) != fs::perms::none;
    return add(std::move(selected));
  }

  Result<void> add_symlink(const fs::directory_entry& item, SelectedEntry selected) {
    std::error_code ec;
    selected.link_target = fs::read_symlink(item.path(), ec).string();
    if (ec) return std::unexpected(io_error(item.path(), ec));
    // SECURITY: what a link outside would bring in (or read at run time) is not part of the project, and the
    // author may not know it is there.
    const bool inside =
        !resolve_inside(selected.path, selected.link_target).empty() && really_inside(item.path());
    if (!inside) {
      return fail(ErrorCode::kInvalidArgument,
                  "symlink `{}` leads out of the project, to `{}`; copy the file in, make the link relative, "
                  "or name it in .skerryignore",
                  selected.path, selected.link_target);
    }
    return add(std::move(selected));
  }

  // A lexically harmless link may pass through another link: what the kernel resolves must be inside as well.
  // Dangling links are harmless.
  [[nodiscard]] bool really_inside(const fs::path& link) const {
    std::error_code ec;
    const fs::path root = fs::canonical(root_, ec);
    if (ec) return false;
    const fs::path resolved = fs::weakly_canonical(link, ec);
    if (ec) return false;
    const auto [end, at] = std::mismatch(root.begin(), root.end(), resolved.begin(), resolved.end());
    return end == root.end();
  }

  Result<void> add(SelectedEntry selected) {
    if (!is_utf8(selected.path) || !is_utf8(selected.link_target)) {
      return fail(ErrorCode::kInvalidArgument,
                  "the name of `{}` is not UTF-8; rename it, or name it in .skerryignore", selected.path);
    }
    if (out_.entries.size() >= limits_.files) {
      return fail(ErrorCode::kTooLarge,
                  "the project has more than {} files; leave folders out by naming them in .skerryignore "
                  "(last seen: `{}`)",
                  limits_.files, selected.path);
    }
    out_.total_bytes += selected.size_bytes;
    out_.entries.push_back(std::move(selected));
    return {};
  }

  [[nodiscard]] std::unexpected<Error> too_large() const {
    std::vector<const SelectedEntry*> largest;
    for (const SelectedEntry& e : out_.entries) largest.push_back(&e);
    const size_t named = std::min(kLargestNamed, largest.size());
    std::partial_sort(largest.begin(), largest.begin() + static_cast<ptrdiff_t>(named), largest.end(),
                      [](auto* a, auto* b) { return a->size_bytes > b->size_bytes; });
    std::string list;
    for (size_t i = 0; i < named; ++i)
      list += fmt::format("{}`{}` ({:.1f} MB)", i == 0 ? "" : ", ", largest[i]->path,
                          static_cast<double>(largest[i]->size_bytes) / kMegabyte);
    return fail(ErrorCode::kTooLarge,
                "the project has {:.1f} MB, and {} MB is the most; the largest files: {}; leave out what is "
                "not needed by naming it in .skerryignore",
                static_cast<double>(out_.total_bytes) / kMegabyte, limits_.unpacked_bytes / kMegabyte, list);
  }

  fs::path root_;
  SelectLimits limits_;
  Selection out_;
  std::vector<Scope> scopes_;
  bool keeps_dist_ = false;
};

}  // namespace

std::vector<std::string> Selection::file_paths() const {
  std::vector<std::string> out;
  for (const SelectedEntry& e : entries) {
    if (e.kind != EntryKind::kDirectory) out.push_back(e.path);
  }
  return out;
}

bool is_always_excluded(std::string_view name, EntryKind kind) {
  if (name.starts_with(".env") || name == ".git" || name == ".skerry" || name == "node_modules" ||
      name == ".venv" || name == "__pycache__")
    return true;
  return kind != EntryKind::kFile && (name == "venv" || name == "target");
}

std::string resolve_inside(std::string_view path, std::string_view target) {
  if (target.empty() || target.front() == '/') return {};
  const fs::path joined = (fs::path(path).parent_path() / target).lexically_normal();
  const std::string text = joined.string();
  if (text == ".." || text.starts_with("../")) return {};
  return text;
}

Result<Selection> select_files(const std::filesystem::path& root, const SelectLimits& limits) {
  return Walk(root, limits).run();
}

}  // namespace skerry::manifest
