#include "runtime/function_log.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "os/file.h"

namespace skerry {
namespace {

// The highest segment number in a folder; 0 when there is none.
uint64_t newest_segment(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  uint64_t newest = 0;
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const std::string_view name(entry->d_name);
    uint64_t number = 0;
    const auto [end, ec] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (ec == std::errc() && std::string_view(end) == ".jsonl") newest = std::max(newest, number);
  }
  return newest;
}

std::string segment_path(const std::string& folder, uint64_t sequence) { return fmt::format("{}/{:012}.jsonl", folder, sequence); }

constexpr std::string_view kStreams[] = {"stdout", "stderr", "system"};

}  // namespace

FunctionLog::FunctionLog(const Clock& clock, const Logger& logger, std::string directory, std::string location)
    : clock_(clock), logger_(logger), directory_(std::move(directory)), location_(std::move(location)) {}

Result<void> FunctionLog::open_segment(const std::string& folder, File& file) {
  TRY_ASSIGN(file.fd, open_at(AT_FDCWD, segment_path(folder, file.sequence), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640));
  struct stat st {};
  file.bytes = ::fstat(file.fd.get(), &st) == 0 ? static_cast<uint64_t>(st.st_size) : 0;
  if (file.sequence > kMaxSegments) ::unlink(segment_path(folder, file.sequence - kMaxSegments).c_str());
  return {};
}

void FunctionLog::close_least_used() {
  const auto least = std::min_element(files_.begin(), files_.end(), [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  if (least != files_.end()) files_.erase(least);
}

Result<FunctionLog::File*> FunctionLog::file_of(const FunctionId& function) {
  const std::string folder = fmt::format("{}/{}", directory_, function.str());
  auto it = files_.find(function);
  if (it == files_.end()) {
    if (files_.size() >= kMaxOpenFiles) close_least_used();
    // Control, by the folder's group, removes it when the function is gone (edge_main.cc sets the umask for it).
    if (::mkdir(folder.c_str(), 0770) != 0 && errno != EEXIST) return fail_errno("mkdir `{}`", folder);
    File file;
    file.sequence = std::max<uint64_t>(1, newest_segment(folder));
    TRY(open_segment(folder, file));
    // Cursors only grow, also over a restart: the time is their upper part.
    file.next_cursor = static_cast<uint64_t>(clock_.wall_ms()) * 1000;
    it = files_.emplace(function, std::move(file)).first;
  }
  File& file = it->second;
  if (file.bytes >= kSegmentBytes) {
    ++file.sequence;
    TRY(open_segment(folder, file));
  }
  file.used = clock_.now();
  return &file;
}

void FunctionLog::append(const LogSource& source, LogStream stream, std::string_view request_id, std::string_view line) {
  auto file = file_of(source.function);
  std::string text;
  if (file) {
    const bool cut = line.size() > kMaxLineBytes;
    text = fmt::format(R"({{"time":"{}","function":"{}","revision":"{}","instance":"{}","location":"{}","stream":"{}",)", format_rfc3339_ms(clock_.wall_ms()),
                       source.function.str(), source.revision.str(), source.instance.str(), location_, kStreams[static_cast<size_t>(stream)]);
    if (!request_id.empty()) {
      text += R"("request_id":")";
      append_json_escaped(text, request_id);
      text += "\",";
    }
    text += R"("line":")";
    append_json_escaped(text, line.substr(0, kMaxLineBytes));
    fmt::format_to(std::back_inserter(text), "\",{}\"cursor\":{}}}\n", cut ? "\"truncated\":true," : "", (*file)->next_cursor++);
  }
  // A log that cannot be written (full disk) must not stop the function: said once, until it works again.
  const bool written = file && write_all((*file)->fd.get(), text).has_value();
  if (written) (*file)->bytes += text.size();
  // Half a line would swallow the next one; where it cannot be cut off, a new segment is begun.
  else if (file && ::ftruncate((*file)->fd.get(), static_cast<off_t>((*file)->bytes)) != 0) (*file)->bytes = FunctionLog::kSegmentBytes;
  if (!written && !complained_) logger_.error("function logs cannot be written", {{"function", source.function.str()}});
  complained_ = !written;
}

}  // namespace skerry
