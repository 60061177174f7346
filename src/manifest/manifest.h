// Manifest: what a project's func.toml, telnyx.toml or skerry.toml says, typed and checked (CONTRACT section
// 1).
//
// parse_manifest() is pure: text in, values and diagnostics out; the CLI calls it and prints what it finds.
// It refuses unknown keys, wrong types, reserved environment names and everything over a fixed limit; tables
// of compatible products that are not served are accepted with a warning. Limits that an operator may raise
// (memory, timeout) are warnings here and refusals at the gateway.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "contract/function_config.h"
#include "manifest/diagnostic.h"

namespace skerry::manifest {

inline constexpr size_t kMaxKvBindings = 32;
inline constexpr size_t kMaxArguments = 64;    // of an entrypoint
inline constexpr size_t kMaxTextBytes = 4096;  // a command, an argument

// The manifests by the order in which they are looked for; the first that exists is used.
inline constexpr std::string_view kManifestNames[] = {"skerry.toml", "func.toml", "telnyx.toml"};

enum class Language { kPython, kNode, kGo, kJava, kImage };
[[nodiscard]] std::string_view to_string(Language language);
[[nodiscard]] std::optional<Language> parse_language(
    std::string_view text);  // also "typescript", "javascript", "nodejs", "golang"

struct SecretBinding {
  std::string binding;
  std::string name;
  bool operator==(const SecretBinding&) const = default;
};

struct Runtime {
  std::optional<Language> language;
  std::optional<std::string> version;
  std::optional<std::string>
      image;  // with language = "image": an OCI reference, or "./NAME", a layout or archive of the project; without
              // it the folder is the image
  std::optional<int64_t> memory_mb;
  std::optional<int64_t> cpu_millis;
  std::optional<int64_t> timeout_ms;
  std::optional<int64_t> start_timeout_ms;
  std::optional<int64_t> idle_timeout_ms;
  std::optional<int64_t> concurrency;
  std::optional<int64_t> min_instances;
  std::optional<int64_t> max_instances;
  std::optional<int64_t> scratch_mb;
  std::optional<bool> background;
  std::optional<std::vector<std::string>> entrypoint;
  [[nodiscard]] bool is_image_file() const { return image && (image->starts_with('.') || image->starts_with('/')); }
};

// Rules by contract/egress.h, as their text().
struct Egress {
  std::vector<std::string> allow;
  std::vector<std::string> deny;
};

struct Manifest {
  std::string func_id;    // a hint
  std::string func_name;  // "" where the manifest names none
  std::string main;       // umbrella form
  std::string compatibility_date;
  std::map<std::string, std::string> env;
  std::optional<std::vector<SecretBinding>> secrets;  // absent: all shared ones
  std::map<std::string, std::string> kv;              // binding -> id ("" where none is given)
  std::optional<std::string> api_binding;
  Runtime runtime;
  std::optional<std::string> build_command;
  std::optional<std::string> health_path;
  std::optional<Egress> egress;
};

struct ParsedManifest {
  Manifest manifest;
  Diagnostics diagnostics;
  [[nodiscard]] bool ok() const { return !has_errors(diagnostics); }
};

// `file` is the manifest's name as the author knows it; its last part decides the form (telnyx.toml and
// skerry.toml have top-level keys).
[[nodiscard]] ParsedManifest parse_manifest(std::string_view text, std::string_view file);

// One [runtime] value given on the command line ("memory", "512MB"), by the same rules. `source` stands as
// the file in diagnostics ("--memory").
void apply_runtime_option(ParsedManifest& parsed, std::string_view key, std::string_view value,
                          std::string_view source);

// What holds between values (min_instances <= max_instances, a name that is both a secret and a variable);
// after all options were applied.
void check_together(ParsedManifest& parsed, std::string_view file);

}  // namespace skerry::manifest
