#include "build/image_reference.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

const std::string kHex(64, 'a');

TEST(ImageReference, IsTakenApart) {
  const auto plain = ImageReference::parse("registry.example/shop/orders:1.4");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->registry, "registry.example");
  EXPECT_EQ(plain->repository, "shop/orders");
  EXPECT_EQ(plain->tag, "1.4");
  EXPECT_FALSE(plain->digest);
  const auto pinned = ImageReference::parse("localhost:5000/a__b/c-d.e--f:V_1@sha256:" + kHex);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->registry, "localhost:5000");
  EXPECT_EQ(pinned->name(), "localhost:5000/a__b/c-d.e--f:V_1");
  EXPECT_EQ(pinned->digest->str(), "sha256:" + kHex);
  EXPECT_EQ(ImageReference::parse("192.0.2.1:80/x")->tag, "latest");
}

TEST(ImageReference, RefusesShortNamesByWhatIsAllowed) {
  for (const char* text : {"orders", "orders:1.4", "shop/orders:1.4", "library/orders"}) {
    const auto parsed = ImageReference::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message().find("names no registry"), std::string::npos) << parsed.error().message();
    EXPECT_NE(parsed.error().message().find("registry.example/shop/orders:1.4"), std::string::npos);
  }
}

TEST(ImageReference, RefusesWhatCouldBeMoreThanANameInAUrl) {
  for (const char* text : {"https://r.example/x:1", "u:p@r.example/x", "r.example/x?y=1", "r.example/x#y", "r.example/../x", "r.example/./x", "r.example//x", "r.example/x/", "r.example/", "r.example/X:1",
                           "r.example/x:", "r.example/x:.a", "r.example/x:a/b", "r.example/x:1@sha512:00", "r.example/x@", "r.example/x%2f", "r.example/x y", "r.example/x\r\nHost: y", "r.example/x_",
                           "r.example/a___b", "r.example/a..b", "r.example:/x", "r.example:0/x", "r.example:65536/x", "r.example:80:80/x", "R.example/x", "-r.example/x", "r..example/x", "r.example./x",
                           "[::1]:5000/x", "[::1]/x", "", "/", "@", ":"})
    EXPECT_FALSE(ImageReference::parse(text)) << text;
}

TEST(ImageReference, HasBounds) {
  const std::string host = "r.example/";
  EXPECT_TRUE(ImageReference::parse(host + std::string(ImageReference::kMaxRepositoryBytes, 'a')));
  EXPECT_FALSE(ImageReference::parse(host + std::string(ImageReference::kMaxRepositoryBytes + 1, 'a')));
  EXPECT_TRUE(ImageReference::parse(host + "a:" + std::string(ImageReference::kMaxTagBytes, 'a')));
  EXPECT_FALSE(ImageReference::parse(host + "a:" + std::string(ImageReference::kMaxTagBytes + 1, 'a')));
  EXPECT_FALSE(ImageReference::parse(host + std::string(ImageReference::kMaxBytes, 'a')));
}

}  // namespace
}  // namespace skerry
