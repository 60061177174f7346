#include "vault/vault.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "contract/secret_blob.h"
#include "crypto/encoding.h"
#include "crypto/seal.h"

namespace skerry {
namespace {

class VaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_vault_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf " + folder_).c_str()), 0); }
  std::string folder_;
};

TEST_F(VaultTest, WhatIsSealedOpensWithTheSameKeyAndNameOnly) {
  std::string sealed;
  {
    const Vault vault = Vault::open(folder_).value();
    sealed = vault.seal(SecretBytes::copy_of("hunter2-value"), "default/f/NAME").value();
    EXPECT_EQ(sealed.find("hunter2"), std::string::npos);
  }
  const Vault again = Vault::open(folder_).value();
  EXPECT_EQ(again.open_sealed(sealed, "default/f/NAME").value().reveal(), "hunter2-value");
  EXPECT_EQ(again.open_sealed(sealed, "default/f/OTHER").error().code(), ErrorCode::kCorrupt);
}

TEST_F(VaultTest, AKeyThatOthersCanReadIsRefused) {
  ASSERT_TRUE(Vault::open(folder_));
  ASSERT_EQ(::chmod((folder_ + "/master.key").c_str(), 0644), 0);
  EXPECT_EQ(Vault::open(folder_).error().code(), ErrorCode::kCorrupt);
}

TEST_F(VaultTest, OnlyTheLocationOpensWhatIsDelivered) {
  const LocationKeypair keys = make_location_keypair();
  std::vector<NamedSecret> secrets;
  secrets.push_back({"DB", SecretBytes::copy_of("postgres://x")});
  const std::string sealed = seal_for_location(base64(keys.public_key), secrets).value();
  const SecretBytes blob = open_sealed(keys, decode_base64(sealed).value()).value();
  const auto views = read_secret_blob(blob.reveal()).value();
  ASSERT_EQ(views.size(), 1U);
  EXPECT_EQ(views[0].name, "DB");
  EXPECT_EQ(views[0].value, "postgres://x");
  EXPECT_FALSE(open_sealed(make_location_keypair(), decode_base64(sealed).value()));
}

}  // namespace
}  // namespace skerry
