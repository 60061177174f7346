#include "manifest/manifest.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "manifest/detect.h"
#include "manifest/ship_request.h"

namespace skerry::manifest {
namespace {

const Diagnostic* find(const Diagnostics& all, std::string_view key) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const Diagnostic& d) { return d.key == key; });
  return at == all.end() ? nullptr : &*at;
}

std::string all_text(const Diagnostics& all) {
  std::string out;
  for (const Diagnostic& d : all) out += to_text(d) + "\n";
  return out;
}

TEST(Manifest, ReadsEveryTableOfTheContract) {
  const auto parsed = parse_manifest(R"(
[edge_compute]
func_id   = "7819cf01"
func_name = "orders"
[env_vars]
LOG_LEVEL = "info"
[[secrets]]
binding = "DB"
name    = "DATABASE_URL"
[storage.kv.CACHE]
id = "ns-1"
[telnyx]
binding = "MY_API"
[runtime]
language = "python"
version = "3.13"
memory = "512MB"
cpu = 1
timeout = "60s"
concurrency = 4
min_instances = 1
max_instances = 20
idle_timeout = "1m30s"
start_timeout = "120s"
background = true
entrypoint = ["./run", "-v"]
scratch = "2GB"
[build]
command = "make"
[health]
path = ""
[egress]
allow = ["203.0.113.0/24:443", "[2001:db8::/32]:443"]
deny = []
)",
                                     "func.toml");
  ASSERT_TRUE(parsed.ok()) << all_text(parsed.diagnostics);
  ASSERT_EQ(parsed.diagnostics.size(), 2U)
      << all_text(parsed.diagnostics);  // bindings that nothing serves yet
  for (const std::string_view key : {"storage.kv.CACHE", "telnyx.binding"}) {
    const Diagnostic* d = find(parsed.diagnostics, key);
    ASSERT_NE(d, nullptr) << key;
    EXPECT_EQ(d->severity, Severity::kWarning);
    EXPECT_NE(d->message.find("not served here yet: it is accepted, and using it fails"), std::string::npos);
  }
  const Manifest& m = parsed.manifest;
  EXPECT_EQ(m.func_id, "7819cf01");
  EXPECT_EQ(m.func_name, "orders");
  EXPECT_EQ(m.env.at("LOG_LEVEL"), "info");
  EXPECT_EQ(m.secrets->at(0), (SecretBinding{"DB", "DATABASE_URL"}));
  EXPECT_EQ(m.kv.at("CACHE"), "ns-1");
  EXPECT_EQ(m.api_binding, "MY_API");
  EXPECT_EQ(m.runtime.language, Language::kPython);
  EXPECT_EQ(m.runtime.version, "3.13");
  EXPECT_EQ(m.runtime.memory_mb, 512);
  EXPECT_EQ(m.runtime.cpu_millis, 1000);
  EXPECT_EQ(m.runtime.timeout_ms, 60'000);
  EXPECT_EQ(m.runtime.concurrency, 4);
  EXPECT_EQ(m.runtime.min_instances, 1);
  EXPECT_EQ(m.runtime.max_instances, 20);
  EXPECT_EQ(m.runtime.idle_timeout_ms, 90'000);
  EXPECT_EQ(m.runtime.start_timeout_ms, 120'000);
  EXPECT_EQ(m.runtime.background, true);
  EXPECT_EQ(m.runtime.entrypoint, (std::vector<std::string>{"./run", "-v"}));
  EXPECT_EQ(m.runtime.scratch_mb, 2048);
  EXPECT_EQ(m.build_command, "make");
  EXPECT_EQ(m.health_path, "");
  EXPECT_EQ(m.egress->allow, (std::vector<std::string>{"203.0.113.0/24:443", "[2001:db8::/32]:443"}));
}

TEST(Manifest, UmbrellaFormHasTopLevelKeysAndFuncTomlDoesNot) {
  const std::string_view text =
      "name = \"orders\"\nmain = \"src/index.ts\"\ncompatibility_date = \"2026-01-01\"\n[env_vars]\nA = "
      "\"1\"\n";
  for (const std::string_view file : {"telnyx.toml", "skerry.toml", "some/where/telnyx.toml"}) {
    const auto parsed = parse_manifest(text, file);
    EXPECT_TRUE(parsed.diagnostics.empty()) << file << all_text(parsed.diagnostics);
    EXPECT_EQ(parsed.manifest.func_name, "orders");
    EXPECT_EQ(parsed.manifest.main, "src/index.ts");
    EXPECT_EQ(parsed.manifest.compatibility_date, "2026-01-01");
  }
  const auto classic = parse_manifest(text, "func.toml");
  ASSERT_FALSE(classic.ok());
  EXPECT_EQ(find(classic.diagnostics, "name")->line, 1U);
  EXPECT_NE(find(classic.diagnostics, "name")->fix.find("func_name under [edge_compute]"), std::string::npos);
}

struct BadCase {
  std::string_view title;
  std::string_view text;
  std::string_view key;
  uint32_t line;
  std::string_view message;  // a part of it
  std::string_view fix;      // a part of it
};

const BadCase kBad[] = {
    {"unknown key near a known one", "[runtime]\nmemroy = \"1GB\"", "runtime.memroy", 2, "unknown key",
     "did you mean `memory`?"},
    {"unknown table", "[runtme]\nmemory = \"1GB\"", "runtme", 1, "unknown key", "did you mean `runtime`?"},
    {"a runtime key in the wrong table", "[edge_compute]\nmemory = \"1GB\"", "edge_compute.memory", 2,
     "unknown key", "[runtime]: memory"},
    {"unknown key far from all", "[build]\nxyzzy = 1", "build.xyzzy", 2, "unknown key",
     "known here: command"},
    {"env number", "[env_vars]\n\nRETRIES = 3", "env_vars.RETRIES", 3, "must be a string, not a number",
     "RETRIES = \"3\""},
    {"env boolean", "[env_vars]\nDEBUG = true", "env_vars.DEBUG", 2, "not a boolean", "DEBUG = \"true\""},
    {"env float", "[env_vars]\nRATE = 0.5", "env_vars.RATE", 2, "not a number", "RATE = \"0.5\""},
    {"env date", "[env_vars]\nDAY = 2026-01-02", "env_vars.DAY", 2, "not a date", "DAY = \"2026-01-02\""},
    {"env list", "[env_vars]\nA = [\"x\"]", "env_vars.A", 2, "not a list", "A = \"value\""},
    {"env table", "[env_vars.A]\nx = \"1\"", "env_vars.A", 1, "not a table", ""},
    {"reserved PORT", "[env_vars]\nPORT = \"80\"", "env_vars.PORT", 2, "set by the platform", ""},
    {"reserved SKERRY_", "[env_vars]\nSKERRY_X = \"80\"", "env_vars.SKERRY_X", 2, "set by the platform", ""},
    {"reserved K_", "[env_vars]\nK_SERVICE = \"80\"", "env_vars.K_SERVICE", 2, "set by the platform", ""},
    {"env name with a dash", "[env_vars]\nLOG-LEVEL = \"x\"", "env_vars.LOG-LEVEL", 2,
     "cannot name an environment variable", ""},
    {"env not a table", "env_vars = \"x\"", "env_vars", 1, "must be a table, not a string", "[env_vars]"},
    {"memory as a number", "[runtime]\nmemory = 256", "runtime.memory", 2, "must be a string, not a number",
     "memory = \"256MB\""},
    {"memory without a unit", "[runtime]\nmemory = \"256\"", "runtime.memory", 2, "has no unit",
     "memory = \"256MB\""},
    {"memory of nonsense", "[runtime]\nmemory = \"lots\"", "runtime.memory", 2, "is not a size", ""},
    {"memory too small", "[runtime]\nmemory = \"31MB\"", "runtime.memory", 2, "31MB is out of bounds",
     "from 32MB"},
    {"timeout as a number", "[runtime]\ntimeout = 30", "runtime.timeout", 2, "must be a string",
     "timeout = \"30s\""},
    {"timeout beyond any cap", "[runtime]\ntimeout = \"2h\"", "runtime.timeout", 2, "2h is out of bounds",
     "to 1m"},
    {"start timeout over its cap", "[runtime]\nstart_timeout = \"121s\"", "runtime.start_timeout", 2,
     "121s is out of bounds", "to 2m"},
    {"cpu as a string", "[runtime]\ncpu = \"1\"", "runtime.cpu", 2, "must be a number", "cpu = 1.0"},
    {"cpu nan", "[runtime]\ncpu = nan", "runtime.cpu", 2, "out of bounds", ""},
    {"cpu negative", "[runtime]\ncpu = -1", "runtime.cpu", 2, "out of bounds", ""},
    {"concurrency zero", "[runtime]\nconcurrency = 0", "runtime.concurrency", 2, "0 is out of bounds",
     "from 1"},
    {"concurrency as a string", "[runtime]\nconcurrency = \"4\"", "runtime.concurrency", 2,
     "must be a number, not a string", "concurrency = 1"},
    {"instances not whole", "[runtime]\nmax_instances = 1.5", "runtime.max_instances", 2, "out", ""},
    {"background as a string", "[runtime]\nbackground = \"yes\"", "runtime.background", 2,
     "must be a boolean", "background = false"},
    {"unknown language", "[runtime]\nlanguage = \"pyton\"", "runtime.language", 2, "unknown language",
     "did you mean `python`?"},
    {"version as a float", "[runtime]\nversion = 3.5", "runtime.version", 2, "must be a string",
     "version = \"3.5\""},
    {"version as an integer", "[runtime]\nversion = 20", "runtime.version", 2, "must be a string",
     "version = \"20\""},
    {"entrypoint as a string", "[runtime]\nentrypoint = \"./run\"", "runtime.entrypoint", 2,
     "no shell reads it", "[\"./run\"]"},
    {"entrypoint empty", "[runtime]\nentrypoint = []", "runtime.entrypoint", 2, "1 to 64 arguments", ""},
    {"entrypoint of numbers", "[runtime]\nentrypoint = [1]", "runtime.entrypoint", 2, "list of strings", ""},
    {"runtime as a list", "runtime = []", "runtime", 1, "must be a table, not a list", "[runtime]"},
    {"secrets as a table", "[secrets]\nDB = \"x\"", "secrets", 1, "must be a list of tables", "[[secrets]]"},
    {"secrets as a list of strings", "secrets = [\"DB\"]", "secrets", 1, "list of tables, not of a string",
     "[[secrets]]"},
    {"secret without a name", "[[secrets]]\nbinding = \"DB\"", "secrets.name", 1, "needs the name", ""},
    {"secret with an unknown key", "[[secrets]]\nname = \"DB\"\nbindng = \"X\"", "secrets.bindng", 3,
     "unknown key", "`binding`"},
    {"secret bound twice",
     "[[secrets]]\nname = \"A\"\nbinding = \"X\"\n[[secrets]]\nname = \"B\"\nbinding = \"X\"",
     "secrets.binding", 4, "bound twice", ""},
    {"secret over a platform variable", "[[secrets]]\nname = \"PORT\"", "secrets.name", 1,
     "set by the platform", ""},
    {"kv as a string", "[storage.kv]\nCACHE = \"id\"", "storage.kv.CACHE", 2, "must be a table",
     "[storage.kv.CACHE]"},
    {"kv binding that is no identifier", "[storage.kv.my-cache]\nid = \"x\"", "storage.kv.my-cache", 1,
     "identifier", ""},
    {"kv unknown key", "[storage.kv.C]\nname = \"x\"", "storage.kv.C.name", 2, "unknown key",
     "known here: id"},
    {"kv id number", "[storage.kv.C]\nid = 7", "storage.kv.C.id", 2, "must be a string", "id = \"7\""},
    {"unknown storage", "[storage.kb.C]\nid = \"x\"", "storage.kb", 1, "unknown key", "`kv`"},
    {"telnyx binding", "[telnyx]\nbinding = 1", "telnyx.binding", 2, "must be a string", ""},
    {"health path relative", "[health]\npath = \"health\"", "health.path", 2, "begins with '/'",
     "path = \"/health\""},
    {"health path with a line break", "[health]\npath = \"/a\\r\\nX: y\"", "health.path", 2,
     "begins with '/'", ""},
    {"build command empty", "[build]\ncommand = \"\"", "build.command", 2, "must not be empty", ""},
    {"build command NUL", "[build]\ncommand = \"a\\u0000b\"", "build.command", 2, "NUL", ""},
    {"egress string", "[egress]\nallow = \"*\"", "egress.allow", 2, "must be a list", "allow = ["},
    {"egress number in the list", "[egress]\ndeny = [1]", "egress.deny", 2, "each rule", ""},
    {"egress without rules", "[egress]\nallow = []", "egress.allow", 2, "is empty", "leave it out"},
    {"egress name", "[egress]\ndeny = []\nallow = [\n\"203.0.113.7\",\n\"api.example.com\"]", "egress.allow", 5,
     "`api.example.com` is not an address", "203.0.113.0/24:443"},
    {"egress host bits", "[egress]\nallow = [\"203.0.113.7/24\"]", "egress.allow", 2, "beyond its prefix",
     "\"203.0.113.0/24\""},
    {"egress port", "[egress]\nallow = [\"203.0.113.7:0\"]", "egress.allow", 2, "a port from 1 to 65535", "allow = ["},
    {"egress unknown key", "[egress]\nalow = []", "egress.alow", 2, "unknown key", "`allow`"},
    {"name upper case", "[edge_compute]\nfunc_name = \"Orders\"", "edge_compute.func_name", 2, "only a-z",
     "func_name = \"orders\""},
    {"name number", "[edge_compute]\nfunc_name = 7", "edge_compute.func_name", 2, "must be a string", ""},
    {"name empty", "[edge_compute]\nfunc_name = \"\"", "edge_compute.func_name", 2, "needs a name", ""},
};

TEST(Manifest, RefusesBadInputWithPlaceAndFix) {
  for (const BadCase& bad : kBad) {
    SCOPED_TRACE(bad.title);
    const auto parsed = parse_manifest(bad.text, "func.toml");
    EXPECT_FALSE(parsed.ok());
    const Diagnostic* d = find(parsed.diagnostics, bad.key);
    ASSERT_NE(d, nullptr) << all_text(parsed.diagnostics);
    if (bad.title == "instances not whole") {
      EXPECT_NE(d->message.find("must be a number"), std::string::npos) << d->message;
      continue;
    }
    EXPECT_EQ(d->severity, Severity::kError);
    EXPECT_EQ(d->line, bad.line);
    EXPECT_NE(d->message.find(bad.message), std::string::npos) << d->message;
    EXPECT_NE(d->fix.find(bad.fix), std::string::npos) << d->fix;
  }
}

TEST(Manifest, SyntaxErrorsHaveALine) {
  for (const std::string_view text :
       {"[edge_compute\nfunc_name = \"x\"", "a = ", "a = 1\na = 2", "\xff\xfe", "a = \"unclosed\n"}) {
    const auto parsed = parse_manifest(text, "func.toml");
    ASSERT_EQ(parsed.diagnostics.size(), 1U) << text;
    EXPECT_EQ(parsed.diagnostics[0].severity, Severity::kError);
    EXPECT_GE(parsed.diagnostics[0].line, 1U) << text;
  }
}

TEST(Manifest, AFileOverTheBoundIsRefusedAndDeepNestingDoesNotOverflow) {
  EXPECT_FALSE(parse_manifest(std::string(600'000, '#'), "func.toml").ok());
  EXPECT_FALSE(parse_manifest("a = " + std::string(100'000, '['), "func.toml").ok());
}

// toml++ asserts on these instead of refusing them.
TEST(Manifest, AHeaderThatIsNoKeyIsRefusedWithItsLine) {
  for (const std::string_view text :
       {"[[[", "\n[[[a]]]\n", "\n\n  [[ [a]]", "\n[=]", "[.a]", "[[,]]", "[\xc3\xa9]"}) {
    const auto parsed = parse_manifest(text, "func.toml");
    ASSERT_EQ(parsed.diagnostics.size(), 1U) << text;
    const auto line = static_cast<uint32_t>(std::count(
                          text.begin(), text.begin() + static_cast<ptrdiff_t>(text.find('[')), '\n')) +
                      1;
    EXPECT_EQ(parsed.diagnostics[0].line, line) << text;
  }
}

TEST(Manifest, LettersOutsideOfStringsAreRefusedWithTheirLine) {
  for (const std::string_view letter :
       {"\xc4\x80", "\xc9\xb2", "\xd2\x99", "\xe3\x80\x80x", "\xf0\x9f\x98\x80"}) {
    const auto parsed = parse_manifest(fmt::format("\na {}= 1\n", letter), "func.toml");
    ASSERT_FALSE(parsed.ok()) << letter;
    EXPECT_EQ(parsed.diagnostics[0].line, 2U) << letter;
    EXPECT_TRUE(parse_manifest(fmt::format("[env_vars]\nA = \"{}\" # {}", letter, letter), "func.toml").ok())
        << letter;
  }
}

// Any bytes give diagnostics: a seeded walk over damaged manifests.
TEST(Manifest, DamagedTextNeverDoesMoreThanComplain) {
  const std::string good =
      "[edge_compute]\nfunc_name = \"orders\"\n[env_vars]\nA = \"1\"\n[[secrets]]\nname = "
      "\"S\"\n[storage.kv.C]\nid = \"x\"\n"
      "[runtime]\nmemory = \"1GB\"\ncpu = 1.5\ntimeout = \"1m\"\nentrypoint = [\"a\", "
      "\"b\"]\n[egress]\nallow = [\"10.0.0.0/8:1-2\"]\n";
  uint64_t state = 42;
  const auto random = [&state](size_t bound) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<size_t>(state >> 33) % bound;
  };
  constexpr std::string_view kPieces[] = {"[",    "]",  "[[",  "\"",    "=",   "\n", "{", "}",
                                          "\xff", "''", "\\u", "1e999", "nan", ".",  "#", "\"\""};
  size_t refused = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string text = good;
    for (size_t edits = 1 + random(4); edits > 0; --edits) {
      const size_t at = random(text.size());
      if (random(2) == 0) {
        text.erase(at, 1 + random(12));
      } else {
        text.insert(at, kPieces[random(std::size(kPieces))]);
      }
      if (text.empty()) text = "x";
    }
    auto parsed = parse_manifest(text, "func.toml");
    check_together(parsed, "func.toml");
    refused += parsed.ok() ? 0U : 1U;
    for (const Diagnostic& d : parsed.diagnostics) ASSERT_FALSE(to_text(d).empty());
  }
  EXPECT_GT(refused, 1000U);
}

TEST(Manifest, TablesOfCompatibleProductsAreAcceptedWithOneWarningEach) {
  const auto parsed = parse_manifest(R"(
[edge_compute]
func_name = "a"
private = true
[storage.cloudstorage.FILES]
bucket = "b"
[storage.sqldb.DB]
id = "x"
[[ratelimits]]
binding = "R"
[network.N]
id = "y"
[[domains]]
host = "example.com"
[[actors]]
name = "Room"
)",
                                     "func.toml");
  EXPECT_TRUE(parsed.ok()) << all_text(parsed.diagnostics);
  ASSERT_EQ(parsed.diagnostics.size(), 7U) << all_text(parsed.diagnostics);
  for (const std::string_view key : {"edge_compute.private", "storage.cloudstorage", "storage.sqldb",
                                     "ratelimits", "network", "domains", "actors"}) {
    const Diagnostic* d = find(parsed.diagnostics, key);
    ASSERT_NE(d, nullptr) << key;
    EXPECT_EQ(d->severity, Severity::kWarning);
    EXPECT_NE(d->message.find("not served"), std::string::npos);
  }
}

TEST(Manifest, CapsThatAnOperatorMayRaiseAreWarningsJustPastThem) {
  EXPECT_TRUE(
      parse_manifest("[runtime]\nmemory = \"512MB\"\ntimeout = \"60s\"", "func.toml").diagnostics.empty());
  const auto over = parse_manifest("[runtime]\nmemory = \"513MB\"\ntimeout = \"60001ms\"", "func.toml");
  EXPECT_TRUE(over.ok());
  EXPECT_EQ(over.diagnostics.size(), 2U);
  EXPECT_EQ(over.manifest.runtime.memory_mb, 513);
}

TEST(Manifest, EnvironmentLimitsHoldAtTheLimitAndOnePast) {
  const auto with = [](size_t variables, size_t value_bytes, size_t name_bytes) {
    std::string text = "[env_vars]\n";
    for (size_t i = 0; i < variables; ++i) text += fmt::format("V{} = \"x\"\n", i);
    if (value_bytes != 0) text += "W = \"" + std::string(value_bytes, 'v') + "\"\n";
    if (name_bytes != 0) text += std::string(name_bytes, 'N') + " = \"x\"\n";
    return parse_manifest(text, "func.toml").ok();
  };
  EXPECT_TRUE(with(64, 0, 0));
  EXPECT_FALSE(with(65, 0, 0));
  EXPECT_TRUE(with(0, 5 * 1024, 0));
  EXPECT_FALSE(with(0, 5 * 1024 + 1, 0));
  EXPECT_TRUE(with(0, 0, 256));
  EXPECT_FALSE(with(0, 0, 257));
}

TEST(Manifest, SecretsHoldAtTheLimitAndOnePast) {
  const auto with = [](size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += fmt::format("[[secrets]]\nname = \"S{}\"\n", i);
    return parse_manifest(text, "func.toml").ok();
  };
  EXPECT_TRUE(with(100));
  EXPECT_FALSE(with(101));
}

TEST(Manifest, AnAbsentSecretsTableIsNotAnEmptyOne) {
  EXPECT_FALSE(parse_manifest("", "func.toml").manifest.secrets.has_value());
  EXPECT_TRUE(parse_manifest("secrets = []", "func.toml").manifest.secrets->empty());
  EXPECT_EQ(parse_manifest("[[secrets]]\nname = \"A\"", "func.toml").manifest.secrets->at(0).binding, "A");
}

TEST(Manifest, CommandLineValuesFollowTheSameRules) {
  auto parsed = parse_manifest("[runtime]\nmemory = \"128MB\"\nmin_instances = 5", "func.toml");
  for (const auto& [key, value] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"memory", "512MB"},
           {"cpu", "0.5"},
           {"timeout", "10s"},
           {"background", "true"},
           {"concurrency", "8"},
           {"language", "go"},
           {"version", "1.24"},
           {"entrypoint", "[\"./a\",\"-v\"]"},
           {"max_instances", "9"}}) {
    apply_runtime_option(parsed, key, value, "--x");
  }
  check_together(parsed, "func.toml");
  EXPECT_TRUE(parsed.diagnostics.empty()) << all_text(parsed.diagnostics);
  EXPECT_EQ(parsed.manifest.runtime.memory_mb, 512);
  EXPECT_EQ(parsed.manifest.runtime.cpu_millis, 500);
  EXPECT_EQ(parsed.manifest.runtime.timeout_ms, 10'000);
  EXPECT_EQ(parsed.manifest.runtime.background, true);
  EXPECT_EQ(parsed.manifest.runtime.concurrency, 8);
  EXPECT_EQ(parsed.manifest.runtime.language, Language::kGo);
  EXPECT_EQ(parsed.manifest.runtime.entrypoint, (std::vector<std::string>{"./a", "-v"}));
  for (const auto& [key, value] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"memory", "512"},
           {"cpu", "fast"},
           {"timeout", ""},
           {"background", "yes"},
           {"concurrency", "8x"},
           {"language", "cobol"},
           {"entrypoint", "[1]"},
           {"entrypoint", "[\"a\""},
           {"max_instances", "99999999999999999999"},
           {"no_such", "1"}}) {
    ParsedManifest one;
    apply_runtime_option(one, key, value, "--x");
    EXPECT_FALSE(one.ok()) << key << " " << value;
    EXPECT_EQ(one.diagnostics.at(0).file, "--x");
  }
}

TEST(Manifest, ChecksValuesTogether) {
  auto range = parse_manifest("[runtime]\nmin_instances = 101", "func.toml");
  check_together(range, "func.toml");
  EXPECT_FALSE(range.ok());
  auto clash = parse_manifest("[env_vars]\nA = \"1\"\n[[secrets]]\nname = \"A\"", "func.toml");
  check_together(clash, "func.toml");
  EXPECT_TRUE(clash.ok());
  EXPECT_EQ(clash.diagnostics.size(), 1U);
  for (const char* wrong : {"image = \"r/x:1\"", "language = \"image\"\nimage = \"x:1\""}) {
    auto image = parse_manifest(std::string("[runtime]\n") + wrong, "func.toml");
    check_together(image, "func.toml");
    EXPECT_FALSE(image.ok()) << wrong;
  }
}

TEST(ShipRequest, SendsWhatTheAuthorWroteAndLeavesOutTheRest) {
  const auto parsed = parse_manifest(
      "[edge_compute]\nfunc_name = \"a\"\nfunc_id = \"REPLACE_ME\"\n[runtime]\nmemory = \"128MB\"\nlanguage "
      "= \"ts\"\n[storage.kv.C]\n",
      "func.toml");
  const json::object body = ship_request(parsed.manifest, UploadSource{"sha256:00"});
  EXPECT_EQ(
      json::serialize(body),
      R"({"function":{"name":"a","id_hint":"REPLACE_ME"},"source":{"upload":"sha256:00"},"language":"node",)"
      R"("config":{"env":{},"secrets":null,"memory_mb":128,"kv":{"C":{"id":""}}}})");
  EXPECT_TRUE(ship_request(parsed.manifest, CurrentSource{}).at("source").is_null());
  EXPECT_EQ(ship_request(parsed.manifest, ImageSource{"r/x:1"}).at("source").at("image"), "r/x:1");
}

TEST(ShipRequest, CarriesEveryConfigField) {
  const auto parsed = parse_manifest(R"(
[edge_compute]
func_name = "a"
[env_vars]
A = "1"
[[secrets]]
name = "S"
[telnyx]
binding = "T"
[runtime]
memory = "128MB"
cpu = 0.25
timeout = "1s"
concurrency = 2
min_instances = 1
max_instances = 3
idle_timeout = "10s"
start_timeout = "5s"
background = false
entrypoint = ["x"]
scratch = "64MB"
[build]
command = "make"
[health]
path = "/up"
[egress]
allow = ["203.0.113.7"]
deny = ["tcp/0.0.0.0/0:25"]
)",
                                     "func.toml");
  ASSERT_TRUE(parsed.ok()) << all_text(parsed.diagnostics);
  const json::object body = ship_request(parsed.manifest, CurrentSource{});
  EXPECT_EQ(
      json::serialize(body.at("config").get_object()),
      R"({"env":{"A":"1"},"secrets":[{"binding":"S","name":"S"}],"memory_mb":128,"cpu_millis":250,"timeout_ms":1000,"concurrency":2,)"
      R"("min_instances":1,"max_instances":3,"idle_timeout_ms":10000,"start_timeout_ms":5000,"scratch_mb":64,"background":false,)"
      R"("entrypoint":["x"],"health_path":"/up","build_command":"make","egress":{"allow":["203.0.113.7"],"deny":["tcp/0.0.0.0/0:25"]},"kv":{},"api_binding":"T"})");
}

TEST(Detect, FindsTheLanguageByTheContractsFiles) {
  const auto detect = [](std::vector<std::string> files) {
    std::sort(files.begin(), files.end());
    return detect_language(files);
  };
  EXPECT_EQ(detect({"pyproject.toml"})->language, Language::kPython);
  EXPECT_EQ(detect({"requirements.txt", "x"})->language, Language::kPython);
  EXPECT_EQ(detect({"function/func.py"})->language, Language::kPython);
  EXPECT_EQ(detect({"package.json", "index.js"})->language, Language::kNode);
  EXPECT_EQ(detect({"go.mod"})->language, Language::kGo);
  EXPECT_EQ(detect({"pom.xml"})->language, Language::kJava);
  EXPECT_EQ(detect({"main.py"})->language, Language::kPython);
  EXPECT_EQ(detect({"main.py", "go.mod"})->language, Language::kGo);
  EXPECT_FALSE(detect({"README.md", "sub/go.mod"}).has_value());
  EXPECT_FALSE(detect({}).has_value());
  const auto both = detect({"go.mod", "package.json"});
  EXPECT_EQ(both->language, Language::kNode);
  EXPECT_EQ(both->also_found, std::vector<std::string>{"go.mod"});
}

TEST(Diagnostic, TextAndJsonNameThePlace) {
  const Diagnostic d{Severity::kError, "func.toml",   7,
                     "runtime.memroy", "unknown key", "did you mean `memory`?"};
  EXPECT_EQ(to_text(d), "func.toml:7: error: runtime.memroy: unknown key\n  fix: did you mean `memory`?");
  EXPECT_EQ(to_json(d).at("line").as_uint64(), 7U);
}

}  // namespace
}  // namespace skerry::manifest
