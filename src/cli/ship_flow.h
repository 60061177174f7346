// ShipFlow: a checked project to a revision in traffic: pack, upload, ship, follow the progress, remember the
// link. Shared by ship and dev.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "cli/progress.h"
#include "cli/project.h"
#include "cli/session.h"
#include "manifest/ship_request.h"

namespace skerry::cli {

enum class ShipCode { kUpload, kKeep };
enum class ShipLink { kWrite, kLeave };

class ShipFlow {
 public:
  // `cancel` ends an upload or a ship that is under way; the gateway may still finish what it has begun.
  explicit ShipFlow(Session& session, const std::atomic<bool>* cancel = nullptr)
      : session_(session), progress_(session), cancel_(cancel) {}

  // The `done` event. A failed build or start is a Failure with kBuildFailed and the log's tail in its
  // details.
  Outcome<json::object> ship(const Project& project, ShipCode code, ShipLink link = ShipLink::kWrite);
  [[nodiscard]] const std::vector<std::string>& warnings() const { return progress_.warnings(); }

 private:
  Outcome<manifest::Source> source_of(const Project& project, ShipCode code);

  Session& session_;
  ShipProgress progress_;
  const std::atomic<bool>* cancel_;
};

// Diagnostics on standard error, as text.
void print_diagnostics(const Terminal& terminal, const Project& project);
[[nodiscard]] json::array diagnostics_json(const Project& project);
// Prints what is wrong; refuses with kUsage if anything is an error. With --json the errors are in the
// failure's details.
Outcome<> report_diagnostics(const Session& session, const Project& project);

}  // namespace skerry::cli
