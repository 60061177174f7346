#include "resolver/quota.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "os/file.h"
#include "resolver/servers.h"

namespace skerry::dns {
namespace {

const TimePoint kStart{std::chrono::hours(1)};

TEST(Quota, RateIsEachAskersOwnAndComesBack) {
  Quota quota;
  for (int i = 0; i < Quota::kBurst; ++i) EXPECT_TRUE(quota.take(1, kStart)) << i;
  EXPECT_FALSE(quota.take(1, kStart));
  EXPECT_TRUE(quota.take(2, kStart));
  const TimePoint later = kStart + std::chrono::milliseconds(100);
  for (int i = 0; i < Quota::kPerSecond / 10; ++i) EXPECT_TRUE(quota.take(1, later)) << i;
  EXPECT_FALSE(quota.take(1, later));
  const TimePoint much_later = kStart + std::chrono::hours(1);
  for (int i = 0; i < Quota::kBurst; ++i) EXPECT_TRUE(quota.take(1, much_later)) << i;
  EXPECT_FALSE(quota.take(1, much_later));
}

TEST(Quota, InFlightIsBoundedForEachAndLessOnceHalfOfAllIsTaken) {
  Quota quota;
  for (size_t i = 0; i < Quota::kInFlightEach; ++i) EXPECT_TRUE(quota.enter(1)) << i;
  EXPECT_FALSE(quota.enter(1));
  quota.leave(1);
  EXPECT_TRUE(quota.enter(1));
  uint32_t address = 2;
  for (size_t taken = Quota::kInFlightEach; taken < Quota::kInFlight / 2; ++address)
    for (size_t i = 0; i < Quota::kInFlightEach; ++i, ++taken) ASSERT_TRUE(quota.enter(address));
  for (size_t i = 0; i < Quota::kInFlightEachWhenBusy; ++i) EXPECT_TRUE(quota.enter(1000)) << i;
  EXPECT_FALSE(quota.enter(1000));
}

TEST(Quota, InFlightIsBoundedForAll) {
  Quota quota;
  size_t taken = 0;
  for (uint32_t address = 1; address < 1000; ++address)
    for (size_t i = 0; i < Quota::kInFlightEachWhenBusy; ++i) taken += quota.enter(address) ? 1 : 0;
  EXPECT_EQ(taken, Quota::kInFlight);
  EXPECT_FALSE(quota.enter(2000));
  quota.leave(1);
  EXPECT_TRUE(quota.enter(2000));
}

TEST(Quota, ConnectionsAreBoundedForEachAndForAll) {
  Quota quota;
  for (size_t i = 0; i < Quota::kConnectionsEach; ++i) EXPECT_TRUE(quota.connect(1));
  EXPECT_FALSE(quota.connect(1));
  for (uint32_t address = 2; address <= Quota::kConnections / Quota::kConnectionsEach; ++address)
    for (size_t i = 0; i < Quota::kConnectionsEach; ++i) ASSERT_TRUE(quota.connect(address));
  EXPECT_FALSE(quota.connect(2000));
  quota.disconnect(1);
  EXPECT_TRUE(quota.connect(2000));
}

TEST(Quota, ForgetsWhoAsksNoMore) {
  Quota quota;
  for (uint32_t address = 1; address <= Quota::kMaxKnown; ++address) ASSERT_TRUE(quota.take(address, kStart));
  EXPECT_FALSE(quota.take(1'000'000, kStart));  // all of them asked just now
  EXPECT_EQ(quota.known(), Quota::kMaxKnown);
  EXPECT_TRUE(quota.take(1'000'000, kStart + std::chrono::minutes(1)));
  EXPECT_EQ(quota.known(), 1U);
}

SocketAddress at(const std::string& text) {
  return *parse_endpoint(text, kDnsPort);
}
const SocketAddress kOwn = at("198.18.0.1");

TEST(Servers, AreThoseOfTheFileWhateverTheyAre) {
  const auto servers = servers_of(
      "# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.53\nnameserver\t10.0.0.2 # comment\r\nnameserver "
      "fd00::1",
      kOwn);
  ASSERT_EQ(servers.size(), 3U);
  EXPECT_TRUE(same_address(servers[0], at("127.0.0.53")));
  EXPECT_TRUE(same_address(servers[1], at("10.0.0.2")));
  EXPECT_TRUE(same_address(servers[2], at("fd00::1")));
  EXPECT_EQ(servers_of("nameserver fe80::1%lo", kOwn).size(), 1U);
}

TEST(Servers, AreBoundedAndNeverOurselves) {
  EXPECT_EQ(
      servers_of("nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n", kOwn)
          .size(),
      kMaxServers);
  EXPECT_TRUE(servers_of("nameserver 198.18.0.1\n", kOwn).empty());
  EXPECT_TRUE(Servers({kOwn}, "", kOwn).order(kStart).empty());
  for (const char* text :
       {"", "nameserver", "nameserver ", "nameservers 1.1.1.1", "nameserver1.1.1.1", "nameserver 1.1.1\n",
        "nameserver 1.1.1.1; x\n", "nameserver fe80::1%nosuch", "options edns0"})
    EXPECT_TRUE(servers_of(text, kOwn).empty()) << text;
}

TEST(Servers, WhoWasSilentIsAskedLastForAWhile) {
  Servers servers({at("10.0.0.1"), at("10.0.0.2")}, "", kOwn);
  servers.silent(at("10.0.0.1"), kStart);
  EXPECT_TRUE(same_address(servers.order(kStart)[0], at("10.0.0.2")));
  EXPECT_EQ(servers.order(kStart).size(), 2U);
  EXPECT_TRUE(same_address(servers.order(kStart + Servers::kAvoidTime)[0], at("10.0.0.1")));
  servers.silent(at("10.0.0.1"), kStart);
  servers.answered(at("10.0.0.1"));
  EXPECT_TRUE(same_address(servers.order(kStart)[0], at("10.0.0.1")));
}

TEST(Servers, AreReadAgainWhenTheFileHasChanged) {
  char folder[] = "/tmp/resolver.XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const UniqueFd directory = *open_at(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY);
  Servers servers({}, std::string(folder) + "/resolv.conf", kOwn);
  EXPECT_TRUE(servers.order(kStart).empty());  // there is none yet
  ASSERT_TRUE(write_file_atomic(directory.get(), "resolv.conf", "nameserver 10.0.0.1\n", 0644));
  EXPECT_TRUE(servers.order(kStart).empty());  // looked at a moment ago
  TimePoint now = kStart + Servers::kLookAgainAfter;
  ASSERT_EQ(servers.order(now).size(), 1U);
  servers.silent(at("10.0.0.1"), now);
  now += Servers::kLookAgainAfter;
  ASSERT_EQ(servers.order(now).size(), 1U);
  ASSERT_TRUE(
      write_file_atomic(directory.get(), "resolv.conf", "nameserver 10.0.0.2\nnameserver 10.0.0.3\n", 0644));
  now += Servers::kLookAgainAfter;
  ASSERT_EQ(servers.order(now).size(), 2U);
  EXPECT_TRUE(same_address(servers.order(now)[0], at("10.0.0.2")));
  ASSERT_EQ(::unlinkat(directory.get(), "resolv.conf", 0), 0);
  EXPECT_TRUE(servers.order(now + Servers::kLookAgainAfter).empty());
  ::rmdir(folder);
}

}  // namespace
}  // namespace skerry::dns
