#include "cli/project.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "json/json.h"
#include "manifest/names.h"
#include "manifest/toml.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;

inline constexpr size_t kMaxLinkBytes = 64 * 1024;
inline constexpr size_t kMaxFuncYamlBytes = 256 * 1024;

void report(Project& project, manifest::Severity severity, std::string file, std::string message,
            std::string fix = {}) {
  project.parsed.diagnostics.push_back(
      {severity, std::move(file), 0, "", std::move(message), std::move(fix)});
}

Outcome<> read_manifest(Project& project) {
  std::vector<std::string> found;
  std::error_code ec;
  for (const std::string_view name : manifest::kManifestNames) {
    if (fs::is_regular_file(project.root / name, ec)) found.emplace_back(name);
  }
  if (found.empty()) return {};
  project.manifest_name = found.front();
  TRY_ASSIGN(const std::string text,
             read_file((project.root / found.front()).string(), manifest::kMaxTomlBytes));
  project.parsed = manifest::parse_manifest(text, project.manifest_name);
  if (found.size() > 1)
    report(project, manifest::Severity::kWarning, found.front(),
           fmt::format("is used; {} is there as well and is not read", found[1]));
  return {};
}

// Knative Functions name the function in func.yaml: `name: orders` at the beginning of a line.
std::string name_of_func_yaml(const fs::path& root) {
  const auto text = read_file((root / "func.yaml").string(), kMaxFuncYamlBytes);
  if (!text) return {};
  size_t at = text->starts_with("name:") ? 0 : text->find("\nname:");
  if (at == std::string::npos) return {};
  at = text->find(':', at) + 1;
  std::string name = text->substr(at, text->find('\n', at) - at);
  const auto quote = [](char c) { return c == ' ' || c == '"' || c == '\'' || c == '\r'; };
  while (!name.empty() && quote(name.front())) name.erase(0, 1);
  while (!name.empty() && quote(name.back())) name.pop_back();
  return name;
}

void name_function(Project& project, const ProjectOptions& options) {
  manifest::Manifest& m = project.parsed.manifest;
  if (!options.name.empty()) {
    m.func_name = options.name;
    project.name_from = "--name";
  } else if (!m.func_name.empty()) {
    project.name_from = project.manifest_name;
  } else if (manifest::has_errors(project.parsed.diagnostics)) {
    return;  // the name may be what is wrong
  } else if (const std::string yaml = name_of_func_yaml(project.root); !yaml.empty()) {
    m.func_name = yaml;
    project.name_from = "func.yaml";
  } else {
    std::error_code ec;
    m.func_name = manifest::propose_function_name(fs::canonical(project.root, ec).filename().string());
    project.name_from = "the folder's name";
    report(project, manifest::Severity::kWarning,
           project.manifest_name.empty() ? project.root.string() : project.manifest_name,
           fmt::format("names no function; `{}` is taken from the folder", m.func_name),
           "write func_name under [edge_compute] in func.toml, or use --name");
  }
  m.func_name += options.name_suffix;
  if (const auto ok = manifest::check_function_name(m.func_name); !ok)
    report(project, manifest::Severity::kError, project.name_from, ok.error().message());
}

// `skerry dev > dev.log` in the project: the file grows with every word this program says, so shipping it
// would never end.
void leave_out_own_output(Project& project) {
  std::vector<manifest::SelectedEntry>& entries = project.selection.entries;
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat output{};
    if (::fstat(fd, &output) != 0 || !S_ISREG(output.st_mode)) continue;
    const auto at = std::find_if(entries.begin(), entries.end(), [&](const manifest::SelectedEntry& e) {
      struct stat file{};
      return e.kind == manifest::EntryKind::kFile && ::lstat((project.root / e.path).c_str(), &file) == 0 &&
             file.st_dev == output.st_dev && file.st_ino == output.st_ino;
    });
    if (at == entries.end()) continue;
    project.selection.total_bytes -= at->size_bytes;
    project.selection.warnings.push_back(
        fmt::format("`{}` is not uploaded: this program's own output goes there", at->path));
    entries.erase(at);
  }
}

// An image that the manifest names by "./NAME": of the whole project only that layout or archive is uploaded.
Outcome<> select_image(Project& project) {
  const std::string& given = *project.parsed.manifest.runtime.image;
  const auto refuse = [&](std::string message) {
    report(project, manifest::Severity::kError, project.manifest_name, std::move(message),
           "write ./NAME of an OCI layout (a folder with index.json and blobs) or of an archive in the project");
    return Outcome<>();
  };
  std::error_code ec;
  const fs::path root = fs::canonical(project.root, ec), path = fs::canonical(project.root / given, ec);
  if (ec) return refuse(fmt::format("the image `{}` is not there", given));
  // SECURITY: a manifest of a stranger's project must not have another folder of its user's uploaded.
  if (!(path.string() + "/").starts_with(root.string() + "/"))
    return refuse(fmt::format("the image `{}` is outside of the project", given));
  if (fs::is_directory(path, ec)) {
    if (!fs::is_regular_file(path / "index.json", ec) && !fs::is_regular_file(path / "manifest.json", ec))
      return refuse(fmt::format("the folder `{}` is no OCI layout", given));
    project.source_root = path;
    TRY_ASSIGN(project.selection, manifest::select_files(path));
    return {};
  }
  const uintmax_t size = fs::file_size(path, ec);
  if (ec || !fs::is_regular_file(path, ec)) return refuse(fmt::format("the image `{}` is no file", given));
  project.source_root = path.parent_path();
  project.selection.entries = {{path.filename(), manifest::EntryKind::kFile, size, false, ""}};
  project.selection.total_bytes = size;
  return {};
}

void find_language(Project& project) {
  manifest::Runtime& runtime = project.parsed.manifest.runtime;
  if (runtime.image && !runtime.language) runtime.language = manifest::Language::kImage;
  if (runtime.language) return;
  const std::vector<std::string> files = project.selection.file_paths();
  project.detected = manifest::detect_language(files);
  if (!project.detected) {
    if (!manifest::has_errors(project.parsed.diagnostics))
      report(project, manifest::Severity::kError, project.root.string(), manifest::no_language_message());
    return;
  }
  runtime.language = project.detected->language;
  if (!project.detected->also_found.empty()) {
    report(project, manifest::Severity::kWarning, project.detected->evidence,
           fmt::format("makes this a {} project, though {} is there as well",
                       manifest::to_string(project.detected->language), project.detected->also_found.front()),
           fmt::format("say which it is: [runtime] language = \"{}\"",
                       manifest::to_string(project.detected->language)));
  }
}

}  // namespace

Outcome<Project> load_project(const ProjectOptions& options) {
  Project project;
  project.root = options.directory.empty() ? "." : options.directory;
  std::error_code ec;
  if (!fs::is_directory(project.root, ec)) {
    return std::unexpected(Failure(Exit::kUsage, "usage",
                                   fmt::format("`{}` is not a folder", project.root.string()),
                                   "name the folder of the project: skerry ship DIR"));
  }
  TRY(read_manifest(project));
  for (const auto& [key, value] : options.runtime) {
    std::string option = "--" + key;
    for (char& c : option) c = c == '_' ? '-' : c;
    manifest::apply_runtime_option(project.parsed, key, value, option);
  }
  name_function(project, options);
  project.source_root = project.root;
  if (project.manifest().runtime.is_image_file()) {
    TRY(select_image(project));
  } else if (!project.is_image_reference()) {
    TRY_ASSIGN(project.selection, manifest::select_files(project.root));
    leave_out_own_output(project);
  }
  find_language(project);
  manifest::check_together(project.parsed,
                           project.manifest_name.empty() ? "the command line" : project.manifest_name);
  return project;
}

Outcome<> write_link(const fs::path& root, const Link& link) {
  const std::string folder = (root / ".skerry").string();
  TRY(make_directories(folder, 0755));
  TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY));
  const json::object body{{"version", 1},
                          {"gateway", link.gateway},
                          {"function", link.function},
                          {"function_id", link.function_id},
                          {"url", link.url}};
  TRY(write_file_atomic(directory.get(), "link.json", json::serialize(body) + "\n", 0644), folder);
  return {};
}

std::optional<Link> read_link(const fs::path& root) {
  const auto text = read_file((root / ".skerry/link.json").string(), kMaxLinkBytes);
  if (!text) return std::nullopt;
  const auto parsed = json::parse(*text);
  if (!parsed) return std::nullopt;
  json::ObjectReader reader(*parsed, "link.json");
  Link link;
  if (reader.integer("version", 1, 1, 0) != 1) return std::nullopt;
  link.gateway = reader.string("gateway", 4096);
  link.function = reader.string("function", 256);
  link.function_id = reader.string("function_id", 256);
  link.url = reader.string("url", 4096);
  return reader.finish() && !link.function.empty() ? std::optional(link) : std::nullopt;
}

}  // namespace skerry::cli
