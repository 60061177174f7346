#include "build/build_log.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/id.h"
#include "os/file.h"

namespace skerry {
namespace {
constexpr int kReadsInARow = 16;  // then others on the loop have their turn
}

std::string shown_line(std::string_view text) {
  while (text.ends_with('\r')) text.remove_suffix(1);
  if (const size_t redrawn = text.rfind('\r'); redrawn != std::string_view::npos) text.remove_prefix(redrawn + 1);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == 0x1b && i + 1 < text.size() && text[i + 1] == '[') {
      // SECURITY: a package's install script could move the reader's cursor, rename the window or hide what it printed.
      for (i += 2; i < text.size() && !(text[i] >= '@' && text[i] <= '~'); ++i) {
      }
      continue;
    }
    if (c >= 0x20 && c != 0x7f) out += text[i];
    else if (c == '\t') out += "  ";
  }
  return out;
}

Result<BuildLog> BuildLog::create(const std::string& folder, const std::string& build_id, BuildProgress& progress) {
  // SECURITY: the id becomes a file name.
  if (!is_ulid(build_id)) return fail(ErrorCode::kInternal, "a build id that is not a ULID");
  TRY_ASSIGN(UniqueFd file, open_at(AT_FDCWD, fmt::format("{}/{}.log", folder, build_id), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
  return BuildLog(std::move(file), progress);
}

void BuildLog::stage(std::string_view name, StageState state, int64_t ms) {
  progress_->stage(name, state, ms);
  if (state == StageState::kBegin) return keep(fmt::format("== {}\n", name));
  keep(fmt::format("== {} {} after {} ms\n", name, state == StageState::kDone ? "done" : "cached", ms));
}

void BuildLog::warning(std::string_view text) {
  progress_->warning(text);
  keep(fmt::format("warning: {}\n", text));
}

// A disk that is full costs the log, not the build.
void BuildLog::keep(std::string_view bytes) {
  if (full_) return;
  kept_ += bytes.size();
  if (kept_ <= kMaxBytes) return void(write_all(file_.get(), bytes));
  full_ = true;
  constexpr std::string_view kCut = "(the log is cut here: it is larger than 16 MB)\n";
  (void)write_all(file_.get(), kCut);
}

void BuildLog::line(std::string_view stage, std::string_view text) {
  std::string shown = shown_line(text);
  if (!full_) progress_->log(stage, shown);
  if (!shown.empty()) last_line_ = std::move(shown);
}

void BuildLog::write(std::string_view stage, std::string_view bytes) {
  keep(bytes);
  partial_ += bytes;
  size_t begin = 0;
  for (size_t end = partial_.find('\n'); end != std::string::npos; end = partial_.find('\n', begin)) {
    line(stage, std::string_view(partial_).substr(begin, std::min(end - begin, kMaxLineBytes)));
    begin = end + 1;
  }
  partial_.erase(0, begin);
  if (partial_.size() > kMaxLineBytes) flush(stage);
}

void BuildLog::flush(std::string_view stage) {
  if (!partial_.empty()) line(stage, std::string_view(partial_).substr(0, kMaxLineBytes));
  partial_.clear();
}

Task<void> BuildLog::copy(Loop& loop, UniqueFd pipe, std::string stage, Event& ended) {
  FdWatch watch(loop, pipe.get());
  char buffer[16384];
  for (int row = 0;; ++row) {
    if (row == kReadsInARow) {
      row = 0;
      co_await loop.sleep_until(loop.now());
    }
    const ssize_t n = ::read(pipe.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) {
      (void)co_await watch.readable().wait();
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    write(stage, {buffer, static_cast<size_t>(n)});
  }
  flush(stage);
  ended.set();
}

}  // namespace skerry
