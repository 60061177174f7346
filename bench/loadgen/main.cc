// bench-loadgen: puts load on one HTTP/1.1 server and prints one line of JSON about it. bench/README.md says how the benches use it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "load.h"

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20) out += c;
  return out;
}

void print(const loadgen::Outcome& o) {
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1000; };
  const auto percentile = [&](double p) { return us(o.latency_ns.percentile(p)); };
  fmt::print(
      R"({{"n":{},"answered":{},"seconds":{:.4f},"rate":{:.1f},"p50_us":{:.1f},"p95_us":{:.1f},"p99_us":{:.1f},"p999_us":{:.1f},"max_us":{:.1f},"mean_us":{:.1f},)"
      R"("cpu_us_per_request":{:.3f},"errors":{},"first_error":"{}","unsent":{},"unanswered":{},"resumed":{}}})"
      "\n",
      o.latency_ns.count(), o.answered, o.seconds, static_cast<double>(o.answered) / o.seconds, percentile(50), percentile(95), percentile(99), percentile(99.9),
      us(o.latency_ns.max()), o.latency_ns.mean() / 1000, us(o.cpu_ns) / static_cast<double>(o.answered), o.errors, escaped(o.first_error), o.unsent, o.unanswered, o.resumed);
}

}  // namespace

int main(int argc, char** argv) {
  loadgen::Settings s;
  std::string host = "localhost", path = "/", kind = "kept";
  CLI::App app("Puts load on one HTTP/1.1 server and prints one line of JSON");
  app.add_option("target", s.target, "ADDRESS:PORT or unix:PATH")->required();
  app.add_option("--host", host, "the Host header, and the TLS server name (without its port)");
  app.add_option("--path", path, "");
  app.add_flag("--tls", s.tls, "TLS 1.3, the certificate is not checked");
  app.add_option("--connections", s.connections, "")->check(CLI::Range(1, 10'000));
  app.add_option("--warmup", s.warmup_s, "seconds of load before counting")->check(CLI::Range(0.0, 600.0));
  app.add_option("--seconds", s.seconds, "seconds that count")->check(CLI::Range(0.01, 3600.0));
  app.add_option("--rate", s.rate, "open loop: requests a second; without it each connection asks again when it was answered")->check(CLI::Range(0.0, 1e6));
  app.add_option("--patience", s.patience_s, "seconds that a request may wait for a connection, or an answer may be late after the end")->check(CLI::Range(0.0, 600.0));
  app.add_option("--connect", kind, "kept, new (one for each request) or resumed (new, with a TLS ticket)")->check(CLI::IsMember({"kept", "new", "resumed"}));
  app.add_option("--cpu-of", s.cpu_of, "processes whose CPU time a request is told");
  CLI11_PARSE(app, argc, argv);
  s.kind = kind == "kept" ? loadgen::Connections::kKept : kind == "new" ? loadgen::Connections::kNew : loadgen::Connections::kResumed;
  if (s.rate > 0 && s.kind != loadgen::Connections::kKept) {
    fmt::print(stderr, "error: --rate goes with kept connections\n");
    return 2;
  }
  s.server_name = host.substr(0, host.find(':'));
  s.request = fmt::format("GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: bench\r\naccept: */*\r\n\r\n", path, host);
  auto outcome = loadgen::Load::run(s);
  if (!outcome) {
    fmt::print(stderr, "error: {}\n", outcome.error().message());
    return 1;
  }
  print(*outcome);
  return 0;
}
