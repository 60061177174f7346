#include "manifest/manifest.h"

#include <algorithm>
#include <array>
#include <set>

#include "manifest/names.h"
#include "manifest/runtime_keys.h"
#include "manifest/toml.h"

namespace skerry::manifest {
namespace {

constexpr std::string_view kTopTables[] = {"edge_compute", "env_vars", "secrets", "storage", "telnyx",
                                           "runtime",      "build",    "health",  "egress"};
constexpr std::string_view kUmbrellaKeys[] = {"name", "main", "compatibility_date"};
constexpr std::string_view kNotServedTop[] = {"ratelimits", "network", "domains", "actors"};
constexpr std::string_view kNotServedStorage[] = {"cloudstorage", "sqldb"};

bool contains(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Reads one document. Every method takes the dotted prefix of the keys it reads, for the messages.
class DocumentReader {
 public:
  DocumentReader(std::string_view file, Manifest& manifest, Diagnostics& out)
      : file_(file), manifest_(manifest), out_(out) {
    const std::string_view base =
        file.substr(file.rfind('/') == std::string_view::npos ? 0 : file.rfind('/') + 1);
    has_top_keys_ = base != "func.toml";
  }

  void read(const TomlNode& document);

 private:
  void read_identity(const TomlNode& table);
  void read_env(const TomlField& field);
  void read_secrets(const TomlField& field);
  void read_secret(const TomlNode& item);
  void read_storage(const TomlNode& table);
  void read_kv(const TomlField& field);
  void read_telnyx(const TomlNode& table);
  void read_runtime(const TomlNode& table);
  void read_build(const TomlNode& table);
  void read_health(const TomlNode& table);
  void read_egress(const TomlNode& table);
  void read_rules(const TomlField& field, std::vector<std::string>& into);
  void name_function(const std::string& name, uint32_t line, std::string_view key);

  void error(uint32_t line, std::string key, std::string message, std::string fix = {}) {
    out_.push_back(
        {Severity::kError, std::string(file_), line, std::move(key), std::move(message), std::move(fix)});
  }
  void warn(uint32_t line, std::string key, std::string message, std::string fix = {}) {
    out_.push_back(
        {Severity::kWarning, std::string(file_), line, std::move(key), std::move(message), std::move(fix)});
  }
  void unknown(const TomlField& field, std::string_view prefix, std::vector<std::string_view> known);
  void not_served(const TomlField& field, std::string_view prefix);
  // The string of a field; nothing (and a diagnostic) for another type, more than `max_bytes`, or a NUL byte.
  const std::string* text(const TomlField& field, std::string_view prefix, std::string_view example,
                          size_t max_bytes = kMaxTextBytes);
  bool is_table(const TomlField& field, std::string_view prefix);

  std::string_view file_;
  Manifest& manifest_;
  Diagnostics& out_;
  bool has_top_keys_ = false;
};

std::string dotted(std::string_view prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : fmt::format("{}.{}", prefix, name);
}

void DocumentReader::unknown(const TomlField& field, std::string_view prefix,
                             std::vector<std::string_view> known) {
  std::string fix;
  if (const auto guess = nearest(field.name, std::span<const std::string_view>(known))) {
    fix = fmt::format("did you mean `{}`?", *guess);
  } else if (const RuntimeKey* runtime = prefix != "runtime" ? find_runtime_key(field.name) : nullptr;
             runtime != nullptr) {
    fix = fmt::format("it belongs under [runtime]: {} = {}", runtime->name, runtime->example);
  } else if (prefix.empty() && (field.name == "name" || field.name == "func_name")) {
    fix = "write it as func_name under [edge_compute]";
  } else {
    fix = fmt::format("known here: {}", fmt::join(known, ", "));
  }
  error(field.line, dotted(prefix, field.name), "unknown key", std::move(fix));
}

void DocumentReader::not_served(const TomlField& field, std::string_view prefix) {
  const std::string key = dotted(prefix, field.name);
  warn(field.line, key, fmt::format("`{}` is not served here yet: it is accepted, and using it fails", key));
}

const std::string* DocumentReader::text(const TomlField& field, std::string_view prefix,
                                        std::string_view example, size_t max_bytes) {
  const TomlNode& node = field.node;
  if (node.kind != TomlKind::kString) {
    const bool scalar = node.kind != TomlKind::kArray && node.kind != TomlKind::kTable;
    error(field.line, dotted(prefix, field.name),
          fmt::format("must be a string, not {}", describe(node.kind)),
          fmt::format("{} = \"{}\"", field.name, scalar ? printed(node) : std::string(example)));
    return nullptr;
  }
  if (node.text.size() > max_bytes) {
    error(field.line, dotted(prefix, field.name),
          fmt::format("has {} bytes, and {} is the most", node.text.size(), max_bytes));
    return nullptr;
  }
  if (node.text.find('\0') != std::string::npos) {
    error(field.line, dotted(prefix, field.name), "contains a NUL character");
    return nullptr;
  }
  return &node.text;
}

bool DocumentReader::is_table(const TomlField& field, std::string_view prefix) {
  if (field.node.kind == TomlKind::kTable) return true;
  const std::string key = dotted(prefix, field.name);
  error(field.line, key, fmt::format("must be a table, not {}", describe(field.node.kind)),
        fmt::format("[{}]", key));
  return false;
}

void DocumentReader::read(const TomlNode& document) {
  std::vector<std::string_view> known(std::begin(kTopTables), std::end(kTopTables));
  if (has_top_keys_) known.insert(known.end(), std::begin(kUmbrellaKeys), std::end(kUmbrellaKeys));
  for (const TomlField& field : document.fields) {
    const std::string& name = field.name;
    if (has_top_keys_ && contains(kUmbrellaKeys, name)) {
      const std::string* value = text(field, "", name == "main" ? "src/index.ts" : "orders");
      if (value == nullptr) continue;
      if (name == "name")
        name_function(*value, field.line, "name");
      else
        (name == "main" ? manifest_.main : manifest_.compatibility_date) = *value;
    } else if (contains(kNotServedTop, name)) {
      not_served(field, "");
    } else if (name == "env_vars") {
      read_env(field);
    } else if (name == "secrets") {
      read_secrets(field);
    } else if (!contains(kTopTables, name)) {
      unknown(field, "", known);
    } else if (is_table(field, "")) {
      const TomlNode& table = field.node;
      if (name == "edge_compute")
        read_identity(table);
      else if (name == "storage")
        read_storage(table);
      else if (name == "telnyx")
        read_telnyx(table);
      else if (name == "runtime")
        read_runtime(table);
      else if (name == "build")
        read_build(table);
      else if (name == "health")
        read_health(table);
      else
        read_egress(table);
    }
  }
}

void DocumentReader::name_function(const std::string& name, uint32_t line, std::string_view key) {
  if (const auto ok = check_function_name(name); !ok) {
    error(line, std::string(key), ok.error().message(),
          fmt::format("{} = \"{}\"", key.substr(key.rfind('.') + 1), propose_function_name(name)));
  } else if (!manifest_.func_name.empty() && manifest_.func_name != name) {
    error(line, std::string(key),
          fmt::format("names the function `{}`, and the manifest has already named it `{}`", name,
                      manifest_.func_name),
          "keep one of the two");
  } else {
    manifest_.func_name = name;
  }
}

void DocumentReader::read_identity(const TomlNode& table) {
  for (const TomlField& field : table.fields) {
    if (field.name == "func_id") {
      if (const std::string* value = text(field, "edge_compute", "")) manifest_.func_id = *value;
    } else if (field.name == "func_name") {
      if (const std::string* value = text(field, "edge_compute", "orders"))
        name_function(*value, field.line, "edge_compute.func_name");
    } else if (field.name == "private") {
      not_served(field, "edge_compute");
    } else {
      unknown(field, "edge_compute", {"func_id", "func_name", "private"});
    }
  }
}

void DocumentReader::read_env(const TomlField& table) {
  if (!is_table(table, "")) return;
  if (table.node.fields.size() > limits::kEnvVars) {
    error(table.line, "env_vars",
          fmt::format("has {} variables, and {} is the most", table.node.fields.size(), limits::kEnvVars));
    return;
  }
  for (const TomlField& field : table.node.fields) {
    if (const auto ok = check_env_name(field.name); !ok) {
      error(field.line, dotted("env_vars", field.name), ok.error().message(), "choose another name");
      continue;
    }
    if (const std::string* value = text(field, "env_vars", "value", limits::kEnvValueBytes))
      manifest_.env[field.name] = *value;
  }
}

void DocumentReader::read_secrets(const TomlField& field) {
  if (field.node.kind != TomlKind::kArray) {
    error(field.line, "secrets", fmt::format("must be a list of tables, not {}", describe(field.node.kind)),
          "[[secrets]]");
    return;
  }
  manifest_.secrets.emplace();
  if (field.node.items.size() > limits::kSecrets) {
    error(field.line, "secrets",
          fmt::format("has {} entries, and {} is the most", field.node.items.size(), limits::kSecrets));
    return;
  }
  for (const TomlNode& item : field.node.items) read_secret(item);
}

void DocumentReader::read_secret(const TomlNode& item) {
  if (item.kind != TomlKind::kTable)
    return error(item.line, "secrets",
                 fmt::format("must be a list of tables, not of {}", describe(item.kind)), "[[secrets]]");
  SecretBinding secret;
  for (const TomlField& field : item.fields) {
    if (field.name == "binding") {
      const std::string* value = text(field, "secrets", "DB");
      if (value == nullptr) return;
      secret.binding = *value;
    } else if (field.name == "name") {
      const std::string* value = text(field, "secrets", "DATABASE_URL");
      if (value == nullptr) return;
      secret.name = *value;
    } else {
      unknown(field, "secrets", {"binding", "name"});
    }
  }
  if (secret.name.empty())
    return error(item.line, "secrets.name", "an entry needs the name of a secret", "name = \"DATABASE_URL\"");
  if (secret.binding.empty()) secret.binding = secret.name;
  if (const auto ok = check_env_name(secret.name); !ok)
    return error(item.line, "secrets.name", ok.error().message());
  if (const auto ok = check_env_name(secret.binding); !ok)
    return error(item.line, "secrets.binding", ok.error().message());
  const bool taken = std::any_of(manifest_.secrets->begin(), manifest_.secrets->end(),
                                 [&](const SecretBinding& s) { return s.binding == secret.binding; });
  if (taken)
    return error(item.line, "secrets.binding", fmt::format("`{}` is bound twice", secret.binding),
                 "give each entry its own binding");
  manifest_.secrets->push_back(std::move(secret));
}

void DocumentReader::read_storage(const TomlNode& table) {
  for (const TomlField& field : table.fields) {
    if (contains(kNotServedStorage, field.name))
      not_served(field, "storage");
    else if (field.name == "kv")
      read_kv(field);
    else
      unknown(field, "storage", {"kv", "cloudstorage", "sqldb"});
  }
}

void DocumentReader::read_kv(const TomlField& kv) {
  if (!is_table(kv, "storage")) return;
  if (kv.node.fields.size() > kMaxKvBindings)
    return error(kv.line, "storage.kv",
                 fmt::format("has {} bindings, and {} is the most", kv.node.fields.size(), kMaxKvBindings));
  for (const TomlField& field : kv.node.fields) {
    const std::string key = dotted("storage.kv", field.name);
    if (const auto ok = check_binding_name(field.name); !ok) {
      error(field.line, key, ok.error().message());
      continue;
    }
    if (!is_table(field, "storage.kv")) continue;
    not_served(field, "storage.kv");
    std::string id;
    for (const TomlField& inner : field.node.fields) {
      if (inner.name != "id") {
        unknown(inner, key, {"id"});
      } else if (const std::string* value = text(inner, key, "")) {
        id = *value;
      }
    }
    manifest_.kv[field.name] = std::move(id);
  }
}

void DocumentReader::read_telnyx(const TomlNode& table) {
  for (const TomlField& field : table.fields) {
    if (field.name != "binding") {
      unknown(field, "telnyx", {"binding"});
    } else if (const std::string* value = text(field, "telnyx", "MY_API")) {
      if (const auto ok = check_binding_name(*value); !ok)
        error(field.line, "telnyx.binding", ok.error().message(), "binding = \"MY_API\"");
      else {
        not_served(field, "telnyx");
        manifest_.api_binding = *value;
      }
    }
  }
}

void DocumentReader::read_runtime(const TomlNode& table) {
  for (const TomlField& field : table.fields) {
    const RuntimeKey* key = find_runtime_key(field.name);
    if (key != nullptr) {
      read_runtime_node(*key, field.node, {file_, field.line, dotted("runtime", field.name)},
                        manifest_.runtime, out_);
      continue;
    }
    std::vector<std::string_view> known;
    for (const RuntimeKey& k : runtime_keys()) known.push_back(k.name);
    unknown(field, "runtime", std::move(known));
  }
}

void DocumentReader::read_build(const TomlNode& table) {
  for (const TomlField& field : table.fields) {
    if (field.name != "command") {
      unknown(field, "build", {"command"});
    } else if (const std::string* value = text(field, "build", "make")) {
      if (value->empty())
        error(field.line, "build.command", "must not be empty",
              "leave it out to build by the language's rules");
      else
        manifest_.build_command = *value;
    }
  }
}

void DocumentReader::read_health(const TomlNode& table) {
  for (const TomlField& field : table.fields) {
    if (field.name != "path") {
      unknown(field, "health", {"path"});
      continue;
    }
    const std::string* value = text(field, "health", "/health", 1024);
    if (value == nullptr) continue;
    const bool printable =
        std::all_of(value->begin(), value->end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (!value->empty() && (value->front() != '/' || !printable)) {
      error(field.line, "health.path", "must be a path that begins with '/', or \"\" to switch the probe off",
            "path = \"/health\"");
    } else {
      manifest_.health_path = *value;
    }
  }
}

void DocumentReader::read_egress(const TomlNode& table) {
  manifest_.egress.emplace();
  for (const TomlField& field : table.fields) {
    if (field.name == "allow")
      read_rules(field, manifest_.egress->allow);
    else if (field.name == "deny")
      read_rules(field, manifest_.egress->deny);
    else
      unknown(field, "egress", {"allow", "deny"});
  }
}

void DocumentReader::read_rules(const TomlField& field, std::vector<std::string>& into) {
  const std::string key = dotted("egress", field.name);
  const std::string fix = fmt::format("{} = [\"203.0.113.0/24:443\", \"198.51.100.7\"]", field.name);
  if (field.node.kind != TomlKind::kArray)
    return error(field.line, key, fmt::format("must be a list of strings, not {}", describe(field.node.kind)),
                 fix);
  if (field.node.items.size() > kMaxEgressRules)
    return error(field.line, key,
                 fmt::format("has {} rules, and {} is the most", field.node.items.size(), kMaxEgressRules));
  if (field.node.items.empty() && field.name == "allow")
    return error(field.line, key, "is empty, which could mean everything or nothing",
                 "leave it out to reach the internet; deny = [\"0.0.0.0/0\"] to reach nothing");
  for (const TomlNode& item : field.node.items) {
    if (item.kind != TomlKind::kString) {
      error(item.line, key, "each rule is a string with an address or a range", fix);
      continue;
    }
    if (const auto rule = parse_egress_rule(item.text))
      into.push_back(rule->text());
    else
      error(item.line, key,
            fmt::format("`{}` {}", item.text.substr(0, kMaxEgressTextBytes), rule.error().message),
            rule.error().fix.empty() ? fix : rule.error().fix);
  }
}

}  // namespace

std::string_view to_string(Language language) {
  switch (language) {
    case Language::kPython:
      return "python";
    case Language::kNode:
      return "node";
    case Language::kGo:
      return "go";
    case Language::kJava:
      return "java";
    case Language::kImage:
      return "image";
  }
  return "image";
}

std::optional<Language> parse_language(std::string_view text) {
  if (text == "python" || text == "python3") return Language::kPython;
  if (text == "node" || text == "nodejs" || text == "javascript" || text == "typescript" || text == "ts" ||
      text == "js")
    return Language::kNode;
  if (text == "go" || text == "golang") return Language::kGo;
  if (text == "java" || text == "quarkus") return Language::kJava;
  if (text == "image") return Language::kImage;
  return std::nullopt;
}

ParsedManifest parse_manifest(std::string_view text, std::string_view file) {
  ParsedManifest out;
  const auto document = parse_toml(text);
  if (!document) {
    out.diagnostics.push_back(
        {Severity::kError, std::string(file), document.error().line, "", document.error().message, ""});
    return out;
  }
  DocumentReader(file, out.manifest, out.diagnostics).read(*document);
  return out;
}

void apply_runtime_option(ParsedManifest& parsed, std::string_view key, std::string_view value,
                          std::string_view source) {
  const RuntimeKey* known = find_runtime_key(key);
  if (known == nullptr) {
    parsed.diagnostics.push_back(
        {Severity::kError, std::string(source), 0, std::string(key), "unknown [runtime] key", ""});
    return;
  }
  read_runtime_text(*known, value, {source, 0, ""}, parsed.manifest.runtime, parsed.diagnostics);
}

void check_together(ParsedManifest& parsed, std::string_view file) {
  const Manifest& m = parsed.manifest;
  const auto report = [&](Severity severity, std::string key, std::string message, std::string fix) {
    parsed.diagnostics.push_back(
        {severity, std::string(file), 0, std::move(key), std::move(message), std::move(fix)});
  };
  const int64_t max_instances = m.runtime.max_instances.value_or(limits::kMaxInstances);
  if (m.runtime.min_instances.value_or(0) > max_instances) {
    report(Severity::kError, "runtime.min_instances",
           fmt::format("{} is more than max_instances, {}", *m.runtime.min_instances, max_instances),
           "raise max_instances");
  }
  if (m.runtime.image && m.runtime.language != Language::kImage) {
    report(Severity::kError, "runtime.image", "an image reference needs language = \"image\"",
           "language = \"image\"");
  }
  if (m.runtime.image && !m.runtime.is_image_file() && m.runtime.image->find('/') == std::string::npos) {
    report(Severity::kError, "runtime.image", fmt::format("`{}` names no registry", *m.runtime.image),
           "write REGISTRY/NAME:TAG, or ./NAME for a layout or archive of the project");
  }
  if (m.secrets) {
    for (const SecretBinding& secret : *m.secrets) {
      if (m.env.contains(secret.name)) {
        report(Severity::kWarning, "env_vars." + secret.name,
               fmt::format("stands over the secret `{}` of the same name", secret.name),
               "rename one of the two");
      }
    }
  }
}

}  // namespace skerry::manifest
