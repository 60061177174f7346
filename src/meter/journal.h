// The meter's journal: one fixed record a request, in memory-mapped files that survive the death of their writer.
//
// edge appends (a few stores, no system call but at the start of a segment); control reads and sums. Segments are <seq>.journal, 4 MB, a header
// slot (magic, version, a random id) and 16,383 records of 256 bytes, filled in order. The kernel keeps what was stored when the process is killed; a record that was being
// written then has no valid checksum and is skipped. A power cut may lose the last seconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry::meter {

inline constexpr size_t kRecordBytes = 256;
inline constexpr size_t kSegmentBytes = 4U << 20;
inline constexpr uint64_t kRecordsPerSegment = kSegmentBytes / kRecordBytes - 1;

struct Entry {
  std::string function;    // <= 32 bytes
  std::string revision;    // <= 32 bytes
  std::string location;    // <= 24 bytes
  std::string request_id;  // cut to 40 bytes
  uint8_t start_mode = 0;  // StartMode
  uint16_t status = 0;     // 0: no answer was begun
  int64_t start_wall_ms = 0;
  uint64_t wall_us = 0;
  uint64_t cpu_us = 0;
  uint32_t memory_mb = 0;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
};

class Journal {
 public:
  // Continues after the newest segment in `directory` (its owner's alone, exists) with a fresh one. A full disk does not keep a writer from
  // opening: it goes on in what is left of the newest segment, and without any, append() fails until there is room.
  static Result<std::unique_ptr<Journal>> open(const std::string& directory);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // The record's number, for mark_sent(). kNoCapacity when a new segment finds no room on the disk: the request is then not billed, and the
  // caller says so in its log.
  Result<uint64_t> append(const Entry& entry);
  // The last byte of the answer went out.
  void mark_sent(uint64_t record);

 private:
  Journal(std::string directory, uint64_t sequence) : directory_(std::move(directory)), sequence_(sequence) {}
  Result<void> begin_segment();
  Result<void> resume_segment();

  std::string directory_;
  uint64_t sequence_;       // of the current segment
  char* map_ = nullptr;
  char* previous_map_ = nullptr;  // requests that began before the change of segment still mark there
  uint64_t next_ = kRecordsPerSegment;
};

// Reads the valid records of one segment from index `from` on, in order, until the first empty slot. Gives the index to go on from later.
// `each` gets the entry and whether it was marked sent. kCorrupt when the file is not a journal of this version.
Result<uint64_t> read_segment(const std::string& path, uint64_t from, const std::function<void(const Entry&, bool sent)>& each);
// What a reader keeps its position under: the file's name and the random id in its header. A directory that was emptied begins again at
// segment 1, and its records must not be taken for the old segment's. "" while the segment is being made.
Result<std::string> segment_key(const std::string& directory, const std::string& name);
// "000000000001.journal"
[[nodiscard]] std::string segment_name(uint64_t sequence);

}  // namespace skerry::meter
