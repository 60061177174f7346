#include "cli/dev_skerry.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <chrono>

#include "cli/gateway.h"
#include "cli/session.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

constexpr size_t kMaxSmallFile = 1024 * 1024;
constexpr size_t kLogTailLines = 10;
constexpr int kAskAgainMs = 50;

Result<void> write_configuration(const DevFolder& folder, const DevSettings& settings,
                                 std::string_view machine) {
  TRY_ASSIGN(const std::string text, dev_configuration(settings, machine));
  TRY_ASSIGN(const UniqueFd fd,
             open_at(AT_FDCWD, folder.config_path(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  return write_all(fd.get(), text);
}

Outcome<DevGuard> start_guard(DevFolder& folder, const DevSettings& settings, std::string_view machine) {
  TRY(write_configuration(folder, settings, machine));
  TRY_ASSIGN(DevGuard guard, DevGuard::start(settings.programs.folder, folder));
  return guard;
}

}  // namespace

Outcome<std::unique_ptr<DevSkerry>> DevSkerry::start(std::optional<uint16_t> http_port,
                                                     const std::function<void(const Error&)>& warn) {
  // The daemons' users must reach their folders, and the person who develops the CA, whatever the caller's
  // is.
  ::umask(022);
  DevSettings settings;
  TRY_ASSIGN(settings.programs, find_programs(folder_of_this_program()));
  const auto machine = read_file(std::string(kMachineConfig), kMaxSmallFile);
  const std::string machine_text = machine ? *machine : "";
  settings.images_dir = images_folder(machine_text);
  clear_dead_sessions(settings.programs.folder, warn);
  TRY_ASSIGN(settings.ports, pick_ports(http_port));
  TRY_ASSIGN(DevFolder folder, make_dev_folder(settings.subnet));
  settings.tag = folder.tag;
  settings.state_dir = folder.state_dir();
  settings.run_dir = folder.run_dir();
  auto guard = start_guard(folder, settings, machine_text);
  if (!guard) {
    (void)clear_dev_folder(settings.programs.folder, folder.tag, folder.path);
    return std::unexpected(std::move(guard.error()));
  }
  return std::unique_ptr<DevSkerry>(new DevSkerry(std::move(folder), settings.ports, std::move(*guard)));
}

bool DevSkerry::is_ready() {
  auto token = read_file(folder_.state_dir() + "/control/admin.token", kMaxSmallFile);
  if (!token) return false;
  while (token->ends_with('\n')) token->pop_back();
  config_.token = std::move(*token);
  auto endpoint = parse_endpoint(config_.url);
  if (!endpoint) return false;
  const auto status = Gateway(config_, std::move(*endpoint)).get("/v1/status");
  if (!status || !status->is_object()) return false;
  const json::value* connected = status->get_object().if_contains("edge_connected");
  return connected != nullptr && connected->is_bool() && connected->get_bool();
}

Outcome<> DevSkerry::await_ready(int stop_fd) {
  config_.directory = folder_.path;
  config_.url = fmt::format("unix:{}/control.sock", folder_.run_dir());
  config_.url_from = config_.token_from = "skerry dev";
  config_.ca_path = folder_.ca_path();
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kReadyTimeMs);
  while (!is_ready()) {
    pollfd fds[] = {{stop_fd, POLLIN, 0}, {ended_fd(), POLLIN, 0}};
    ::poll(fds, 2, kAskAgainMs);
    if (fds[1].revents != 0) return std::unexpected(ended());
    if (fds[0].revents != 0) return {};
    if (std::chrono::steady_clock::now() > end) {
      Failure failure = ended();
      failure.message = fmt::format("this session's skerryd does not answer after {} s", kReadyTimeMs / 1000);
      return std::unexpected(std::move(failure));
    }
  }
  // Beside the folders that only their owners may enter: for the user's own curl.
  TRY_ASSIGN(const std::string ca, read_file(folder_.state_dir() + "/control/ca.pem", kMaxSmallFile));
  TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, folder_.ca_path(), O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
  TRY(write_all(fd.get(), ca));
  return {};
}

Failure DevSkerry::ended() const {
  Failure failure(Exit::kFailed, "local_skerry_ended", "this session's skerryd has ended");
  const auto log = read_file(folder_.log_path(), kMaxSmallFile);
  if (!log) return failure;
  size_t from = log->size();
  for (size_t lines = 0; from > 0 && lines <= kLogTailLines; ++lines) {
    const size_t before = log->rfind('\n', from - 1);
    from = before == std::string::npos ? 0 : before;
    if (before == std::string::npos) break;
  }
  failure.details["log_tail"] = log->substr(from);
  return failure;
}

}  // namespace skerry::cli
