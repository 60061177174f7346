#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "os/file.h"
#include "os/process.h"
#include "os/tcp.h"
#include "os/unix_socket.h"

namespace skerry {
namespace {

class OsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_os_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    path_ = pattern;
    auto fd = open_at(AT_FDCWD, path_, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(fd);
    dir_ = std::move(*fd);
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf " + path_).c_str()), 0); }
  std::string path_;
  UniqueFd dir_;
};

TEST_F(OsTest, AtomicWrite_ReplacesWholeAndLeavesNoTemporary) {
  ASSERT_TRUE(write_file_atomic(dir_.get(), "f", "one", 0600));
  ASSERT_TRUE(write_file_atomic(dir_.get(), "f", "two", 0600));
  EXPECT_EQ(read_file(dir_.get(), "f", 10).value(), "two");
  EXPECT_EQ(std::system(("test $(ls -A " + path_ + " | wc -l) = 1").c_str()), 0);
}

TEST_F(OsTest, Read_StopsAtItsBound) {
  ASSERT_TRUE(write_file_atomic(dir_.get(), "f", "12345", 0600));
  EXPECT_TRUE(read_file(dir_.get(), "f", 5));
  EXPECT_EQ(read_file(dir_.get(), "f", 4).error().code(), ErrorCode::kTooLarge);
}

TEST_F(OsTest, OpenBeneath_RefusesEveryWayOut) {
  ASSERT_EQ(::symlinkat("/etc", dir_.get(), "abs"), 0);
  ASSERT_EQ(::symlinkat("..", dir_.get(), "up"), 0);
  EXPECT_FALSE(open_beneath(dir_.get(), "abs/passwd", O_RDONLY));
  EXPECT_FALSE(open_beneath(dir_.get(), "up", O_RDONLY));
  EXPECT_FALSE(open_beneath(dir_.get(), "../x", O_RDONLY));
  EXPECT_FALSE(open_beneath(dir_.get(), "/etc/passwd", O_RDONLY));
}

TEST_F(OsTest, Messages_CarryBytesAndDescriptorsAndSayWhoSent) {
  const std::string socket_path = path_ + "/s";
  auto listener = listen_unix(socket_path, SocketType::kSeqpacket, {0, 0, 0600});
  ASSERT_TRUE(listener) << listener.error().message();
  struct stat st {};
  ASSERT_EQ(::stat(socket_path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  auto client = connect_unix(socket_path, SocketType::kSeqpacket);
  ASSERT_TRUE(client);
  UniqueFd server(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(server);
  EXPECT_EQ(peer_credentials(server.get())->pid, ::getpid());
  auto memfd = make_sealed_memfd("x", "payload");
  ASSERT_TRUE(memfd);
  const int fds[] = {memfd->get()};
  ASSERT_TRUE(send_message(client->get(), "hello", fds));
  auto got = receive_message(server.get());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->bytes, "hello");
  ASSERT_EQ(got->fds.size(), 1U);
  EXPECT_EQ(read_all(got->fds[0].get(), 100).value(), "payload");
  EXPECT_NE(::fcntl(got->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  client->reset();
  EXPECT_EQ(receive_message(server.get()).error().code(), ErrorCode::kUnavailable);
}

TEST_F(OsTest, Message_OverItsLimitIsRefusedBySender) {
  auto pair = make_socketpair(SocketType::kSeqpacket);
  ASSERT_TRUE(pair);
  EXPECT_TRUE(send_message(pair->first.get(), std::string(kMaxMessage, 'x')));
  EXPECT_EQ(send_message(pair->first.get(), std::string(kMaxMessage + 1, 'x')).error().code(), ErrorCode::kTooLarge);
}

uint16_t port_of(const Result<SocketAddress>& address) {
  if (!address) return 0;
  if (address->storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&address->storage)->sin_port);
  return ntohs(reinterpret_cast<const sockaddr_in6*>(&address->storage)->sin6_port);
}

TEST_F(OsTest, Endpoint_HasItsPortOrTheUsualOne) {
  for (const char* text : {"10.0.0.1", "fd00::1", "[fd00::1]", "::1"}) EXPECT_EQ(port_of(parse_endpoint(text, 53)), 53) << text;
  for (const char* text : {"10.0.0.1:5300", "[fd00::1]:5300"}) EXPECT_EQ(port_of(parse_endpoint(text, 53)), 5300) << text;
  EXPECT_EQ(port_of(parse_endpoint("10.0.0.1:65535", 53)), 65535);
  for (const char* text : {"", "host", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:53x", "[fd00::1", "[fd00::1]:", "[10.0.0.1]", "[10.0.0.1]:53", "fd00::1]:53", ":53"})
    EXPECT_FALSE(parse_endpoint(text, 53)) << text;
}

TEST_F(OsTest, Socket_MayBeBoundToAnAddressThatIsYetToCome) {
  constexpr const char* kNowhere = "192.0.2.77";  // TEST-NET-1
  EXPECT_EQ(bind_udp(kNowhere, 0, Presence::kNow, 1 << 16).error().sys_errno(), EADDRNOTAVAIL);
  EXPECT_TRUE(bind_udp(kNowhere, 0, Presence::kLater, 1 << 16));
  EXPECT_TRUE(listen_tcp(kNowhere, 0, Presence::kLater));
}

TEST_F(OsTest, Spawn_PassesOnlyWhatIsNamed) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", "echo \"$A $HOME $(ls /proc/self/fd | tr '\\n' ' ')\" >&5; id -u >&5"};
  options.env = {"A=b"};
  options.fds = {{pipe->write.get(), 5}};
  options.uid = options.gid = 65534;
  auto child = spawn(options);
  ASSERT_TRUE(child) << child.error().message();
  pipe->write.reset();
  const std::string out = read_all(pipe->read.get(), 1000).value();
  int status = 0;
  ASSERT_EQ(::waitpid(child->pid, &status, 0), child->pid);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(out.starts_with("b  ")) << out;
  EXPECT_NE(out.find("65534\n"), std::string::npos) << out;
  EXPECT_EQ(out.find(" 6 "), std::string::npos) << out;
}

TEST_F(OsTest, Spawn_ReportsAProgramThatIsNotThere) {
  SpawnOptions options;
  options.argv = {"/nonexistent/program"};
  auto child = spawn(options);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().sys_errno(), ENOENT);
  EXPECT_NE(child.error().message().find("/nonexistent/program"), std::string::npos);
}

}  // namespace
}  // namespace skerry
