#include "gateway/garbage.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "base/id.h"

namespace skerry {
namespace {

struct Entry {
  std::string name;
  int64_t changed_ms = 0;
};

// What is in a folder, links not followed. Nothing for a folder that is not there.
std::vector<Entry> entries(const std::string& folder) {
  std::vector<Entry> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    struct stat st {};
    if (::lstat(it->path().c_str(), &st) != 0) continue;
    found.push_back({it->path().filename().string(), static_cast<int64_t>(st.st_mtim.tv_sec) * 1000 + st.st_mtim.tv_nsec / 1'000'000});
  }
  return found;
}

}  // namespace

Result<Removed> Garbage::collect() {
  Removed removed;
  TRY(collect_blobs(removed), "blobs");
  TRY(collect_build_logs(removed), "build logs");
  TRY(collect_function_logs(removed), "function logs");
  return removed;
}

Result<void> Garbage::collect_blobs(Removed& removed) {
  const int64_t now = clock_.wall_ms();
  // The row first: an upload without its row is uploaded again, a row without its bytes would promise what is not there.
  TRY_ASSIGN(const auto old, store_.uploads_before(now - kUploadKeptMs));
  for (const UploadRow& row : old) {
    TRY(store_.remove_upload(row.digest));
    ++removed.uploads;
  }
  for (const Entry& entry : entries(folders_.blobs)) {
    const auto digest = Digest::parse("sha256:" + entry.name);
    if (!digest || now - entry.changed_ms < kBlobKeptMs) continue;
    TRY_ASSIGN(const auto upload, store_.find_upload(digest->str()));
    if (!upload && ::unlink((folders_.blobs + "/" + entry.name).c_str()) == 0) ++removed.blobs;
  }
  return {};
}

Result<void> Garbage::collect_build_logs(Removed& removed) {
  constexpr std::string_view kSuffix = ".log";
  for (const Entry& entry : entries(folders_.builds)) {
    if (!entry.name.ends_with(kSuffix) || clock_.wall_ms() - entry.changed_ms < kLogKeptMs) continue;
    const std::string id = entry.name.substr(0, entry.name.size() - kSuffix.size());
    if (!is_ulid(id)) continue;
    TRY_ASSIGN(const auto revision, store_.find_revision(RevisionId(id)));
    if (!revision && ::unlink((folders_.builds + "/" + entry.name).c_str()) == 0) ++removed.build_logs;
  }
  return {};
}

Result<void> Garbage::collect_function_logs(Removed& removed) {
  for (const Entry& entry : entries(folders_.logs)) {
    // A function's own row is written before its first instance starts, so a folder without one is of a function that was removed.
    if (!is_ulid(entry.name) || clock_.wall_ms() - entry.changed_ms < kLogKeptMs) continue;
    TRY_ASSIGN(const auto function, store_.find_function(entry.name));
    if (function) continue;
    std::error_code error;
    std::filesystem::remove_all(folders_.logs + "/" + entry.name, error);
    if (!error) ++removed.function_logs;
    else logger_.warn("the logs of a removed function stay", {{"function", entry.name}, {"error", error.message()}});
  }
  return {};
}

}  // namespace skerry
