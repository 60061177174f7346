// The keys of [runtime]: one table for the manifest, for `skerry ship --KEY VALUE` and for the help text.
//
// Pure. A value is read from a TOML node or from text by the same bounds.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "manifest/manifest.h"
#include "manifest/toml.h"

namespace skerry::manifest {

enum class ValueKind { kSize, kDuration, kCpu, kCount, kBoolean, kText, kLanguage, kArguments };

struct RuntimeKey {
  std::string_view name;  // "idle_timeout"; as an option "--idle-timeout"
  ValueKind kind;
  int64_t min;        // kSize: MB, kDuration: ms, kCpu: thousandths, kCount: itself
  int64_t max;        // over this is an error anywhere
  int64_t usual_max;  // over this is a warning: the gateway refuses it unless its operator raised the cap; 0:
                      // none
  std::string_view example;  // as written in TOML
  std::string_view help;
  std::variant<std::monostate, std::optional<int64_t> Runtime::*, std::optional<std::string> Runtime::*>
      member;
};

[[nodiscard]] std::span<const RuntimeKey> runtime_keys();
[[nodiscard]] const RuntimeKey* find_runtime_key(std::string_view name);
// All that a value may be, where that is a handful of words; else nothing.
[[nodiscard]] std::span<const std::string_view> words_of(ValueKind kind);

// Reads one value into `runtime`; what is wrong goes to `out` with the given place.
struct Place {
  std::string_view file;
  uint32_t line = 0;
  std::string key;
};
void read_runtime_node(const RuntimeKey& key, const TomlNode& node, const Place& place, Runtime& runtime,
                       Diagnostics& out);
void read_runtime_text(const RuntimeKey& key, std::string_view text, const Place& place, Runtime& runtime,
                       Diagnostics& out);

}  // namespace skerry::manifest
