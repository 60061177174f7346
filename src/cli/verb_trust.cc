// skerry trust: puts the gateway's local CA into the system's store, so that browsers and clients accept
// functions' certificates.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "cli/session.h"
#include "os/file.h"
#include "os/process.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;

inline constexpr int kUpdateTimeoutMs = 60'000;
constexpr std::string_view kFileName = "skerry-local-ca.crt";

struct Store {
  const char* directory;
  const char* update;
  const char* argument;
};
constexpr Store kStores[] = {
    {"/usr/local/share/ca-certificates", "/usr/sbin/update-ca-certificates", ""},
    {"/etc/pki/ca-trust/source/anchors", "/usr/bin/update-ca-trust", "extract"},
};

class TrustVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "trust"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Install the gateway's local CA into the system's store";
  }

  void declare(Command& command) override {
    command.flag("--remove", remove_, "take it out again");
    command.flag("--print", print_, "only print the certificate");
    command.option("--dir", directory_, "write into this folder, and run nothing", "DIR");
    command.examples(
        "sudo skerry trust\nsudo skerry trust --remove\nskerry trust --print > skerry-ca.pem   # for another "
        "machine: SKERRY_CA=skerry-ca.pem");
  }

  Outcome<Exit> run(Session& session) override {
    const Terminal& t = session.terminal();
    std::string pem;
    if (!remove_) {
      TRY_ASSIGN(Gateway* const gateway, session.gateway());
      TRY_ASSIGN(pem, gateway->ca_pem());
      if (pem.empty()) {
        return std::unexpected(Failure(
            Exit::kNotFound, "not_found", "no CA is known here for this gateway",
            "on the gateway's machine `skerry trust --print` prints it; set SKERRY_CA to the file here"));
      }
      if (print_) {
        session.json() ? t.print_json(json::object{{"pem", pem}}) : t.print(pem);
        return Exit::kOk;
      }
    }
    const Store* store = nullptr;
    std::string directory = directory_;
    if (directory.empty()) {
      store = find_store();
      if (store == nullptr)
        return std::unexpected(Failure(Exit::kFailed, "no_store", "no system store that this program knows",
                                       "`skerry trust --print` prints the certificate; install it by hand"));
      if (::geteuid() != 0)
        return std::unexpected(Failure(Exit::kAuth, "forbidden",
                                       fmt::format("only root writes to {}", store->directory),
                                       "sudo skerry trust (with SKERRY_TOKEN or the configuration of root)"));
      directory = store->directory;
    }
    TRY(remove_ ? erase(directory) : install(directory, pem));
    if (store != nullptr) {
      TRY(update(*store));
    }
    const std::string path = directory + "/" + std::string(kFileName);
    if (session.json())
      t.print_json(json::object{{"path", path}, {"installed", !remove_}});
    else
      t.note(fmt::format("{} the CA is {} {}{}", t.styled_err(Style::kGreen, "ok"),
                         remove_ ? "removed from" : "in", path,
                         remove_ ? "" : "; browsers with a store of their own (Firefox) import it by hand"));
    return Exit::kOk;
  }

 private:
  static const Store* find_store() {
    std::error_code ec;
    for (const Store& store : kStores) {
      if (fs::is_directory(store.directory, ec) && fs::exists(store.update, ec)) return &store;
    }
    return nullptr;
  }

  static Outcome<> install(const std::string& directory, const std::string& pem) {
    TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY));
    TRY(write_file_atomic(fd.get(), std::string(kFileName), pem, 0644), directory);
    return {};
  }

  static Outcome<> erase(const std::string& directory) {
    const std::string path = directory + "/" + std::string(kFileName);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove `{}`", path);
    return {};
  }

  static Outcome<> update(const Store& store) {
    SpawnOptions options;
    options.argv = {store.update};
    if (*store.argument != '\0') options.argv.emplace_back(store.argument);
    options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    options.uid = ::geteuid();
    options.gid = ::getegid();
    options.die_with_parent = true;
    TRY_ASSIGN(const Child child, spawn(options), store.update);
    pollfd ended{child.pidfd.get(), POLLIN, 0};
    if (::poll(&ended, 1, kUpdateTimeoutMs) == 0) {
      ::kill(child.pid, SIGKILL);
      ::waitpid(child.pid, nullptr, 0);
      return std::unexpected(
          Failure(Exit::kFailed, "timeout",
                  fmt::format("{} did not end within {} s", store.update, kUpdateTimeoutMs / 1000)));
    }
    int status = 0;
    if (::waitpid(child.pid, &status, 0) != child.pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      return std::unexpected(Failure(Exit::kFailed, "update_failed", fmt::format("{} failed", store.update),
                                     "run it by hand to see why"));
    }
    return {};
  }

  bool remove_ = false;
  bool print_ = false;
  std::string directory_;
};

}  // namespace

std::unique_ptr<Verb> make_trust_verb() {
  return std::make_unique<TrustVerb>();
}

}  // namespace skerry::cli
