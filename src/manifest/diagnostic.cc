#include "manifest/diagnostic.h"

#include <algorithm>

namespace skerry::manifest {

bool has_errors(const Diagnostics& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

std::string to_text(const Diagnostic& d) {
  std::string out = d.line != 0 ? fmt::format("{}:{}: ", d.file, d.line) : fmt::format("{}: ", d.file);
  out += d.severity == Severity::kError ? "error: " : "warning: ";
  if (!d.key.empty()) out += d.key + ": ";
  out += d.message;
  if (!d.fix.empty()) out += "\n  fix: " + d.fix;
  return out;
}

json::object to_json(const Diagnostic& d) {
  json::object out;
  out["severity"] = d.severity == Severity::kError ? "error" : "warning";
  out["file"] = d.file;
  out["line"] = d.line;
  out["key"] = d.key;
  out["message"] = d.message;
  out["fix"] = d.fix;
  return out;
}

}  // namespace skerry::manifest
