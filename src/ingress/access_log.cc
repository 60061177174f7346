#include "ingress/access_log.h"

namespace skerry {

bool AccessLog::wants(int status) {
  if (status >= 500) return true;
  owed_ += sample_;
  if (owed_ < 1) return false;
  owed_ -= 1;
  return true;
}

void AccessLog::append(std::initializer_list<LogField> fields) {
  const size_t before = lines_.size();
  if (before == 0) loop_.defer([this] { flush(); });
  logger_.append(lines_, LogLevel::kInfo, "request", fields);
  if (lines_.size() <= kMaxWaitingBytes || before == 0) return;
  logger_.write(std::string_view(lines_).substr(0, before));
  lines_.erase(0, before);
}

void AccessLog::flush() {
  if (!lines_.empty()) logger_.write(lines_);
  lines_.clear();
}

}  // namespace skerry
