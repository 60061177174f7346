#include "gateway/spec.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

constexpr const char* kUpload = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

Result<FunctionSpec> spec(const std::string& text) {
  const auto value = json::parse(text);
  EXPECT_TRUE(value) << text;
  return FunctionSpec::from_json(*value, {});
}

Result<ShipRequest> request(const std::string& text) {
  const auto value = json::parse(text);
  EXPECT_TRUE(value) << text;
  return ShipRequest::from_json(*value, {});
}

struct Refusal {
  const char* config;
  const char* named;  // what the message must name
};

class SpecRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(SpecRefuses, AndNamesTheField) {
  const auto got = spec(GetParam().config);
  ASSERT_FALSE(got) << GetParam().config;
  EXPECT_EQ(got.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_NE(got.error().message().find(GetParam().named), std::string::npos) << got.error().message();
}

INSTANTIATE_TEST_SUITE_P(Values, SpecRefuses,
                         ::testing::Values(Refusal{R"({"memory_mb":31})", "memory_mb"}, Refusal{R"({"memory_mb":513})", "memory_mb"},
                                           Refusal{R"({"memory_mb":"256"})", "memory_mb"}, Refusal{R"({"scratch_mb":15})", "scratch_mb"},
                                           Refusal{R"({"scratch_mb":4097})", "scratch_mb"}, Refusal{R"({"scratch_mb":-1})", "scratch_mb"}, Refusal{R"({"cpu_millis":49})", "cpu_millis"},
                                           Refusal{R"({"cpu_millis":8001})", "cpu_millis"}, Refusal{R"({"timeout_ms":0})", "timeout_ms"},
                                           Refusal{R"({"timeout_ms":60001})", "timeout_ms"}, Refusal{R"({"start_timeout_ms":120001})", "start_timeout_ms"},
                                           Refusal{R"({"idle_timeout_ms":-1})", "idle_timeout_ms"}, Refusal{R"({"concurrency":0})", "concurrency"},
                                           Refusal{R"({"max_instances":1001})", "max_instances"},
                                           Refusal{R"({"max_instances":2,"min_instances":3})", "min_instances"}, Refusal{R"({"background":1})", "background"},
                                           Refusal{R"({"surprise":1})", "surprise"}, Refusal{R"([])", "config"}));

INSTANTIATE_TEST_SUITE_P(Egress, SpecRefuses,
                         ::testing::Values(Refusal{R"({"egress":{"allow":["api.example.com"]}})", "config.egress.allow"}, Refusal{R"({"egress":{"deny":["203.0.113.7/24"]}})", "203.0.113.0/24"},
                                           Refusal{R"({"egress":{"allow":[]}})", "allow"}, Refusal{R"({"egress":{"allow":["10.1.2.3"]}})", "10.0.0.0/8"},
                                           Refusal{R"({"egress":{"allow":["203.0.113.7:25"]}})", "mail"}, Refusal{R"({"egress":{"allow":["2001:db8::1"]}})", "IPv6"},
                                           Refusal{R"({"egress":{"allow":"*"}})", "config.egress.allow"}, Refusal{R"({"egress":{"alow":[]}})", "alow"},
                                           Refusal{R"({"egress":["x"]})", "config.egress"}));

TEST(Spec, EgressListsAreKeptInOneFormAndBounded) {
  const auto s = spec(R"({"egress":{"allow":["203.0.113.9:443","203.0.113.0/24:443","198.51.100.7"],"deny":["::/0","10.0.0.1","203.0.113.9/32"]}})");
  ASSERT_TRUE(s) << s.error().message();
  EXPECT_EQ(json::serialize(s->to_json().at("egress").get_object()), R"({"allow":["198.51.100.7","203.0.113.0/24:443"],"deny":["10.0.0.1","203.0.113.9","::/0"]})");
  EXPECT_TRUE(spec("{}")->to_json().at("egress").is_null());
  EXPECT_TRUE(spec(R"({"egress":{}})")->egress.empty());
  const auto many = [](size_t count) {
    json::array rules;
    for (size_t i = 0; i < count; ++i) rules.emplace_back(fmt::format("203.0.113.{}", i));
    return json::serialize(json::object{{"egress", json::object{{"deny", std::move(rules)}}}});
  };
  EXPECT_TRUE(spec(many(kMaxEgressRules)));
  EXPECT_FALSE(spec(many(kMaxEgressRules + 1)));
}

TEST(Spec, ClosedRangesThatTheOperatorOpenedMayBeAllowed) {
  SpecCaps caps;
  caps.open = std::vector{*parse_egress_rule("10.1.0.0/16")};
  const auto value = *json::parse(R"({"egress":{"allow":["10.1.2.3:5432"]}})");
  EXPECT_TRUE(FunctionSpec::from_json(value, caps));
  caps.open->clear();
  EXPECT_FALSE(FunctionSpec::from_json(value, caps));
  caps.open.reset();  // shipped before, and closed since: it is not asked again
  EXPECT_TRUE(FunctionSpec::from_json(value, caps));
}

INSTANTIATE_TEST_SUITE_P(Names, SpecRefuses,
                         ::testing::Values(Refusal{R"({"env":{"PORT":"1"}})", "PORT"}, Refusal{R"({"env":{"SKERRY_X":"1"}})", "SKERRY_X"},
                                           Refusal{R"({"env":{"K_SERVICE":"1"}})", "K_SERVICE"}, Refusal{R"({"env":{"1A":"1"}})", "1A"},
                                           Refusal{R"({"env":{"A B":"1"}})", "A B"}, Refusal{R"({"env":{"A":1}})", "`config.env.A` must be a string"},
                                           Refusal{R"({"env":{"A":"x\u0000y"}})", "NUL"}, Refusal{R"({"secrets":[{"name":"K_X"}]})", "name"},
                                           Refusal{R"({"secrets":[{"name":"A","binding":"PORT"}]})", "binding"}, Refusal{R"({"secrets":[{}]})", "name"},
                                           Refusal{R"({"secrets":[{"name":"A","binding":"X"},{"name":"B","binding":"X"}]})", "two secrets"}));

INSTANTIATE_TEST_SUITE_P(Commands, SpecRefuses,
                         ::testing::Values(Refusal{R"({"entrypoint":["a\u0000b"]})", "entrypoint"}, Refusal{R"({"entrypoint":[""]})", "entrypoint"},
                                           Refusal{R"({"entrypoint":"python"})", "entrypoint"}, Refusal{R"({"build_command":"a\u0000"})", "build_command"},
                                           Refusal{R"({"health_path":"health"})", "health_path"},
                                           Refusal{R"({"health_path":"/a\r\nHost: b"})", "health_path"}, Refusal{R"({"health_path":"/a b"})", "health_path"}));

TEST(FunctionSpec, TakesTheDefaultsForWhatIsLeftOut) {
  const auto got = spec("{}");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->memory_mb, limits::kMemoryMb);
  EXPECT_EQ(got->timeout_ms, limits::kTimeoutMs);
  EXPECT_EQ(got->concurrency, 1);
  EXPECT_FALSE(got->secrets.has_value());
  EXPECT_FALSE(got->health_path.has_value());
}

TEST(FunctionSpec, TakesTheLimitsThemselves) {
  EXPECT_TRUE(spec(R"({"memory_mb":512,"timeout_ms":60000,"cpu_millis":8000,"max_instances":1000,"start_timeout_ms":120000})"));
  EXPECT_TRUE(spec(R"({"memory_mb":32,"timeout_ms":1,"cpu_millis":50,"max_instances":1,"min_instances":1})"));
  for (const char* scratch : {R"({"scratch_mb":0})", R"({"scratch_mb":16})", R"({"scratch_mb":4096})"}) EXPECT_TRUE(spec(scratch)) << scratch;
}

TEST(FunctionSpec, SixtyFourVariablesPassAndOneMoreDoesNot) {
  json::object env;
  for (size_t i = 0; i < limits::kEnvVars; ++i) env["V" + std::to_string(i)] = std::string(limits::kEnvValueBytes, 'x');
  EXPECT_TRUE(FunctionSpec::from_json(json::object{{"env", env}}, {}));
  env["ONE_MORE"] = "x";
  EXPECT_FALSE(FunctionSpec::from_json(json::object{{"env", env}}, {}));
}

TEST(FunctionSpec, VariablesHaveLengths) {
  const auto with = [](size_t name, size_t value) {
    json::object env;
    env[std::string(name, 'N')] = std::string(value, 'v');
    return FunctionSpec::from_json(json::object{{"env", std::move(env)}}, {}).has_value();
  };
  EXPECT_TRUE(with(limits::kEnvNameBytes, limits::kEnvValueBytes));
  EXPECT_FALSE(with(limits::kEnvNameBytes + 1, 1));
  EXPECT_FALSE(with(1, limits::kEnvValueBytes + 1));
}

TEST(FunctionSpec, OperatorsMayRaiseTheCaps) {
  const auto value = json::parse(R"({"memory_mb":4096,"timeout_ms":300000})");
  EXPECT_TRUE(FunctionSpec::from_json(*value, {4096, 300'000}));
  EXPECT_FALSE(FunctionSpec::from_json(*value, {4095, 300'000}));
}

TEST(FunctionSpec, SurvivesItsOwnJson) {
  const auto first = spec(R"({"env":{"A":"1","B":"é\n"},"secrets":[{"binding":"DB","name":"URL"}],"memory_mb":128,"entrypoint":["./serve","-v"],
                              "health_path":"","build_command":"make","background":true,"concurrency":8,"min_instances":1,"idle_timeout_ms":0})");
  ASSERT_TRUE(first) << first.error().message();
  const auto second = FunctionSpec::from_json(first->to_json(), {});
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->to_json(), first->to_json());
  EXPECT_EQ(second->health_path, "");
  EXPECT_EQ(second->secrets->front().first, "DB");
}

TEST(FunctionSpec, AnEmptySecretsTableIsNotAnAbsentOne) {
  EXPECT_TRUE(spec(R"({"secrets":[]})")->secrets.has_value());
  EXPECT_FALSE(spec(R"({"secrets":null})")->secrets.has_value());
}

TEST(ShipRequest, NeedsAName) {
  for (const char* name : {"", "Orders", "1st", "a--b", "a-", "a_b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}) {
    const auto got = request(fmt::format(R"({{"function":{{"name":"{}"}},"source":{{"upload":"{}"}}}})", name, kUpload));
    ASSERT_FALSE(got) << name;
    EXPECT_NE(got.error().message().find("function.name"), std::string::npos);
  }
  EXPECT_TRUE(request(fmt::format(R"({{"function":{{"name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},"source":{{"upload":"{}"}}}})", kUpload)));
}

TEST(ShipRequest, WithoutASourceItIsAConfigChange) {
  const auto got = request(R"({"function":{"name":"orders"},"source":null,"config":{"memory_mb":64}})");
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_FALSE(got->upload.has_value());
  EXPECT_EQ(got->spec.memory_mb, 64);
}

TEST(ShipRequest, RefusesWhatItDoesNotKnow) {
  EXPECT_FALSE(request(R"({"function":{"name":"orders"},"language":"cobol"})"));
  EXPECT_FALSE(request(R"({"function":{"name":"orders"},"source":{"upload":"sha256:12"}})"));
  EXPECT_FALSE(request(R"({"function":{"name":"orders"},"source":{"upload":"../../etc/passwd"}})"));
  EXPECT_FALSE(request(R"({"function":{"name":"orders","colour":"red"}})"));
  EXPECT_FALSE(request(R"({"function":{"name":"orders"},"sauce":null})"));
  EXPECT_FALSE(request("[]"));
}

TEST(ShipRequest, AnImageInARegistryIsInsteadOfAnUpload) {
  const auto got = request(R"({"function":{"name":"orders"},"source":{"image":"r.example/orders:1"}})");
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->image->name(), "r.example/orders:1");
  EXPECT_EQ(got->language, "image");
  EXPECT_FALSE(got->upload);
  for (const char* wrong : {R"({"image":"orders:1"})", R"({"image":"r.example/orders:1","upload":"sha256:00"})"}) {
    const auto refused = request(fmt::format(R"({{"function":{{"name":"orders"}},"source":{}}})", wrong));
    ASSERT_FALSE(refused) << wrong;
    EXPECT_NE(refused.error().message().find("source"), std::string::npos);
  }
  EXPECT_FALSE(request(R"({"function":{"name":"orders"},"language":"python","source":{"image":"r.example/orders:1"}})"));
}

}  // namespace
}  // namespace skerry
