#include "manifest/runtime_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "manifest/names.h"
#include "manifest/units.h"

namespace skerry::manifest {
namespace {

inline constexpr int64_t kHourMs = 3'600'000;
inline constexpr int64_t kMaxSizeMb = 1024 * 1024;  // a terabyte: beyond any machine meant here

constexpr std::string_view kLanguages[] = {"python", "node", "go", "java", "image"};
constexpr std::string_view kBooleans[] = {"true", "false"};

constexpr std::array kKeys = {
    RuntimeKey{"language",
               ValueKind::kLanguage,
               0,
               0,
               0,
               "\"python\"",
               "python, node, go, java or image (default: detected)",
               {}},
    RuntimeKey{"version", ValueKind::kText, 0, 0, 0, "\"3.11\"",
               "which installed runtime, like 3.11, 20 or 17", &Runtime::version},
    RuntimeKey{"image", ValueKind::kText, 0, 0, 0, "\"registry.example/shop/orders:1.4\"",
               "with language image: the OCI reference, or ./NAME, a layout or archive of the project",
               &Runtime::image},
    RuntimeKey{"memory", ValueKind::kSize, limits::kMinMemoryMb, kMaxSizeMb, limits::kMaxMemoryMb,
               "\"256MB\"", "memory of one instance (default 256MB)", &Runtime::memory_mb},
    RuntimeKey{"cpu", ValueKind::kCpu, limits::kMinCpuMillis, 1'000'000, limits::kMaxCpuMillis, "1.0",
               "cores of one instance (default 1)", &Runtime::cpu_millis},
    RuntimeKey{"timeout", ValueKind::kDuration, 1, kHourMs, limits::kMaxTimeoutMs, "\"30s\"",
               "until the head of the answer (default 30s)", &Runtime::timeout_ms},
    RuntimeKey{"concurrency", ValueKind::kCount, 1, limits::kMaxConcurrency, 0, "1",
               "requests at a time in one instance (default 1)", &Runtime::concurrency},
    RuntimeKey{"min_instances", ValueKind::kCount, 0, limits::kMaxMaxInstances, 0, "0",
               "instances kept without traffic (default 0)", &Runtime::min_instances},
    RuntimeKey{"max_instances", ValueKind::kCount, 1, limits::kMaxMaxInstances, 0, "100",
               "instances at most (default 100)", &Runtime::max_instances},
    RuntimeKey{"idle_timeout", ValueKind::kDuration, 0, 24 * kHourMs, limits::kMaxIdleTimeoutMs, "\"5m\"",
               "an instance without requests ends after this (default 5m)", &Runtime::idle_timeout_ms},
    RuntimeKey{"start_timeout", ValueKind::kDuration, 1, limits::kMaxStartTimeoutMs, 0, "\"20s\"",
               "until a new instance must be ready (default 20s)", &Runtime::start_timeout_ms},
    RuntimeKey{
        "background", ValueKind::kBoolean, 0, 0, 0, "false", "true: never frozen between requests", {}},
    RuntimeKey{"entrypoint",
               ValueKind::kArguments,
               0,
               0,
               0,
               "[\"./server\", \"--port\", \"$PORT\"]",
               "the program to run instead of the detected entry",
               {}},
    RuntimeKey{"scratch", ValueKind::kSize, 0, kMaxSizeMb, 0, "\"2GB\"",
               "disk for what the function writes (default: half of its memory)", &Runtime::scratch_mb},
};

std::string print_value(const RuntimeKey& key, int64_t value) {
  switch (key.kind) {
    case ValueKind::kSize:
      return format_size_mb(value);
    case ValueKind::kDuration:
      return format_duration_ms(value);
    case ValueKind::kCpu:
      return fmt::format("{:g}", static_cast<double>(value) / 1000.0);
    default:
      return fmt::format("{}", value);
  }
}

void report(Diagnostics& out, Severity severity, const Place& place, std::string message,
            std::string fix = {}) {
  out.push_back(
      {severity, std::string(place.file), place.line, place.key, std::move(message), std::move(fix)});
}

void store_number(const RuntimeKey& key, int64_t value, const Place& place, Runtime& runtime,
                  Diagnostics& out) {
  if (value < key.min || value > key.max) {
    report(out, Severity::kError, place, fmt::format("{} is out of bounds", print_value(key, value)),
           fmt::format("from {} to {}", print_value(key, key.min),
                       print_value(key, key.usual_max != 0 ? key.usual_max : key.max)));
    return;
  }
  if (key.usual_max != 0 && value > key.usual_max) {
    report(out, Severity::kWarning, place,
           fmt::format(
               "{} is over the usual cap of {}; the gateway refuses it unless its operator raised the cap",
               print_value(key, value), print_value(key, key.usual_max)));
  }
  if (const auto* member = std::get_if<std::optional<int64_t> Runtime::*>(&key.member))
    runtime.*(*member) = value;
}

void store_text(const RuntimeKey& key, std::string_view text, const Place& place, Runtime& runtime,
                Diagnostics& out) {
  if (text.empty() || text.size() > kMaxTextBytes || text.find('\0') != std::string_view::npos) {
    report(
        out, Severity::kError, place,
        text.empty() ? "must not be empty" : fmt::format("must be text of at most {} bytes", kMaxTextBytes),
        fmt::format("{} = {}", key.name, key.example));
    return;
  }
  if (key.kind == ValueKind::kLanguage) {
    runtime.language = parse_language(text);
    if (!runtime.language) {
      const auto guess = nearest(text, kLanguages);
      report(out, Severity::kError, place, fmt::format("unknown language `{}`", text),
             guess ? fmt::format("did you mean `{}`?", *guess)
                   : fmt::format("one of {}", fmt::join(kLanguages, ", ")));
    }
    return;
  }
  if (const auto* member = std::get_if<std::optional<std::string> Runtime::*>(&key.member))
    runtime.*(*member) = std::string(text);
}

void store_parsed(const RuntimeKey& key, Result<int64_t> value, const Place& place, Runtime& runtime,
                  Diagnostics& out) {
  if (!value)
    return report(out, Severity::kError, place, value.error().message(),
                  fmt::format("{} = {}", key.name, key.example));
  store_number(key, *value, place, runtime, out);
}

bool wrong_type(const RuntimeKey& key, const TomlNode& node, TomlKind wanted, const Place& place,
                Diagnostics& out) {
  if (node.kind == wanted) return false;
  std::string fix = fmt::format("{} = {}", key.name, key.example);
  if (node.kind == TomlKind::kInteger && node.integer >= 0 && key.kind == ValueKind::kSize)
    fix = fmt::format("{} = \"{}MB\"", key.name, node.integer);
  if (node.kind == TomlKind::kInteger && node.integer >= 0 && key.kind == ValueKind::kDuration)
    fix = fmt::format("{} = \"{}s\"", key.name, node.integer);
  if (node.kind == TomlKind::kInteger && key.kind == ValueKind::kText)
    fix = fmt::format("{} = \"{}\"", key.name, node.integer);
  if (node.kind == TomlKind::kFloat && key.kind == ValueKind::kText)
    fix = fmt::format("{} = \"{}\"", key.name, node.text);
  report(out, Severity::kError, place,
         fmt::format("must be {}, not {}", describe(wanted), describe(node.kind)), std::move(fix));
  return true;
}

void read_arguments(const RuntimeKey& key, const TomlNode& node, const Place& place, Runtime& runtime,
                    Diagnostics& out) {
  if (node.kind == TomlKind::kString) {
    return report(out, Severity::kError, place,
                  "must be a list of strings, one an argument; no shell reads it",
                  fmt::format("{} = [\"{}\"]", key.name, node.text));
  }
  if (wrong_type(key, node, TomlKind::kArray, place, out)) return;
  std::vector<std::string> arguments;
  for (const TomlNode& item : node.items) {
    if (item.kind != TomlKind::kString || item.text.size() > kMaxTextBytes ||
        item.text.find('\0') != std::string::npos) {
      return report(out, Severity::kError, place,
                    fmt::format("must be a list of strings of at most {} bytes", kMaxTextBytes),
                    fmt::format("{} = {}", key.name, key.example));
    }
    arguments.push_back(item.text);
  }
  if (arguments.empty() || arguments.size() > kMaxArguments || arguments[0].empty()) {
    return report(out, Severity::kError, place,
                  fmt::format("must have 1 to {} arguments, the first of them the program", kMaxArguments),
                  fmt::format("{} = {}", key.name, key.example));
  }
  runtime.entrypoint = std::move(arguments);
}

// `--entrypoint`: one argument, or several in a JSON list.
void read_arguments_text(const RuntimeKey& key, std::string_view text, const Place& place, Runtime& runtime,
                         Diagnostics& out) {
  TomlNode node;
  node.kind = TomlKind::kArray;
  if (text.starts_with('[')) {
    const auto parsed = json::parse(text);
    if (!parsed || !parsed->is_array())
      return report(out, Severity::kError, place, "is not a JSON list of strings",
                    R"(--entrypoint '["./server","-v"]')");
    for (const json::value& item : parsed->get_array()) {
      TomlNode argument;
      argument.kind = item.is_string() ? TomlKind::kString : TomlKind::kInteger;
      if (item.is_string()) argument.text = std::string(item.get_string());
      node.items.push_back(std::move(argument));
    }
  } else {
    TomlNode argument;
    argument.kind = TomlKind::kString;
    argument.text = std::string(text);
    node.items.push_back(std::move(argument));
  }
  read_arguments(key, node, place, runtime, out);
}

}  // namespace

std::span<const RuntimeKey> runtime_keys() {
  return kKeys;
}

const RuntimeKey* find_runtime_key(std::string_view name) {
  const auto at =
      std::find_if(kKeys.begin(), kKeys.end(), [&](const RuntimeKey& k) { return k.name == name; });
  return at == kKeys.end() ? nullptr : &*at;
}

std::span<const std::string_view> words_of(ValueKind kind) {
  if (kind == ValueKind::kLanguage) return kLanguages;
  if (kind == ValueKind::kBoolean) return kBooleans;
  return {};
}

void read_runtime_node(const RuntimeKey& key, const TomlNode& node, const Place& place, Runtime& runtime,
                       Diagnostics& out) {
  switch (key.kind) {
    case ValueKind::kSize:
      if (!wrong_type(key, node, TomlKind::kString, place, out))
        store_parsed(key, parse_size_mb(node.text), place, runtime, out);
      return;
    case ValueKind::kDuration:
      if (!wrong_type(key, node, TomlKind::kString, place, out))
        store_parsed(key, parse_duration_ms(node.text), place, runtime, out);
      return;
    case ValueKind::kCpu:
      if (node.kind != TomlKind::kFloat && wrong_type(key, node, TomlKind::kInteger, place, out)) return;
      if (!std::isfinite(node.number) || node.number < 0 || node.number > 1e6)
        return report(out, Severity::kError, place, "is out of bounds", "cpu = 1.0");
      return store_number(key, std::llround(node.number * 1000.0), place, runtime, out);
    case ValueKind::kCount:
      if (!wrong_type(key, node, TomlKind::kInteger, place, out))
        store_number(key, node.integer, place, runtime, out);
      return;
    case ValueKind::kBoolean:
      if (!wrong_type(key, node, TomlKind::kBoolean, place, out)) runtime.background = node.boolean;
      return;
    case ValueKind::kText:
    case ValueKind::kLanguage:
      if (!wrong_type(key, node, TomlKind::kString, place, out))
        store_text(key, node.text, place, runtime, out);
      return;
    case ValueKind::kArguments:
      return read_arguments(key, node, place, runtime, out);
  }
}

void read_runtime_text(const RuntimeKey& key, std::string_view text, const Place& place, Runtime& runtime,
                       Diagnostics& out) {
  switch (key.kind) {
    case ValueKind::kSize:
      return store_parsed(key, parse_size_mb(text), place, runtime, out);
    case ValueKind::kDuration:
      return store_parsed(key, parse_duration_ms(text), place, runtime, out);
    case ValueKind::kCpu:
      return store_parsed(key, parse_cpu_millis(text), place, runtime, out);
    case ValueKind::kCount: {
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc() || end != text.data() + text.size())
        return report(out, Severity::kError, place, fmt::format("`{}` is not a whole number", text));
      return store_number(key, value, place, runtime, out);
    }
    case ValueKind::kBoolean:
      if (text != "true" && text != "false")
        return report(out, Severity::kError, place, fmt::format("`{}` is neither true nor false", text));
      runtime.background = text == "true";
      return;
    case ValueKind::kText:
    case ValueKind::kLanguage:
      return store_text(key, text, place, runtime, out);
    case ValueKind::kArguments:
      return read_arguments_text(key, text, place, runtime, out);
  }
}

}  // namespace skerry::manifest
