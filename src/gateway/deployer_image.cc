// What a ship of an image in a registry does before its build: from the tag to a digest, and whether that is in traffic already.
#include <algorithm>

#include "gateway/artifact.h"
#include "gateway/deployer.h"

namespace skerry {

BuildRequest Deployer::build_order(const ShipRequest& request, const FunctionRow& function, const RevisionRow& row) {
  return {function.id, function.name, row.id.str(), request.upload.value_or(Digest()), request.image, request.language, request.version, request.spec.build_command,
          request.spec.entrypoint, request.spec.health_path, static_cast<uint64_t>(request.spec.memory_mb) << 20};
}

Task<Result<std::optional<RevisionRow>>> Deployer::resolve(ShipRequest& request, const FunctionRow& function, const RevisionRow& row, ShipProgress& progress) {
  CO_TRY_ASSIGN(ResolvedImage resolved, co_await builder_.resolve(build_order(request, function, row), progress));
  request.image->digest = std::move(resolved.digest);
  std::optional<RevisionRow> same = resolved.is_built ? unchanged(request, function) : std::nullopt;
  if (same) progress.log("resolve", fmt::format("{} is still {}, as in revision {}: nothing is made", request.image->name(), request.image->digest->str(), same->number));
  co_return same;
}

std::optional<RevisionRow> Deployer::unchanged(const ShipRequest& request, const FunctionRow& function) {
  auto found = store_.find_revision(function.active);
  if (!found || !*found) return std::nullopt;
  RevisionRow& active = **found;
  const auto artifact = artifact_from_json(active.artifact_json);
  if (!artifact || artifact->image != request.image->name() || active.source_digest != request.image->digest->str()) return std::nullopt;
  if (active.spec_json != json::serialize(request.spec.to_json())) return std::nullopt;
  // A secret that the revision could not take when it was set is a reason to ship again.
  const auto secrets = resolve_secrets(function.id, request.spec);
  const auto is_newer = [&](const auto& entry) { return entry.second.updated_ms >= active.created_ms; };
  if (!secrets || std::any_of(secrets->begin(), secrets->end(), is_newer)) return std::nullopt;
  return std::move(active);
}

}  // namespace skerry
