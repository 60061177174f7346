#include "keeper/log_copier.h"

#include <unistd.h>

namespace skerry::keeper {

LogCopier::LogCopier(Poller& poller, const Patterns& patterns, UniqueFd source, UniqueFd sink, Owner& owner)
    : poller_(poller),
      scrubber_(patterns),
      source_(std::move(source)),
      sink_(std::move(sink)),
      owner_(owner) {}

LogCopier::~LogCopier() {
  if (watched_ >= 0) poller_.unwatch(watched_);
}

Result<void> LogCopier::start() {
  TRY(poller_.watch(source_.get(), EPOLLIN, *this));
  watched_ = source_.get();
  return {};
}

// Only one end is watched at a time: a hung-up source would wake the loop without end while the sink is full.
void LogCopier::wait_for(int fd, uint32_t events) {
  if (watched_ == fd) return;
  if (watched_ >= 0) poller_.unwatch(watched_);
  watched_ = fd;
  if (!poller_.watch(fd, events, *this)) {  // out of memory in the kernel: this log ends, others go on
    watched_ = -1;
    end();
  }
}

void LogCopier::end() {
  if (watched_ >= 0) poller_.unwatch(watched_);
  watched_ = -1;
  source_.reset();
  sink_.reset();
  owner_.log_ended();
}

LogCopier::Step LogCopier::write_out() {
  while (!out_.empty() || scrubber_.has_ready()) {
    if (out_.size() < kCopyOutBytes) scrubber_.release(out_, kCopyOutBytes);
    if (sink_gone_) {
      out_.clear();
      continue;
    }
    const ssize_t n = ::write(sink_.get(), out_.data(), out_.size());
    if (n > 0) {
      out_.erase(0, static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      return Step::kWait;
    } else if (errno != EINTR) {
      sink_gone_ = true;
    }
  }
  return Step::kAgain;
}

LogCopier::Step LogCopier::read_in() {
  char buffer[kCopyReadBytes];
  const ssize_t n = ::read(source_.get(), buffer, sizeof buffer);
  if (n < 0 && errno == EINTR) return Step::kAgain;
  if (n < 0 && errno == EAGAIN) return Step::kWait;
  if (n <= 0) {
    source_ended_ = true;
    scrubber_.finish();
  } else {
    scrubber_.feed({buffer, static_cast<size_t>(n)});
  }
  return Step::kAgain;
}

void LogCopier::on_ready() {
  for (int round = 0; source_.valid() && round < kCopyRounds; ++round) {
    if (write_out() == Step::kWait) return wait_for(sink_.get(), EPOLLOUT);
    if (source_ended_) return end();
    if (read_in() == Step::kWait) break;
  }
  if (source_.valid()) {
    // The last round's bytes do not wait for the next event.
    if (write_out() == Step::kWait) return wait_for(sink_.get(), EPOLLOUT);
    if (source_ended_) return end();
    wait_for(source_.get(), EPOLLIN);
  }
}

}  // namespace skerry::keeper
