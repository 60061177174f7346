#include "client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

namespace loadgen {

using skerry::ErrorCode, skerry::fail, skerry::fail_errno;

Result<Target> Target::parse(const std::string& text) {
  Target t;
  if (text.starts_with("unix:")) {
    sockaddr_un unix_address{.sun_family = AF_UNIX, .sun_path = {}};
    const std::string path = text.substr(5);
    if (path.empty() || path.size() >= sizeof unix_address.sun_path) return fail(ErrorCode::kInvalidArgument, "`{}` is no socket path", path);
    std::memcpy(unix_address.sun_path, path.data(), path.size());
    std::memcpy(&t.address, &unix_address, sizeof unix_address);
    t.size = sizeof unix_address;
    return t;
  }
  t.tcp = true;
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  if (colon == std::string::npos || std::from_chars(text.data() + colon + 1, text.data() + text.size(), port).ec != std::errc())
    return fail(ErrorCode::kInvalidArgument, "`{}` is not ADDRESS:PORT", text);
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  sockaddr_in6 v6{.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_flowinfo = 0, .sin6_addr = {}, .sin6_scope_id = 0};
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    std::memcpy(&t.address, &v4, t.size = sizeof v4);
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    std::memcpy(&t.address, &v6, t.size = sizeof v6);
  } else {
    return fail(ErrorCode::kInvalidArgument, "`{}` is no numeric address", host);
  }
  return t;
}

// ---- TLS

Result<std::unique_ptr<TlsClient>> TlsClient::create(std::string server_name, bool resume) {
  std::unique_ptr<TlsClient> tls(new TlsClient);
  tls->server_name_ = std::move(server_name);
  tls->resume_ = resume;
  tls->context_ = SSL_CTX_new(TLS_client_method());
  if (tls->context_ == nullptr) return fail(ErrorCode::kNoCapacity, "TLS context");
  SSL_CTX_set_min_proto_version(tls->context_, TLS1_3_VERSION);
  // What every contender can do, so that none is measured with a dearer cipher or key exchange.
  SSL_CTX_set_ciphersuites(tls->context_, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(tls->context_, "X25519");
  SSL_CTX_set_read_ahead(tls->context_, 1);
  SSL_CTX_set_session_cache_mode(tls->context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(tls->context_, tls.get());
  SSL_CTX_sess_set_new_cb(tls->context_, on_ticket);
  return tls;
}

TlsClient::~TlsClient() {
  SSL_SESSION_free(ticket_);
  SSL_CTX_free(context_);
}

int TlsClient::on_ticket(SSL* ssl, SSL_SESSION* session) {
  auto* tls = static_cast<TlsClient*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  SSL_SESSION_free(std::exchange(tls->ticket_, session));
  return 1;  // the reference is ours
}

SSL* TlsClient::open(int fd) {
  SSL* ssl = SSL_new(context_);
  if (ssl == nullptr) return nullptr;
  SSL_set_fd(ssl, fd);
  SSL_set_tlsext_host_name(ssl, server_name_.c_str());
  if (resume_ && ticket_ != nullptr) SSL_set_session(ssl, ticket_);
  SSL_set_connect_state(ssl);
  return ssl;
}

// ---- connection

Result<void> Client::connect() {
  close();
  fd_.reset(::socket(target_.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) return fail_errno("socket");
  if (target_.tcp) {
    const int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&target_.address), target_.size) != 0 && errno != EINPROGRESS) return fail_errno("connect");
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = this}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd_.get(), &event) != 0) return fail_errno("epoll_ctl");
  state_ = State::kConnecting;
  return {};
}

void Client::close() {
  if (ssl_ != nullptr) {
    SSL_set_quiet_shutdown(ssl_, 1);
    SSL_shutdown(ssl_);  // else OpenSSL takes the session for broken and its ticket is not used again
    SSL_free(std::exchange(ssl_, nullptr));
  }
  fd_.reset();
  answer_.reset();
  state_ = State::kClosed;
}

bool Client::resumed() const { return ssl_ != nullptr && SSL_session_reused(ssl_) == 1; }

Result<void> Client::send() {
  const auto size = static_cast<int>(request_.size());
  state_ = State::kWaiting;
  answer_.reset();
  const auto sent = ssl_ != nullptr ? SSL_write(ssl_, request_.data(), size) : ::send(fd_.get(), request_.data(), request_.size(), MSG_NOSIGNAL);
  if (sent == size) return {};
  return fail(ErrorCode::kUnavailable, "sent {} of {} bytes", sent, size);
}

Client::Event Client::failed(std::string why) {
  why_ = std::move(why);
  ERR_clear_error();
  return Event::kFailed;
}

Client::Event Client::advance() {
  switch (state_) {
    case State::kClosed: return Event::kNothing;
    case State::kConnecting: {
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return failed(std::string("connect: ") + std::strerror(error));
      sockaddr_storage peer{};
      size = sizeof peer;
      if (::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &size) != 0) return Event::kNothing;
      // From here only reading is waited for: a unix socket would tell of every buffer that its peer emptied.
      epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = this}};
      ::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_.get(), &event);
      if (tls_ == nullptr) {
        state_ = State::kIdle;
        return Event::kConnected;
      }
      ssl_ = tls_->open(fd_.get());
      if (ssl_ == nullptr) return failed("no memory for TLS");
      state_ = State::kHandshaking;
      return handshake();
    }
    case State::kHandshaking: return handshake();
    case State::kIdle:
    case State::kWaiting: return read_answer();
  }
  return Event::kNothing;
}

Client::Event Client::handshake() {
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    state_ = State::kIdle;
    return Event::kConnected;
  }
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ) return Event::kNothing;
  return failed("TLS handshake failed");
}

int Client::read_some(char* into, int size) {
  if (ssl_ == nullptr) {
    const ssize_t n = ::recv(fd_.get(), into, static_cast<size_t>(size), 0);
    return n > 0 ? static_cast<int>(n) : n < 0 && errno == EAGAIN ? 0 : -1;
  }
  const int n = SSL_read(ssl_, into, size);
  return n > 0 ? n : SSL_get_error(ssl_, n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

Client::Event Client::read_answer() {
  char bytes[16 * 1024];
  for (;;) {
    const int n = read_some(bytes, sizeof bytes);
    if (n < 0) return failed(state_ == State::kWaiting ? "the connection ended before the answer" : "the connection ended");
    if (n == 0) return Event::kNothing;
    if (state_ == State::kIdle) return failed("bytes without a request");
    const auto state = answer_.feed({bytes, static_cast<size_t>(n)});
    if (state == AnswerReader::State::kBad) return failed("an answer that cannot be read");
    if (state == AnswerReader::State::kMore) continue;
    status_ = answer_.status();
    state_ = State::kIdle;
    return Event::kAnswered;
  }
}

}  // namespace loadgen
