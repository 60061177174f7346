#include "contract/secret_blob.h"

#include <gtest/gtest.h>

#include <string>

namespace skerry {
namespace {

std::string blob_of(const std::vector<SecretView>& secrets) {
  std::string out(secret_blob_bytes(secrets), '\0');
  write_secret_blob(secrets, out.data());
  return out;
}

TEST(SecretBlob, RoundTripsAnyBytesButNul) {
  const std::vector<SecretView> secrets = {
      {"DATABASE_URL", "postgres://u:p=w@h/d"}, {"EMPTY", ""}, {"KEY", "\xff\x01\nline two\n"}};
  const std::string blob = blob_of(secrets);
  const auto back = read_secret_blob(blob);
  ASSERT_TRUE(back) << back.error().message();
  ASSERT_EQ(back->size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ((*back)[i].name, secrets[i].name);
    EXPECT_EQ((*back)[i].value, secrets[i].value);
  }
  EXPECT_TRUE(read_secret_blob(blob_of({}))->empty());
}

TEST(SecretBlob, EveryTruncationAndExtensionIsAnError) {
  const std::string blob = blob_of({{"A", "one"}, {"B", "two"}});
  for (size_t n = 0; n < blob.size(); ++n)
    EXPECT_FALSE(read_secret_blob(std::string_view(blob).substr(0, n))) << n;
  EXPECT_FALSE(read_secret_blob(blob + "x"));
  EXPECT_FALSE(read_secret_blob("\x02" + blob.substr(1)));
}

TEST(SecretBlob, BoundsHoldAtTheLimitAndOnePast) {
  const std::string name(kMaxSecretNameBytes + 1, 'n'), value(kMaxSecretValueBytes + 1, 'v');
  const std::string_view fits_name = std::string_view(name).substr(1),
                         fits_value = std::string_view(value).substr(1);
  EXPECT_TRUE(check_secrets(std::vector<SecretView>{{fits_name, fits_value}}));
  EXPECT_FALSE(check_secrets(std::vector<SecretView>{{name, "v"}}));
  EXPECT_EQ(check_secrets(std::vector<SecretView>{{"N", value}}).error().code(), ErrorCode::kTooLarge);
  EXPECT_FALSE(read_secret_blob(blob_of({{"N", value}})));
  std::vector<std::string> names;
  for (size_t i = 0; i <= kMaxSecretEntries; ++i) names.push_back("N" + std::to_string(i));
  std::vector<SecretView> secrets;
  for (size_t i = 0; i < kMaxSecretEntries; ++i) secrets.push_back({names[i], fits_value});
  EXPECT_TRUE(read_secret_blob(blob_of(secrets)));
  EXPECT_LE(secret_blob_bytes(secrets), kMaxSecretBlobBytes);
  secrets.push_back({names.back(), ""});
  EXPECT_FALSE(read_secret_blob(blob_of(secrets)));
}

TEST(SecretBlob, NamesAreEnvironmentNamesAndErrorsHoldNoValue) {
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("A=B"), std::string_view("A\0B", 3)}) {
    EXPECT_FALSE(check_secrets(std::vector<SecretView>{{bad, "x"}}));
  }
  EXPECT_FALSE(check_secrets(std::vector<SecretView>{{"A", "x"}, {"A", "y"}}));
  const auto refused = check_secrets(std::vector<SecretView>{{"A", std::string_view("hunter22\0", 9)}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message().find("hunter22"), std::string::npos);
}

}  // namespace
}  // namespace skerry
