#include "sandboxd/poller.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "os/unix_socket.h"

namespace skerry::sandbox {
namespace {

constexpr std::chrono::milliseconds kNow{0};

UniqueFd ready_event() { return UniqueFd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }
UniqueFd quiet_event() { return UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

TEST(Poller, CallsWhatIsReadyAndNothingElse) {
  Poller poller;
  const UniqueFd ready = ready_event(), quiet = quiet_event();
  int calls = 0, others = 0;
  ASSERT_TRUE(poller.add(ready.get(), [&] { ++calls; }));
  ASSERT_TRUE(poller.add(quiet.get(), [&] { ++others; }));
  EXPECT_TRUE(poller.poll(kNow));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(others, 0);
}

// A container ends and another one gets its numbers within one turn: the event of the dead one must not end the living one.
TEST(Poller, NeverGivesAnOldEventToADescriptorWithTheSameNumber) {
  Poller poller;
  UniqueFd first = ready_event(), second = ready_event();
  const UniqueFd quiet = quiet_event();
  UniqueFd replacement;
  int stale = 0, first_calls = 0;
  const auto replace = [&](UniqueFd& other) {
    ++first_calls;
    const int number = other.get();
    poller.remove(number);
    other.reset();
    replacement.reset(::fcntl(quiet.get(), F_DUPFD_CLOEXEC, number));
    ASSERT_EQ(replacement.get(), number);
    ASSERT_TRUE(poller.add(number, [&] { ++stale; }));
  };
  // Whichever the kernel reports first replaces the other one.
  ASSERT_TRUE(poller.add(first.get(), [&] { replace(second); }));
  ASSERT_TRUE(poller.add(second.get(), [&] { replace(first); }));
  EXPECT_TRUE(poller.poll(kNow));
  EXPECT_EQ(first_calls, 1);
  EXPECT_EQ(stale, 0);
}

TEST(Poller, ACallbackMayRemoveItself) {
  Poller poller;
  const UniqueFd ready = ready_event();
  int calls = 0;
  ASSERT_TRUE(poller.add(ready.get(), [&] {
    poller.remove(ready.get());
    ++calls;
  }));
  EXPECT_TRUE(poller.poll(kNow));
  EXPECT_TRUE(poller.poll(kNow));
  EXPECT_EQ(calls, 1);
}

TEST(Poller, TellsOfRoomToWriteOnlyWhileAskedTo) {
  Poller poller;
  auto pair = make_socketpair(SocketType::kSeqpacket);
  ASSERT_TRUE(pair);
  int reads = 0, writes = 0;
  ASSERT_TRUE(poller.add(pair->first.get(), [&] { ++reads; }));
  poller.poll(kNow);
  EXPECT_EQ(writes, 0);
  ASSERT_TRUE(poller.when_writable(pair->first.get(), [&] {
    ++writes;
    ASSERT_TRUE(poller.when_writable(pair->first.get(), {}));
  }));
  poller.poll(kNow);
  poller.poll(kNow);
  EXPECT_EQ(writes, 1);
  EXPECT_EQ(reads, 0);
  EXPECT_FALSE(poller.when_writable(pair->second.get(), [] {}));
}

TEST(Poller, APeerThatIsGoneIsReadable) {
  Poller poller;
  auto pair = make_socketpair(SocketType::kSeqpacket);
  ASSERT_TRUE(pair);
  int calls = 0;
  ASSERT_TRUE(poller.add(pair->first.get(), [&] { ++calls; }));
  pair->second.reset();
  poller.poll(kNow);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace skerry::sandbox
