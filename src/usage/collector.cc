#include "usage/collector.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "contract/driver.h"
#include "meter/journal.h"

namespace skerry::usage {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kEarliestMs = 1'577'836'800'000;  // 2020-01-01
constexpr int64_t kLatestMs = 4'102'444'800'000;    // 2100-01-01
// SECURITY: sums are 64-bit; bounds on one record keep a broken or taken edge from making a sum overflow,
// which would fail every later query.
constexpr uint64_t kMaxWallUs = 24ULL * 3600 * 1'000'000;
constexpr uint64_t kMaxCpuUs = kMaxWallUs * 64;
constexpr uint64_t kMaxBytes = 1ULL << 40;
constexpr uint64_t kMaxMemoryMb = 1ULL << 20;
constexpr uint16_t kFirstServerError = 500;

using Key = std::tuple<std::string, std::string, std::string, int64_t, int64_t>;
using Sums = std::map<Key, UsageRow>;

bool possible(const meter::Entry& e) {
  return !e.function.empty() && !e.revision.empty() &&
         e.start_mode <= static_cast<uint8_t>(StartMode::kBoot) && e.start_wall_ms >= kEarliestMs &&
         e.start_wall_ms < kLatestMs && e.wall_us <= kMaxWallUs && e.cpu_us <= kMaxCpuUs &&
         e.request_bytes <= kMaxBytes && e.response_bytes <= kMaxBytes && e.memory_mb <= kMaxMemoryMb;
}

void add(Sums& sums, const meter::Entry& e) {
  const int64_t hour_ms = e.start_wall_ms / kHourMs * kHourMs;
  UsageRow& row = sums[{e.function, e.revision, e.location, hour_ms, e.start_mode}];
  row.function = FunctionId(e.function);
  row.revision = RevisionId(e.revision);
  row.location = e.location;
  row.hour_ms = hour_ms;
  row.start_mode = e.start_mode;
  row.requests += 1;
  row.errors += e.status == 0 || e.status >= kFirstServerError ? 1 : 0;
  row.wall_us += static_cast<int64_t>(e.wall_us);
  row.cpu_us += static_cast<int64_t>(e.cpu_us);
  // Rounded for each record, so that the sum does not depend on how records fell into batches.
  row.memory_mb_ms += static_cast<int64_t>((e.memory_mb * e.wall_us + 999) / 1000);
  row.request_bytes += static_cast<int64_t>(e.request_bytes);
  row.response_bytes += static_cast<int64_t>(e.response_bytes);
}

// Names of segments, oldest first.
Result<std::vector<std::string>> list_segments(const std::string& directory) {
  constexpr std::string_view kSuffix = ".journal";
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return fail_errno("open `{}`", directory);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name(entry->d_name);
    if (!name.ends_with(kSuffix) ||
        name.substr(0, name.size() - kSuffix.size()).find_first_not_of("0123456789") !=
            std::string_view::npos)
      continue;
    if (names.size() >= kMaxSegments)
      return fail(ErrorCode::kTooMany, "`{}` has more than {} segments", directory, kMaxSegments);
    names.emplace_back(name);
  }
  // Numbers are padded to 12 digits; longer ones come later by length.
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return names;
}

}  // namespace

Result<bool> Collector::collect_segment(const std::string& name, Collected& collected) {
  TRY_ASSIGN(const std::string key, meter::segment_key(directory_, name));
  if (key.empty()) return false;  // being made
  TRY_ASSIGN(const int64_t from, store_.journal_position(key));
  if (from < 0) return fail(ErrorCode::kCorrupt, "position {} of `{}`", from, key);
  if (static_cast<uint64_t>(from) >= meter::kRecordsPerSegment) return true;
  Sums sums;
  uint64_t records = 0, skipped = 0;
  const auto each = [&](const meter::Entry& entry, bool /*sent*/) {
    if (!possible(entry)) {
      ++skipped;
      return;
    }
    add(sums, entry);
    ++records;
  };
  TRY_ASSIGN(const uint64_t next,
             meter::read_segment(directory_ + "/" + name, static_cast<uint64_t>(from), each));
  if (next > static_cast<uint64_t>(from)) {
    std::vector<UsageRow> rows;
    rows.reserve(sums.size());
    for (auto& [ignored, row] : sums) rows.push_back(std::move(row));
    TRY(store_.add_usage(rows, key, static_cast<int64_t>(next)), name);
    collected.records += records;
    collected.skipped += skipped;
  }
  return next >= meter::kRecordsPerSegment;
}

Result<Collected> Collector::collect() {
  Collected collected;
  TRY_ASSIGN(const std::vector<std::string> names, list_segments(directory_), "meter journal");
  for (size_t i = 0; i < names.size(); ++i) {
    TRY(collect_segment(names[i], collected), "meter journal");
    // What is read and behind the kept ones is removed, when it is old as well: a writer that drains may
    // still be at a segment before the last.
    if (i + kSegmentsKept >= names.size()) continue;
    const std::string path = directory_ + "/" + names[i];
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0 || st.st_mtim.tv_sec * 1000 > clock_.wall_ms() - kSegmentKeptMs)
      continue;
    if (::unlink(path.c_str()) != 0) return fail_errno("remove `{}`", path);
    ++collected.removed_segments;
  }
  return collected;
}

}  // namespace skerry::usage
