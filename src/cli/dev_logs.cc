#include "cli/dev_logs.h"

#include <ctime>

#include "cli/log_lines.h"

namespace skerry::cli {

DevLogs::DevLogs(std::unique_ptr<Gateway> gateway, const Terminal& terminal, std::string name,
                 std::string since, OutputForm form)
    : gateway_(std::move(gateway)),
      terminal_(terminal),
      name_(std::move(name)),
      since_(std::move(since)),
      form_(form),
      thread_([this] { follow(); }) {}

DevLogs::~DevLogs() {
  stop_ = true;
  thread_.join();
}

void DevLogs::follow() {
  std::string cursor;
  while (!stop_) {
    const Query query = {{"follow", "1"}, {"since", cursor.empty() ? since_ : ""}, {"cursor", cursor}};
    // Its failures are the main thread's to tell: it ships to the same gateway.
    (void)gateway_->stream(
        "GET", function_path(name_, "/logs"), query, std::nullopt, std::chrono::seconds(0),
        [&](json::object&& line) {
          if (const std::string at = text_at(line, "cursor"); !at.empty()) cursor = at;
          terminal_.print_line(form_ == OutputForm::kJson ? json::serialize(line)
                                                          : log_text(terminal_, line));
          terminal_.flush();
          return !stop_.load();
        },
        &stop_);
    // A pause between attempts; short, so that stopping is not felt.
    const timespec pause{0, 500'000'000};
    if (!stop_) ::nanosleep(&pause, nullptr);
  }
}

}  // namespace skerry::cli
