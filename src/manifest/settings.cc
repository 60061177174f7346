#include "manifest/settings.h"

#include <algorithm>

#include "manifest/names.h"
#include "manifest/toml.h"

namespace skerry::manifest {

Result<std::map<std::string, std::string>> parse_settings(std::string_view text, std::string_view file,
                                                          std::span<const std::string_view> known) {
  const auto document = parse_toml(text);
  if (!document)
    return fail(ErrorCode::kInvalidArgument, "{}:{}: {}", file, document.error().line,
                document.error().message);
  std::map<std::string, std::string> out;
  for (const TomlField& field : document->fields) {
    if (std::find(known.begin(), known.end(), field.name) == known.end()) {
      const auto guess = nearest(field.name, known);
      return fail(ErrorCode::kInvalidArgument, "{}:{}: unknown key `{}`; {}", file, field.line, field.name,
                  guess ? fmt::format("did you mean `{}`?", *guess)
                        : fmt::format("known: {}", fmt::join(known, ", ")));
    }
    if (field.node.kind != TomlKind::kString) {
      return fail(ErrorCode::kInvalidArgument, "{}:{}: `{}` must be a string, not {}; write {} = \"{}\"",
                  file, field.line, field.name, describe(field.node.kind), field.name, printed(field.node));
    }
    out[field.name] = field.node.text;
  }
  return out;
}

}  // namespace skerry::manifest
