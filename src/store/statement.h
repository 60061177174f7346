// Internal to store/: one prepared statement, bound and read by position.
#pragma once

#include <sqlite3.h>

#include <string>
#include <string_view>

#include "store/store.h"

namespace skerry {

class Store::Statement {
 public:
  Statement(sqlite3* db, const char* sql) : db_(db) { status_ = ::sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr); }
  ~Statement() { ::sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Binds the arguments from left to right.
  template <typename... Args>
  Statement& bind(const Args&... args) {
    int position = 0;
    (bind_one(++position, args), ...);
    return *this;
  }
  // True: a row is there. False: done. Errors stay in status().
  bool step() {
    if (status_ != SQLITE_OK && status_ != SQLITE_ROW) return false;
    status_ = ::sqlite3_step(statement_);
    return status_ == SQLITE_ROW;
  }
  [[nodiscard]] bool done() const { return status_ == SQLITE_DONE; }
  [[nodiscard]] std::string text(int column) const {
    const auto* bytes = static_cast<const char*>(::sqlite3_column_blob(statement_, column));
    return bytes == nullptr ? std::string() : std::string(bytes, static_cast<size_t>(::sqlite3_column_bytes(statement_, column)));
  }
  [[nodiscard]] int64_t number(int column) const { return ::sqlite3_column_int64(statement_, column); }
  // Rows changed by the last step.
  [[nodiscard]] int changes() const { return ::sqlite3_changes(db_); }

 private:
  void bind_one(int position, std::string_view text) {
    if (status_ == SQLITE_OK) status_ = ::sqlite3_bind_text(statement_, position, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  }
  void bind_one(int position, int64_t number) {
    if (status_ == SQLITE_OK) status_ = ::sqlite3_bind_int64(statement_, position, number);
  }

  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int status_ = SQLITE_OK;
};

// BEGIN IMMEDIATE .. COMMIT; rolls back unless committed. Nothing may be written before begin() succeeded: it would be committed by itself.
class Store::Transaction {
 public:
  explicit Transaction(Store& store) : store_(store) {}
  ~Transaction() {
    if (open_) (void)store_.execute("ROLLBACK");
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  Result<void> begin() {
    TRY(store_.execute("BEGIN IMMEDIATE"));
    open_ = true;
    return {};
  }
  Result<void> commit() {
    TRY(store_.execute("COMMIT"));
    open_ = false;
    return {};
  }

 private:
  Store& store_;
  bool open_ = false;
};

}  // namespace skerry
