// skerry invoke NAME: one HTTPS request to a function, the way a client makes it: by its URL, verified with
// the local CA.
#include <strings.h>

#include "cli/secret_input.h"
#include "cli/session.h"

namespace skerry::cli {
namespace {

inline constexpr size_t kMaxRequestBody = 10 * 1024 * 1024;  // more than this a function never receives

constexpr std::string_view kUsualMethods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

std::string host_of(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  const std::string_view rest = url.substr(scheme + 3);
  return std::string(rest.substr(0, rest.find_first_of(":/?#")));
}

class InvokeVerb final : public Verb {
 public:
  [[nodiscard]] std::string_view path() const override { return "invoke"; }
  [[nodiscard]] std::string_view summary() const override {
    return "Send a request to a function and print its answer";
  }

  void declare(Command& command) override {
    command.argument("NAME", name_, "the function (default: the one this folder is linked to)",
                     Need::kOptional);
    command.option("-p,--path", path_, "path and query (default /)", "PATH");
    command.option("-X,--method", method_, "GET, or POST with --data", "METHOD");
    command.choices("--method", kUsualMethods);
    command.option("-d,--data", data_, "the body; @FILE reads a file, @- standard input", "DATA");
    command.repeated("-H,--header", headers_, "a header; may be given several times", "'Name: value'");
    command.flag("-i,--include", include_, "print the head of the answer as well");
    command.option("--timeout", timeout_, "give up after this many seconds (default 90)", "SECONDS");
    command.examples(
        "skerry invoke orders\n"
        "skerry invoke orders --path '/v1/orders?limit=3' --header 'Accept: text/csv'\n"
        "skerry invoke orders --data '{\"sku\":\"A1\"}'        # POST, application/json\n"
        "skerry invoke orders --method PUT --data @order.json --json | jq .status");
  }

  Outcome<Exit> run(Session& session) override {
    TRY_ASSIGN(name_, session.function_name(name_));
    HttpRequest request;
    TRY(prepare(request));
    TRY_ASSIGN(const json::object function, session.function(name_));
    if (const json::value* in_traffic = function.if_contains("revision");
        in_traffic != nullptr && in_traffic->is_null())
      return std::unexpected(
          Failure(Exit::kNotFound, "not_in_traffic",
                  fmt::format("`{}` has no revision in traffic: none of its ships has succeeded yet", name_),
                  fmt::format("`skerry revisions {}` says why", name_)));
    TRY_ASSIGN(Gateway* const gateway, session.gateway());
    std::string base = text_at(function, "url");
    while (base.ends_with('/')) base.pop_back();
    const std::string host = host_of(base);
    if (host.empty())
      return std::unexpected(Failure(Exit::kFailed, "unexpected_answer",
                                     fmt::format("the gateway names no URL of `{}`", name_)));
    request.url = base + path_;
    if (host.ends_with(".localhost")) {
      // The name need not be known to any resolver: it is this machine, or the one where the gateway is.
      const Endpoint& at = gateway->endpoint();
      request.connect_host = at.is_local()                            ? "127.0.0.1"
                             : at.host.find(':') == std::string::npos ? at.host
                                                                      : fmt::format("[{}]", at.host);
      request.direct = at.is_local();
    }
    TRY_ASSIGN(request.ca_pem, gateway->ca_pem());
    return send(session, request);
  }

 private:
  Outcome<> prepare(HttpRequest& request) {
    if (path_.empty() || path_.front() != '/') path_.insert(0, "/");
    for (const char c : path_) {
      if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
        return usage_error("--path: `{}` contains a space or control character; write it as %20",
                           visible(path_));
    }
    if (data_) {
      if (data_->starts_with('@')) {
        TRY_ASSIGN(request.body, read_value_file(data_->substr(1), kMaxRequestBody, NewlineAtEnd::kKeep));
      } else {
        request.body = *data_;
      }
      request.has_body = true;
    }
    request.method = !method_.empty() ? method_ : request.has_body ? "POST" : "GET";
    for (const char c : request.method) {
      if (!((c >= 'A' && c <= 'Z') || c == '-' || c == '_'))
        return usage_error("--method: `{}` is not a method; it is written in capitals", request.method);
    }
    bool typed = false;
    for (const std::string& header : headers_) {
      const size_t colon = header.find(':');
      if (colon == std::string::npos || colon == 0 || header.find_first_of("\r\n") != std::string::npos)
        return usage_error("--header: `{}` is not of the form 'Name: value'", visible(header));
      const size_t value = header.find_first_not_of(' ', colon + 1);
      request.headers.push_back(
          {header.substr(0, colon), value == std::string::npos ? "" : header.substr(value)});
      typed = typed || ::strcasecmp(header.substr(0, colon).c_str(), "content-type") == 0;
    }
    if (request.has_body && !typed)
      request.headers.push_back(
          {"Content-Type", json::parse(request.body) ? "application/json" : "text/plain; charset=utf-8"});
    if (timeout_.empty() || timeout_.size() > 6 ||
        timeout_.find_first_not_of("0123456789") != std::string::npos || std::stol(timeout_) == 0)
      return usage_error("--timeout: `{}` is not a number of seconds from 1", timeout_);
    request.total_timeout = std::chrono::seconds(std::stol(timeout_));
    return {};
  }

  Outcome<Exit> send(Session& session, HttpRequest& request) const {
    const Terminal& t = session.terminal();
    char last = '\n';
    if (!session.json() && !include_) {
      request.stream_all = true;
      request.on_body = [&](std::string_view piece) {
        t.print(piece);
        t.flush();
        if (!piece.empty()) last = piece.back();
        return !t.out_is_broken();
      };
    }
    HttpClient client;
    auto response = client.send(request);
    if (!response) return std::unexpected(failed(request, response.error()));
    if (session.json())
      print_json(t, *response);
    else if (include_)
      print_head_and_body(t, *response);
    if (!session.json() && t.out_is_terminal() && last != '\n') t.print("\n");
    if (!session.json() && t.err_is_terminal()) {
      t.note(t.styled_err(
          Style::kDim, fmt::format("{} in {}; {}; request {}", response->status,
                                   format_ms(response->total_ms), visible(response->header("Server-Timing")),
                                   visible(response->header("X-Request-Id")))));
    }
    if (response->status >= 500) return Exit::kFunction5xx;
    return response->status >= 400 ? Exit::kFunction4xx : Exit::kOk;
  }

  static Failure failed(const HttpRequest& request, const HttpError& error) {
    const std::string message = fmt::format("{} {}: {}", request.method, request.url, error.message);
    if (error.problem == HttpProblem::kTls)
      return {Exit::kUnreachable, "tls", message,
              "is the CA right? `skerry env NAME` says which is used; SKERRY_CA sets another"};
    if (error.problem == HttpProblem::kTooLarge)
      return {Exit::kLimit, "too_large", message, "leave out --json and --include to stream the answer"};
    if (error.problem == HttpProblem::kTimeout)
      return {Exit::kUnreachable, "timeout", message, "raise --timeout"};
    return {Exit::kUnreachable, "unreachable", message,
            "`skerry status` shows whether the ingress runs, and on which port"};
  }

  static void print_head_and_body(const Terminal& t, const HttpResponse& response) {
    t.print_line(fmt::format("HTTP {}", response.status));
    for (const HttpHeader& h : response.headers)
      t.print_line(fmt::format("{}: {}", visible(h.name), visible(h.value)));
    t.print_line("");
    t.print(response.body);
  }

  static void print_json(const Terminal& t, const HttpResponse& response) {
    json::object headers;
    for (const HttpHeader& h : response.headers) {
      json::value& at = headers[h.name];
      at = at.is_string() ? json::value(std::string(at.get_string()) + ", " + h.value) : json::value(h.value);
    }
    json::object out{{"status", response.status},
                     {"ms", response.total_ms},
                     {"first_byte_ms", response.first_byte_ms},
                     {"headers", std::move(headers)}};
    if (const auto parsed = json::parse(response.body);
        parsed && response.header("Content-Type").find("json") != std::string::npos)
      out["body"] = *parsed;
    else
      out["body"] = response.body;
    t.print_json(out);
  }

  std::string name_;
  std::string path_ = "/";
  std::string method_;
  std::optional<std::string> data_;
  std::vector<std::string> headers_;
  std::string timeout_ = "90";
  bool include_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_invoke_verb() {
  return std::make_unique<InvokeVerb>();
}

}  // namespace skerry::cli
