#include "sandboxd/slot.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/id.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {
namespace {

Message message(std::string bytes, size_t fds) {
  Message m;
  m.bytes = std::move(bytes);
  for (size_t i = 0; i < fds; ++i) m.fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return m;
}

Slot slot_at(uint32_t index) {
  Slot slot;
  slot.index = index;
  slot.pid = 4321;
  slot.policy = "p";
  return slot;
}

TEST(SlotMessage, CarriesTheParkedContainerInOrder) {
  Message m = message(encode_slot(slot_at(7)), 4);
  std::vector<int> numbers;
  for (const UniqueFd& fd : m.fds) numbers.push_back(fd.get());
  auto decoded = decode_slot(std::move(m));
  ASSERT_TRUE(decoded);
  const auto* slot = std::get_if<Slot>(&*decoded);
  ASSERT_TRUE(slot);
  EXPECT_EQ(slot->policy, "p");
  EXPECT_EQ(slot->index, 7U);
  EXPECT_EQ(slot->pid, 4321);
  EXPECT_EQ((std::vector<int>{slot->process.get(), slot->seat.get(), slot->layer_mapping.get(), slot->net_namespace.get()}), numbers);
}

TEST(SlotMessage, AnErrorIsAnErrorAndSaysWhy) {
  const auto slot = decode_slot(message(encode_slot_error("no veth", "p"), 0));
  ASSERT_TRUE(slot);
  EXPECT_EQ(std::get<NoSlot>(*slot).error, "filler: no veth");
  EXPECT_EQ(std::get<NoSlot>(*slot).policy, "p");
}

TEST(SlotMessage, ALongErrorIsCutNotRefused) {
  const auto slot = decode_slot(message(encode_slot_error(std::string(100'000, 'x'), ""), 0));
  ASSERT_TRUE(slot);
  EXPECT_TRUE(std::holds_alternative<NoSlot>(*slot));
}

TEST(SlotMessage, RefusesWhatIsNotASlot) {
  EXPECT_FALSE(decode_slot(message(encode_slot(slot_at(7)), 3)));
  EXPECT_FALSE(decode_slot(message(encode_slot(slot_at(7)), 5)));
  EXPECT_TRUE(decode_slot(message(encode_slot(slot_at(kMaxSlotIndex)), 4)));
  EXPECT_FALSE(decode_slot(message(encode_slot(slot_at(kMaxSlotIndex + 1)), 4)));
  EXPECT_FALSE(decode_slot(message("", 4)));
  EXPECT_FALSE(decode_slot(message(encode_slot(slot_at(7)) + "x", 4)));
  Slot nobody = slot_at(7);
  nobody.pid = 1;
  EXPECT_FALSE(decode_slot(message(encode_slot(nobody), 4)));
}

TEST(WantMessage, GoesThereAndBack) {
  EgressPolicy policy;
  policy.allow = {*parse_egress_rule("203.0.113.0/24:443")};
  for (const std::string& encoded : {std::string(), policy.encode()}) {
    const std::string bytes = encode_want({12, encoded});
    EXPECT_TRUE(is_want(bytes));
    const auto want = decode_want(bytes);
    ASSERT_TRUE(want);
    EXPECT_EQ(want->count, 12U);
    EXPECT_EQ(want->policy, encoded);
  }
  EXPECT_FALSE(decode_want(encode_want({12, "what is no policy"})));
  EXPECT_FALSE(decode_want("abc"));
  EXPECT_FALSE(is_want(std::string_view("\0\1\2\3\4\5\6\7", 8)));
}

TEST(DeadMessage, NamesAGroupOrFilesOrBoth) {
  const std::string id = new_ulid();
  for (const Dead& dead : {Dead{3, id}, Dead{0, id}, Dead{3, ""}}) {
    const auto back = decode_dead(encode_dead(dead));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->index, dead.index);
    EXPECT_EQ(back->id, dead.id);
  }
}

// The id becomes part of a path that root unlinks.
TEST(DeadMessage, RefusesEveryOtherName) {
  EXPECT_FALSE(decode_dead(encode_dead({0, ""})));
  EXPECT_FALSE(decode_dead(encode_dead({kMaxSlotIndex + 1, ""})));
  for (const char* bad : {"../../etc/passwd", "..", "/", "x"}) EXPECT_FALSE(decode_dead(encode_dead({1, bad}))) << bad;
  EXPECT_FALSE(decode_dead(encode_dead({1, std::string(26, '/')})));
  EXPECT_FALSE(decode_dead(encode_dead({1, new_ulid() + "x"})));
}

}  // namespace
}  // namespace skerry::sandbox
