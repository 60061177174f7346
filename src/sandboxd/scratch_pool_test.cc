#include "sandboxd/scratch_pool.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "contract/plan.h"
#include "os/file.h"
#include "os/unix_socket.h"
#include "sandboxd/scratch_image.h"

namespace skerry::sandbox {
namespace {

constexpr uint64_t kSmall = kMinScratchDiskBytes, kLarge = 4 * kMinScratchDiskBytes;

// A filler that makes what it is told to, of /dev/null.
class ScratchPoolTest : public ::testing::Test {
 protected:
  Result<UniqueFd> connect() {
    TRY_ASSIGN(auto pair, make_socketpair(SocketType::kSeqpacket));
    TRY(set_nonblocking(pair.first.get()));
    filler_ = std::move(pair.second);
    ++connections_;
    return std::move(pair.first);
  }
  void answer(std::string_view text) {
    auto null = open_at(AT_FDCWD, "/dev/null", O_RDONLY);
    const int fds[] = {null->get()};
    ASSERT_TRUE(send_message(filler_.get(), text, text == kScratchMade ? std::span<const int>(fds) : std::span<const int>()));
    poller_.poll(std::chrono::seconds(5));
  }
  // The sizes that filler was asked for since.
  std::vector<uint64_t> asked() {
    (void)set_nonblocking(filler_.get());
    std::vector<uint64_t> out;
    for (auto message = receive_message(filler_.get()); message; message = receive_message(filler_.get())) out.push_back(*decode_want_scratch(message->bytes));
    return out;
  }

  using Sizes = std::vector<uint64_t>;
  Poller poller_;
  UniqueFd filler_;
  int connections_ = 0;
  std::string answers_;
  ScratchPool pool_{poller_, [this] { return connect(); }, [this](uint64_t bytes, const Result<void>& made) {
                      answers_ += fmt::format("{}:{} ", bytes == kSmall ? "small" : "large", made ? "made" : made.error().message());
                    }};
};

TEST_F(ScratchPoolTest, AsksForNothingBeforeTheFirstThatWantsOne) {
  EXPECT_FALSE(pool_.take(kSmall));
  EXPECT_EQ(connections_, 0);
}

TEST_F(ScratchPoolTest, AsksForAsManyAsAreWantedAndNotOnTheirWay) {
  pool_.want(kSmall, 2);
  pool_.want(kSmall, 2);
  pool_.want(kLarge, 1);
  pool_.want(kSmall, 3);
  EXPECT_EQ(asked(), (Sizes{kSmall, kSmall, kLarge, kSmall}));
  pool_.want(kSmall, 10'000);
  EXPECT_EQ(asked().size(), ScratchPool::kMaxAsked - 4);
}

TEST_F(ScratchPoolTest, GivesEachOnceByItsSizeAndHasTheNextMade) {
  pool_.want(kSmall, 1);
  answer(kScratchMade);
  EXPECT_EQ(answers_, "small:made ");
  EXPECT_FALSE(pool_.take(kLarge));
  EXPECT_EQ(asked(), (Sizes{kSmall}));
  EXPECT_TRUE(pool_.take(kSmall));
  EXPECT_FALSE(pool_.take(kSmall));
  EXPECT_EQ(asked(), (Sizes{kSmall}));
}

TEST_F(ScratchPoolTest, SaysWhyThereIsNone) {
  pool_.want(kLarge, 1);
  answer("the disk is full");
  EXPECT_EQ(answers_, "large:the disk is full ");
  EXPECT_FALSE(pool_.take(kLarge));
}

TEST_F(ScratchPoolTest, KeepsAFewReadyAndTheNewest) {
  pool_.want(kLarge, 1);
  answer(kScratchMade);
  pool_.want(kSmall, ScratchPool::kMaxReady);
  for (size_t i = 0; i < ScratchPool::kMaxReady; ++i) answer(kScratchMade);
  EXPECT_FALSE(pool_.take(kLarge));
  EXPECT_TRUE(pool_.take(kSmall));
  EXPECT_TRUE(pool_.drop_ready());
  EXPECT_FALSE(pool_.take(kSmall));
  EXPECT_FALSE(pool_.drop_ready());
}

TEST_F(ScratchPoolTest, AsksTheNextFillerForWhatTheLastOneOwes) {
  pool_.want(kSmall, 1);
  filler_.reset();
  poller_.poll(std::chrono::seconds(5));
  EXPECT_EQ(answers_, "");
  pool_.want(kSmall, 1);
  EXPECT_EQ(connections_, 2);
  EXPECT_EQ(asked(), (Sizes{kSmall}));
}

TEST(ScratchRequest, IsOfADiskThatThereMayBe) {
  for (const uint64_t good : {kMinScratchDiskBytes, kMaxScratchBytes}) EXPECT_EQ(*decode_want_scratch(encode_want_scratch(good)), good);
  for (const uint64_t bad : {uint64_t{0}, kMinScratchDiskBytes - 1, kMaxScratchBytes + 1, UINT64_MAX}) EXPECT_FALSE(decode_want_scratch(encode_want_scratch(bad)));
  EXPECT_FALSE(decode_want_scratch("1234567"));
}

}  // namespace
}  // namespace skerry::sandbox
