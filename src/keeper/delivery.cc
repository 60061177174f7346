#include "keeper/delivery.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "os/file.h"

namespace skerry::keeper {
namespace {

constexpr size_t kMaxSealedBytes = kMaxSecretBlobBytes + kSealedOverhead;

// Reads the whole memfd from its beginning, whatever its offset: the same one may serve many starts.
Result<std::string> read_sealed(int fd) {
  // SECURITY: anything but a sealed memfd could be a pipe that never ends, or change while it is read.
  constexpr int kWanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kWanted) != kWanted)
    return fail(ErrorCode::kProtocol, "the secrets are not in a sealed memfd");
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno("stat the sealed secrets");
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size > kMaxSealedBytes)
    return fail(ErrorCode::kTooLarge, "{} bytes of sealed secrets (limit {})", size, kMaxSealedBytes);
  std::string sealed(size, '\0');
  size_t done = 0;
  while (done < sealed.size()) {
    const ssize_t n = ::pread(fd, sealed.data() + done, sealed.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno("read the sealed secrets");
    done += static_cast<size_t>(n);
  }
  return sealed;
}

size_t environment_size(std::span<const SecretView> secrets) {
  size_t size = 0;
  for (const SecretView& secret : secrets) size += secret.name.size() + 1 + secret.value.size() + 1;
  return size;
}

}  // namespace

Delivery::Delivery(Poller& poller, SecretBytes blob, std::span<const SecretView> secrets)
    : poller_(poller),
      blob_(std::move(blob)),
      patterns_(secrets),
      secret_bytes_(blob_.size() + patterns_.table_bytes()) {
  prepare_environment(secrets);
}

Delivery::~Delivery() {
  if (environment_watched_) poller_.unwatch(environment_.get());
}

void Delivery::prepare_environment(std::span<const SecretView> secrets) {
  environment_bytes_ = SecretBytes(environment_size(secrets));
  char* out = environment_bytes_.data();
  for (const SecretView& secret : secrets) {
    std::memcpy(out, secret.name.data(), secret.name.size());
    out += secret.name.size();
    *out++ = '=';
    if (!secret.value.empty()) std::memcpy(out, secret.value.data(), secret.value.size());
    out += secret.value.size();
    *out++ = '\0';
  }
}

Result<std::unique_ptr<Delivery>> Delivery::begin(Poller& poller, const LocationKeypair& keys,
                                                  DeliveryFds& fds) {
  TRY_ASSIGN(const std::string sealed, read_sealed(fds.sealed.get()));
  TRY_ASSIGN(SecretBytes blob, open_sealed(keys, sealed));
  TRY_ASSIGN(const std::vector<SecretView> secrets, read_secret_blob(blob.reveal()));
  const bool has_logs = fds.program_stdout.valid();
  TRY(set_nonblocking(fds.environment.get()));
  for (const UniqueFd* fd : {&fds.program_stdout, &fds.program_stderr, &fds.edge_stdout, &fds.edge_stderr}) {
    if (has_logs) TRY(set_nonblocking(fd->get()));
  }
  // Makes room for the whole environment, so that it goes over in one write: init sees all of it or, should
  // we die, nothing.
  const size_t wanted = environment_size(secrets);
  if (wanted > 64 * 1024) ::fcntl(fds.environment.get(), F_SETPIPE_SZ, static_cast<int>(wanted));

  auto delivery = std::unique_ptr<Delivery>(new Delivery(poller, std::move(blob), secrets));
  if (has_logs) TRY(delivery->copy_logs(fds));
  delivery->environment_ = std::move(fds.environment);
  delivery->on_ready();
  return delivery;
}

Result<void> Delivery::copy_logs(DeliveryFds& fds) {
  stdout_.emplace(poller_, patterns_, std::move(fds.program_stdout), std::move(fds.edge_stdout), *this);
  stderr_.emplace(poller_, patterns_, std::move(fds.program_stderr), std::move(fds.edge_stderr), *this);
  TRY(stdout_->start(), "watch stdout");
  TRY(stderr_->start(), "watch stderr");
  open_logs_ = 2;
  return {};
}

void Delivery::end_environment() {
  if (environment_watched_) poller_.unwatch(environment_.get());
  environment_watched_ = false;
  environment_.reset();
  environment_bytes_ = SecretBytes();
}

void Delivery::on_ready() {
  while (environment_.valid()) {
    const std::string_view rest = environment_bytes_.reveal().substr(environment_sent_);
    if (rest.empty()) return end_environment();
    const ssize_t n = ::write(environment_.get(), rest.data(), rest.size());
    if (n > 0) {
      environment_sent_ += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      if (!environment_watched_ && poller_.watch(environment_.get(), EPOLLOUT, *this))
        environment_watched_ = true;
      if (!environment_watched_) end_environment();  // an environment cut short: init refuses it
      return;
    } else if (errno != EINTR) {
      return end_environment();  // the container is gone
    }
  }
}

}  // namespace skerry::keeper
