#include "meter/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstring>

#include "os/file.h"

namespace skerry::meter {
namespace {

constexpr char kMagic[8] = {'S', 'K', 'M', 'E', 'T', 'E', 'R', '1'};
constexpr size_t kSegmentIdBytes = 8;  // behind the magic
constexpr int kReadsOfATornRecord = 3;

// The layout on disk, version 1. Little-endian, no padding.
struct Record {
  uint32_t checksum;  // CRC-32C of everything from `status` to the end
  uint8_t written;    // 1 once all else is stored
  uint8_t sent;       // outside the checksum: changed later
  uint16_t status;
  uint8_t start_mode;
  uint8_t reserved[3];
  uint32_t memory_mb;
  int64_t start_wall_ms;
  uint64_t wall_us;
  uint64_t cpu_us;
  uint64_t request_bytes;
  uint64_t response_bytes;
  char function[32];
  char revision[32];
  char location[24];
  char request_id[40];
  char spare[72];
};
static_assert(sizeof(Record) == kRecordBytes);
constexpr size_t kCheckedFrom = offsetof(Record, status);

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0x82F63B78U ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

uint32_t crc32c(const char* bytes, size_t size) {
  uint32_t c = ~0U;
  for (size_t i = 0; i < size; ++i) c = kCrcTable[(c ^ static_cast<unsigned char>(bytes[i])) & 0xFF] ^ (c >> 8);
  return ~c;
}

uint32_t checksum_of(const Record& r) { return crc32c(reinterpret_cast<const char*>(&r) + kCheckedFrom, kRecordBytes - kCheckedFrom); }

template <size_t N>
void put(char (&into)[N], std::string_view text) {
  std::memset(into, 0, N);
  std::memcpy(into, text.data(), std::min(text.size(), N));
}
template <size_t N>
std::string get(const char (&from)[N]) {
  return std::string(from, ::strnlen(from, N));
}

struct Header {
  char magic[sizeof kMagic];
  unsigned char id[kSegmentIdBytes];
};

// False while the segment is being made.
Result<bool> read_header(int fd, const std::string& path, Header& header) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail_errno("stat `{}`", path);
  if (st.st_size != static_cast<off_t>(kSegmentBytes)) return false;
  if (::pread(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return fail_errno("read `{}`", path);
  if (std::memcmp(header.magic, "\0\0\0\0\0\0\0\0", sizeof header.magic) == 0) return false;
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return fail(ErrorCode::kCorrupt, "`{}` is not a meter journal of this version", path);
  return true;
}

uint64_t newest_sequence(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  uint64_t newest = 0;
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const std::string_view name(entry->d_name);
    uint64_t number = 0;
    const auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (ec == std::errc() && std::string_view(end) == ".journal") newest = std::max(newest, number);
  }
  return newest;
}

}  // namespace

std::string segment_name(uint64_t sequence) { return fmt::format("{:012}.journal", sequence); }

Result<std::unique_ptr<Journal>> Journal::open(const std::string& directory) {
  std::unique_ptr<Journal> journal(new Journal(directory, newest_sequence(directory)));
  auto begun = journal->begin_segment();
  if (begun || begun.error().code() != ErrorCode::kNoCapacity) {
    TRY(std::move(begun), "meter journal");
    return journal;
  }
  (void)journal->resume_segment();  // if that cannot be either, the first append() says what is the matter
  return journal;
}

Journal::~Journal() {
  if (map_ != nullptr) ::munmap(map_, kSegmentBytes);
  if (previous_map_ != nullptr) ::munmap(previous_map_, kSegmentBytes);
}

Result<void> Journal::begin_segment() {
  const uint64_t sequence = sequence_ + 1;
  const std::string path = directory_ + "/" + segment_name(sequence);
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0640));
  // Room is taken now: a store into a hole of a full disk would be a SIGBUS.
  if (const int error = ::posix_fallocate(fd.get(), 0, kSegmentBytes); error != 0) {
    ::unlink(path.c_str());
    return std::unexpected(Error::from_errno(error, fmt::format("allocate `{}`", path)));
  }
  void* map = ::mmap(nullptr, kSegmentBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (map == MAP_FAILED) {
    const int error = errno;
    ::unlink(path.c_str());
    return std::unexpected(Error::from_errno(error, fmt::format("mmap `{}`", path)));
  }
  if (previous_map_ != nullptr) ::munmap(previous_map_, kSegmentBytes);
  previous_map_ = map_;
  map_ = static_cast<char*>(map);
  // The magic last: a header with it has its id.
  if (::getrandom(map_ + sizeof kMagic, kSegmentIdBytes, 0) != static_cast<ssize_t>(kSegmentIdBytes)) return fail_errno("getrandom");
  std::atomic_signal_fence(std::memory_order_release);
  std::memcpy(map_, kMagic, sizeof kMagic);
  sequence_ = sequence;
  next_ = 0;
  return {};
}

// Behind the last record of the newest segment, whose writer is dead.
Result<void> Journal::resume_segment() {
  const std::string path = directory_ + "/" + segment_name(sequence_);
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_RDWR | O_NOFOLLOW));
  Header header{};
  TRY_ASSIGN(const bool made, read_header(fd.get(), path, header));
  if (!made) return fail(ErrorCode::kCorrupt, "`{}` was not finished", path);
  void* map = ::mmap(nullptr, kSegmentBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (map == MAP_FAILED) return fail_errno("mmap `{}`", path);
  map_ = static_cast<char*>(map);
  const auto* slots = reinterpret_cast<const Record*>(map_) + 1;
  for (next_ = 0; next_ < kRecordsPerSegment && slots[next_].written == 1;) ++next_;
  return {};
}

Result<uint64_t> Journal::append(const Entry& e) {
  if (next_ >= kRecordsPerSegment) TRY(begin_segment(), "meter journal");
  Record record{};
  record.status = e.status;
  record.start_mode = e.start_mode;
  record.memory_mb = e.memory_mb;
  record.start_wall_ms = e.start_wall_ms;
  record.wall_us = e.wall_us;
  record.cpu_us = e.cpu_us;
  record.request_bytes = e.request_bytes;
  record.response_bytes = e.response_bytes;
  put(record.function, e.function);
  put(record.revision, e.revision);
  put(record.location, e.location);
  put(record.request_id, e.request_id);
  record.checksum = checksum_of(record);
  auto* slot = reinterpret_cast<Record*>(map_ + (1 + next_) * kRecordBytes);
  std::memcpy(slot, &record, sizeof record);
  // A reader in another process sees the record only when all of it is there.
  std::atomic_ref<uint8_t>(slot->written).store(1, std::memory_order_release);
  return sequence_ * kRecordsPerSegment + next_++;
}

void Journal::mark_sent(uint64_t number) {
  const uint64_t sequence = number / kRecordsPerSegment;
  char* map = sequence == sequence_ ? map_ : sequence + 1 == sequence_ ? previous_map_ : nullptr;
  if (map == nullptr) return;  // two segments ago: a stream of many minutes; its record stands, only the mark is missing
  auto* slot = reinterpret_cast<Record*>(map + (1 + number % kRecordsPerSegment) * kRecordBytes);
  std::atomic_ref<uint8_t>(slot->sent).store(1, std::memory_order_release);
}

namespace {

enum class Slot { kEmpty, kRecord, kTorn };

// A read beside the writer may see the flag and not yet all of the rest, so a bad checksum is believed only when it stays.
Result<Slot> read_slot(int fd, const std::string& path, uint64_t index, Record& record) {
  for (int i = 0; i < kReadsOfATornRecord; ++i) {
    const ssize_t n = ::pread(fd, &record, sizeof record, static_cast<off_t>((1 + index) * kRecordBytes));
    if (n != static_cast<ssize_t>(sizeof record)) return fail_errno("read `{}`", path);
    if (record.written != 1) return Slot::kEmpty;
    if (record.checksum == checksum_of(record)) return Slot::kRecord;
  }
  return Slot::kTorn;
}

}  // namespace

Result<std::string> segment_key(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW));
  Header header{};
  TRY_ASSIGN(const bool made, read_header(fd.get(), path, header));
  if (!made) return std::string();
  std::string key = name + "-";
  for (const unsigned char byte : header.id) key += fmt::format("{:02x}", byte);
  return key;
}

Result<uint64_t> read_segment(const std::string& path, uint64_t from, const std::function<void(const Entry&, bool)>& each) {
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW));
  Header header{};
  TRY_ASSIGN(const bool made, read_header(fd.get(), path, header));
  if (!made) return from;
  for (uint64_t index = from; index < kRecordsPerSegment; ++index) {
    Record record;
    TRY_ASSIGN(const Slot slot, read_slot(fd.get(), path, index, record));
    if (slot == Slot::kEmpty) return index;
    if (slot == Slot::kTorn) continue;
    Entry e;
    e.function = get(record.function);
    e.revision = get(record.revision);
    e.location = get(record.location);
    e.request_id = get(record.request_id);
    e.start_mode = record.start_mode;
    e.status = record.status;
    e.start_wall_ms = record.start_wall_ms;
    e.wall_us = record.wall_us;
    e.cpu_us = record.cpu_us;
    e.memory_mb = record.memory_mb;
    e.request_bytes = record.request_bytes;
    e.response_bytes = record.response_bytes;
    each(e, record.sent == 1);
  }
  return kRecordsPerSegment;
}

}  // namespace skerry::meter
