#include "store/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "os/file.h"

namespace skerry {
namespace {

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/skerry_store_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    folder_ = pattern;
    store_ = Store::open(folder_ + "/db", clock_).value();
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf " + folder_).c_str()), 0); }
  RevisionRow revision(const char* id) {
    RevisionRow r;
    r.id = RevisionId(id);
    r.function = FunctionId("f");
    r.tag = "tag";
    return r;
  }
  std::string folder_;
  ManualClock clock_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, FunctionsAreFoundByNameAndIdAndNamesAreUnique) {
  ASSERT_TRUE(store_->add_function({FunctionId("f"), "orders"}));
  EXPECT_EQ((*store_->find_function("orders"))->id, FunctionId("f"));
  EXPECT_EQ((*store_->find_function("f"))->name, "orders");
  EXPECT_FALSE(store_->find_function("other")->has_value());
  EXPECT_EQ(store_->add_function({FunctionId("g"), "orders"}).error().code(), ErrorCode::kConflict);
}

TEST_F(StoreTest, RevisionsAreNumberedAndOnlyTheNewestAreKept) {
  ASSERT_TRUE(store_->add_function({FunctionId("f"), "orders"}));
  EXPECT_EQ(store_->add_revision(revision("r1"), 3).value(), 1);
  ASSERT_TRUE(store_->activate(FunctionId("f"), RevisionId("r1")));
  for (int i = 2; i <= 6; ++i) EXPECT_EQ(store_->add_revision(revision(("r" + std::to_string(i)).c_str()), 3).value(), i);
  const auto left = store_->revisions(FunctionId("f")).value();
  ASSERT_EQ(left.size(), 3U);  // the one in traffic among them
  EXPECT_EQ(left.front().id, RevisionId("r6"));
  EXPECT_EQ(left[1].id, RevisionId("r5"));
  EXPECT_EQ(left.back().id, RevisionId("r1"));
}

TEST_F(StoreTest, TrafficGoesOnlyToARevisionOfTheFunction) {
  ASSERT_TRUE(store_->add_function({FunctionId("f"), "orders"}));
  EXPECT_EQ(store_->activate(FunctionId("f"), RevisionId("nope")).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE((*store_->find_function("f"))->active.empty());
}

TEST_F(StoreTest, UnfinishedBuildsAreFailedAtStart) {
  ASSERT_TRUE(store_->add_function({FunctionId("f"), "orders"}));
  ASSERT_TRUE(store_->add_revision(revision("r1"), 9));
  EXPECT_EQ(store_->fail_unfinished("restarted").value(), 1);
  EXPECT_EQ((*store_->find_revision(RevisionId("r1")))->error, "restarted");
}

TEST_F(StoreTest, RemovingAFunctionTakesItsRevisionsAndSecretsAndLeavesTheSharedOnes) {
  ASSERT_TRUE(store_->add_function({FunctionId("f"), "orders"}));
  ASSERT_TRUE(store_->add_revision(revision("r1"), 9));
  ASSERT_TRUE(store_->put_secret({"A", FunctionId("f"), "x", 1}));
  ASSERT_TRUE(store_->put_secret({"A", FunctionId(), std::string("\0y", 2), 1}));
  ASSERT_TRUE(store_->remove_function(FunctionId("f")));
  EXPECT_EQ(store_->function_names()->at(FunctionId("f")), "orders");  // for what it used
  EXPECT_FALSE(store_->find_revision(RevisionId("r1"))->has_value());
  const auto secrets = store_->secrets().value();
  ASSERT_EQ(secrets.size(), 1U);
  EXPECT_EQ(secrets[0].sealed, std::string("\0y", 2));
}

TEST_F(StoreTest, FailedRevisionsMakePlaceFirst) {
  ASSERT_TRUE(store_->add_function({FunctionId("f"), "orders"}));
  const auto add = [&](const char* id, RevisionState state) {
    RevisionRow row = revision(id);
    ASSERT_TRUE(store_->add_revision(row, 3));
    row.state = state;
    ASSERT_TRUE(store_->update_revision(row));
  };
  const auto kept = [&] {
    std::string ids;
    for (const RevisionRow& row : store_->revisions(FunctionId("f")).value()) ids += row.id.str() + " ";
    return ids;
  };
  add("good1", RevisionState::kReady);
  add("bad1", RevisionState::kFailed);
  add("good2", RevisionState::kReady);
  EXPECT_EQ(kept(), "good2 bad1 good1 ");  // at the bound all are kept
  for (const char* id : {"bad2", "bad3", "bad4"}) add(id, RevisionState::kFailed);
  EXPECT_EQ(kept(), "bad4 good2 good1 ");
  add("good3", RevisionState::kReady);
  EXPECT_EQ(kept(), "good3 good2 good1 ");
  ASSERT_TRUE(store_->activate(FunctionId("f"), RevisionId("good1")));
  add("good4", RevisionState::kReady);
  EXPECT_EQ(kept(), "good4 good3 good1 ");  // never what is in traffic
}

TEST_F(StoreTest, UsageAndItsPositionMoveTogether) {
  UsageRow row;
  row.function = FunctionId("f");
  row.requests = 2;
  ASSERT_TRUE(store_->add_usage({row, row}, "seg", 4));
  EXPECT_EQ(store_->journal_position("seg").value(), 4);
  EXPECT_EQ(store_->usage(0, 1).value().at(0).requests, 4);
  EXPECT_TRUE(store_->usage(1, 2).value().empty());
}

TEST_F(StoreTest, NumbersOnlyGrow) {
  EXPECT_EQ(store_->next_number("v").value(), 1);
  EXPECT_EQ(store_->next_number("v").value(), 2);
}

TEST_F(StoreTest, WhatWasAcknowledgedSurvivesAKill) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto mine = Store::open(folder_ + "/db2", clock_);
    if (mine && (*mine)->add_function({FunctionId("f"), "orders"})) ::raise(SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(Store::open(folder_ + "/db2", clock_).value()->find_function("orders")->has_value());
}

TEST_F(StoreTest, WhatAnotherWriterHoldsLockedIsNotHalfWritten) {
  ASSERT_TRUE(store_->add_function({FunctionId("f"), "orders"}));
  ASSERT_TRUE(store_->put_secret({"A", FunctionId("f"), "x", 1}));
  auto ready = make_pipe(), stop = make_pipe();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // holds the write lock in a transaction of its own until it is killed
    sqlite3* db = nullptr;
    const bool held = ::sqlite3_open((folder_ + "/db").c_str(), &db) == SQLITE_OK &&
                      ::sqlite3_exec(db, "BEGIN IMMEDIATE; DELETE FROM functions", nullptr, nullptr, nullptr) == SQLITE_OK;
    char byte = held ? 1 : 0;
    if (::write(ready->write.get(), &byte, 1) != 1) ::_exit(1);
    stop->write.reset();
    [[maybe_unused]] const ssize_t n = ::read(stop->read.get(), &byte, 1);
    ::_exit(0);
  }
  char held = 0;
  ASSERT_EQ(::read(ready->read.get(), &held, 1), 1);
  ASSERT_EQ(held, 1);
  EXPECT_EQ(store_->remove_function(FunctionId("f")).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(store_->secrets()->size(), 1U);
  ASSERT_EQ(::kill(child, SIGKILL), 0);  // in the middle of its transaction
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(store_->find_function("orders")->has_value());  // its deletion was never committed
  EXPECT_TRUE(store_->remove_function(FunctionId("f")));
  EXPECT_TRUE(store_->secrets()->empty());
}

TEST_F(StoreTest, ADamagedFileAndANewerOneAreClearErrors) {
  std::ofstream(folder_ + "/bad") << std::string(8192, 'x');
  EXPECT_EQ(Store::open(folder_ + "/bad", clock_).error().code(), ErrorCode::kCorrupt);
  store_.reset();
  ASSERT_EQ(std::system(("python3 -c \"import sqlite3;c=sqlite3.connect('" + folder_ + "/db');c.execute('PRAGMA user_version=99');c.commit()\"").c_str()), 0);
  EXPECT_NE(Store::open(folder_ + "/db", clock_).error().message().find("newer Skerry"), std::string::npos);
}

}  // namespace
}  // namespace skerry
