#include "store/store.h"

#include <sqlite3.h>

#include <charconv>

#include "store/statement.h"

namespace skerry {
namespace {

// Each entry takes the schema from its index to the next version. Never edited once released; new ones are added at the end.
constexpr const char* kMigrations[] = {
    R"(CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
       CREATE TABLE tokens(id TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL,
                           last_used_ms INTEGER NOT NULL DEFAULT 0) STRICT;
       CREATE TABLE functions(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
                              active TEXT NOT NULL DEFAULT '') STRICT;
       CREATE TABLE revisions(id TEXT PRIMARY KEY, function TEXT NOT NULL REFERENCES functions(id) ON DELETE CASCADE, number INTEGER NOT NULL,
                              tag TEXT NOT NULL, state INTEGER NOT NULL, language TEXT NOT NULL, source_digest TEXT NOT NULL, size_bytes INTEGER NOT NULL,
                              spec TEXT NOT NULL, artifact TEXT NOT NULL, config TEXT NOT NULL, error TEXT NOT NULL, created_ms INTEGER NOT NULL,
                              UNIQUE(function, number)) STRICT;
       CREATE TABLE secrets(name TEXT NOT NULL, function TEXT NOT NULL, sealed TEXT NOT NULL, size INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
                            PRIMARY KEY(name, function)) STRICT;
       CREATE TABLE uploads(digest TEXT PRIMARY KEY, size INTEGER NOT NULL, files INTEGER NOT NULL, created_ms INTEGER NOT NULL) STRICT;
       CREATE TABLE usage(function TEXT NOT NULL, revision TEXT NOT NULL, location TEXT NOT NULL, hour_ms INTEGER NOT NULL, start_mode INTEGER NOT NULL,
                          requests INTEGER NOT NULL, errors INTEGER NOT NULL, wall_us INTEGER NOT NULL, cpu_us INTEGER NOT NULL, memory_mb_ms INTEGER NOT NULL,
                          request_bytes INTEGER NOT NULL, response_bytes INTEGER NOT NULL,
                          PRIMARY KEY(function, revision, location, hour_ms, start_mode)) STRICT;
       CREATE TABLE journal_positions(segment TEXT PRIMARY KEY, next_index INTEGER NOT NULL) STRICT;)",
    // What was used by a function stays when it goes, and so does its name.
    "CREATE TABLE removed_functions(id TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;",
};
constexpr int kSchemaVersion = static_cast<int>(std::size(kMigrations));
constexpr int kApplicationId = 0x534B5259;  // "SKRY"
constexpr int kBusyTimeoutMs = 5000;

}  // namespace

std::unexpected<Error> Store::failed(std::string_view what) const {
  const int code = ::sqlite3_extended_errcode(db_);
  ErrorCode kind = ErrorCode::kIo;
  switch (code & 0xFF) {
    case SQLITE_FULL: kind = ErrorCode::kNoCapacity; break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: kind = ErrorCode::kCorrupt; break;
    case SQLITE_CONSTRAINT: kind = ErrorCode::kConflict; break;
    case SQLITE_BUSY: kind = ErrorCode::kUnavailable; break;
    default: break;
  }
  return fail(kind, "store: {}: {}", what, ::sqlite3_errmsg(db_));
}

Result<void> Store::execute(const char* sql) {
  if (::sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failed(std::string_view(sql).substr(0, 40));
  return {};
}

Result<std::unique_ptr<Store>> Store::open(const std::string& path, const Clock& clock) {
  sqlite3* db = nullptr;
  const int opened = ::sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Store> store(new Store(db, clock));
  if (opened != SQLITE_OK) return store->failed(fmt::format("open `{}`", path));
  ::sqlite3_busy_timeout(db, kBusyTimeoutMs);
  TRY(store->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"), path);
  TRY(store->migrate(), path);
  return store;
}

Store::~Store() { ::sqlite3_close_v2(db_); }

Result<void> Store::migrate() {
  Statement version(db_, "PRAGMA user_version");
  if (!version.step()) return failed("read schema version");
  const auto current = static_cast<int>(version.number(0));
  if (current > kSchemaVersion)
    return fail(ErrorCode::kCorrupt, "the database has schema version {}, this program knows {}: it was written by a newer Skerry", current, kSchemaVersion);
  for (int v = current; v < kSchemaVersion; ++v) {
    Transaction transaction(*this);
    TRY(transaction.begin());
    TRY(execute(kMigrations[v]), fmt::format("migration to version {}", v + 1));
    TRY(execute(fmt::format("PRAGMA user_version={}; PRAGMA application_id={};", v + 1, kApplicationId).c_str()));
    TRY(transaction.commit());
  }
  return {};
}

// ---- meta

Result<std::string> Store::meta(const std::string& key) {
  Statement s(db_, "SELECT value FROM meta WHERE key=?");
  if (s.bind(key).step()) return s.text(0);
  if (!s.done()) return failed("read meta");
  return std::string();
}

Result<void> Store::set_meta(const std::string& key, const std::string& value) {
  Statement s(db_, "INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value");
  s.bind(key, value).step();
  if (!s.done()) return failed("write meta");
  return {};
}

Result<int64_t> Store::next_number(const std::string& key) {
  Statement s(db_, "INSERT INTO meta VALUES(?,'1') ON CONFLICT(key) DO UPDATE SET value=CAST(CAST(value AS INTEGER)+1 AS TEXT) RETURNING value");
  if (!s.bind(key).step()) return failed("count");
  const std::string text = s.text(0);
  int64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return fail(ErrorCode::kCorrupt, "store: `{}` is no number", key);
  s.step();
  if (!s.done()) return failed("count");
  return value;
}

// ---- tokens

Result<void> Store::add_token(const TokenRow& token, const std::string& hash) {
  Statement s(db_, "INSERT INTO tokens(id,name,hash,created_ms) VALUES(?,?,?,?)");
  s.bind(token.id, token.name, hash, clock_.wall_ms()).step();
  if (!s.done()) return failed("add token");
  return {};
}

Result<std::optional<TokenRow>> Store::find_token(const std::string& hash) {
  Statement s(db_, "SELECT id,name,created_ms,last_used_ms FROM tokens WHERE hash=?");
  if (s.bind(hash).step()) return TokenRow{s.text(0), s.text(1), s.number(2), s.number(3)};
  if (!s.done()) return failed("find token");
  return std::nullopt;
}

Result<void> Store::touch_token(const std::string& id) {
  Statement s(db_, "UPDATE tokens SET last_used_ms=? WHERE id=?");
  s.bind(clock_.wall_ms(), id).step();
  if (!s.done()) return failed("touch token");
  return {};
}

Result<std::vector<TokenRow>> Store::tokens() {
  Statement s(db_, "SELECT id,name,created_ms,last_used_ms FROM tokens ORDER BY created_ms");
  std::vector<TokenRow> out;
  while (s.step()) out.push_back({s.text(0), s.text(1), s.number(2), s.number(3)});
  if (!s.done()) return failed("list tokens");
  return out;
}

Result<void> Store::remove_token(const std::string& id) {
  Statement s(db_, "DELETE FROM tokens WHERE id=?");
  s.bind(id).step();
  if (!s.done()) return failed("remove token");
  if (s.changes() == 0) return fail(ErrorCode::kNotFound, "no token `{}`", id);
  return {};
}

// ---- functions

Result<void> Store::add_function(const FunctionRow& f) {
  Statement s(db_, "INSERT INTO functions(id,name,created_ms,updated_ms) VALUES(?,?,?,?)");
  s.bind(f.id.str(), f.name, clock_.wall_ms(), clock_.wall_ms()).step();
  if (!s.done()) return failed(fmt::format("add function `{}`", f.name));
  return {};
}

Result<std::optional<FunctionRow>> Store::find_function(const std::string& name_or_id) {
  Statement s(db_, "SELECT id,name,created_ms,updated_ms,active FROM functions WHERE name=?1 OR id=?1");
  if (s.bind(name_or_id).step()) return FunctionRow{FunctionId(s.text(0)), s.text(1), s.number(2), s.number(3), RevisionId(s.text(4))};
  if (!s.done()) return failed("find function");
  return std::nullopt;
}

Result<std::vector<FunctionRow>> Store::functions() {
  Statement s(db_, "SELECT id,name,created_ms,updated_ms,active FROM functions ORDER BY name");
  std::vector<FunctionRow> out;
  while (s.step()) out.push_back({FunctionId(s.text(0)), s.text(1), s.number(2), s.number(3), RevisionId(s.text(4))});
  if (!s.done()) return failed("list functions");
  return out;
}

Result<void> Store::remove_function(const FunctionId& id) {
  Transaction transaction(*this);
  TRY(transaction.begin());
  Statement secrets(db_, "DELETE FROM secrets WHERE function=?");
  secrets.bind(id.str()).step();
  if (!secrets.done()) return failed("remove secrets");
  Statement name(db_, "INSERT OR REPLACE INTO removed_functions SELECT id,name FROM functions WHERE id=?");
  name.bind(id.str()).step();
  if (!name.done()) return failed("keep the name of a removed function");
  Statement s(db_, "DELETE FROM functions WHERE id=?");
  s.bind(id.str()).step();
  if (!s.done()) return failed("remove function");
  return transaction.commit();
}

Result<std::map<FunctionId, std::string>> Store::function_names() {
  Statement s(db_, "SELECT id,name FROM removed_functions UNION SELECT id,name FROM functions");
  std::map<FunctionId, std::string> out;
  while (s.step()) out[FunctionId(s.text(0))] = s.text(1);
  if (!s.done()) return failed("list names of functions");
  return out;
}

// ---- revisions

namespace {
constexpr const char* kRevisionColumns =
    "SELECT id,function,number,tag,state,language,source_digest,size_bytes,spec,artifact,config,error,created_ms FROM revisions ";
}

RevisionRow Store::read_revision(Statement& s) {
  RevisionRow r;
  r.id = RevisionId(s.text(0));
  r.function = FunctionId(s.text(1));
  r.number = s.number(2);
  r.tag = s.text(3);
  r.state = static_cast<RevisionState>(s.number(4));
  r.language = s.text(5);
  r.source_digest = s.text(6);
  r.size_bytes = s.number(7);
  r.spec_json = s.text(8);
  r.artifact_json = s.text(9);
  r.config_json = s.text(10);
  r.error = s.text(11);
  r.created_ms = s.number(12);
  return r;
}

Result<int64_t> Store::add_revision(const RevisionRow& r, size_t keep) {
  Transaction transaction(*this);
  TRY(transaction.begin());
  Statement last(db_, "SELECT COALESCE(MAX(number),0) FROM revisions WHERE function=?");
  if (!last.bind(r.function.str()).step()) return failed("number revision");
  const int64_t number = last.number(0) + 1;
  Statement s(db_, "INSERT INTO revisions VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)");
  s.bind(r.id.str(), r.function.str(), number, r.tag, static_cast<int64_t>(r.state), r.language, r.source_digest, r.size_bytes, r.spec_json, r.artifact_json,
         r.config_json, r.error, clock_.wall_ms())
      .step();
  if (!s.done()) return failed("add revision");
  // Failed ones first, the oldest first: a series of mistakes takes one revision away that could be rolled back to, at most.
  Statement prune(db_,
                  "DELETE FROM revisions WHERE id IN (SELECT id FROM revisions WHERE function=?1 AND number<?2 AND id NOT IN (SELECT active FROM functions WHERE id=?1) "
                  "ORDER BY state<>?3, number LIMIT MAX(0,(SELECT COUNT(*) FROM revisions WHERE function=?1)-?4))");
  prune.bind(r.function.str(), number, static_cast<int64_t>(RevisionState::kFailed), static_cast<int64_t>(keep)).step();
  if (!prune.done()) return failed("remove old revisions");
  TRY(transaction.commit());
  return number;
}

Result<void> Store::update_revision(const RevisionRow& r) {
  Statement s(db_, "UPDATE revisions SET state=?,language=?,size_bytes=?,artifact=?,config=?,error=? WHERE id=?");
  s.bind(static_cast<int64_t>(r.state), r.language, r.size_bytes, r.artifact_json, r.config_json, r.error, r.id.str()).step();
  if (!s.done()) return failed("update revision");
  if (s.changes() == 0) return fail(ErrorCode::kNotFound, "revision `{}` was removed", r.id.str());
  return {};
}

Result<std::vector<RevisionRow>> Store::revisions(const FunctionId& function) {
  Statement s(db_, (std::string(kRevisionColumns) + "WHERE function=? ORDER BY number DESC").c_str());
  s.bind(function.str());
  std::vector<RevisionRow> out;
  while (s.step()) out.push_back(read_revision(s));
  if (!s.done()) return failed("list revisions");
  return out;
}

Result<std::optional<RevisionRow>> Store::find_revision(const RevisionId& id) {
  Statement s(db_, (std::string(kRevisionColumns) + "WHERE id=?").c_str());
  if (s.bind(id.str()).step()) return read_revision(s);
  if (!s.done()) return failed("find revision");
  return std::nullopt;
}

Result<void> Store::activate(const FunctionId& function, const RevisionId& revision) {
  Transaction transaction(*this);
  TRY(transaction.begin());
  Statement ready(db_, "UPDATE revisions SET state=? WHERE id=? AND function=?");
  ready.bind(static_cast<int64_t>(RevisionState::kReady), revision.str(), function.str()).step();
  if (!ready.done()) return failed("mark ready");
  if (ready.changes() == 0) return fail(ErrorCode::kNotFound, "revision `{}` is not one of this function", revision.str());
  Statement s(db_, "UPDATE functions SET active=?,updated_ms=? WHERE id=?");
  s.bind(revision.str(), clock_.wall_ms(), function.str()).step();
  if (!s.done() || s.changes() == 0) return failed("activate");
  return transaction.commit();
}

Result<int64_t> Store::fail_unfinished(const std::string& why) {
  Statement s(db_, "UPDATE revisions SET state=?,error=? WHERE state=?");
  s.bind(static_cast<int64_t>(RevisionState::kFailed), why, static_cast<int64_t>(RevisionState::kBuilding)).step();
  if (!s.done()) return failed("fail unfinished revisions");
  return s.changes();
}

// ---- secrets

Result<void> Store::put_secret(const SecretRow& r) {
  Statement s(db_, "INSERT INTO secrets VALUES(?,?,?,?,?) ON CONFLICT(name,function) DO UPDATE SET sealed=excluded.sealed,size=excluded.size,"
                   "updated_ms=excluded.updated_ms");
  s.bind(r.name, r.function.str(), r.sealed, r.size, clock_.wall_ms()).step();
  if (!s.done()) return failed("store secret");
  return {};
}

Result<std::vector<SecretRow>> Store::secrets() {
  Statement s(db_, "SELECT name,function,sealed,size,updated_ms FROM secrets ORDER BY name,function");
  std::vector<SecretRow> out;
  while (s.step()) out.push_back({s.text(0), FunctionId(s.text(1)), s.text(2), s.number(3), s.number(4)});
  if (!s.done()) return failed("list secrets");
  return out;
}

Result<void> Store::remove_secret(const std::string& name, const FunctionId& function) {
  Statement s(db_, "DELETE FROM secrets WHERE name=? AND function=?");
  s.bind(name, function.str()).step();
  if (!s.done()) return failed("remove secret");
  if (s.changes() == 0) return fail(ErrorCode::kNotFound, "no secret `{}`{}", name, function.empty() ? "" : " of this function");
  return {};
}

// ---- uploads

Result<void> Store::put_upload(const UploadRow& r) {
  Statement s(db_, "INSERT INTO uploads VALUES(?,?,?,?) ON CONFLICT(digest) DO UPDATE SET created_ms=excluded.created_ms");
  s.bind(r.digest, r.size, r.files, clock_.wall_ms()).step();
  if (!s.done()) return failed("store upload");
  return {};
}

Result<std::optional<UploadRow>> Store::find_upload(const std::string& digest) {
  Statement s(db_, "SELECT digest,size,files,created_ms FROM uploads WHERE digest=?");
  if (s.bind(digest).step()) return UploadRow{s.text(0), s.number(1), s.number(2), s.number(3)};
  if (!s.done()) return failed("find upload");
  return std::nullopt;
}

Result<std::vector<UploadRow>> Store::uploads_before(int64_t created_ms) {
  Statement s(db_, "SELECT digest,size,files,created_ms FROM uploads WHERE created_ms<? AND digest NOT IN (SELECT source_digest FROM revisions)");
  s.bind(created_ms);
  std::vector<UploadRow> out;
  while (s.step()) out.push_back({s.text(0), s.number(1), s.number(2), s.number(3)});
  if (!s.done()) return failed("list uploads");
  return out;
}

Result<void> Store::remove_upload(const std::string& digest) {
  Statement s(db_, "DELETE FROM uploads WHERE digest=?");
  s.bind(digest).step();
  if (!s.done()) return failed("remove upload");
  return {};
}

// ---- usage

Result<void> Store::add_usage(const std::vector<UsageRow>& rows, const std::string& segment, int64_t next_index) {
  Transaction transaction(*this);
  TRY(transaction.begin());
  for (const UsageRow& r : rows) {
    Statement s(db_, "INSERT INTO usage VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET requests=requests+excluded.requests,"
                     "errors=errors+excluded.errors,wall_us=wall_us+excluded.wall_us,cpu_us=cpu_us+excluded.cpu_us,"
                     "memory_mb_ms=memory_mb_ms+excluded.memory_mb_ms,request_bytes=request_bytes+excluded.request_bytes,"
                     "response_bytes=response_bytes+excluded.response_bytes");
    s.bind(r.function.str(), r.revision.str(), r.location, r.hour_ms, r.start_mode, r.requests, r.errors, r.wall_us, r.cpu_us, r.memory_mb_ms,
           r.request_bytes, r.response_bytes)
        .step();
    if (!s.done()) return failed("add usage");
  }
  Statement position(db_, "INSERT INTO journal_positions VALUES(?,?) ON CONFLICT(segment) DO UPDATE SET next_index=excluded.next_index");
  position.bind(segment, next_index).step();
  if (!position.done()) return failed("store journal position");
  return transaction.commit();
}

Result<int64_t> Store::journal_position(const std::string& segment) {
  Statement s(db_, "SELECT next_index FROM journal_positions WHERE segment=?");
  if (s.bind(segment).step()) return s.number(0);
  if (!s.done()) return failed("read journal position");
  return int64_t{0};
}

Result<std::vector<UsageRow>> Store::usage(int64_t since_ms, int64_t until_ms) {
  Statement s(db_, "SELECT function,location,start_mode,SUM(requests),SUM(errors),SUM(wall_us),SUM(cpu_us),SUM(memory_mb_ms),SUM(request_bytes),"
                   "SUM(response_bytes) FROM usage WHERE hour_ms>=? AND hour_ms<? GROUP BY function,location,start_mode ORDER BY function,location,start_mode");
  s.bind(since_ms, until_ms);
  std::vector<UsageRow> out;
  while (s.step()) {
    UsageRow r;
    r.function = FunctionId(s.text(0));
    r.location = s.text(1);
    r.start_mode = s.number(2);
    r.requests = s.number(3);
    r.errors = s.number(4);
    r.wall_us = s.number(5);
    r.cpu_us = s.number(6);
    r.memory_mb_ms = s.number(7);
    r.request_bytes = s.number(8);
    r.response_bytes = s.number(9);
    out.push_back(std::move(r));
  }
  if (!s.done()) return failed("sum usage");
  return out;
}

}  // namespace skerry
