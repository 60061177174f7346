#include <gtest/gtest.h>

#include <unistd.h>

#include <set>

#include "base/id.h"
#include "base/log.h"
#include "base/random_pool.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace skerry {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(ErrorCode::kInvalidArgument, "{} is odd", n);
  return n / 2;
}
Result<int> quarter(int n) {
  TRY_ASSIGN(const int h, half(n), "first half");
  TRY_ASSIGN(const int q, half(h), "second half");
  return q;
}

TEST(Result, ContextIsAddedOnTheWayUp) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message(), "second half: 3 is odd");
  EXPECT_EQ(quarter(6).error().code(), ErrorCode::kInvalidArgument);
}

TEST(Result, ErrnoKeepsItsNumberAndBecomesAKind) {
  const Error e = Error::from_errno(ENOSPC, "write `x`");
  EXPECT_EQ(e.sys_errno(), ENOSPC);
  EXPECT_EQ(e.code(), ErrorCode::kNoCapacity);
  EXPECT_EQ(e.message(), "write `x`: No space left on device");
}

TEST(Log, HostileTextCannotForgeALine) {
  std::string out;
  append_json_escaped(out, "a\"}\n{\"x\":\x01\xff\xed\xa0\x80 \xc3\xa9");
  EXPECT_EQ(out, "a\\\"}\\n{\\\"x\\\":\\u0001\\ufffd\\ufffd\\ufffd\\ufffd \xc3\xa9");
}

TEST(Log, ALineIsOneWriteAndStaysUnderItsBound) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  UniqueFd r(fds[0]), w(fds[1]);
  const Logger log(w.get(), "t");
  log.info("m", {{"big", std::string(20000, 'x')}, {"n", 3}});
  char buf[16384];
  const ssize_t n = ::read(r.get(), buf, sizeof buf);
  ASSERT_GT(n, 0);
  EXPECT_LE(static_cast<size_t>(n), Logger::kMaxLine);
  EXPECT_NE(std::string_view(buf, static_cast<size_t>(n)).find("\"truncated\":true}\n"), std::string_view::npos);
}

TEST(Ulid, SortsByTimeAndRejectsOtherText) {
  const std::string a = make_ulid(1, "0123456789"), b = make_ulid(2, "0000000000");
  EXPECT_LT(a, b);
  EXPECT_TRUE(is_ulid(a));
  EXPECT_TRUE(is_ulid(new_ulid()));
  EXPECT_NE(new_ulid(), new_ulid());
  EXPECT_FALSE(is_ulid("../../etc/passwd/././././."));
  EXPECT_FALSE(is_ulid(a + "0"));
}

TEST(RandomPool, GivesNoByteTwice) {
  RandomPool random;
  std::set<std::string> seen;
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(seen.insert(std::string(random.take(i % 2 == 0 ? 10 : 24))).second) << i;
  EXPECT_EQ(random.take(RandomPool::kBytes).size(), RandomPool::kBytes);
  std::set<std::string> ids;
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(ids.insert(new_ulid(random)).second);
}

TEST(Time, IsRfc3339InUtc) { EXPECT_EQ(format_rfc3339_ms(1'700'000'000'123), "2023-11-14T22:13:20.123Z"); }

}  // namespace
}  // namespace skerry
