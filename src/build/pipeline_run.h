// Pipeline::Run: one build as it goes on. Only for the files of pipeline.h.
#pragma once

#include <optional>
#include <string>

#include "build/archive.h"
#include "build/build_log.h"
#include "build/languages.h"
#include "build/pipeline.h"
#include "build/revision_file.h"

namespace skerry {

struct Pipeline::Run {
  BuildRequest request;
  BuildLog log;
  ArchiveListing listing{};
  LanguageRecipe recipe{};
  DependencyPlan plan{};
  Digest image{}, trust{}, toolchain{}, shim{}, machine{};
  std::string dependency_key{};
  std::optional<Digest> dependencies{};
  uint64_t upload_bytes = 0;
  Digest app{};
  std::optional<RevisionFile> made{};
  bool unpacks_image = false;

  [[nodiscard]] bool own_server() const { return !request.entrypoint.empty(); }
};

}  // namespace skerry
