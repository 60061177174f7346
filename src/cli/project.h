// Project: a folder on disk ready to ship: its manifest with the command line's values, its files, its
// language, its name.
//
// Read by ship and dev. Writes one thing only, `.skerry/link.json`; never the manifest.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/exit.h"
#include "manifest/detect.h"
#include "manifest/manifest.h"
#include "manifest/select.h"

namespace skerry::cli {

struct ProjectOptions {
  std::string directory = ".";
  std::string name;                                          // instead of the manifest's
  std::string name_suffix;                                   // "-dev"
  std::vector<std::pair<std::string, std::string>> runtime;  // key and value, as on the command line
};

struct Project {
  std::filesystem::path root;
  std::filesystem::path source_root;  // what `selection` is relative to: root, or where [runtime] image lies
  std::string manifest_name;  // "func.toml", or "" without a manifest
  manifest::ParsedManifest parsed;
  manifest::Selection selection;
  std::optional<manifest::Detected> detected;  // where the manifest names no language
  std::string name_from;                       // where the function's name was found

  [[nodiscard]] const manifest::Manifest& manifest() const { return parsed.manifest; }
  // An image in a registry: nothing is uploaded.
  [[nodiscard]] bool is_image_reference() const {
    return parsed.manifest.runtime.image && !parsed.manifest.runtime.is_image_file();
  }
};

// A Failure for what makes a project unreadable (no folder, a symlink out, over a limit); what is wrong in
// the manifest is in parsed.diagnostics.
Outcome<Project> load_project(const ProjectOptions& options);

struct Link {
  std::string gateway;
  std::string function;
  std::string function_id;
  std::string url;
};
Outcome<> write_link(const std::filesystem::path& root, const Link& link);
[[nodiscard]] std::optional<Link> read_link(const std::filesystem::path& root);

}  // namespace skerry::cli
