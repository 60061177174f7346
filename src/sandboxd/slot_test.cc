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
  return slot;
}

TEST(SlotMessage, CarriesTheParkedContainerInOrder) {
  Message m = message(encode_slot(slot_at(7)), 4);
  std::vector<int> numbers;
  for (const UniqueFd& fd : m.fds) numbers.push_back(fd.get());
  const auto slot = decode_slot(std::move(m));
  ASSERT_TRUE(slot);
  EXPECT_EQ(slot->index, 7U);
  EXPECT_EQ(slot->pid, 4321);
  EXPECT_EQ((std::vector<int>{slot->process.get(), slot->seat.get(), slot->layer_mapping.get(), slot->net_namespace.get()}), numbers);
}

TEST(SlotMessage, AnErrorIsAnErrorAndSaysWhy) {
  const auto slot = decode_slot(message(encode_slot_error("no veth"), 0));
  ASSERT_FALSE(slot);
  EXPECT_NE(slot.error().message().find("no veth"), std::string::npos);
  EXPECT_EQ(slot.error().code(), ErrorCode::kNoCapacity);
}

TEST(SlotMessage, ALongErrorIsCutNotRefused) {
  const auto slot = decode_slot(message(encode_slot_error(std::string(100'000, 'x')), 0));
  ASSERT_FALSE(slot);
  EXPECT_EQ(slot.error().code(), ErrorCode::kNoCapacity);
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
  const auto count = decode_want(encode_want(12));
  ASSERT_TRUE(count);
  EXPECT_EQ(*count, 12U);
  EXPECT_FALSE(decode_want("abc"));
  EXPECT_FALSE(decode_want("abcde"));
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
