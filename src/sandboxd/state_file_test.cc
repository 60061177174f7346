#include "sandboxd/state_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/id.h"

namespace skerry::sandbox {
namespace {

class StateFile : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/skerry_state_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    settings_.run_dir = name;
    std::filesystem::create_directory(settings_.instances_dir());
  }
  void TearDown() override { std::filesystem::remove_all(settings_.run_dir); }
  void put(const std::string& name, std::string_view text) { std::ofstream(settings_.instances_dir() + "/" + name) << text; }

  Settings settings_;
};

TEST_F(StateFile, ComesBackAsItWasWritten) {
  for (const std::string& label : {std::string("rev"), std::string(), std::string("two words"), std::string("a\nb\n"), std::string(128, '\xff')}) {
    const InstanceState state{new_ulid(), 42, ::getpid(), Transport::kTcp, label};
    ASSERT_TRUE(write_state(state, settings_));
    const auto all = read_states(settings_);
    ASSERT_EQ(all.size(), 1U) << label;
    EXPECT_EQ(all[0].id, state.id);
    EXPECT_EQ(all[0].index, 42U);
    EXPECT_EQ(all[0].pid, ::getpid());
    EXPECT_EQ(all[0].transport, Transport::kTcp);
    EXPECT_EQ(all[0].label, label);
    EXPECT_TRUE(is_same_process(all[0]));
    std::filesystem::remove(settings_.instances_dir() + "/" + state.id + ".state");
  }
}

TEST_F(StateFile, AnotherProcessWithTheSameNumberIsNotTheSame) {
  ASSERT_TRUE(write_state({new_ulid(), 1, ::getpid(), Transport::kUnix, "rev"}, settings_));
  auto state = read_states(settings_).at(0);
  ++state.start_time;
  EXPECT_FALSE(is_same_process(state));
  state.start_time = 0;  // a file that was written when the process was gone already
  EXPECT_FALSE(is_same_process(state));
}

TEST_F(StateFile, DamagedAndForeignFilesAreLeftOut) {
  const std::string id = new_ulid();
  for (const char* text : {"", "skerry-instance-1", "skerry-instance-1 1 2 3 1 cut short", "skerry-instance-2 1 2 3 1 rev\n", "skerry-instance-1 0 2 3 1 rev\n",
                           "skerry-instance-1 99999 2 3 1 rev\n", "skerry-instance-1 1 1 3 1 rev\n", "skerry-instance-1 1 -5 3 1 rev\n", "skerry-instance-1 1 2 3 9 rev\n",
                           "skerry-instance-1 1 2 3 1\n"}) {
    put(id + ".state", text);
    EXPECT_TRUE(read_states(settings_).empty()) << text;
  }
  put(id + ".state", std::string(10'000, 'x'));
  EXPECT_TRUE(read_states(settings_).empty());
  put("notes.state", "skerry-instance-1 1 2 3 1 rev\n");
  EXPECT_TRUE(read_states(settings_).empty());
}

TEST_F(StateFile, EveryIdWithAFileIsFound) {
  const std::string damaged = new_ulid(), socket = new_ulid();
  put(damaged + ".state", "");
  put(socket + ".sock", "");
  put("other.sock", "");
  put(new_ulid() + ".txt", "");
  EXPECT_EQ(instance_ids(settings_), (std::set<std::string>{damaged, socket}));
}

TEST_F(StateFile, WithoutTheFolderThereIsNothing) {
  settings_.run_dir += "/none";
  EXPECT_TRUE(read_states(settings_).empty());
  EXPECT_FALSE(write_state({new_ulid(), 1, ::getpid(), Transport::kUnix, "rev"}, settings_));
}

}  // namespace
}  // namespace skerry::sandbox
