#include "build/languages.h"

#include <algorithm>

#include "json/json.h"

namespace skerry {
namespace {

// The first of a language is its default.
const LanguageRecipe kRecipes[] = {
    {"python", "3.11", "python", "python-build"}, {"python", "3.13", "python313", "python313-build"}, {"node", "20", "node", "node-build"},
    {"go", "1.24", "go", "go-build"},             {"java", "17", "java", "java-build"},               {"java", "21", "java21", "java21-build"},
    {"image", "", "", "python-build"},  // brings its own root; what flattens its layers is a Python program
};

constexpr const char* kPythonEntries[] = {"function/func.py", "func.py", "main.py", "app.py"};
constexpr size_t kMaxIncludeDepth = 8;  // requirements that include requirements

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// Lines without comments and white space, empty ones left out.
std::vector<std::string_view> lines_of(std::string_view text, std::string_view comment) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    for (size_t at = line.find(comment); at != std::string_view::npos; at = line.find(comment, at + 1)) {
      if (at != 0 && line[at - 1] != ' ' && line[at - 1] != '\t') continue;  // "pkg @ https://host/x#egg=pkg"
      line = line.substr(0, at);
      break;
    }
    line = trimmed(line);
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

}  // namespace

Result<LanguageRecipe> find_recipe(std::string_view language, std::string_view version) {
  std::string known;
  for (const LanguageRecipe& recipe : kRecipes) {
    if (recipe.language != language) continue;
    if (version.empty() || recipe.version == version) return recipe;
    known += (known.empty() ? "" : ", ") + recipe.version;
  }
  if (known.empty()) return fail(ErrorCode::kInvalidArgument, "language `{}` is not served; it may be python, node, go, java or image", language);
  return fail(ErrorCode::kInvalidArgument, "{} {} is not installed here; [runtime] version may be {}", language, version, known);
}

std::string python_entry(const ArchiveListing& listing) {
  for (const char* entry : kPythonEntries)
    if (listing.files.contains(entry)) return entry;
  return {};
}

Result<std::string> detect_language(const ArchiveListing& listing) {
  const auto has = [&](const char* file) { return listing.files.contains(file); };
  if (has("oci-layout")) return std::string("image");
  if (has("go.mod")) return std::string("go");
  if (has("pom.xml")) return std::string("java");
  if (has("package.json")) return std::string("node");
  if (has("pyproject.toml") || has("requirements.txt") || !python_entry(listing).empty()) return std::string("python");
  return fail(ErrorCode::kFunctionFailed,
              "detect: no known language: there is no pyproject.toml, requirements.txt or function/func.py (Python), package.json (Node.js), go.mod (Go) or "
              "pom.xml (Java) at the top of the project; add one, or set [runtime] language");
}

bool is_manifest(std::string_view path) {
  const std::string_view name = file_name(path);
  if (path == name)
    for (const char* known : {"pyproject.toml", "package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc", "go.mod", "go.sum", "go.work"})
      if (name == known) return true;
  if (path.starts_with("node_modules/") || path.starts_with("vendor/")) return false;
  if (name == "pom.xml" || path.starts_with(".mvn/")) return true;
  // What requirements.txt may include.
  return name.ends_with(".txt") && (path.find("requirements") != std::string_view::npos || path.find("constraints") != std::string_view::npos);
}

// ---- dependencies

namespace {

// Follows -r and -c from one file of requirements.
void scan_requirements(const ArchiveListing& listing, const std::string& path, size_t depth, DependencyPlan& plan) {
  const auto found = listing.contents.find(path);
  if (found == listing.contents.end() || depth > kMaxIncludeDepth) {
    plan.with_source = true;  // not one that was read beforehand: pip finds it, or says that it is not there
    return;
  }
  if (std::find(plan.inputs.begin(), plan.inputs.end(), path) != plan.inputs.end()) return;
  plan.inputs.push_back(path);
  for (const std::string_view line : lines_of(found->second, "#")) {
    if (!line.starts_with('-')) plan.wanted = true;
    std::string_view included;
    for (const std::string_view option : {"-r", "--requirement", "-c", "--constraint"})
      if (line.starts_with(option) && line.size() > option.size() && (line[option.size()] == ' ' || line[option.size()] == '=' || option.size() == 2))
        included = trimmed(line.substr(option.size() + (line[option.size()] == '=' ? 1 : 0)));
    if (!included.empty()) {
      const std::string folder = path.substr(0, path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1);
      scan_requirements(listing, folder + std::string(included.starts_with("./") ? included.substr(2) : included), depth + 1, plan);
    }
    const bool editable = line.starts_with("-e") || line.starts_with("--editable");
    const bool local = line.starts_with('.') || line.starts_with('/') || line.find("file:") != std::string_view::npos || line.find(".whl") != std::string_view::npos;
    const bool find_links = line.starts_with("-f") || line.starts_with("--find-links");
    if (editable) plan.wanted = true;
    if (editable || local || find_links) plan.with_source = true;
  }
}

Result<DependencyPlan> plan_python(const ArchiveListing& listing) {
  DependencyPlan plan;
  if (listing.contents.contains("requirements.txt")) scan_requirements(listing, "requirements.txt", 0, plan);
  if (const auto project = listing.contents.find("pyproject.toml"); project != listing.contents.end()) {
    plan.inputs.emplace_back("pyproject.toml");
    // A whole reading is for the container's tomllib. Here only: is there a list at all that is not written empty?
    std::string text;
    for (const std::string_view line : lines_of(project->second, "#")) text += std::string(line) + "\n";
    for (size_t at = text.find("dependencies"); at != std::string::npos; at = text.find("dependencies", at + 1)) {
      if (at > 0 && text[at - 1] != '\n' && text[at - 1] != '.' && text[at - 1] != '"') continue;  // optional-dependencies and their like
      std::string rest;
      for (size_t i = at + std::string_view("dependencies").size(); i < text.size() && rest.size() < 3; ++i)
        if (text[i] != ' ' && text[i] != '\n' && text[i] != '\t' && text[i] != '"') rest += text[i];
      if (rest.starts_with("=[") && rest != "=[]") plan.wanted = true;
    }
  }
  std::sort(plan.inputs.begin(), plan.inputs.end());
  if (!plan.wanted) return DependencyPlan{};
  return plan;
}

bool is_local_package(std::string_view spec) {
  return spec.starts_with("file:") || spec.starts_with("link:") || spec.starts_with("workspace:") || spec.starts_with('.') || spec.starts_with('/') || spec.starts_with("~/");
}

Result<DependencyPlan> plan_node(const ArchiveListing& listing) {
  DependencyPlan plan;
  const auto manifest = listing.contents.find("package.json");
  if (manifest == listing.contents.end()) return plan;  // the build says so
  auto parsed = json::parse(manifest->second);
  if (!parsed || !parsed->is_object()) return fail(ErrorCode::kFunctionFailed, "detect: package.json: {}", parsed ? "not an object" : parsed.error().message());
  const json::object& object = parsed->get_object();
  for (const char* key : {"dependencies", "optionalDependencies", "devDependencies"}) {
    const json::value* list = object.if_contains(key);
    if (list == nullptr || !list->is_object() || list->get_object().empty()) continue;
    plan.wanted = true;
    if (std::string_view(key) == "devDependencies") plan.has_development = true;
    for (const auto& [name, spec] : list->get_object())
      if (spec.is_string() && is_local_package(std::string_view(spec.get_string()))) plan.with_source = true;
  }
  if (object.contains("workspaces")) plan.wanted = plan.with_source = true;
  if (const json::value* scripts = object.if_contains("scripts"); scripts != nullptr && scripts->is_object())
    for (const char* hook : {"preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare", "dependencies"})
      if (scripts->get_object().contains(hook)) plan.with_source = true;
  for (const char* name : {".npmrc", "npm-shrinkwrap.json", "package-lock.json", "package.json"})
    if (listing.contents.contains(name)) plan.inputs.emplace_back(name);
  if (!plan.wanted) return DependencyPlan{};
  return plan;
}

Result<DependencyPlan> plan_go(const ArchiveListing& listing) {
  DependencyPlan plan;
  const auto manifest = listing.contents.find("go.mod");
  if (manifest == listing.contents.end() || listing.files.contains("vendor/modules.txt")) return plan;
  for (const std::string_view line : lines_of(manifest->second, "//")) {
    if (line.starts_with("require")) plan.wanted = true;
    const size_t arrow = line.find("=>");
    if (arrow == std::string_view::npos) continue;
    const std::string_view target = trimmed(line.substr(arrow + 2));
    if (target.starts_with('.') || target.starts_with('/')) plan.with_source = true;
  }
  if (listing.contents.contains("go.work")) plan.with_source = true;
  for (const char* name : {"go.mod", "go.sum", "go.work"})
    if (listing.contents.contains(name)) plan.inputs.emplace_back(name);
  if (!plan.wanted) return DependencyPlan{};
  return plan;
}

Result<DependencyPlan> plan_java(const ArchiveListing& listing) {
  DependencyPlan plan;
  for (const auto& [path, text] : listing.contents)
    if (file_name(path) == "pom.xml" || path.starts_with(".mvn/")) plan.inputs.push_back(path);
  plan.wanted = listing.contents.contains("pom.xml");  // even a project without dependencies needs Maven's plugins
  return plan;
}

}  // namespace

Result<DependencyPlan> plan_dependencies(std::string_view language, const ArchiveListing& listing) {
  if (language == "python") return plan_python(listing);
  if (language == "node") return plan_node(listing);
  if (language == "go") return plan_go(listing);
  if (language == "java") return plan_java(listing);
  return DependencyPlan{};
}

}  // namespace skerry
