// A run of load against one server: closed loop (every connection asks again when it was answered) or open loop (a schedule is kept), over kept or
// ever new connections. One thread, one epoll.
#pragma once

#include <sys/types.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "client.h"
#include "histogram.h"
#include "schedule.h"

namespace loadgen {

enum class Connections { kKept, kNew, kResumed };

struct Settings {
  std::string target;
  std::string request;       // the bytes of it
  bool tls = false;
  std::string server_name;   // SNI
  size_t connections = 1;
  double warmup_s = 0.2;     // load that is not counted
  double seconds = 1;
  double rate = 0;           // requests a second in open loop; 0 is closed loop
  double patience_s = 1;     // how long a request of the open loop may wait for a connection, and any for its answer after the end
  Connections kind = Connections::kKept;
  std::vector<pid_t> cpu_of;  // processes whose CPU time during the counted part is told
};

struct Outcome {
  Histogram latency_ns;
  uint64_t answered = 0;  // within the counted time: what CPU and rate are divided by
  uint64_t errors = 0;    // connections that failed, and answers that were not 2xx
  uint64_t unsent = 0;    // open loop: due but not sent
  uint64_t unanswered = 0;
  uint64_t resumed = 0;   // TLS sessions
  uint64_t cpu_ns = 0;
  double seconds = 0;
  std::string first_error;
};

class Load {
 public:
  static Result<Outcome> run(const Settings& settings);

 private:
  explicit Load(const Settings& settings) : settings_(settings) {}

  Result<void> prepare();
  Result<void> connect_all();
  void phase(uint64_t start, uint64_t end);
  void drain(uint64_t end);
  void poll(uint64_t until);
  void on_event(Client& client);
  void on_answer(Client& client, uint64_t now);
  void next(Client& client);       // what a free connection does now
  void send(Client& client, uint64_t began);
  void reconnect(Client& client);
  void error(std::string_view why);
  void send_due();

  const Settings& settings_;
  Outcome outcome_;
  Target target_;
  std::unique_ptr<TlsClient> tls_;
  skerry::UniqueFd epoll_;
  std::deque<Client> clients_;
  std::vector<Client*> free_;  // open loop: connections without a request
  std::optional<Schedule> schedule_;
  uint64_t counted_from_ = UINT64_MAX;
  bool sending_ = false;
};

}  // namespace loadgen
