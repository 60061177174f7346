// What `skerry dev` computes: values of .env, the secrets made of them, addresses, ports and the
// configuration of a session's skerryd. What it does is tested end to end (tests/e2e/test_dev.py).
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/dev_dotenv.h"
#include "cli/dev_secrets.h"
#include "cli/dev_settings.h"
#include "manifest/tomlpp.h"
#include "os/tcp.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;

class DevFolderOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (fs::temp_directory_path() / "skerry-dev-XXXXXX").string();
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, std::string_view text, fs::perms mode = fs::perms::owner_read) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
    fs::permissions(root_ / path, mode, fs::perm_options::add);
  }
  fs::path root_;
};

TEST(DotEnv, ReadsTheFormsThatPeopleWrite) {
  const auto read = parse_dotenv(
      "\xef\xbb\xbf# comment\r\n"
      "\n"
      "PLAIN=value\r\n"
      "  SPACED =  two words \t\n"
      "export EXPORTED=yes\n"
      "EMPTY=\n"
      "BEHIND=value # a comment\n"
      "ONLY_COMMENT= # nothing\n"
      "HASH=a#b\n"
      "URL=postgres://u:p@h/db?a=b&c=d\n"
      "SINGLE='as $it \\n \"is\"'\n"
      "DOUBLE=\"line\\nnext \\\"quoted\\\" \\\\ \\$HOME \\x\" # comment\n"
      "LAST=1\n"
      "LAST=2",
      ".env");
  ASSERT_TRUE(read) << read.error().message();
  const DotEnv want = {{"PLAIN", "value"},
                       {"SPACED", "two words"},
                       {"EXPORTED", "yes"},
                       {"EMPTY", ""},
                       {"BEHIND", "value"},
                       {"ONLY_COMMENT", ""},
                       {"HASH", "a#b"},
                       {"URL", "postgres://u:p@h/db?a=b&c=d"},
                       {"SINGLE", "as $it \\n \"is\""},
                       {"DOUBLE", "line\nnext \"quoted\" \\ $HOME \\x"},
                       {"LAST", "2"}};
  EXPECT_EQ(*read, want);
}

TEST(DotEnv, RefusesByFileAndLineAndNeverShowsAValue) {
  const std::pair<std::string, std::string_view> cases[] = {
      {"A=1\nhunter2\n", ".env line 2: is not NAME=value"},
      {"=hunter2", ".env line 1: is not NAME=value"},
      {"1A=hunter2", ".env line 1: is not NAME=value"},
      {"A-B=hunter2", ".env line 1: is not NAME=value"},
      {"A='hunter2", ".env line 1: A: the quote is not closed"},
      {"\n\nA=\"hunter2\\\"", ".env line 3: A: the quote is not closed"},
      {"A='hunter2' more", ".env line 1: A: something follows the closing quote"},
      {"A=\xff", ".env: is not UTF-8"}};
  for (const auto& [text, message] : cases) {
    const auto read = parse_dotenv(text, ".env");
    ASSERT_FALSE(read) << text;
    EXPECT_TRUE(read.error().message().starts_with(message)) << read.error().message();
    EXPECT_EQ(read.error().message().find("hunter2"), std::string::npos);
  }
}

TEST_F(DevFolderOnDisk, DotEnvLocalWinsAndNeitherNeedBeThere) {
  ASSERT_TRUE(read_dotenv(root_));
  EXPECT_TRUE(read_dotenv(root_)->empty());
  put(".env.local", "B=local\n");
  put(".env", "A=shared\nB=shared\n");
  const auto both = read_dotenv(root_);
  ASSERT_TRUE(both);
  EXPECT_EQ(*both, (DotEnv{{"A", "shared"}, {"B", "local"}}));
  put(".env.local", "B\n");
  EXPECT_EQ(read_dotenv(root_).error().message(), ".env.local line 1: is not NAME=value");
  put(".env", std::string(kMaxDotEnvBytes, '\n'));
  put(".env.local", "");
  EXPECT_TRUE(read_dotenv(root_));
  put(".env", std::string(kMaxDotEnvBytes + 1, '\n'));
  EXPECT_EQ(read_dotenv(root_).error().code(), ErrorCode::kTooLarge);
}

TEST(SecretChoice, AListedTableGetsExactlyThoseAndNamesWhatIsMissing) {
  manifest::Manifest m;
  m.secrets = {{"DB", "DATABASE_URL"}, {"KEY", "API_KEY"}, {"KEY2", "API_KEY"}, {"E", "EMPTY"}};
  m.secrets->push_back({"L", "LARGE"});
  const SecretChoice choice = choose_secrets(m, {{"DATABASE_URL", "x"},
                                                 {"OTHER", "y"},
                                                 {"EMPTY", ""},
                                                 {"LARGE", std::string(limits::kSecretValueBytes + 1, 'x')}});
  EXPECT_EQ(choice.values, (DotEnv{{"DATABASE_URL", "x"}}));
  EXPECT_EQ(choice.missing, (std::vector<std::string>{"API_KEY", "EMPTY", "LARGE"}));
  EXPECT_EQ(choice.warnings.size(), 1U);
}

TEST(SecretChoice, WithoutATableAllThatAFunctionMayHave) {
  const manifest::Manifest m;
  const SecretChoice choice = choose_secrets(m, {{"A", "1"},
                                                 {"PORT", "3000"},
                                                 {"EMPTY", ""},
                                                 {"AT", std::string(limits::kSecretValueBytes, 'x')},
                                                 {"OVER", std::string(limits::kSecretValueBytes + 1, 'x')}});
  EXPECT_EQ(choice.values, (DotEnv{{"A", "1"}, {"AT", std::string(limits::kSecretValueBytes, 'x')}}));
  EXPECT_TRUE(choice.missing.empty());
  ASSERT_EQ(choice.warnings.size(), 2U);
  EXPECT_NE(choice.warnings[0].find("`OVER`"), std::string::npos);
  EXPECT_EQ(choice.warnings[0].find("xx"), std::string::npos);
  EXPECT_NE(choice.warnings[1].find("PORT"), std::string::npos);
}

constexpr std::string_view kRoutes =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    "e1-3\t03016164\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n";

TEST(Subnet, PassesOverWhatIsRoutedAndTheDefaultRouteIsNone) {
  const std::vector<AddressRange> taken = ranges_of_routes(kRoutes);
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].base, 0xC0000200U);  // 192.0.2.0
  EXPECT_EQ(taken[0].mask, 0xFFFFFF00U);
  EXPECT_EQ(taken[1].base, 0x64610103U);  // 100.97.1.3
  EXPECT_EQ(*pick_subnet(taken, 0), "100.96.0.0/16");
  EXPECT_EQ(*pick_subnet(taken, 1), "100.98.0.0/16");
  EXPECT_EQ(*pick_subnet({}, 31), "100.127.0.0/16");
  EXPECT_EQ(*pick_subnet({}, 32 + 5), "100.101.0.0/16");
  EXPECT_TRUE(ranges_of_routes("").empty());
  EXPECT_TRUE(ranges_of_routes("heading\nnonsense\neth0\tzz\n").empty());
}

TEST(Subnet, IsRefusedWhereNothingIsLeft) {
  const AddressRange wide[] = {{0x64000000, 0xFF000000}};  // 100.0.0.0/8
  EXPECT_EQ(pick_subnet(wide, 3).error().code(), ErrorCode::kNoCapacity);
  std::vector<AddressRange> sessions;
  for (uint32_t i = 0; i < 31; ++i) sessions.push_back(*parse_subnet(*pick_subnet(sessions, 7)));
  EXPECT_EQ(*pick_subnet(sessions, 7), "100.102.0.0/16");  // the 32nd, from 103 around
  sessions.push_back(*parse_subnet("100.102.0.0/16"));
  EXPECT_FALSE(pick_subnet(sessions, 7));
  for (const char* bad : {"", "/16", "100.96.0.0", "100.96.0.0/24", "x/16"})
    EXPECT_FALSE(parse_subnet(bad)) << bad;
}

TEST(Ports, AreFreeDifferentAndTheOneThatWasAskedFor) {
  const auto ports = pick_ports(std::nullopt);
  ASSERT_TRUE(ports);
  EXPECT_NE(ports->http, 0);
  EXPECT_NE(ports->http, ports->https);
  EXPECT_NE(ports->https, ports->api);
  EXPECT_NE(ports->http, ports->api);
  const auto taken = listen_tcp("127.0.0.1", ports->http);
  ASSERT_TRUE(taken);
  const auto refused = pick_ports(ports->http);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "port_in_use");
  EXPECT_NE(refused.error().message.find(fmt::format("port {}", ports->http)), std::string::npos);
  EXPECT_EQ(pick_ports(ports->https)->http, ports->https);
}

TEST_F(DevFolderOnDisk, FindsProgramsBesideItselfWithTheShimsOfAnInstallationOrABuildTree) {
  for (const char* place : {"installed/bin/", "source/build/x/bin/", "bare/bin/"}) {
    for (const char* name :
         {"skerryd", "skerry-edge", "skerry-control", "skerry-keeper", "skerry-sandboxd", "skerry-unpack"})
      put(std::string(place) + name, "", fs::perms::all);
  }
  put("installed/shims/python/shim.py", "");
  put("source/shims/python/shim.py", "");
  const auto installed = find_programs((root_ / "installed/bin").string());
  ASSERT_TRUE(installed);
  EXPECT_EQ(installed->folder, (root_ / "installed/bin").string());
  EXPECT_EQ(installed->shims, fs::canonical(root_ / "installed/shims").string());
  EXPECT_EQ(find_programs((root_ / "source/build/x/bin").string())->shims,
            fs::canonical(root_ / "source/shims").string());
  // Incomplete ones are not used; then an installation is, where there is one.
  for (const char* place : {"bare/bin", "nowhere"}) {
    const auto found = find_programs((root_ / place).string());
    if (found)
      EXPECT_EQ(found->folder, "/usr/local/lib/skerry/bin");
    else
      EXPECT_EQ(found.error().code, "not_installed");
  }
}

TEST_F(DevFolderOnDisk, NamesTheBaseImagesThatALanguageLacks) {
  put("go-build/current", "");
  const std::string folder = root_.string();
  EXPECT_EQ(missing_images(folder, manifest::Language::kGo), (std::vector<std::string>{"go"}));
  EXPECT_EQ(missing_images(folder, manifest::Language::kPython),
            (std::vector<std::string>{"python", "python-build"}));
  EXPECT_TRUE(missing_images(folder, manifest::Language::kImage).empty());
  put("go/current", "");
  EXPECT_TRUE(missing_images(folder, manifest::Language::kGo).empty());
}

DevSettings settings() {
  return {.state_dir = "/s",
          .run_dir = "/r",
          .images_dir = "/images/with \"quotes\"",
          .programs = {"/p/bin", "/p/shims"},
          .tag = "d012345",
          .subnet = "100.99.0.0/16",
          .ports = {.http = 1, .https = 2, .api = 65535}};
}

TEST(DevConfiguration, IsOnLoopbackWithEverythingOfItsOwn) {
  const auto text = dev_configuration(settings(), "");
  ASSERT_TRUE(text);
  const auto parsed = safe_toml::parse(*text);
  ASSERT_TRUE(parsed) << *text;
  const toml::table& t = parsed.table();
  EXPECT_EQ(t["listen"].value<std::string>(), "127.0.0.1");
  EXPECT_EQ(t["state_dir"].value<std::string>(), "/s");
  EXPECT_EQ(t["run_dir"].value<std::string>(), "/r");
  EXPECT_EQ(t["images_dir"].value<std::string>(), "/images/with \"quotes\"");
  EXPECT_EQ(t["shims_dir"].value<std::string>(), "/p/shims");
  EXPECT_EQ(t["tag"].value<std::string>(), "d012345");
  EXPECT_EQ(t["subnet"].value<std::string>(), "100.99.0.0/16");
  EXPECT_EQ(t["ports"]["http"].value<int>(), 1);
  EXPECT_EQ(t["ports"]["https"].value<int>(), 2);
  EXPECT_EQ(t["ports"]["api"].value<int>(), 65535);
  EXPECT_EQ(t["limits"]["ships_per_hour"].value<int>(), 3600);
}

TEST(DevConfiguration, TakesUsersCapsAndBuildSettingsFromTheMachineAndNothingElse) {
  const auto text = dev_configuration(settings(),
                                      "listen = \"0.0.0.0\"\nstate_dir = \"/var/lib/skerry\"\n"
                                      "[ports]\nhttps = 443\n[limits]\nmemory_mb = 1024\nships_per_hour = 5\n"
                                      "[users]\nedge = \"1:2\"\n[build]\nsources = [\"/wheels\"]\n");
  ASSERT_TRUE(text);
  const auto parsed = safe_toml::parse(*text);
  ASSERT_TRUE(parsed) << *text;
  const toml::table& t = parsed.table();
  EXPECT_EQ(t["listen"].value<std::string>(), "127.0.0.1");
  EXPECT_EQ(t["state_dir"].value<std::string>(), "/s");
  EXPECT_EQ(t["ports"]["https"].value<int>(), 2);
  EXPECT_EQ(t["limits"]["memory_mb"].value<int>(), 1024);
  EXPECT_EQ(t["limits"]["ships_per_hour"].value<int>(), 3600);
  EXPECT_EQ(t["users"]["edge"].value<std::string>(), "1:2");
  EXPECT_EQ(t["build"]["sources"][0].value<std::string>(), "/wheels");
  const auto bad = dev_configuration(settings(), "a = 1\nb = \n");
  ASSERT_FALSE(bad);
  EXPECT_TRUE(bad.error().message().starts_with("/etc/skerry/skerry.toml line 2")) << bad.error().message();
}

TEST(DevConfiguration, TheMachinesImagesAreUsedUnlessOthersAreNamed) {
  ::unsetenv("SKERRY_IMAGES");
  EXPECT_EQ(images_folder(""), "/var/lib/skerry/images");
  EXPECT_EQ(images_folder("images_dir = \"/i\""), "/i");
  ::setenv("SKERRY_IMAGES", "/mine", 1);
  EXPECT_EQ(images_folder("images_dir = \"/i\""), "/mine");
  ::unsetenv("SKERRY_IMAGES");
}

}  // namespace
}  // namespace skerry::cli
