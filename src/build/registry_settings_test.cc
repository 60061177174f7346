#include "build/registry_settings.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "json/json.h"

namespace skerry {
namespace {

class RegistryOrders : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/skerry_registries_XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    settings_.auth_file = file("auth.json", R"({"auths":{"https://r.example/v1/":{"auth":"cjpw","email":"x"},"s.example:5000":{"username":"u","password":"p"},"empty.example":{}}})");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }
  json::object orders(const std::string& reference) {
    const auto text = registry_orders(settings_, ImageReference::parse(reference).value());
    EXPECT_TRUE(text) << text.error().message();
    return text ? json::parse(*text)->get_object() : json::object();
  }
  std::string folder_;
  RegistrySettings settings_;
};

TEST_F(RegistryOrders, HoldTheCredentialsOfTheRegistryThatIsAskedAndNoOther) {
  const json::object out = orders("r.example/shop/orders:1");
  EXPECT_EQ(json::serialize(out.at("auth")), R"({"auth":"cjpw"})");
  EXPECT_EQ(out.at("endpoint"), "r.example");
  EXPECT_EQ(out.at("tag"), "1");
  EXPECT_FALSE(out.contains("digest"));
  EXPECT_EQ(json::serialize(out).find("\"p\""), std::string::npos);
  EXPECT_EQ(json::serialize(orders("s.example:5000/x").at("auth")), R"({"username":"u","password":"p"})");
  for (const char* other : {"empty.example/x", "s.example/x", "evil.r.example/x"}) EXPECT_FALSE(orders(other).contains("auth")) << other;
}

TEST_F(RegistryOrders, AMirrorIsAskedInsteadWithItsOwnCredentials) {
  settings_.mirrors = {{"hub.example", "s.example:5000/hub/cache"}, {"r.example", "plain.example"}};
  const json::object out = orders("hub.example/shop/orders@sha256:" + std::string(64, 'a'));
  EXPECT_EQ(out.at("endpoint"), "s.example:5000");
  EXPECT_EQ(out.at("repository"), "hub/cache/shop/orders");
  EXPECT_EQ(out.at("digest").get_string(), "sha256:" + std::string(64, 'a'));
  EXPECT_TRUE(out.contains("auth"));
  const json::object bare = orders("r.example/orders:1");
  EXPECT_EQ(bare.at("endpoint"), "plain.example");
  EXPECT_EQ(bare.at("repository"), "orders");
  EXPECT_FALSE(bare.contains("auth"));
}

TEST_F(RegistryOrders, NameTheHostsOfTheConfiguration) {
  settings_.mirrors = {{"hub.example", "m.example/x"}};
  settings_.plain_http = {"lab.example:5000"};
  settings_.ca_file = file("ca.pem", "authority");
  const json::object out = orders("other.example/orders:1");
  EXPECT_EQ(json::serialize(out.at("named")), R"(["m.example","lab.example:5000","r.example","s.example:5000"])");
  EXPECT_EQ(json::serialize(out.at("plain_http")), R"(["lab.example:5000"])");
  EXPECT_EQ(out.at("ca"), "authority");
}

TEST_F(RegistryOrders, AFileOfTheConfigurationThatCannotBeUsedIsNamedAndNotShown) {
  const ImageReference reference = ImageReference::parse("r.example/x").value();
  for (const std::string& path : {folder_ + "/none", file("bad.json", R"({"auths":{"r.example":{"auth":"secret")"), file("list.json", R"(["secret"])")}) {
    settings_.auth_file = path;
    const auto refused = registry_orders(settings_, reference);
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(refused.error().code(), ErrorCode::kUnavailable);
    EXPECT_NE(refused.error().message().find("auth_file"), std::string::npos);
    EXPECT_EQ(refused.error().message().find("secret"), std::string::npos);
  }
  settings_.auth_file.clear();
  EXPECT_TRUE(registry_orders(settings_, reference));
  settings_.ca_file = folder_ + "/none";
  EXPECT_FALSE(registry_orders(settings_, reference));
}

}  // namespace
}  // namespace skerry
