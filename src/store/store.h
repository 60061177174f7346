// Store: everything control must not forget, in one SQLite file (WAL, synchronous=FULL for what is acknowledged).
//
// Callers: the adapters in daemon/control_*. Thread: control's loop; each call is one short transaction. Errors: kNotFound, kConflict, kCorrupt
// (damaged or newer database: the message says which), kNoCapacity (full disk). No SQL and no SQLite type leaves this room.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "contract/ids.h"

struct sqlite3;

namespace skerry {

struct TokenRow {
  std::string id;
  std::string name;
  int64_t created_ms = 0;
  int64_t last_used_ms = 0;
};

struct FunctionRow {
  FunctionId id;
  std::string name;
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
  RevisionId active;  // empty before the first is in traffic
};

enum class RevisionState : uint8_t { kBuilding = 0, kReady = 1, kFailed = 2 };

struct RevisionRow {
  RevisionId id;
  FunctionId function;
  int64_t number = 0;  // 1, 2, 3 .. within the function
  std::string tag;     // 7 characters
  RevisionState state = RevisionState::kBuilding;
  std::string language;
  std::string source_digest;
  int64_t size_bytes = 0;
  std::string spec_json;      // the ship request's config, complete
  std::string artifact_json;  // what the build gave; reused by config-only changes
  std::string config_json;    // RevisionConfig as sent to edge, sealed secrets included
  std::string error;
  int64_t created_ms = 0;
};

struct SecretRow {
  std::string name;
  FunctionId function;  // empty: shared in the organization
  std::string sealed;
  int64_t size = 0;
  int64_t updated_ms = 0;
};

struct UploadRow {
  std::string digest;
  int64_t size = 0;
  int64_t files = 0;
  int64_t created_ms = 0;
};

// One request's worth, or a sum of many.
struct UsageRow {
  FunctionId function;
  RevisionId revision;
  std::string location;
  int64_t hour_ms = 0;  // start of the hour
  int64_t start_mode = 0;
  int64_t requests = 0;
  int64_t errors = 0;
  int64_t wall_us = 0;
  int64_t cpu_us = 0;
  int64_t memory_mb_ms = 0;
  int64_t request_bytes = 0;
  int64_t response_bytes = 0;
};

class Store {
 public:
  // Opens or makes the file and brings its schema up to date.
  static Result<std::unique_ptr<Store>> open(const std::string& path, const Clock& clock);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // ---- meta
  Result<std::string> meta(const std::string& key);  // "" when not set
  Result<void> set_meta(const std::string& key, const std::string& value);
  // Adds one and gives the new value; 1 the first time. Used for configuration versions.
  Result<int64_t> next_number(const std::string& key);

  // ---- tokens: only the hash is kept
  Result<void> add_token(const TokenRow& token, const std::string& hash);
  Result<std::optional<TokenRow>> find_token(const std::string& hash);
  Result<void> touch_token(const std::string& id);
  Result<std::vector<TokenRow>> tokens();
  Result<void> remove_token(const std::string& id);

  // ---- functions
  // kConflict when the name is taken.
  Result<void> add_function(const FunctionRow& function);
  Result<std::optional<FunctionRow>> find_function(const std::string& name_or_id);
  Result<std::vector<FunctionRow>> functions();
  // With its revisions, its own secrets; usage and its name in it stay.
  Result<void> remove_function(const FunctionId& id);
  // Of those that are and of those that were removed.
  Result<std::map<FunctionId, std::string>> function_names();

  // ---- revisions
  // Takes the function's next number. Removes what is beyond `keep` revisions: failed ones, then others, the oldest first, never the active one.
  Result<int64_t> add_revision(const RevisionRow& revision, size_t keep);
  Result<void> update_revision(const RevisionRow& revision);
  Result<std::vector<RevisionRow>> revisions(const FunctionId& function);  // newest first
  Result<std::optional<RevisionRow>> find_revision(const RevisionId& id);
  // One transaction: the revision is ready and the function's traffic goes to it.
  Result<void> activate(const FunctionId& function, const RevisionId& revision);
  // At start: what was being built when control ended. Gives how many.
  Result<int64_t> fail_unfinished(const std::string& why);

  // ---- secrets
  Result<void> put_secret(const SecretRow& secret);
  Result<std::vector<SecretRow>> secrets();
  Result<void> remove_secret(const std::string& name, const FunctionId& function);

  // ---- uploads
  Result<void> put_upload(const UploadRow& upload);
  Result<std::optional<UploadRow>> find_upload(const std::string& digest);
  Result<std::vector<UploadRow>> uploads_before(int64_t created_ms);
  Result<void> remove_upload(const std::string& digest);

  // ---- usage
  // Adds the sums and remembers how far the journal was read, in one transaction.
  Result<void> add_usage(const std::vector<UsageRow>& rows, const std::string& segment, int64_t next_index);
  Result<int64_t> journal_position(const std::string& segment);  // 0 when not begun
  // Summed per function, location and start mode, over whole hours in [since, until).
  Result<std::vector<UsageRow>> usage(int64_t since_ms, int64_t until_ms);

 private:
  class Statement;
  class Transaction;
  explicit Store(sqlite3* db, const Clock& clock) : db_(db), clock_(clock) {}
  Result<void> migrate();
  Result<void> execute(const char* sql);
  [[nodiscard]] std::unexpected<Error> failed(std::string_view what) const;
  RevisionRow read_revision(Statement& s);

  sqlite3* db_;
  const Clock& clock_;
};

}  // namespace skerry
