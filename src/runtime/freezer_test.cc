#include "runtime/freezer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace skerry {
namespace {

UniqueFd file_with(std::string_view text) {
  UniqueFd fd(::memfd_create("freezer", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return fd;
}

std::string text_in(int fd) {
  char text[64];
  const ssize_t n = ::pread(fd, text, sizeof text, 0);
  return {text, static_cast<size_t>(n < 0 ? 0 : n)};
}

struct Case {
  const char* state;
  const char* frozen;
  const char* thawed;
};
class FreezerKinds : public ::testing::TestWithParam<Case> {};
TEST_P(FreezerKinds, SpeakTheirOwnWords) {
  UniqueFd file = file_with(GetParam().state);
  const UniqueFd same(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
  auto freezer = Freezer::of(std::move(file));
  ASSERT_TRUE(freezer);
  ASSERT_TRUE(freezer->freeze());
  EXPECT_TRUE(text_in(same.get()).starts_with(GetParam().frozen));
  ASSERT_TRUE(freezer->thaw());
  EXPECT_TRUE(text_in(same.get()).starts_with(GetParam().thawed));
}
INSTANTIATE_TEST_SUITE_P(Table, FreezerKinds, ::testing::Values(Case{"THAWED\n", "FROZEN", "THAWED"}, Case{"FROZEN\n", "FROZEN", "THAWED"},
                                                                Case{"FREEZING\n", "FROZEN", "THAWED"}, Case{"0\n", "1", "0"}, Case{"1\n", "1", "0"}));

TEST(Freezer, WithoutADescriptorFails) {
  Freezer none;
  EXPECT_EQ(none.freeze().error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(none.thaw().error().code(), ErrorCode::kUnavailable);
}

TEST(Freezer, RefusesWhatIsNone) {
  for (const char* state : {"", "THAWED", "2\n", "FROZEN AND MORE THAN THAT\n"}) EXPECT_FALSE(Freezer::of(file_with(state))) << state;
  EXPECT_FALSE(Freezer::of(UniqueFd()));
}

// A descriptor that may only be read: the kernel says no, nothing is taken for done.
TEST(Freezer, TellsAWriteThatFailed) {
  const UniqueFd file = file_with("0\n");
  UniqueFd reading(::open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDONLY | O_CLOEXEC));
  auto freezer = Freezer::of(std::move(reading));
  ASSERT_TRUE(freezer);
  EXPECT_FALSE(freezer->freeze());
  EXPECT_EQ(text_in(file.get()), "0\n");
}

}  // namespace
}  // namespace skerry
