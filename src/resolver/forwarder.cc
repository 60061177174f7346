#include "resolver/forwarder.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

namespace skerry::dns {
namespace {

constexpr size_t kTcpLengthBytes = 2;

SocketAddress gateway_address(uint32_t gateway) {
  SocketAddress out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  v4->sin_family = AF_INET;
  v4->sin_addr.s_addr = htonl(gateway);
  v4->sin_port = htons(kDnsPort);
  out.size = sizeof *v4;
  return out;
}

// 0 for what is not IPv4.
uint32_t v4_of(const SocketAddress& address) {
  return address.storage.ss_family == AF_INET
             ? ntohl(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr.s_addr)
             : 0;
}

std::string framed(std::string_view message) {
  std::string out{static_cast<char>(message.size() >> 8), static_cast<char>(message.size() & 255)};
  return out.append(message);
}

Task<Result<std::string>> read_exactly(Stream& stream, size_t bytes, TimePoint deadline) {
  std::string out(bytes, '\0');
  for (size_t have = 0; have < bytes;) {
    CO_TRY_ASSIGN(const size_t n, co_await stream.read({out.data() + have, bytes - have}, deadline));
    if (n == 0) co_return fail(ErrorCode::kUnavailable, "the connection ended");
    have += n;
  }
  co_return out;
}

Task<Result<std::string>> read_framed(Stream& stream, size_t max_bytes, TimePoint deadline) {
  CO_TRY_ASSIGN(const std::string length, co_await read_exactly(stream, kTcpLengthBytes, deadline));
  const size_t bytes =
      static_cast<size_t>(static_cast<unsigned char>(length[0])) << 8 | static_cast<unsigned char>(length[1]);
  if (bytes < kHeaderBytes || bytes > max_bytes)
    co_return fail(ErrorCode::kProtocol, "a message of {} bytes", bytes);
  co_return co_await read_exactly(stream, bytes, deadline);
}

}  // namespace

struct Forwarder::Lookup {
  Lookup(Loop& loop, std::string_view m, const Question& q, TimePoint e)
      : message(m), question(q), end(e), changed(loop) {}
  std::string_view message;
  const Question& question;
  TimePoint end;
  Event changed;
  std::optional<std::string> answer;
  std::optional<std::string> refusal;  // of a server that answered and could not say
  size_t failed = 0;                   // attempts that are over without an answer
};

Forwarder::Forwarder(Loop& loop, const Logger& logger, const ForwarderSettings& settings)
    : loop_(loop),
      logger_(logger),
      settings_(settings),
      servers_(settings.servers, settings.resolv_conf, gateway_address(settings.zone.gateway)),
      questions_(loop),
      serving_(loop) {}

void Forwarder::run(UniqueFd udp, UniqueFd tcp) {
  if (servers_.order(loop_.now()).empty())
    logger_.warn("no resolver: functions reach the platform's own names only",
                 {{"file", settings_.resolv_conf}});
  if (udp) serving_.spawn(serve_udp(std::move(udp)));
  if (tcp) {
    listener_ = std::make_unique<Listener>(loop_, std::move(tcp));
    serving_.spawn(listener_->run([this](UniqueFd fd) { accept_tcp(std::move(fd)); }));
  }
}

bool Forwarder::is_container(uint32_t address) const {
  return (address & settings_.mask) == settings_.network && address != settings_.zone.gateway;
}

std::string Forwarder::renumbered(std::string_view message) {
  const std::string_view drawn = random_.take(2);
  return with_id(message, static_cast<uint16_t>(static_cast<unsigned char>(drawn[0]) << 8 |
                                                static_cast<unsigned char>(drawn[1])));
}

Forwarder::Decision Forwarder::decide(std::string_view message, uint32_t from) {
  Asked asked = read_question(message);
  if (asked.refusal)
    return {quota_.take(from, loop_.now()) ? code_answer(message, std::nullopt, *asked.refusal) : "",
            std::nullopt};
  if (!asked.question) return {};
  if (!quota_.take(from, loop_.now()))
    return {code_answer(message, asked.question, Code::kRefused), std::nullopt};
  if (auto own = own_answer(message, *asked.question, settings_.zone)) return {std::move(*own), std::nullopt};
  if (servers_.order(loop_.now()).empty())
    return {code_answer(message, asked.question, Code::kServerFailure), std::nullopt};
  return {"", std::move(asked.question)};
}

// ---- askers

Task<void> Forwarder::serve_udp(UniqueFd fd) {
  FdWatch watch(loop_, fd.get());
  std::array<char, kMaxQuestionMessage + 1> buffer{};  // one more, so that a longer one is seen to be longer
  for (size_t taken = 0;;) {
    SocketAddress peer;
    peer.size = sizeof peer.storage;
    const ssize_t n = ::recvfrom(fd.get(), buffer.data(), buffer.size(), 0,
                                 reinterpret_cast<sockaddr*>(&peer.storage), &peer.size);
    if (n < 0 && errno == EAGAIN) {
      taken = 0;
      (void)co_await watch.readable().wait();
      continue;
    }
    if (++taken % kBatch == 0) co_await loop_.sleep_until(loop_.now());
    const uint32_t from = v4_of(peer);
    // SECURITY: nobody but containers is served, so that this is no open resolver whatever the host routes
    // here.
    if (n < 0 || !is_container(from)) continue;
    const std::string_view message(buffer.data(), static_cast<size_t>(n));
    Decision decision = decide(message, from);
    if (decision.forward && !quota_.enter(from))
      decision = {code_answer(message, decision.forward, Code::kRefused), std::nullopt};
    if (decision.forward)
      questions_.spawn(answer_udp(fd.get(), std::string(message), std::move(*decision.forward), from, peer));
    else if (!decision.answer.empty())
      (void)::sendto(fd.get(), decision.answer.data(), decision.answer.size(), 0,
                     reinterpret_cast<const sockaddr*>(&peer.storage), peer.size);
  }
}

Task<void> Forwarder::answer_udp(int fd, std::string message, Question question, uint32_t from,
                                 SocketAddress to) {
  std::string answer = co_await ask(message, question, Transport::kUdp);
  quota_.leave(from);
  if (answer.size() > question.udp_bytes) answer = truncated(answer, question);
  (void)::sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&to.storage),
                 to.size);
}

void Forwarder::accept_tcp(UniqueFd fd) {
  SocketAddress peer;
  peer.size = sizeof peer.storage;
  if (::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) return;
  const uint32_t from = v4_of(peer);
  if (!is_container(from) || !quota_.connect(from)) return;
  serving_.spawn(serve_tcp(std::move(fd), from));
}

Task<void> Forwarder::serve_tcp(UniqueFd fd, uint32_t from) {
  {
    Stream stream(loop_, std::move(fd));
    const TimePoint end = loop_.now() + kTcpTime;
    for (size_t n = 0; n < kTcpQuestions; ++n)
      if (!co_await serve_tcp_question(stream, from, end)) break;
  }
  quota_.disconnect(from);
}

Task<Result<void>> Forwarder::serve_tcp_question(Stream& stream, uint32_t from, TimePoint end) {
  CO_TRY_ASSIGN(const std::string message,
                co_await read_framed(stream, kMaxQuestionMessage, std::min(end, loop_.now() + kTcpIdle)));
  Decision decision = decide(message, from);
  if (decision.forward && !quota_.enter(from))
    decision = {code_answer(message, decision.forward, Code::kRefused), std::nullopt};
  if (decision.forward) {
    decision.answer = co_await ask(message, *decision.forward, Transport::kTcp);
    quota_.leave(from);
  }
  if (decision.answer.empty()) co_return fail(ErrorCode::kProtocol, "not a question");
  co_return co_await stream.write(framed(decision.answer), {}, loop_.now() + kTcpIdle);
}

// ---- servers

Task<std::string> Forwarder::ask(std::string_view message, const Question& question, Transport transport) {
  Lookup lookup(loop_, message, question, loop_.now() + kTime);
  co_await ask_servers(lookup, transport);
  if (lookup.answer) co_return std::move(*lookup.answer);
  if (lookup.refusal) co_return std::move(*lookup.refusal);
  co_return code_answer(message, question, Code::kServerFailure);
}

// One after the other, each a moment after the one before; who was asked first may still be the one who
// answers.
Task<void> Forwarder::ask_servers(Lookup& lookup, Transport transport) {
  const std::vector<SocketAddress> order = servers_.order(loop_.now());
  Scope attempts(loop_);
  for (size_t n = 0; n < kMaxAttempts && !order.empty(); ++n) {
    const bool all_failed = n >= order.size() && lookup.failed == n;
    if (lookup.answer || all_failed || loop_.now() >= lookup.end) break;
    const SocketAddress& server = order[n % order.size()];
    attempts.spawn(transport == Transport::kUdp ? attempt_udp(lookup, server) : attempt_tcp(lookup, server));
    const TimePoint next =
        n + 1 == kMaxAttempts ? lookup.end : std::min(lookup.end, loop_.now() + kServerTime);
    Wake wake = Wake::kSet;
    while (!lookup.answer && lookup.failed <= n && wake == Wake::kSet)
      wake = co_await lookup.changed.wait(next);
    if (wake == Wake::kTimeout) servers_.silent(server, loop_.now());
  }
}

bool Forwarder::take_reply(Lookup& lookup, const std::string& sent, const SocketAddress& server,
                           std::string_view reply) {
  const Reply kind = classify_reply(sent, lookup.question, reply);
  if (kind == Reply::kNotOurs) return false;
  servers_.answered(server);
  if (kind == Reply::kAnswer)
    lookup.answer = with_id(reply, lookup.question.id);
  else
    lookup.refusal = with_id(reply, lookup.question.id);
  return true;
}

Task<void> Forwarder::attempt_udp(Lookup& lookup, SocketAddress server) {
  // SECURITY: a socket of its own has a source port that the kernel draws, takes nothing from other
  // addresses, and is gone with the question; with the id that makes about 30 bits to guess within kTime, and
  // a guesser has kMaxStrays tries.
  const std::string sent = renumbered(lookup.message);
  const UniqueFd fd(::socket(server.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool out =
      fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&server.storage), server.size) == 0 &&
      ::send(fd.get(), sent.data(), sent.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(sent.size());
  if (out) {
    FdWatch watch(loop_, fd.get());
    const auto buffer = std::make_unique_for_overwrite<char[]>(kMaxUdpAnswer + 1);
    for (int strays = 0; strays <= kMaxStrays;) {
      const ssize_t n = ::recv(fd.get(), buffer.get(), kMaxUdpAnswer + 1, 0);
      if (n < 0 && errno == EAGAIN) {
        if (co_await watch.readable().wait(lookup.end) == Wake::kTimeout) break;
        continue;
      }
      if (n < 0) break;  // nobody listens there
      // What is longer is cut to its head on its way to the asker, who asks again over TCP.
      if (take_reply(lookup, sent, server, {buffer.get(), static_cast<size_t>(n)})) break;
      ++strays;
    }
  }
  if (!lookup.answer) ++lookup.failed;
  lookup.changed.set();
}

Task<void> Forwarder::attempt_tcp(Lookup& lookup, SocketAddress server) {
  const std::string sent = renumbered(lookup.message);
  const auto reply = co_await exchange_tcp(sent, server, lookup.end);
  if (reply) (void)take_reply(lookup, sent, server, *reply);
  if (!lookup.answer) ++lookup.failed;
  lookup.changed.set();
}

Task<Result<std::string>> Forwarder::exchange_tcp(const std::string& message, SocketAddress server,
                                                  TimePoint end) {
  UniqueFd fd(::socket(server.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) co_return fail_errno("socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&server.storage), server.size) != 0 &&
      errno != EINPROGRESS)
    co_return fail_errno("connect to a resolver");
  Stream stream(loop_, std::move(fd));
  CO_TRY(co_await stream.finish_connect(end));
  CO_TRY(co_await stream.write(framed(message), {}, end));
  co_return co_await read_framed(stream, UINT16_MAX, end);
}

}  // namespace skerry::dns
