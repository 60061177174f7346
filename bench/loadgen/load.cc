#include "load.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace loadgen {
namespace {

using skerry::ErrorCode, skerry::fail, skerry::fail_errno;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kConnectTime = 10 * kSecond;
constexpr uint64_t kMaxErrors = 10'000;  // a server that refuses everything ends the run

uint64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t ns(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

// Time on a CPU of all threads that live: the scheduler's own sum, where utime and stime would be rounded to ticks.
uint64_t cpu_ns(const std::vector<pid_t>& pids) {
  uint64_t sum = 0;
  for (const pid_t pid : pids) {
    std::error_code ignored;
    for (const auto& thread : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), ignored)) {
      uint64_t one = 0;
      if (std::ifstream(thread.path() / "schedstat") >> one) sum += one;
    }
  }
  return sum;
}

}  // namespace

Result<Outcome> Load::run(const Settings& settings) {
  Load load(settings);
  TRY(load.prepare());
  TRY(load.connect_all());
  const uint64_t begin = now_ns();
  load.phase(begin, begin + ns(settings.warmup_s));
  load.outcome_ = {};
  const uint64_t from = now_ns(), cpu_before = cpu_ns(settings.cpu_of);
  load.counted_from_ = from;
  load.phase(from, from + ns(settings.seconds));
  load.outcome_.cpu_ns = cpu_ns(settings.cpu_of) - cpu_before;
  load.outcome_.seconds = static_cast<double>(now_ns() - from) / 1e9;
  load.drain(now_ns() + ns(settings.patience_s));
  if (load.outcome_.answered == 0) return fail(ErrorCode::kUnavailable, "no request was answered: {}", load.outcome_.first_error);
  return std::move(load.outcome_);
}

Result<void> Load::prepare() {
  TRY_ASSIGN(target_, Target::parse(settings_.target));
  if (settings_.tls) {
    TRY_ASSIGN(tls_, TlsClient::create(settings_.server_name, settings_.kind == Connections::kResumed));
  }
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return fail_errno("epoll_create1");
  ::prctl(PR_SET_TIMERSLACK, 1);  // the schedule is kept to the microsecond
  for (size_t i = 0; i < settings_.connections; ++i) clients_.emplace_back(epoll_.get(), target_, tls_.get(), settings_.request);
  return {};
}

Result<void> Load::connect_all() {
  if (settings_.kind != Connections::kKept) return {};
  for (Client& client : clients_) TRY(client.connect());
  const uint64_t end = now_ns() + kConnectTime;
  while (free_.size() < clients_.size()) {
    if (now_ns() > end || outcome_.errors > 0) return fail(ErrorCode::kUnavailable, "{} of {} connections are up: {}", free_.size(), clients_.size(), outcome_.first_error);
    poll(end);
  }
  return {};
}

// Sends until `end`. In closed loop what was in progress before goes on into it.
void Load::phase(uint64_t start, uint64_t end) {
  sending_ = true;
  if (settings_.rate > 0) schedule_.emplace(start, end, settings_.rate, ns(settings_.patience_s));
  if (settings_.kind == Connections::kKept) {
    if (!schedule_)
      for (Client* client : std::exchange(free_, {})) send(*client, now_ns());
  } else {
    for (Client& client : clients_)
      if (!client.open()) reconnect(client);
  }
  while (now_ns() < end && outcome_.errors < kMaxErrors) {
    send_due();
    poll(schedule_ ? std::min(end, schedule_->next_time().value_or(end)) : end);
  }
  if (schedule_) {
    schedule_->finish();
    outcome_.unsent = schedule_->unsent();
  }
  sending_ = false;
}

// Waits for the answers that are due, without sending.
void Load::drain(uint64_t end) {
  const uint64_t answered = outcome_.answered;
  const auto busy = [this] { return std::count_if(clients_.begin(), clients_.end(), [](const Client& c) { return c.busy(); }); };
  while (busy() > 0 && now_ns() < end) poll(end);
  outcome_.unanswered = static_cast<uint64_t>(busy());
  outcome_.answered = answered;
}

void Load::poll(uint64_t until) {
  const uint64_t now = now_ns();
  const uint64_t wait = until > now ? until - now : 0;
  const timespec timeout{.tv_sec = static_cast<time_t>(wait / kSecond), .tv_nsec = static_cast<long>(wait % kSecond)};
  epoll_event events[256];
  const int n = ::epoll_pwait2(epoll_.get(), events, 256, &timeout, nullptr);
  for (int i = 0; i < n; ++i) on_event(*static_cast<Client*>(events[i].data.ptr));
}

void Load::on_event(Client& client) {
  switch (client.advance()) {
    case Client::Event::kNothing: return;
    case Client::Event::kConnected:
      // An ever new connection is timed from its connect on.
      if (settings_.kind != Connections::kKept) {
        if (client.resumed()) ++outcome_.resumed;
        if (auto sent = client.send(); !sent) error(sent.error().message()), reconnect(client);
        return;
      }
      return next(client);
    case Client::Event::kAnswered: return on_answer(client, now_ns());
    case Client::Event::kFailed:
      error(client.why());
      std::erase(free_, &client);
      return reconnect(client);
  }
}

void Load::on_answer(Client& client, uint64_t now) {
  ++outcome_.answered;
  if (client.status() < 200 || client.status() > 299) error(fmt::format("status {}", client.status()));
  else if (client.began >= counted_from_) outcome_.latency_ns.record(now - client.began);
  if (settings_.kind != Connections::kKept || client.server_closes()) return reconnect(client);
  next(client);
}

void Load::next(Client& client) {
  if (sending_ && !schedule_) return send(client, now_ns());
  free_.push_back(&client);
  if (sending_) send_due();
}

void Load::send_due() {
  while (schedule_ && !free_.empty()) {
    const auto due = schedule_->take(now_ns());
    if (!due) return;
    Client* client = free_.back();
    free_.pop_back();
    send(*client, *due);
  }
}

void Load::send(Client& client, uint64_t began) {
  client.began = began;
  if (auto sent = client.send(); !sent) {
    error(sent.error().message());
    reconnect(client);
  }
}

void Load::reconnect(Client& client) {
  client.close();
  if (!sending_) return;
  client.began = now_ns();
  while (outcome_.errors < kMaxErrors) {
    auto connected = client.connect();
    if (connected) return;
    error(connected.error().message());
  }
}

void Load::error(std::string_view why) {
  if (outcome_.errors++ == 0) outcome_.first_error = why;
}

}  // namespace loadgen
