#include "build/languages.h"

#include <gtest/gtest.h>

namespace skerry {
namespace {

ArchiveListing project(std::map<std::string, std::string> files) {
  ArchiveListing listing;
  for (auto& [path, text] : files) {
    listing.files.insert(path);
    if (is_manifest(path)) listing.contents[path] = text;
  }
  return listing;
}
DependencyPlan plan(std::string_view language, std::map<std::string, std::string> files) {
  auto made = plan_dependencies(language, project(std::move(files)));
  EXPECT_TRUE(made) << made.error().message();
  return made ? *made : DependencyPlan{};
}

TEST(Languages, AreKnownByTheirFiles) {
  EXPECT_EQ(*detect_language(project({{"pyproject.toml", ""}})), "python");
  EXPECT_EQ(*detect_language(project({{"requirements.txt", ""}})), "python");
  EXPECT_EQ(*detect_language(project({{"function/func.py", ""}})), "python");
  EXPECT_EQ(*detect_language(project({{"package.json", ""}})), "node");
  EXPECT_EQ(*detect_language(project({{"go.mod", ""}, {"package.json", ""}})), "go");
  EXPECT_EQ(*detect_language(project({{"pom.xml", ""}})), "java");
  EXPECT_EQ(*detect_language(project({{"oci-layout", ""}, {"index.json", ""}})), "image");
  EXPECT_FALSE(plan("image", {{"pom.xml", "<project/>"}}).wanted);
  const auto none = detect_language(project({{"README.md", ""}, {"sub/go.mod", ""}}));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), ErrorCode::kFunctionFailed);
  EXPECT_NE(none.error().message().find("package.json"), std::string::npos);
}

TEST(Languages, AVersionThatIsNotThereIsRefusedWithThoseThatAre) {
  EXPECT_EQ(find_recipe("python", "")->version, "3.11");
  EXPECT_EQ(find_recipe("python", "3.13")->build_image, "python313-build");
  const auto wrong = find_recipe("java", "8");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message().find("17, 21"), std::string::npos);
  EXPECT_FALSE(find_recipe("cobol", ""));
}

TEST(Languages, ThePythonEntryIsTheFirstOfFour) {
  EXPECT_EQ(python_entry(project({{"app.py", ""}, {"main.py", ""}})), "main.py");
  EXPECT_EQ(python_entry(project({{"func.py", ""}, {"function/func.py", ""}})), "function/func.py");
  EXPECT_EQ(python_entry(project({{"other.py", ""}})), "");
}

TEST(PythonDependencies, AnEmptyListWantsNothing) {
  for (const char* text : {"", "\n# only a comment\n", "  \n", "--index-url https://example.com/simple\n"}) EXPECT_FALSE(plan("python", {{"requirements.txt", text}}).wanted) << text;
  for (const char* text : {"", "[project]\nname = \"x\"\n", "[project]\ndependencies = []\n", "[project]\ndependencies = [\n  # none\n]\n",
                           "[project.optional-dependencies]\ndev = [\"pytest\"]\n", "[project]\noptional-dependencies = [\"a\"]\n"})
    EXPECT_FALSE(plan("python", {{"pyproject.toml", text}}).wanted) << text;
}

TEST(PythonDependencies, AnyNameWantsAll) {
  EXPECT_TRUE(plan("python", {{"requirements.txt", "six\n"}}).wanted);
  for (const char* text : {"[project]\ndependencies = [\"six\"]\n", "[project]\ndependencies=[\n \"six\",\n]\n", "project.dependencies = [\"six\"]\n", "[project]\n\"dependencies\" = [ 'six' ]\n"})
    EXPECT_TRUE(plan("python", {{"pyproject.toml", text}}).wanted) << text;
  const DependencyPlan both = plan("python", {{"requirements.txt", "six\n"}, {"pyproject.toml", "[project]\n"}});
  EXPECT_EQ(both.inputs, (std::vector<std::string>{"pyproject.toml", "requirements.txt"}));
  EXPECT_FALSE(both.with_source);
}

TEST(PythonDependencies, IncludesAreFollowed) {
  const DependencyPlan made = plan("python", {{"requirements.txt", "-r requirements/base.txt\n-c constraints.txt\n"},
                                              {"requirements/base.txt", "-r more-requirements.txt # why\n"},
                                              {"requirements/more-requirements.txt", "six\n-r base.txt\n"},
                                              {"constraints.txt", "six<2\n"}});
  EXPECT_TRUE(made.wanted);
  EXPECT_FALSE(made.with_source);
  EXPECT_EQ(made.inputs, (std::vector<std::string>{"constraints.txt", "requirements.txt", "requirements/base.txt", "requirements/more-requirements.txt"}));
}

TEST(PythonDependencies, WhatLiesInTheProjectNeedsIt) {
  for (const char* line : {"-e ./lib", "./wheels/a.whl", "a @ file:./a", "--find-links wheels", "-r elsewhere.txt", "--requirement=missing/requirements.txt"})
    EXPECT_TRUE(plan("python", {{"requirements.txt", std::string("six\n") + line + "\n"}}).with_source) << line;
  EXPECT_FALSE(plan("python", {{"requirements.txt", "six==1.0 # ./not a path\na @ https://host/x#egg=a\n"}}).with_source);
}

TEST(NodeDependencies, AreDecidedByTheManifest) {
  EXPECT_FALSE(plan("node", {{"package.json", "{}"}}).wanted);
  EXPECT_FALSE(plan("node", {{"package.json", R"({"dependencies":{}})"}, {"package-lock.json", "{}"}}).wanted);
  const DependencyPlan made = plan("node", {{"package.json", R"({"dependencies":{"a":"1"},"devDependencies":{"b":"2"}})"}, {"package-lock.json", "{}"}, {".npmrc", ""}});
  EXPECT_TRUE(made.wanted);
  EXPECT_TRUE(made.has_development);
  EXPECT_FALSE(made.with_source);
  EXPECT_EQ(made.inputs, (std::vector<std::string>{".npmrc", "package-lock.json", "package.json"}));
  const auto bad = plan_dependencies("node", project({{"package.json", "{"}}));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code(), ErrorCode::kFunctionFailed);
  EXPECT_NE(bad.error().message().find("package.json"), std::string::npos);
  EXPECT_FALSE(plan_dependencies("node", project({{"package.json", "[]"}})));
}

TEST(NodeDependencies, LifecycleScriptsLocalPackagesAndWorkspacesNeedTheCode) {
  for (const char* text : {R"({"dependencies":{"a":"file:./a"}})", R"({"dependencies":{"a":"../a"}})", R"({"devDependencies":{"a":"link:x"}})", R"({"workspaces":["packages/*"]})",
                           R"({"dependencies":{"a":"1"},"scripts":{"postinstall":"x"}})", R"({"dependencies":{"a":"1"},"scripts":{"prepare":"x"}})"})
    EXPECT_TRUE(plan("node", {{"package.json", text}}).with_source) << text;
  EXPECT_FALSE(plan("node", {{"package.json", R"({"dependencies":{"a":"~1.0"},"scripts":{"build":"x","start":"node ."}})"}}).with_source);
}

TEST(GoDependencies, NeedARequireAndNoVendoredCopy) {
  EXPECT_FALSE(plan("go", {{"go.mod", "module x\n\ngo 1.24\n"}}).wanted);
  EXPECT_FALSE(plan("go", {{"go.mod", "module x\nrequire a v1\n"}, {"vendor/modules.txt", ""}}).wanted);
  const DependencyPlan made = plan("go", {{"go.mod", "module x\nrequire (\n a v1\n)\nreplace b => c v1\n"}, {"go.sum", ""}});
  EXPECT_TRUE(made.wanted);
  EXPECT_FALSE(made.with_source);
  EXPECT_EQ(made.inputs, (std::vector<std::string>{"go.mod", "go.sum"}));
  EXPECT_TRUE(plan("go", {{"go.mod", "module x\nrequire a v1\nreplace a => ./a\n"}}).with_source);
}

TEST(JavaDependencies, AreDecidedByEveryPom) {
  const DependencyPlan made = plan("java", {{"pom.xml", "<project/>"}, {"module/pom.xml", "<project/>"}, {".mvn/maven.config", "-T1"}, {"src/A.java", ""}});
  EXPECT_TRUE(made.wanted);
  EXPECT_EQ(made.inputs, (std::vector<std::string>{".mvn/maven.config", "module/pom.xml", "pom.xml"}));
}

}  // namespace
}  // namespace skerry
