// skerry init --lang LANG NAME: a first project in a new folder. Never writes over a file.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "cli/session.h"
#include "cli/templates.h"
#include "manifest/names.h"
#include "os/file.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kLanguages[] = {"python", "node", "ts", "go", "java"};

class InitVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "init"; }
  [[nodiscard]] std::string_view summary() const override { return "Make a first project in a new folder"; }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function's name; also the folder's", Need::kRequired);
    command.option("-l,--lang", language_, "python, node, ts, go or java", "LANG");
    command.choices("--lang", kLanguages);
    command.option("--dir", directory_, "the folder, instead of NAME", "DIR");
    command.examples(
        "skerry init --lang python hello\nskerry init --lang ts orders && cd orders && skerry ship");
  }

  Outcome<Exit> run(Session& session) override {
    if (const auto ok = manifest::check_function_name(name_); !ok)
      return usage_error("{}", ok.error().message());
    TRY_ASSIGN(const std::string language, known_language());
    const fs::path root = directory_.empty() ? name_ : directory_;
    std::vector<const TemplateFile*> files;
    for (const TemplateFile& file : template_files()) {
      if (file.language == language) files.push_back(&file);
    }
    std::error_code ec;
    for (const TemplateFile* file : files) {
      const fs::path at = root / target(*file);
      if (fs::symlink_status(at, ec).type() != fs::file_type::not_found) {
        return std::unexpected(Failure(Exit::kFailed, "conflict",
                                       fmt::format("`{}` is there already; nothing was written", at.string()),
                                       "choose another name, or --dir"));
      }
    }
    json::array written;
    for (const TemplateFile* file : files) {
      TRY(write(root / target(*file), *file));
      written.emplace_back((root / target(*file)).string());
    }
    const Terminal& t = session.terminal();
    if (session.json()) {
      t.print_json(json::object{{"name", name_},
                                {"language", language},
                                {"directory", root.string()},
                                {"files", std::move(written)}});
      return Exit::kOk;
    }
    for (const json::value& file : written) t.print_line(std::string(file.get_string()));
    t.note(fmt::format("next: cd {} && skerry ship", root.string()));
    return Exit::kOk;
  }

 private:
  Outcome<std::string> known_language() const {
    if (language_.empty())
      return usage_error("init: say the language: --lang {}", fmt::join(kLanguages, "|"));
    for (const std::string_view known : kLanguages) {
      if (known == language_) return std::string(known);
    }
    if (language_ == "typescript") return std::string("ts");
    if (language_ == "javascript" || language_ == "js" || language_ == "nodejs") return std::string("node");
    if (language_ == "golang") return std::string("go");
    const auto guess = manifest::nearest(language_, kLanguages);
    return std::unexpected(Failure(Exit::kUsage, "usage",
                                   fmt::format("init: no template for `{}`", language_),
                                   guess ? fmt::format("did you mean `{}`?", *guess)
                                         : fmt::format("one of {}", fmt::join(kLanguages, ", "))));
  }

  static std::string target(const TemplateFile& file) {
    return file.path == "gitignore" ? ".gitignore" : std::string(file.path);
  }

  Outcome<> write(const fs::path& path, const TemplateFile& file) const {
    std::string text(file.text);
    constexpr std::string_view kName = "{{name}}";
    for (size_t at = text.find(kName); at != std::string::npos; at = text.find(kName, at + name_.size()))
      text.replace(at, kName.size(), name_);
    if (path.has_parent_path()) TRY(make_directories(path.parent_path().string(), 0755));
    TRY_ASSIGN(const UniqueFd fd, open_at(AT_FDCWD, path.string(), O_WRONLY | O_CREAT | O_EXCL, 0644));
    TRY(write_all(fd.get(), text), path.string());
    return {};
  }

  std::string name_;
  std::string language_;
  std::string directory_;
};

}  // namespace

std::unique_ptr<Verb> make_init_verb() {
  return std::make_unique<InitVerb>();
}

}  // namespace skerry::cli
