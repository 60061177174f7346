#include "json/json.h"

#include <gtest/gtest.h>

namespace skerry::json {
namespace {

TEST(ObjectReader, ReadsTypedFieldsWithinTheirBounds) {
  const value v = parse(R"({"name":"x","n":5,"on":true,"list":["a"],"null":null})").value();
  ObjectReader r(v, "config");
  EXPECT_EQ(r.string("name", 10), "x");
  EXPECT_EQ(r.integer("n", 1, 5, 0), 5);
  EXPECT_TRUE(r.boolean("on", false));
  EXPECT_EQ(r.strings("list", 1, 1).size(), 1U);
  EXPECT_EQ(r.string("null", 1, "dflt"), "dflt");
  EXPECT_TRUE(r.finish());
}

TEST(ObjectReader, NamesTheFieldThatIsWrong) {
  const auto error = [](std::string_view text, auto read) {
    const value v = parse(text).value();
    ObjectReader r(v, "config");
    read(r);
    return r.finish().error().message();
  };
  EXPECT_EQ(error(R"({"n":6})", [](auto& r) { r.integer("n", 1, 5, 0); }), "`config.n` is 6, must be from 1 to 5");
  EXPECT_EQ(error(R"({"n":"6"})", [](auto& r) { r.integer("n", 1, 5, 0); }), "`config.n` must be a whole number");
  EXPECT_EQ(error(R"({"odd":1})", [](auto&) {}), "`config.odd` is not a known field");
  EXPECT_EQ(error(R"([])", [](auto& r) { r.string("x", 1); }), "`config` must be an object");
}

TEST(Parse, RefusesDeepAndBrokenDocuments) {
  EXPECT_FALSE(parse("{"));
  EXPECT_FALSE(parse("{} x"));
  EXPECT_FALSE(parse(std::string(kMaxDepth + 1, '[') + std::string(kMaxDepth + 1, ']')));
}

}  // namespace
}  // namespace skerry::json
