#include "cli/progress.h"

namespace skerry::cli {
namespace {

std::string_view words(std::string_view stage) {
  if (stage == "pack") return "Pack";
  if (stage == "upload") return "Upload";
  if (stage == "unpack") return "Unpack";
  if (stage == "detect") return "Detect";
  if (stage == "image") return "Base image";
  if (stage == "deps") return "Dependencies";
  if (stage == "build") return "Build";
  if (stage == "resolve") return "Resolve";
  if (stage == "pull") return "Pull";
  if (stage == "layer") return "Layer";
  if (stage == "start") return "Start";
  if (stage == "route") return "Route";
  return stage;
}

}  // namespace

void ShipProgress::begin(std::string_view stage) {
  if (session_.json()) return;
  stage_ = stage;
  session_.terminal().status(fmt::format("  {} ...", visible(words(stage))));
}

void ShipProgress::done(std::string_view stage, std::string_view remark) {
  if (session_.json()) return;
  const Terminal& t = session_.terminal();
  t.note(fmt::format("{} {:<13} {}", t.styled_err(Style::kGreen, "ok"), visible(words(stage)),
                     t.styled_err(Style::kDim, remark)));
}

void ShipProgress::uploaded(uint64_t sent, uint64_t total) {
  if (session_.json() || total == 0) return;
  const int percent = static_cast<int>(sent * 100 / total);
  if (percent == last_percent_) return;
  last_percent_ = percent;
  session_.terminal().status(fmt::format("  Upload {}% of {}", percent, format_bytes(total)));
}

void ShipProgress::stage_event(const json::object& event) {
  const std::string stage = text_at(event, "stage");
  const std::string state = text_at(event, "state");
  if (state == "begin")
    begin(stage);
  else if (state == "cached")
    done(stage, "cached");
  else
    done(stage, format_ms(number_at(event, "ms")));
}

void ShipProgress::log_event(const json::object& event) {
  if (session_.json()) return;
  const Terminal& t = session_.terminal();
  const std::string line = visible(text_at(event, "line"));
  const std::string stage = text_at(event, "stage");
  if (t.err_is_terminal())
    t.status(fmt::format("  {}: {}", visible(words(stage)), line));
  else
    t.note(fmt::format("   {}: {}", visible(stage), line));
}

bool ShipProgress::event(json::object&& event) {
  const std::string kind = text_at(event, "event");
  if (kind == "stage") {
    stage_event(event);
  } else if (kind == "log") {
    log_event(event);
  } else if (kind == "warning") {
    warnings_.push_back(text_at(event, "message"));
    if (!session_.json()) session_.terminal().warn(visible(warnings_.back()));
  } else if (kind == "done") {
    done_ = std::move(event);
    return false;
  } else if (kind == "error") {
    error_ = std::move(event);
    return false;
  }
  return true;  // `accepted`, and events of a newer gateway
}

Outcome<json::object> ShipProgress::result() {
  session_.terminal().clear_status();
  if (!error_.empty()) return std::unexpected(Gateway::failure_of(object_at(error_, "error"), 0));
  if (!done_.empty()) return std::move(done_);
  return std::unexpected(Failure(
      Exit::kUnreachable, "stream_ended", "the gateway's progress stream ended before the ship was done",
      "the revision may still become ready: look with `skerry revisions NAME`, or ship again"));
}

void print_failure_log(const Terminal& terminal, const Failure& failure) {
  const std::string where = text_at(failure.details, failure.code == "start_failed" ? "phase" : "stage");
  std::string tail = text_at(failure.details, "log_tail");
  if (tail.empty()) {
    for (const json::value& line : array_at(failure.details, "log_tail")) {
      if (line.is_string()) tail += std::string(line.get_string()) + "\n";
    }
  }
  if (tail.empty()) return;
  terminal.note(terminal.styled_err(
      Style::kBold, where.empty() ? std::string("The last lines of the log:")
                                  : fmt::format("The last lines of the log ({}):", visible(where))));
  size_t at = 0;
  while (at < tail.size()) {
    const size_t end = std::min(tail.find('\n', at), tail.size());
    terminal.note("  | " + visible(std::string_view(tail).substr(at, end - at)));
    at = end + 1;
  }
}

}  // namespace skerry::cli
