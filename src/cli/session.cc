#include "cli/session.h"

#include "cli/project.h"
#include "manifest/names.h"

namespace skerry::cli {

Outcome<Config*> Session::config() {
  if (!config_) {
    TRY_ASSIGN(config_, load_config());
    for (const std::string& warning : config_->warnings) terminal_.warn(warning);
  }
  return &*config_;
}

Outcome<std::unique_ptr<Gateway>> Session::new_gateway() {
  TRY_ASSIGN(Config* const config, this->config());
  TRY_ASSIGN(Endpoint endpoint, parse_endpoint(config->url),
             fmt::format("gateway from {}", config->url_from));
  if (config->token.empty()) {
    return std::unexpected(
        Failure(Exit::kAuth, "unauthorized", fmt::format("no token for the gateway at {}", config->url),
                fmt::format("set SKERRY_TOKEN, or run `skerry config set token` (it asks, and writes {})",
                            config->path)));
  }
  return std::make_unique<Gateway>(*config, std::move(endpoint));
}

Outcome<Gateway*> Session::gateway() {
  if (!gateway_) {
    TRY_ASSIGN(gateway_, new_gateway());
  }
  return gateway_.get();
}

Outcome<std::string> Session::function_name(const std::string& given) {
  if (!given.empty()) return given;
  TRY_ASSIGN(Config* const config, this->config());
  const auto link = read_link(".");
  if (!link) {
    return std::unexpected(Failure(Exit::kUsage, "usage", "which function? This folder is not linked to one",
                                   "give its name; `skerry ls` lists them"));
  }
  if (link->gateway != config->url) {
    return usage_error("which function? This folder is linked to `{}` on another gateway, {}", link->function,
                       link->gateway);
  }
  return link->function;
}

Failure Session::with_suggestion(Failure failure, const std::string& name) {
  if (failure.exit != Exit::kNotFound) return failure;
  auto gateway = this->gateway();
  if (!gateway) return failure;
  const auto listing = (*gateway)->get("/v1/functions");
  if (!listing) return failure;
  std::vector<std::string> names;
  for (const json::value& f : array_at(listing->get_object(), "functions")) {
    if (f.is_object()) names.push_back(text_at(f.get_object(), "name"));
  }
  for (const std::string& known : names) {
    if (known == name) return failure;  // the function is there: something else was not found
  }
  if (const auto guess = manifest::nearest(name, std::span<const std::string>(names)))
    failure.hint = fmt::format("did you mean `{}`?", *guess);
  else
    failure.hint = names.empty() ? "nothing is shipped yet; `skerry ship` ships this folder"
                                 : "";  // the message says already what lists them
  return failure;
}

Outcome<json::object> Session::function(const std::string& name) {
  TRY_ASSIGN(Gateway* const gateway, this->gateway());
  auto answer = gateway->get(function_path(name));
  if (!answer) return std::unexpected(with_suggestion(std::move(answer.error()), name));
  return std::move(answer->get_object());
}

std::string function_path(std::string_view name, std::string_view rest) {
  return fmt::format("/v1/functions/{}{}", percent_encode(name), rest);
}

std::string text_at(const json::object& from, std::string_view key) {
  const json::value* v = from.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string();
}

int64_t number_at(const json::object& from, std::string_view key) {
  const json::value* v = from.if_contains(key);
  if (v == nullptr) return 0;
  if (v->is_int64()) return v->get_int64();
  if (v->is_uint64()) return static_cast<int64_t>(v->get_uint64());
  return v->is_double() ? static_cast<int64_t>(v->get_double()) : 0;
}

const json::object& object_at(const json::object& from, std::string_view key) {
  static const json::object none;
  const json::value* v = from.if_contains(key);
  return v != nullptr && v->is_object() ? v->get_object() : none;
}

const json::array& array_at(const json::object& from, std::string_view key) {
  static const json::array none;
  const json::value* v = from.if_contains(key);
  return v != nullptr && v->is_array() ? v->get_array() : none;
}

}  // namespace skerry::cli
