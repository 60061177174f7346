#include "keeper/keeper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/id.h"
#include "contract/sandbox_messages.h"
#include "contract/secret_blob.h"
#include "crypto/encoding.h"
#include "keeper/location_key.h"
#include "os/file.h"
#include "os/process.h"

namespace skerry::keeper {
namespace {

constexpr size_t kPlenty = 8 << 20;

std::string seal(const std::string& public_key, const std::vector<SecretView>& secrets) {
  std::string blob(secret_blob_bytes(secrets), '\0');
  write_secret_blob(secrets, blob.data());
  return seal_to_location(public_key, blob).value();
}

// The other ends of one delivery's descriptors.
struct Instance {
  UniqueFd environment, edge_stdout, edge_stderr;  // we read
  UniqueFd program_stdout, program_stderr;         // we write
  std::string id = new_ulid();

  // Sends Deliver over `connection`.
  void deliver(int connection, const UniqueFd& sealed) {
    auto env = make_pipe(), out = make_pipe(), err = make_pipe(), edge_out = make_pipe(),
         edge_err = make_pipe();
    const int fds[] = {sealed.get(),    env->write.get(),      out->read.get(),
                       err->read.get(), edge_out->write.get(), edge_err->write.get()};
    ASSERT_TRUE(send_message(connection, sandbox::encode(sandbox::Deliver{id}), fds));
    environment = std::move(env->read);
    edge_stdout = std::move(edge_out->read);
    edge_stderr = std::move(edge_err->read);
    program_stdout = std::move(out->write);
    program_stderr = std::move(err->write);
  }
};

// What can be read now, without waiting.
std::string available(int fd) {
  EXPECT_TRUE(set_nonblocking(fd));
  std::string out;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<size_t>(n));
  return out;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char pattern[] = "/tmp/skerry_keeper_XXXXXX";
    if (::mkdtemp(pattern) != nullptr) path = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  std::string path;
};

class KeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);
    auto listening = listen_unix(directory_.path + "/keeper.sock", SocketType::kSeqpacket,
                                 {::geteuid(), ::getegid(), 0600});
    ASSERT_TRUE(listening);
    auto made = Keeper::make(logger_, keys_, std::move(*listening), ::geteuid());
    ASSERT_TRUE(made);
    keeper_ = std::move(*made);
    auto connected = connect_unix(directory_.path + "/keeper.sock", SocketType::kSeqpacket);
    ASSERT_TRUE(connected);
    connection_ = std::move(*connected);
  }

  // Runs the keeper until `done`, or fails after 10 s without it.
  void run_until(const std::function<bool()>& done) {
    for (int i = 0; i < 1000 && !done(); ++i) ASSERT_TRUE(keeper_->run_once(10));
    ASSERT_TRUE(done());
  }
  UniqueFd sealed(const std::vector<SecretView>& secrets) {
    return std::move(*make_sealed_memfd("secrets", seal(keys_.public_key, secrets)));
  }

  TemporaryDirectory directory_;
  UniqueFd null_{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Logger logger_{null_.get(), "test"};
  LocationKeypair keys_ = make_location_keypair();
  std::unique_ptr<Keeper> keeper_;
  UniqueFd connection_;
};

TEST_F(KeeperTest, WritesTheEnvironmentAndScrubsBothLogs) {
  Instance instance;
  instance.deliver(connection_.get(), sealed({{"DB", "hunter22"}, {"EMPTY", ""}}));
  run_until([&] { return keeper_->deliveries() == 1; });
  EXPECT_EQ(read_all(instance.environment.get(), kPlenty).value(), std::string("DB=hunter22\0EMPTY=\0", 19));

  ASSERT_TRUE(write_all(instance.program_stdout.get(), "password is hunt"));
  std::string out;
  run_until([&] { return (out += available(instance.edge_stdout.get())) == "password is "; });
  ASSERT_TRUE(write_all(instance.program_stdout.get(), "er22\n"));
  ASSERT_TRUE(write_all(instance.program_stderr.get(), "hunter22!"));
  instance.program_stdout.reset();
  instance.program_stderr.reset();
  run_until([&] { return keeper_->deliveries() == 0; });
  EXPECT_EQ(out + available(instance.edge_stdout.get()), "password is [secret DB]\n");
  EXPECT_EQ(read_all(instance.edge_stderr.get(), kPlenty).value(), "[secret DB]!");
}

TEST_F(KeeperTest, OneSealedMemfdServesManyStarts) {
  const UniqueFd secrets = sealed({{"DB", "hunter22"}});
  for (size_t i = 1; i <= 3; ++i) {
    Instance instance;
    instance.deliver(connection_.get(), secrets);
    run_until([&] { return keeper_->deliveries() == 1; });
    EXPECT_EQ(read_all(instance.environment.get(), kPlenty).value(), std::string("DB=hunter22\0", 12));
    instance = Instance();
    run_until([&] { return keeper_->deliveries() == 0; });
  }
}

TEST_F(KeeperTest, AnEnvironmentLargerThanAPipeArrivesWhole) {
  const std::string value(kMaxSecretValueBytes, 'v');
  std::vector<std::string> names;
  for (size_t i = 0; i < kMaxSecretEntries; ++i) names.push_back("SECRET_" + std::to_string(i));
  std::vector<SecretView> secrets;
  size_t wanted = 0;
  for (const std::string& name : names) {
    secrets.push_back({name, value});
    wanted += name.size() + value.size() + 2;
  }
  Instance instance;
  instance.deliver(connection_.get(), sealed(secrets));
  std::string got;
  run_until([&] { return (got += available(instance.environment.get())).size() == wanted; });
  EXPECT_TRUE(got.starts_with("SECRET_0=vvv"));
  EXPECT_EQ(got.back(), '\0');
}

TEST_F(KeeperTest, WhatCannotBeOpenedIsToldThroughTheEnvironmentPipe) {
  const auto refused = [&](const UniqueFd& secrets) {
    Instance instance;
    instance.deliver(connection_.get(), secrets);
    std::string got;
    run_until([&] { return !(got += available(instance.environment.get())).empty(); });
    EXPECT_EQ(keeper_->deliveries(), 0U);
    EXPECT_EQ(read_all(instance.edge_stdout.get(), kPlenty).value(), "");
    return got == std::string(1, kRefusalByte);
  };
  EXPECT_TRUE(
      refused(*make_sealed_memfd("other key", seal(make_location_keypair().public_key, {{"A", "b"}}))));
  EXPECT_TRUE(refused(*make_sealed_memfd("garbage", "garbage")));
  EXPECT_TRUE(refused(*make_sealed_memfd("no blob", *seal_to_location(keys_.public_key, "not a blob"))));
  EXPECT_TRUE(
      refused(*make_sealed_memfd("large", std::string(kMaxSecretBlobBytes + kSealedOverhead + 1, 'x'))));
  UniqueFd open_memfd(::memfd_create("unsealed", MFD_CLOEXEC));
  ASSERT_TRUE(write_all(open_memfd.get(), seal(keys_.public_key, {{"A", "b"}})));
  EXPECT_TRUE(refused(open_memfd));
  auto pipe = make_pipe();
  EXPECT_TRUE(refused(pipe->read));
}

TEST_F(KeeperTest, MalformedMessagesAreRefusedAndTheConnectionGoesOn) {
  auto env = make_pipe();
  const UniqueFd secrets = sealed({{"A", "b"}});
  const int fds[] = {secrets.get(), env->write.get(), null_.get()};
  ASSERT_TRUE(send_message(connection_.get(), "nonsense", fds));
  ASSERT_TRUE(send_message(connection_.get(), sandbox::encode(sandbox::Deliver{new_ulid()}), fds));
  ASSERT_TRUE(send_message(connection_.get(), sandbox::encode(sandbox::Deliver{new_ulid()})));
  env->write.reset();
  std::string got;
  run_until([&] { return (got += available(env->read.get())).size() == 2; });
  EXPECT_EQ(got, std::string(2, kRefusalByte));
  Instance instance;
  instance.deliver(connection_.get(), secrets);
  run_until([&] { return keeper_->deliveries() == 1; });
}

TEST_F(KeeperTest, ADeliveryWithoutLogsIsTheEnvironmentAlone) {
  auto env = make_pipe();
  const UniqueFd secrets = sealed({{"DB", "hunter22"}});
  const int fds[] = {secrets.get(), env->write.get()};
  ASSERT_TRUE(send_message(connection_.get(), sandbox::encode(sandbox::Deliver{new_ulid()}), fds));
  env->write.reset();
  ASSERT_TRUE(keeper_->run_once(1000));
  ASSERT_TRUE(keeper_->run_once(1000));
  EXPECT_EQ(read_all(env->read.get(), kPlenty).value(), std::string("DB=hunter22\0", 12));
  run_until([&] { return keeper_->deliveries() == 0; });
}

TEST_F(KeeperTest, ConnectionsPastTheLimitWaitAndLoseNothing) {
  const std::string path = directory_.path + "/keeper.sock";
  std::vector<UniqueFd> idle;
  for (size_t i = 1; i < kMaxConnections; ++i) {  // one is open already
    idle.push_back(std::move(*connect_unix(path, SocketType::kSeqpacket)));
    ASSERT_TRUE(keeper_->run_once(1000));
  }
  // As starter does it: connect, send, close, without waiting for anything.
  Instance instance;
  instance.deliver(connect_unix(path, SocketType::kSeqpacket)->get(), sealed({{"DB", "hunter22"}}));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(keeper_->run_once(0));
  EXPECT_EQ(keeper_->deliveries(), 0U);
  idle.clear();
  run_until([&] { return keeper_->deliveries() == 1; });
  EXPECT_EQ(read_all(instance.environment.get(), kPlenty).value(), std::string("DB=hunter22\0", 12));
}

TEST_F(KeeperTest, AFullSinkHoldsTheProgramBackAndNothingIsLost) {
  Instance instance;
  instance.deliver(connection_.get(), sealed({{"DB", "hunter22"}}));
  run_until([&] { return keeper_->deliveries() == 1; });
  ASSERT_TRUE(set_nonblocking(instance.program_stdout.get()));
  const std::string line = "0123456789 hunter22 and more\n";
  // Nobody reads: the program's own pipe must fill in the end, after a bounded amount.
  size_t lines = 0;
  for (int idle = 0; idle < 20;) {
    const ssize_t n = ::write(instance.program_stdout.get(), line.data(), line.size());
    n == static_cast<ssize_t>(line.size()) ? (++lines, idle = 0) : ++idle;
    ASSERT_TRUE(keeper_->run_once(0));
    ASSERT_LT(lines * line.size(), 1U << 20);
  }
  instance.program_stdout.reset();
  instance.program_stderr.reset();
  std::string got, wanted;
  for (size_t i = 0; i < lines; ++i) wanted += "0123456789 [secret DB] and more\n";
  run_until([&] {
    return (got += available(instance.edge_stdout.get())).size() >= wanted.size() &&
           keeper_->deliveries() == 0;
  });
  EXPECT_EQ(got, wanted);
}

TEST_F(KeeperTest, ALogThatNobodyReadsDoesNotStopTheProgram) {
  Instance instance;
  instance.deliver(connection_.get(), sealed({{"DB", "hunter22"}}));
  run_until([&] { return keeper_->deliveries() == 1; });
  instance.edge_stdout.reset();
  ASSERT_TRUE(set_nonblocking(instance.program_stdout.get()));
  const std::string chunk(4096, 'x');
  size_t written = 0;
  run_until([&] {
    const ssize_t n = ::write(instance.program_stdout.get(), chunk.data(), chunk.size());
    if (n > 0) written += static_cast<size_t>(n);
    return written > (1U << 20);
  });
}

TEST_F(KeeperTest, ManyInstancesAtOnceKeepTheirLogsApart) {
  std::vector<std::unique_ptr<Instance>> instances;
  for (int i = 0; i < 50; ++i) {
    instances.push_back(std::make_unique<Instance>());
    const std::string value = "value-of-" + std::to_string(i) + "-end";
    instances.back()->deliver(connection_.get(), sealed({{"S", value}}));
    ASSERT_TRUE(keeper_->run_once(0));
  }
  run_until([&] { return keeper_->deliveries() == 50; });
  for (const auto& instance : instances) {
    for (int i = 0; i < 50; ++i)
      ASSERT_TRUE(write_all(instance->program_stdout.get(), "value-of-" + std::to_string(i) + "-end\n"));
    instance->program_stdout.reset();
    instance->program_stderr.reset();
  }
  run_until([&] { return keeper_->deliveries() == 0; });
  for (size_t n = 0; n < instances.size(); ++n) {
    const std::string log = read_all(instances[n]->edge_stdout.get(), kPlenty).value();
    EXPECT_EQ(log.find("value-of-" + std::to_string(n) + "-end"), std::string::npos);
    EXPECT_NE(log.find("[secret S]\n"), std::string::npos);
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 50);
  }
}

// ---- the key

TEST(LocationKey, IsMadeOnceAndReadAgain) {
  const TemporaryDirectory directory;
  const std::string path = directory.path + "/keeper";
  auto first = load_or_make_location_key(path);
  ASSERT_TRUE(first) << first.error().message();
  const auto mode = [&](const char* name) {
    struct stat st{};
    EXPECT_EQ(::stat((path + "/" + name).c_str(), &st), 0);
    return st.st_mode & 0777;
  };
  EXPECT_EQ(mode("location.key"), 0600U);
  EXPECT_EQ(mode("location.pub"), 0644U);
  EXPECT_EQ(read_file(path + "/location.pub", 100).value(), base64(first->public_key) + "\n");
  ASSERT_EQ(::unlink((path + "/location.pub").c_str()), 0);
  auto second = load_or_make_location_key(path);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->public_key, first->public_key);
  EXPECT_TRUE(std::filesystem::exists(path + "/location.pub"));
}

TEST(LocationKey, ADamagedOrReadableKeyIsAnErrorAndStays) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(load_or_make_location_key(directory.path));
  const std::string file = directory.path + "/location.key";
  const std::string good = read_file(file, 1000).value();
  for (size_t at : {size_t{0}, size_t{20}, size_t{30}, good.size() - 2}) {
    std::string bad = good;
    bad[at] = bad[at] == 'A' ? 'B' : 'A';
    UniqueFd fd(::open(file.c_str(), O_WRONLY | O_TRUNC));
    ASSERT_TRUE(write_all(fd.get(), bad));
    EXPECT_EQ(load_or_make_location_key(directory.path).error().code(), ErrorCode::kCorrupt) << at;
    EXPECT_EQ(read_file(file, 1000).value(), bad);
  }
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_TRUNC));
  ASSERT_TRUE(write_all(fd.get(), good));
  ASSERT_EQ(::chmod(file.c_str(), 0640), 0);
  EXPECT_EQ(load_or_make_location_key(directory.path).error().code(), ErrorCode::kForbidden);
}

// ---- the program: as its own user, confined

class KeeperProgramTest : public ::testing::Test {
 protected:
  static constexpr uid_t kUser = 64'201;
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "starts the program as another user: needs root";
    ::signal(SIGPIPE, SIG_IGN);
    ASSERT_EQ(::chown(directory_.path.c_str(), kUser, kUser), 0);
    ASSERT_EQ(::chmod(directory_.path.c_str(), 0711), 0);
  }
  void TearDown() override {
    if (child_.pid > 0) {
      ::kill(child_.pid, SIGKILL);
      ::waitpid(child_.pid, nullptr, 0);
    }
  }
  // Starts it with `listener` as descriptor 3 and waits until it says that it is ready.
  void start(int listener) {
    auto errors = make_pipe();
    SpawnOptions options;
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "skerry-keeper";
    options.argv = {self, "--run-dir", directory_.path, "--state-dir", directory_.path};
    options.fds = {{errors->write.get(), 2}};
    if (listener >= 0) options.fds.emplace_back(listener, 3);
    options.uid = options.gid = kUser;
    options.die_with_parent = true;
    auto child = spawn(options);
    ASSERT_TRUE(child) << child.error().message();
    child_ = std::move(*child);
    errors->write.reset();
    std::string text;
    char c = 0;
    while (text.find("\"ready\"") == std::string::npos && ::read(errors->read.get(), &c, 1) == 1) text += c;
    ASSERT_NE(text.find("\"ready\""), std::string::npos) << text;
    log_ = std::move(errors->read);
  }
  void deliver_and_check() {
    auto connection = connect_unix(directory_.path + "/keeper.sock", SocketType::kSeqpacket);
    ASSERT_TRUE(connection) << connection.error().message();
    const std::string key =
        decode_base64(read_file(directory_.path + "/keeper/location.pub", 100)->substr(0, 44)).value();
    auto memfd = make_sealed_memfd("secrets", seal(key, {{"DB", "hunter22"}}));
    Instance instance;
    instance.deliver(connection->get(), *memfd);
    EXPECT_EQ(read_all(instance.environment.get(), kPlenty).value(), std::string("DB=hunter22\0", 12));
    ASSERT_TRUE(write_all(instance.program_stdout.get(), "x hunter22 y"));
    instance.program_stdout.reset();
    instance.program_stderr.reset();
    EXPECT_EQ(read_all(instance.edge_stdout.get(), kPlenty).value(), "x [secret DB] y");
  }

  TemporaryDirectory directory_;
  Child child_;
  UniqueFd log_;
};

TEST_F(KeeperProgramTest, ServesUnderItsFilterAndCannotBeRead) {
  start(-1);
  deliver_and_check();
  deliver_and_check();
  struct stat st{};
  ASSERT_EQ(::stat(fmt::format("/proc/{}/mem", child_.pid).c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 0U);  // not dumpable: root's, although the process is not
  const std::string status = read_file(fmt::format("/proc/{}/status", child_.pid), 65536).value();
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos);
}

TEST_F(KeeperProgramTest, RefusesAnyoneButRoot) {
  auto listening = listen_unix(directory_.path + "/keeper.sock", SocketType::kSeqpacket, {0, 0, 0666});
  ASSERT_TRUE(listening);
  start(listening->get());
  deliver_and_check();
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setresuid(kUser, kUser, kUser) != 0) ::_exit(9);
    auto connection = connect_unix(directory_.path + "/keeper.sock", SocketType::kSeqpacket);
    if (!connection) ::_exit(8);
    // Closed at once: a message is not answered and the end comes, without a delivery.
    ::_exit(!receive_message(connection->get()) ? 0 : 7);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace skerry::keeper
