#include <gtest/gtest.h>

#include <set>

#include "crypto/encoding.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/seal.h"

namespace skerry {
namespace {

// FIPS 180-2, appendix B.
constexpr std::string_view kTwoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
constexpr std::string_view kTwoBlocksSum = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";

TEST(Sha256, GivesThePublishedSums) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256(kTwoBlocks)), kTwoBlocksSum);
}

TEST(Sha256, IncrementalIsTheSameAtEverySplit) {
  for (size_t at = 0; at <= kTwoBlocks.size(); ++at) {
    Sha256 hash;
    hash.update(kTwoBlocks.substr(0, at));
    hash.update(kTwoBlocks.substr(at));
    ASSERT_EQ(hex(hash.finish()), kTwoBlocksSum) << at;
    hash.update("abc");  // finish() started it again
    ASSERT_EQ(hash.finish(), sha256("abc"));
  }
}

TEST(Location, OnlyTheKeyThatWasSealedToOpens) {
  const LocationKeypair ours = make_location_keypair(), theirs = make_location_keypair();
  const auto sealed = seal_to_location(ours.public_key, "DATABASE_URL");
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->size(), 12 + kSealedOverhead);
  EXPECT_EQ(sealed->find("DATABASE"), std::string::npos);
  EXPECT_EQ(open_sealed(ours, *sealed)->reveal(), "DATABASE_URL");
  EXPECT_EQ(open_sealed(theirs, *sealed).error().code(), ErrorCode::kCorrupt);
  EXPECT_TRUE(open_sealed(ours, *seal_to_location(ours.public_key, ""))->empty());
}

TEST(Location, AnyChangedOrMissingByteIsNoticed) {
  const LocationKeypair keys = make_location_keypair();
  const std::string sealed = *seal_to_location(keys.public_key, "value");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(open_sealed(keys, changed)) << i;
    EXPECT_FALSE(open_sealed(keys, std::string_view(sealed).substr(0, i))) << i;
  }
}

TEST(Location, ThePairComesBackFromItsSecretHalf) {
  const LocationKeypair keys = make_location_keypair();
  auto again = location_keypair_of(SecretBytes::copy_of(keys.secret_key.reveal()));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->public_key, keys.public_key);
  EXPECT_EQ(location_keypair_of(SecretBytes::copy_of("short")).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(seal_to_location("short", "x").error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(seal_to_location(std::string(kLocationKeyBytes, '\0'), "x").error().code(),
            ErrorCode::kInvalidArgument);
}

TEST(SecretBox, IsBoundToKeyAndAssociatedData) {
  const SecretBytes key = random_secret(kBoxKeyBytes), other = random_secret(kBoxKeyBytes);
  const auto box = secret_box(key, "hunter22", "default/DB/");
  ASSERT_TRUE(box);
  EXPECT_EQ(open_secret_box(key, *box, "default/DB/")->reveal(), "hunter22");
  EXPECT_EQ(open_secret_box(key, *box, "default/DB/orders").error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(open_secret_box(other, *box, "default/DB/").error().code(), ErrorCode::kCorrupt);
  EXPECT_NE(*secret_box(key, "hunter22", "default/DB/"), *box);  // another nonce
  for (size_t i = 0; i < box->size(); ++i) {
    std::string changed = *box;
    changed[i] = static_cast<char>(changed[i] ^ 0x80);
    EXPECT_FALSE(open_secret_box(key, changed, "default/DB/")) << i;
    EXPECT_FALSE(open_secret_box(key, box->substr(0, i), "default/DB/")) << i;
  }
  EXPECT_EQ(secret_box(SecretBytes(5), "x", "").error().code(), ErrorCode::kInternal);
}

TEST(SecretBytes, TakeFromLeavesNothingInTheSource) {
  std::string source = "a value long enough to live on the heap, not inside the string";
  const char* const memory = source.data();
  const size_t size = source.size();
  const SecretBytes taken = SecretBytes::take_from(source);
  EXPECT_EQ(taken.size(), size);
  EXPECT_TRUE(source.empty());
  EXPECT_EQ(std::string(memory, size), std::string(size, '\0'));  // the buffer still belongs to `source`
}

TEST(SecretBytes, MovesWithoutACopy) {
  SecretBytes a = SecretBytes::copy_of("secret");
  const char* const memory = a.reveal().data();
  SecretBytes b = std::move(a);
  EXPECT_EQ(b.reveal().data(), memory);
  a = SecretBytes::copy_of("other");
  b = std::move(a);
  EXPECT_EQ(b.reveal(), "other");
  static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_assignable_v<SecretBytes>);
}

TEST(Base64, RoundTripsAndRefusesWhatIsNotCanonical) {
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64_url(std::string("\xfb\xff", 2)), "-_8");
  for (size_t n = 0; n < 70; ++n) {
    const std::string bytes = random_bytes(n);
    EXPECT_EQ(decode_base64(base64(bytes)).value(), bytes);
    EXPECT_EQ(decode_base64_url(base64_url(bytes)).value(), bytes);
  }
  for (const std::string_view bad : {"Zm9vYmE", "Zm9v YmFy", "Zm9vYmFy\n", "Zm9vYmE==", "Zm9v!mFy", "="}) {
    EXPECT_EQ(decode_base64(bad).error().code(), ErrorCode::kInvalidArgument) << bad;
  }
}

TEST(ConstantTime, ComparesContentAndLength) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abcd"));
}

TEST(Random, NamesUseTheWholeAlphabetAndNothingElse) {
  const std::string text = random_text(2000, "abc");
  EXPECT_EQ(std::set<char>(text.begin(), text.end()), (std::set<char>{'a', 'b', 'c'}));
  EXPECT_NE(random_bytes(32), random_bytes(32));
  EXPECT_NE(random_secret(32).reveal(), random_secret(32).reveal());
}

}  // namespace
}  // namespace skerry
