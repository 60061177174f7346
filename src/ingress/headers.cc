#include "ingress/headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/id.h"

namespace skerry {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdBytes && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

// version-traceid-parentid-flags, W3C Trace Context level 1.
bool is_traceparent(std::string_view text) {
  if (text.size() != 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 2 || i == 35 || i == 52) continue;
    if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) return false;
  }
  return text.substr(0, 2) != "ff" && text.substr(3, 32).find_first_not_of('0') != std::string_view::npos &&
         text.substr(36, 16).find_first_not_of('0') != std::string_view::npos;
}

std::string new_traceparent(RandomPool& random) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "00-";
  for (const char c : random.take(24)) {
    const auto byte = static_cast<unsigned char>(c);
    if (out.size() == 35) out += '-';
    out += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out + "-01";
}

// SECURITY: what a caller could use to pretend an address, a scheme or a place in a call chain never passes.
bool is_ours(std::string_view name) {
  static constexpr std::string_view kNames[] = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded",
                                                "x-real-ip",       "x-request-id",      "traceparent",      "content-length",   "expect"};
  if (name.size() >= 9 && http::iequals(name.substr(0, 9), "x-skerry-")) return true;
  return std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view n) { return http::iequals(n, name); });
}

void append_lower(std::string& out, std::string_view name) {
  for (const char c : name) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

double ms(Duration d) { return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(d).count()) / 1000.0; }

}  // namespace

std::string request_id_of(const http::RequestHead& head, RandomPool& random) {
  const std::string_view given = head.find("x-request-id");
  return is_request_id(given) ? std::string(given) : new_ulid(random);
}

int hops_of(const http::RequestHead& head) {
  const std::string_view text = head.find(kHopsHeader);
  if (text.empty()) return 0;
  int hops = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), hops);
  return ec == std::errc() && end == text.data() + text.size() && hops >= 0 && hops <= kMaxHops ? hops : kMaxHops + 1;
}

std::string upstream_head(const http::RequestHead& head, const Caller& caller, RandomPool& random) {
  std::string out;
  out.reserve(head.bytes + 512);
  out.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  const std::string_view connection = head.find("connection");
  for (const http::Header& h : head.headers) {
    if (http::is_hop_by_hop(h.name, connection) || is_ours(h.name)) continue;
    append_lower(out, h.name);
    out.append(": ").append(h.value).append("\r\n");
  }
  const bool v6 = caller.address.find(':') != std::string_view::npos;
  const std::string_view traceparent = head.find("traceparent");
  fmt::format_to(std::back_inserter(out), "x-request-id: {}\r\ntraceparent: {}\r\nx-forwarded-for: {}\r\nx-forwarded-proto: {}\r\nx-forwarded-host: {}\r\n",
                 caller.request_id, is_traceparent(traceparent) ? std::string(traceparent) : new_traceparent(random), caller.address, caller.scheme, head.authority);
  if (v6) fmt::format_to(std::back_inserter(out), "forwarded: for=\"[{}]\";proto={};host=\"{}\"\r\n", caller.address, caller.scheme, head.authority);
  else fmt::format_to(std::back_inserter(out), "forwarded: for={};proto={};host=\"{}\"\r\n", caller.address, caller.scheme, head.authority);
  fmt::format_to(std::back_inserter(out), "{}: {}\r\n", kHopsHeader, caller.hops + 1);
  if (head.upgrade) out.append("connection: upgrade\r\nupgrade: ").append(head.find("upgrade")).append("\r\n");
  if (head.framing == http::Framing::kChunked) out += "transfer-encoding: chunked\r\n";
  else if (head.framing == http::Framing::kLength || !head.find("content-length").empty())
    fmt::format_to(std::back_inserter(out), "content-length: {}\r\n", head.content_length);
  out += "\r\n";
  return out;
}

std::string downstream_headers(const http::ResponseHead& head) {
  std::string out;
  out.reserve(head.bytes);
  const std::string_view connection = head.find("connection");
  for (const http::Header& h : head.headers) {
    if (http::is_hop_by_hop(h.name, connection) || http::iequals(h.name, "content-length") || http::iequals(h.name, "x-request-id")) continue;
    if (h.name.size() >= 9 && http::iequals(h.name.substr(0, 9), "x-skerry-")) continue;
    out.append(h.name).append(": ").append(h.value).append("\r\n");
  }
  return out;
}

std::string phases_text(const StartPhases& p) {
  if (p == StartPhases{}) return {};
  return fmt::format("slot;dur={:.1f}, mount;dur={:.1f}, runtime;dur={:.1f}, code;dur={:.1f}, ready;dur={:.1f}", ms(p.slot), ms(p.mount), ms(p.runtime), ms(p.code),
                     ms(p.ready));
}

std::string platform_headers(std::string_view request_id, std::string_view location, const Timing* timing) {
  std::string out = fmt::format("x-request-id: {}\r\nx-skerry-location: {}\r\n", request_id, location);
  if (timing != nullptr) {
    const std::string phases = phases_text(timing->phases);
    fmt::format_to(std::back_inserter(out), "server-timing: start;desc=\"{}\";dur={:.1f}, queue;dur={:.1f}, fn;dur={:.1f}{}{}\r\n", to_string(timing->mode),
                   ms(timing->start), ms(timing->queued - timing->start), ms(timing->function), phases.empty() ? "" : ", ", phases);
  }
  return out;
}

}  // namespace skerry
