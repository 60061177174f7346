// filler's other half: layers. See filler.h.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "base/id.h"
#include "contract/ids.h"
#include "os/file.h"
#include "os/process.h"
#include "sandboxd/filler.h"
#include "sandboxd/namespaces.h"

namespace skerry::sandbox {
namespace {

constexpr size_t kMaxMetaBytes = 1024;

// Beside each layer: "subfolder bytes files". The same archive under another subfolder is another layer, which is refused.
std::string meta_path(const Settings& s, const std::string& hex) { return s.layers_dir() + "/" + hex + ".meta"; }

LayerDone failed(const Error& error) { return {false, false, static_cast<uint8_t>(error.code()), error.message(), 0, 0}; }

// In the child: nothing but the three descriptors, root of its own user namespace, no network, no other process.
[[noreturn]] void run_unpack(int program, int archive, int target, int result, const Pipe& go, const UnpackLayer& r) {
  char byte = 0;
  // The parent writes the id maps first. With its own copy of the other end a child would wait for ever for a parent that was killed.
  ::close(go.write.get());
  if (::read(go.read.get(), &byte, 1) != 1) ::_exit(126);
  const int moved[] = {::fcntl(archive, F_DUPFD, 20), ::fcntl(target, F_DUPFD, 20), ::fcntl(result, F_DUPFD, 20)};
  const int program_fd = ::fcntl(program, F_DUPFD_CLOEXEC, 20);
  for (int i = 0; i < 3; ++i)
    if (moved[i] < 0 || ::dup2(moved[i], 3 + i) < 0) ::_exit(126);
  const int kept = ::dup3(program_fd, 6, O_CLOEXEC);
  const int null = ::open("/dev/null", O_RDWR);
  if (kept < 0 || null < 0) ::_exit(126);
  for (int fd = 0; fd < 2; ++fd) ::dup2(null, fd);
  if (!close_descriptors(7)) ::_exit(126);
  if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) ::_exit(126);
  // After the ids, whose change clears it: without a filler nobody waits for the layer, and the next filler removes the folder.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) ::_exit(126);
  const std::string bytes = std::to_string(r.max_bytes), files = std::to_string(r.max_files);
  // Base images keep their owners; what tenants upload belongs to fn.
  const char* owner = r.subfolder.empty() || r.subfolder == "/" ? "keep" : "fn";
  const char* argv[] = {"skerry-unpack", "--digest", r.digest.c_str(), "--max-bytes", bytes.c_str(), "--max-files", files.c_str(),
                        "--owner", owner, "--subfolder", r.subfolder.empty() ? "/" : r.subfolder.c_str(), nullptr};
  const char* envp[] = {"LANG=C.UTF-8", nullptr};
  ::syscall(SYS_execveat, kept, "", argv, envp, AT_EMPTY_PATH);
  ::_exit(127);
}

}  // namespace

Result<void> Filler::remove_unfinished_layers() {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(settings_.layers_dir().c_str()), ::closedir);
  if (!dir) return fail_errno("open `{}`", settings_.layers_dir());
  while (const dirent* entry = ::readdir(dir.get())) {
    if (!std::string_view(entry->d_name).starts_with(".tmp-")) continue;
    std::error_code ignored;
    std::filesystem::remove_all(settings_.layers_dir() + "/" + entry->d_name, ignored);
  }
  return {};
}

LayerDone Filler::look_up(const std::string& digest, const std::string* subfolder) const {
  const auto parsed = Digest::parse(digest);
  if (!parsed) return failed(parsed.error());
  const auto meta = read_file(meta_path(settings_, parsed->hex()), kMaxMetaBytes);
  struct stat st {};
  if (!meta || ::stat((settings_.layers_dir() + "/" + parsed->hex()).c_str(), &st) != 0) return failed(Error(ErrorCode::kNotFound, "no layer " + digest));
  std::istringstream fields(*meta);
  std::string folder;
  LayerDone done;
  fields >> folder >> done.bytes >> done.files;
  if (subfolder != nullptr && folder != (subfolder->empty() ? "/" : *subfolder))
    return failed(Error(ErrorCode::kConflict, fmt::format("layer {} exists below `{}`", digest, folder)));
  done.ok = done.existed = true;
  return done;
}

void Filler::answer(int client, const LayerDone& done) {
  if (client >= 0) (void)send_message(client, encode(done));
}

void Filler::on_layer_request(int fd, LayerRequest request, std::vector<UniqueFd> fds) {
  if (const auto* has = std::get_if<HasLayer>(&request)) return answer(fd, look_up(has->digest, nullptr));
  if (const auto* remove = std::get_if<RemoveLayer>(&request)) {
    LayerDone found = look_up(remove->digest, nullptr);
    if (found.ok) {
      const std::string hex = Digest::parse(remove->digest)->hex();
      std::error_code error;
      ::unlink(meta_path(settings_, hex).c_str());
      // Out of sight first: a half-removed layer must not look like one.
      const std::string hidden = settings_.layers_dir() + "/.tmp-" + new_ulid();
      if (::rename((settings_.layers_dir() + "/" + hex).c_str(), hidden.c_str()) == 0) std::filesystem::remove_all(hidden, error);
    }
    return answer(fd, found);
  }
  auto& unpack = std::get<UnpackLayer>(request);
  LayerDone found = look_up(unpack.digest, &unpack.subfolder);
  if (found.ok || found.code != static_cast<uint8_t>(ErrorCode::kNotFound)) return answer(fd, found);
  const bool folder_ok = unpack.subfolder.empty() || (unpack.subfolder.starts_with('/') && unpack.subfolder.find("..") == std::string::npos &&
                                                      unpack.subfolder.find_first_of(" \n\t") == std::string::npos);
  if (fds.size() != 1 || unpack.max_bytes == 0 || unpack.max_bytes > kMaxLayerBytes || unpack.max_files == 0 || unpack.max_files > kMaxLayerFiles || !folder_ok)
    return answer(fd, failed(Error(ErrorCode::kInvalidArgument, "unpack: no archive, limits out of bounds, or a malformed subfolder")));
  if (layer_queue_.size() >= kMaxLayerQueue) return answer(fd, failed(Error(ErrorCode::kTooMany, "too many layers wait to be unpacked")));
  layer_queue_.push_back({fd, std::move(unpack), std::move(fds[0])});
  start_next_unpack();
}

void Filler::start_next_unpack() {
  while (!unpacking_ && !layer_queue_.empty()) {
    Job job = std::move(layer_queue_.front());
    layer_queue_.pop_front();
    const int client = job.client;
    // It may have been made while this one waited.
    if (LayerDone found = look_up(job.request.digest, &job.request.subfolder); found.ok) {
      answer(client, found);
      continue;
    }
    if (auto started = start_unpack(std::move(job)); !started) {
      unpacking_.reset();
      answer(client, failed(started.error()));
    }
  }
}

Result<void> Filler::start_unpack(Job job) {
  auto u = std::make_unique<Unpacking>();
  u->temporary = settings_.layers_dir() + "/.tmp-" + new_ulid();
  if (::mkdir(u->temporary.c_str(), 0755) != 0) return fail_errno("make folder for a layer");
  if (::chown(u->temporary.c_str(), kLayerIdBase, kLayerIdBase) != 0) return fail_errno("chown folder for a layer");
  TRY_ASSIGN(const UniqueFd target, open_at(AT_FDCWD, u->temporary, O_RDONLY | O_DIRECTORY));
  TRY_ASSIGN(Pipe result, make_pipe());
  TRY_ASSIGN(Pipe go, make_pipe());
  const pid_t pid = fork_into(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID, &u->pidfd);
  if (pid < 0) return fail_errno("fork for skerry-unpack");
  if (pid == 0) run_unpack(unpack_program_.get(), job.archive.get(), target.get(), result.write.get(), go, job.request);
  u->pid = pid;
  u->result = std::move(result.read);
  u->job = std::move(job);
  u->deadline = clock_.now() + kUnpackTime;
  const std::string map = fmt::format("0 {} {}", kLayerIdBase, kIdsPerRange);
  auto mapped = write_text(fmt::format("/proc/{}/uid_map", pid), map);
  if (mapped) mapped = write_text(fmt::format("/proc/{}/gid_map", pid), map);
  if (!mapped || ::write(go.write.get(), "g", 1) != 1) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return mapped ? fail_errno("start skerry-unpack") : std::move(mapped);
  }
  unpacking_ = std::move(u);
  return poller_.add(unpacking_->pidfd.get(), [this] { finish_unpack(); });
}

// finish_unpack() follows: the helper's end makes its pidfd readable.
void Filler::end_late_unpack() {
  if (unpacking_ && clock_.now() > unpacking_->deadline) ::syscall(SYS_pidfd_send_signal, unpacking_->pidfd.get(), SIGKILL, nullptr, 0);
}

void Filler::finish_unpack() {
  const std::unique_ptr<Unpacking> u = std::move(unpacking_);
  poller_.remove(u->pidfd.get());
  int status = 0;
  ::waitpid(u->pid, &status, 0);
  const auto bytes = read_all(u->result.get(), kMaxMessage);
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;  // by us when its time is over, by the kernel for memory, or by an operator
  auto done = bytes && !bytes->empty() ? decode_layer_done(*bytes)
              : killed                ? fail(ErrorCode::kUnavailable, "the unpacker was killed; try again")
                                      : fail(ErrorCode::kForbidden, "the archive made the unpacker fail (status {})", status);
  LayerDone result = done ? *done : failed(done.error());
  if (result.ok) {
    const UnpackLayer& r = u->job.request;
    const std::string hex = Digest::parse(r.digest)->hex();
    const auto publish = [&]() -> Result<void> {
      TRY_ASSIGN(const UniqueFd layers, open_at(AT_FDCWD, settings_.layers_dir(), O_RDONLY | O_DIRECTORY));
      if (::syncfs(layers.get()) != 0) return fail_errno("sync the layer");
      if (::rename(u->temporary.c_str(), (settings_.layers_dir() + "/" + hex).c_str()) != 0) return fail_errno("publish the layer");
      // Last: without it the layer does not count, and the next unpack replaces it.
      return write_file_atomic(layers.get(), hex + ".meta", fmt::format("{} {} {}\n", r.subfolder.empty() ? "/" : r.subfolder, result.bytes, result.files), 0600);
    };
    if (auto published = publish(); !published) result = failed(published.error());
  }
  if (!result.ok) {
    logger_.warn("a layer was refused", {{"digest", u->job.request.digest}, {"error", result.message}});
    std::error_code ignored;
    std::filesystem::remove_all(u->temporary, ignored);
  }
  answer(u->job.client, result);
  start_next_unpack();
}

}  // namespace skerry::sandbox
