#include "build/revision_file.h"

#include "build/languages.h"
#include "contract/plan.h"
#include "json/json.h"

namespace skerry {
namespace {

constexpr size_t kMaxEnv = 64;

Result<RevisionFile> read(std::string_view text) {
  TRY_ASSIGN(const json::value recorded, json::parse(text), kRevisionFilePath);
  json::ObjectReader r(recorded, "revision.json");
  RevisionFile file;
  file.shape = r.string("shape", 32);
  file.entry = r.string("entry", 4096);
  file.argv = r.strings("argv", kMaxArguments, kMaxStringBytes);
  file.env = r.strings("env", kMaxEnv, kMaxStringBytes);
  file.health_path = r.string("health_path", 1024);
  file.has_modules = r.boolean("has_modules", false);
  file.size_bytes = static_cast<uint64_t>(r.integer("size_bytes", 0, INT64_MAX, 0));
  for (const std::string& entry : file.env) {
    const size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos || entry.find('\0') != std::string::npos) r.refuse("env", "must be NAME=value");
  }
  for (const std::string& argument : file.argv)
    if (argument.find('\0') != std::string::npos) r.refuse("argv", "has a NUL");
  TRY(r.finish());
  return file;
}

}  // namespace

Result<RevisionFile> RevisionFile::of_result(const ArchiveListing& listing) {
  const auto recorded = listing.contents.find(std::string(kRevisionFilePath));
  if (recorded == listing.contents.end()) return fail(ErrorCode::kInvalidArgument, "the build left no {}", kRevisionFilePath);
  TRY_ASSIGN(RevisionFile file, read(recorded->second));
  const auto first = listing.files.lower_bound("node_modules/");
  file.has_modules = first != listing.files.end() && first->starts_with("node_modules/");
  file.size_bytes = listing.bytes;
  return file;
}

RevisionFile RevisionFile::of_python_result(const ArchiveListing& listing) {
  RevisionFile file;
  file.shape = "python";
  file.entry = python_entry(listing);
  file.size_bytes = listing.bytes;
  return file;
}

std::string RevisionFile::text() const {
  json::object object{{"shape", shape}, {"entry", entry}, {"health_path", health_path}, {"has_modules", has_modules}, {"size_bytes", size_bytes}};
  json::array arguments, environment;
  for (const std::string& argument : argv) arguments.emplace_back(argument);
  for (const std::string& entry_text : env) environment.emplace_back(entry_text);
  object["argv"] = std::move(arguments);
  object["env"] = std::move(environment);
  return json::serialize(object);
}

Result<RevisionFile> RevisionFile::parse(std::string_view text) { return read(text); }

}  // namespace skerry
