// Forwarder: the resolver of the containers. Answers the platform's own names, and asks the host's resolvers
// for all others.
//
// UDP and TCP, on sockets that the supervisor bound to the gateway address. Owns nothing but questions in
// flight: each has sockets of its own, with a source port and an id that nobody else can know, and ends
// within kTime. Thread: edge's loop.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/random_pool.h"
#include "loop/scope.h"
#include "net/stream.h"
#include "resolver/message.h"
#include "resolver/quota.h"
#include "resolver/servers.h"

namespace skerry::dns {

struct ForwarderSettings {
  Zone zone;
  uint32_t network = 0, mask = 0;      // host byte order: who is answered
  std::vector<SocketAddress> servers;  // empty: those of resolv_conf
  std::string resolv_conf = "/etc/resolv.conf";
};

class Forwarder {
 public:
  static constexpr Duration kTime = std::chrono::seconds(5);  // CONTRACT: of a question as a whole
  static constexpr Duration kServerTime = std::chrono::milliseconds(1000);  // then the next one is asked too
  static constexpr size_t kMaxAttempts = 3;                                 // sockets of one question
  static constexpr int kMaxStrays =
      64;  // datagrams from the server's address that answer something else: somebody guesses
  static constexpr size_t kBatch = 64;         // datagrams taken before others of the loop have their turn
  static constexpr size_t kTcpQuestions = 64;  // of one connection
  static constexpr Duration kTcpIdle = std::chrono::seconds(5), kTcpTime = std::chrono::seconds(30);

  Forwarder(Loop& loop, const Logger& logger, const ForwarderSettings& settings);
  // Serves until it is destroyed; a descriptor may be invalid.
  void run(UniqueFd udp, UniqueFd tcp);

 private:
  struct Lookup;
  enum class Transport : uint8_t { kUdp, kTcp };
  // What to do with one message: an answer that is there already, a question to forward, or neither.
  struct Decision {
    std::string answer;
    std::optional<Question> forward;
  };

  Decision decide(std::string_view message, uint32_t from);
  Task<void> serve_udp(UniqueFd fd);
  Task<void> answer_udp(int fd, std::string message, Question question, uint32_t from, SocketAddress to);
  void accept_tcp(UniqueFd fd);
  Task<void> serve_tcp(UniqueFd fd, uint32_t from);
  Task<Result<void>> serve_tcp_question(Stream& stream, uint32_t from, TimePoint end);
  // The answer to pass on, with the asker's id; a failure of our own where no server gave one.
  Task<std::string> ask(std::string_view message, const Question& question, Transport transport);
  Task<void> ask_servers(Lookup& lookup, Transport transport);
  Task<void> attempt_udp(Lookup& lookup, SocketAddress server);
  Task<void> attempt_tcp(Lookup& lookup, SocketAddress server);
  Task<Result<std::string>> exchange_tcp(const std::string& message, SocketAddress server, TimePoint end);
  // Whether it ends the attempt.
  bool take_reply(Lookup& lookup, const std::string& sent, const SocketAddress& server,
                  std::string_view reply);
  [[nodiscard]] bool is_container(uint32_t address) const;
  std::string renumbered(std::string_view message);

  Loop& loop_;
  const Logger& logger_;
  ForwarderSettings settings_;
  Servers servers_;
  Quota quota_;
  RandomPool random_;
  std::unique_ptr<Listener> listener_;
  Scope questions_;
  Scope serving_;
};

}  // namespace skerry::dns
