// RevisionFile: what a build script found out and left at .skerry/revision.json in its result: how the revision is started.
//
// Written by shims/<language>/build.sh, in a container where the author's code may have run: every value is checked here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "build/archive.h"

namespace skerry {

inline constexpr std::string_view kRevisionFilePath = ".skerry/revision.json";

struct RevisionFile {
  std::string shape;  // shims/README.md
  std::string entry;
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value"
  std::string health_path;
  // Found in the result beside it:
  bool has_modules = false;  // it brings its own node_modules
  uint64_t size_bytes = 0;

  // From the list of a result.
  static Result<RevisionFile> of_result(const ArchiveListing& listing);
  // Python has no script that decides: the entry is found by the names of files.
  static RevisionFile of_python_result(const ArchiveListing& listing);
  // One line, and back: kept in the layer index.
  [[nodiscard]] std::string text() const;
  static Result<RevisionFile> parse(std::string_view text);
};

}  // namespace skerry
