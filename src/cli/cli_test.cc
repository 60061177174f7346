#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "cli/change_tracker.h"
#include "cli/config.h"
#include "cli/gateway.h"
#include "cli/http_client.h"
#include "cli/machine.h"
#include "cli/pack.h"
#include "cli/program.h"
#include "cli/terminal.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string path = (fs::temp_directory_path() / "skerry-cli-XXXXXX").string();
    if (mkdtemp(path.data()) != nullptr) root_ = path;
  }
  ~Folder() { fs::remove_all(root_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void put(const std::string& path, std::string_view text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  [[nodiscard]] std::string path() const { return root_.string(); }

 private:
  fs::path root_;
};

TEST(Visible, EscapesWhatWouldDriveATerminal) {
  EXPECT_EQ(visible("plain \t \xc3\xa9 \xe2\x82\xac"), "plain \t \xc3\xa9 \xe2\x82\xac");
  EXPECT_EQ(visible("\x1b[2J\x07\r\n\x7f"), "\\x1b[2J\\x07\\x0d\\x0a\\x7f");
  EXPECT_EQ(visible("\xc2\x9b"
                    "31m"),
            "\\x9b31m");
  EXPECT_EQ(visible(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(visible_lines("a\nb\x1b"), "a\nb\\x1b");
}

TEST(Endpoint, ReadsWhatIsSafe) {
  const auto unix_socket = parse_endpoint("unix:/run/skerry/control.sock");
  ASSERT_TRUE(unix_socket);
  EXPECT_EQ(unix_socket->socket_path, "/run/skerry/control.sock");
  EXPECT_TRUE(unix_socket->is_local());
  EXPECT_EQ(parse_endpoint("unix:///a")->socket_path, "/a");
  const auto tls = parse_endpoint("https://edge.example.com:8081/");
  ASSERT_TRUE(tls);
  EXPECT_EQ(tls->base_url, "https://edge.example.com:8081");
  EXPECT_EQ(tls->host, "edge.example.com");
  EXPECT_FALSE(tls->is_local());
  EXPECT_EQ(parse_endpoint("https://[2001:db8::1]:8081")->host, "2001:db8::1");
  EXPECT_TRUE(parse_endpoint("http://[::1]:80")->is_local());
  EXPECT_TRUE(parse_endpoint("http://127.0.0.1:80"));
  for (const char* bad : {"", "unix:", "unix:a", "https://", "https://a/b", "https://a?b", "https://u:p@a",
                          "http://a.example:80", "ftp://a", "https://a b"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
  // SECURITY: a name that only looks like loopback gets no token in the clear.
  EXPECT_FALSE(parse_endpoint("http://127.0.0.1.evil.example"));
  EXPECT_FALSE(parse_endpoint("http://localhost.evil.example"));
}

TEST(ChangeTracker, FollowsEveryChangeOfAPerson) {
  ChangeTracker tracker;
  ChangeTracker::Snapshot folder = {{"a", "1"}};
  EXPECT_TRUE(tracker.differs(folder));
  for (int edit = 0; edit < 50; ++edit) {
    tracker.shipping(folder);
    EXPECT_TRUE(tracker.shipped(folder).empty());
    EXPECT_FALSE(tracker.differs(folder));
    folder["a"] = std::to_string(edit + 2);
    EXPECT_TRUE(tracker.differs(folder));
  }
  tracker.shipping(folder);
  folder["b"] = "1";
  EXPECT_TRUE(tracker.differs(folder));
  folder.erase("b");
  folder.erase("a");
  EXPECT_TRUE(tracker.differs(folder));
}

TEST(ChangeTracker, StopsFollowingAFileThatChangesDuringEveryShip) {
  ChangeTracker tracker;
  ChangeTracker::Snapshot folder = {{"a", "1"}, {"noise", "0"}};
  for (int round = 1; round <= ChangeTracker::kRestlessRounds; ++round) {
    ASSERT_TRUE(tracker.differs(folder)) << round;
    tracker.shipping(folder);
    folder["noise"] = std::to_string(round);
    const auto restless = tracker.shipped(folder);
    EXPECT_EQ(restless.size(), round == ChangeTracker::kRestlessRounds ? 1U : 0U) << round;
  }
  folder["noise"] = "more";
  EXPECT_FALSE(tracker.differs(folder));
  folder["a"] = "2";
  EXPECT_TRUE(tracker.differs(folder));
}

TEST(ChangeTracker, OneCalmShipForgivesAFile) {
  ChangeTracker tracker;
  ChangeTracker::Snapshot folder = {{"a", "0"}};
  for (int round = 1; round < 4 * ChangeTracker::kRestlessRounds; ++round) {
    tracker.shipping(folder);
    if (round % ChangeTracker::kRestlessRounds != 0) folder["a"] = std::to_string(round);
    EXPECT_TRUE(tracker.shipped(folder).empty()) << round;
  }
}

TEST(PercentEncode, KeepsUnreservedOnly) {
  EXPECT_EQ(percent_encode("aZ9-_.~/ ?&%\xc3"), "aZ9-_.~%2F%20%3F%26%25%C3");
}

TEST(Certificate, IsTakenOnlyIfItLooksLikeOne) {
  const std::string pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
  EXPECT_TRUE(looks_like_certificate(pem));
  EXPECT_FALSE(looks_like_certificate(""));
  EXPECT_FALSE(looks_like_certificate(pem + "-----BEGIN PRIVATE KEY-----"));
  EXPECT_FALSE(looks_like_certificate(pem + std::string(300 * 1024, 'x')));
}

TEST(Time, Rfc3339AndAges) {
  EXPECT_EQ(parse_rfc3339_ms("1970-01-01T00:00:01.5Z"), 1500);
  EXPECT_EQ(parse_rfc3339_ms("2026-11-23T18:40:01Z"), 1795459201000);
  for (const char* bad : {"", "2026-11-23", "2026-11-23T18:40:01", "2026-11-23T18:40:01+01:00", "10m"})
    EXPECT_EQ(parse_rfc3339_ms(bad), -1) << bad;
  EXPECT_EQ(age("1970-01-01T00:00:01Z", 1000), "just now");
  EXPECT_EQ(age("1970-01-01T00:00:00Z", 59'000), "59s ago");
  EXPECT_EQ(age("1970-01-01T00:00:00Z", 3'599'000), "59m ago");
  EXPECT_EQ(age("1970-01-01T00:00:00Z", 86'400'000), "24h ago");
  EXPECT_EQ(age("1970-01-01T00:00:00Z", 10 * 86'400'000LL), "10d ago");
  EXPECT_EQ(age("soon", 0), "soon");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KB");
  EXPECT_EQ(format_ms(61'000), "1m01s");
}

TEST(ApiFailure, KeepsWhatTheGatewaySaidAndChoosesTheExitCode) {
  const struct {
    const char* code;
    int status;
    Exit exit;
  } cases[] = {{"bad_request", 400, Exit::kUsage},        {"unauthorized", 401, Exit::kAuth},
               {"forbidden", 403, Exit::kAuth},           {"not_found", 404, Exit::kNotFound},
               {"conflict", 409, Exit::kFailed},          {"too_large", 413, Exit::kLimit},
               {"limit_reached", 429, Exit::kLimit},      {"build_failed", 422, Exit::kBuildFailed},
               {"start_failed", 422, Exit::kBuildFailed}, {"internal", 500, Exit::kFailed},
               {"unavailable", 503, Exit::kUnreachable},  {"no_space", 507, Exit::kLimit},
               {"of_the_future", 418, Exit::kFailed}};
  for (const auto& c : cases) {
    const Failure failure =
        Gateway::failure_of(json::object{{"code", c.code}, {"message", "m"}, {"request_id", "r"}}, c.status);
    EXPECT_EQ(failure.exit, c.exit) << c.code;
    EXPECT_EQ(failure.code, c.code);
    EXPECT_EQ(failure.request_id, "r");
  }
  EXPECT_EQ(Gateway::failure_of(json::object{}, 500).code, "unknown");
}

TEST(Verbs, HaveUniquePathsAndSummaries) {
  std::vector<std::string> paths;
  for (const auto& verb : make_verbs()) {
    EXPECT_FALSE(verb->summary().empty());
    paths.emplace_back(verb->path());
  }
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(std::adjacent_find(paths.begin(), paths.end()), paths.end());
}

const Finding* find(const std::vector<Finding>& all, std::string_view name) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const Finding& f) { return f.name == name; });
  return at == all.end() ? nullptr : &*at;
}

TEST(Doctor, SeesAMachineThatHasEverything) {
  const Folder m;
  for (const char* ns : {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"})
    m.put(std::string("proc/self/ns/") + ns, "");
  m.put("proc/sys/user/max_user_namespaces", "1000\n");
  m.put("proc/filesystems", "nodev\ttmpfs\nnodev\toverlay\n");
  m.put("proc/sys/kernel/seccomp/actions_avail", "kill_process kill_thread trap errno trace log allow\n");
  m.put("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
  m.put("proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,favordynmods 0 0\n");
  m.put("lib/modules/6.1.0/modules.dep", "kernel/drivers/net/veth.ko:\n");
  m.put("lib/modules/6.1.0/modules.builtin", "kernel/net/netfilter/nf_tables.ko\n");
  m.put("proc/sys/net/ipv4/ip_forward", "1\n");
  for (const auto& group :
       {check_kernel(m.path(), "6.1.0"), check_cgroups(m.path()), check_network(m.path(), "6.1.0")}) {
    for (const Finding& f : group) EXPECT_EQ(f.health, Health::kOk) << f.name << " " << f.found;
  }
}

TEST(Doctor, SaysWhatABareMachineLacksAndHowToGetIt) {
  const Folder m;
  const auto kernel = check_kernel(m.path(), "5.10.0");
  const auto cgroups = check_cgroups(m.path());
  const auto network = check_network(m.path(), "5.10.0");
  for (const auto* group : {&kernel, &cgroups, &network}) {
    for (const Finding& f : *group) {
      EXPECT_NE(f.health, Health::kOk) << f.name;
      EXPECT_FALSE(f.fix.empty()) << f.name;
    }
  }
  EXPECT_EQ(find(kernel, "kernel")->health, Health::kMissing);
  EXPECT_EQ(check_kernel(m.path(), "5.19.1")[0].health, Health::kWarning);
  EXPECT_EQ(find(kernel, "namespaces")->found, "without user, pid, mnt, net, ipc, uts, cgroup");
  EXPECT_EQ(find(cgroups, "cgroup memory")->health, Health::kMissing);
  EXPECT_EQ(find(cgroups, "favordynmods")->health, Health::kWarning);
}

TEST(Doctor, TellsWhatSandboxdFoundAndWhatReplacesIt) {
  const Folder m;
  EXPECT_EQ(check_features(m.path()).at(0).found, "not probed");
  m.put("run/skerry/features.jsonl",
        R"({"feature":"kernel","ok":true,"detail":"6.1.0","replaced_by":""})" "\n"
        R"({"feature":"overlay","ok":true,"detail":"","replaced_by":""})" "\n"
        R"({"feature":"close_range","ok":false,"detail":"no such call","replaced_by":"one by one"})" "\n"
        R"({"feature":"openat2","ok":false,"detail":"no such call","replaced_by":""})" "\n{\n[]\n");
  const auto all = check_features(m.path());
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].found, "6.1.0");
  EXPECT_EQ(all[1].found, "there");
  EXPECT_EQ(all[1].health, Health::kOk);
  EXPECT_EQ(all[2].health, Health::kWarning);
  EXPECT_EQ(all[2].fix, "without it: one by one");
  EXPECT_EQ(all[3].health, Health::kMissing);
  EXPECT_EQ(all[3].found, "no such call");
}

TEST(Doctor, NeverCallsAMentionOfFavordynmodsElsewhereOn) {
  const Folder m;
  m.put("proc/mounts",
        "tmpfs /favordynmods tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n");
  EXPECT_EQ(find(check_cgroups(m.path()), "favordynmods")->health, Health::kWarning);
}

TEST(Pack, AFileThatGrowsOrShrinksWhileItIsPackedIsNoticed) {
  const Folder project;
  project.put("a", "12345");
  auto selection = manifest::select_files(project.path());
  ASSERT_TRUE(selection);
  ASSERT_TRUE(pack(project.path(), *selection));
  for (const char* text : {"123456", "1234"}) {
    project.put("a", text);
    const auto packed = pack(project.path(), *selection);
    ASSERT_FALSE(packed);
    EXPECT_NE(packed.error().message().find("`a` changed while it was packed"), std::string::npos);
  }
}

TEST(Pack, AFileThatBecomesASymlinkIsNotFollowed) {
  const Folder project;
  project.put("a", "12345");
  auto selection = manifest::select_files(project.path());
  ASSERT_TRUE(selection);
  fs::remove(fs::path(project.path()) / "a");
  fs::create_symlink("/etc/hostname", fs::path(project.path()) / "a");
  EXPECT_FALSE(pack(project.path(), *selection));
}

TEST(Pack, TheCompressedLimitHoldsAtTheLimitAndOnePast) {
  const Folder project;
  project.put("a", "12345");
  auto selection = manifest::select_files(project.path());
  ASSERT_TRUE(selection);
  const auto packed = pack(project.path(), *selection);
  ASSERT_TRUE(packed);
  EXPECT_TRUE(pack(project.path(), *selection, {.compressed_bytes = packed->bytes}));
  const auto over = pack(project.path(), *selection, {.compressed_bytes = packed->bytes - 1});
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code(), ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace skerry::cli
