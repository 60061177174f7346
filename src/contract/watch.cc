#include "contract/watch.h"

namespace skerry::watch {
namespace {

constexpr size_t kMaxFunctions = 1'000'000;
constexpr size_t kMaxInstances = 20'000;
constexpr size_t kMaxPemBytes = 256 * 1024;

json::value to_json(const Snapshot& m) {
  json::array functions;
  for (const FunctionConfig& f : m.functions) functions.push_back(f.to_json());
  return json::object{{"type", "snapshot"}, {"version", m.version}, {"gateway_id", m.gateway_id}, {"location", m.location}, {"domain", m.domain},
                      {"tls", json::object{{"certificate", m.certificate_pem}, {"key", m.key_pem}}}, {"functions", std::move(functions)}};
}
json::value to_json(const FunctionChange& m) {
  return json::object{{"type", "function"}, {"version", m.version}, {"function", m.function.to_json()}};
}
json::value to_json(const FunctionRemoved& m) { return json::object{{"type", "removed"}, {"version", m.version}, {"id", m.id.str()}}; }
json::value to_json(const Verify& m) {
  return json::object{{"type", "verify"}, {"id", m.id}, {"function", m.function.str()}, {"revision", m.revision.to_json()}};
}
json::value to_json(const Applied& m) { return json::object{{"type", "applied"}, {"version", m.version}}; }
json::value to_json(const Verified& m) {
  return json::object{{"type", "verified"}, {"id", m.id}, {"ok", m.ok}, {"phase", m.phase}, {"message", m.message}, {"ms", m.ms}};
}
json::array phases_us(const StartPhases& p) {
  json::array out;
  for (const Duration phase : {p.slot, p.mount, p.runtime, p.code, p.ready}) out.push_back(std::chrono::duration_cast<std::chrono::microseconds>(phase).count());
  return out;
}
json::value to_json(const State& m) {
  json::array instances;
  for (const InstanceState& i : m.instances) {
    json::object instance{{"id", i.id.str()}, {"function", i.function.str()}, {"revision", i.revision.str()}, {"state", i.state},
                          {"mode", i.mode}, {"started_ms", i.started_ms}};
    if (i.phases != StartPhases{}) instance["phases_us"] = phases_us(i.phases);
    instances.push_back(std::move(instance));
  }
  return json::object{{"type", "state"}, {"instances", std::move(instances)}};
}

uint64_t version_of(json::ObjectReader& r, std::string_view key = "version") { return static_cast<uint64_t>(r.integer(key, 0, INT64_MAX, 0)); }

Result<Snapshot> read_snapshot(json::ObjectReader& r) {
  Snapshot m;
  m.version = version_of(r);
  m.gateway_id = r.string("gateway_id", 64);
  m.location = r.string("location", 64);
  m.domain = r.string("domain", 253);
  if (const json::value* tls = r.any("tls")) {
    json::ObjectReader t(*tls, "tls");
    m.certificate_pem = t.string("certificate", kMaxPemBytes);
    m.key_pem = t.string("key", kMaxPemBytes);
    TRY(t.finish());
  }
  if (const json::array* list = r.list("functions", kMaxFunctions)) {
    for (const json::value& item : *list) {
      TRY_ASSIGN(FunctionConfig f, FunctionConfig::from_json(item), "snapshot");
      m.functions.push_back(std::move(f));
    }
  }
  TRY(r.finish());
  return m;
}

constexpr size_t kPhases = 5;
constexpr int64_t kMaxPhaseUs = 3'600'000'000;  // an hour: past every start_timeout

Result<StartPhases> read_phases(const json::array& list) {
  StartPhases p;
  Duration* const phases[] = {&p.slot, &p.mount, &p.runtime, &p.code, &p.ready};
  static_assert(std::size(phases) == kPhases);
  if (list.size() != kPhases) return fail(ErrorCode::kProtocol, "{} phases of a start", list.size());
  for (size_t n = 0; n < kPhases; ++n) {
    const int64_t us = list[n].is_int64() ? list[n].get_int64() : -1;
    if (us < 0 || us > kMaxPhaseUs) return fail(ErrorCode::kProtocol, "phase {} of a start is not 0 to {} us", n, kMaxPhaseUs);
    *phases[n] = std::chrono::microseconds(us);
  }
  return p;
}

Result<State> read_state(json::ObjectReader& r) {
  State m;
  if (const json::array* list = r.list("instances", kMaxInstances)) {
    for (const json::value& item : *list) {
      json::ObjectReader i(item, "instances");
      m.instances.push_back({InstanceId(i.string("id", 64)), FunctionId(i.string("function", 64)), RevisionId(i.string("revision", 64)),
                             i.string("state", 16), i.string("mode", 16), i.integer("started_ms", 0, INT64_MAX, 0), {}});
      if (const json::array* phases = i.list("phases_us", kPhases)) {
        TRY_ASSIGN(m.instances.back().phases, read_phases(*phases), "state");
      }
      TRY(i.finish());
    }
  }
  TRY(r.finish());
  return m;
}

}  // namespace

std::string encode(const FromControl& message) {
  return std::visit([](const auto& m) { return json::serialize(to_json(m)); }, message);
}
std::string encode(const FromEdge& message) {
  return std::visit([](const auto& m) { return json::serialize(to_json(m)); }, message);
}

Result<FromControl> decode_from_control(std::string_view text) {
  TRY_ASSIGN(const json::value v, json::parse(text), "watch message");
  json::ObjectReader r(v, "watch message");
  const std::string type = r.string("type", 16);
  if (type == "snapshot") {
    TRY_ASSIGN(Snapshot m, read_snapshot(r));
    return m;
  }
  if (type == "function") {
    FunctionChange m;
    m.version = version_of(r);
    const json::value* f = r.any("function");
    if (f == nullptr) return fail(ErrorCode::kProtocol, "watch message: no function");
    TRY_ASSIGN(m.function, FunctionConfig::from_json(*f));
    TRY(r.finish());
    return m;
  }
  if (type == "removed") {
    FunctionRemoved m{version_of(r), FunctionId(r.string("id", 64))};
    TRY(r.finish());
    return m;
  }
  if (type == "verify") {
    Verify m;
    m.id = version_of(r, "id");
    m.function = FunctionId(r.string("function", 64));
    const json::value* revision = r.any("revision");
    if (revision == nullptr) return fail(ErrorCode::kProtocol, "watch message: no revision");
    TRY_ASSIGN(m.revision, RevisionConfig::from_json(*revision));
    TRY(r.finish());
    return m;
  }
  return fail(ErrorCode::kProtocol, "watch message of unknown type `{}`", type);
}

Result<FromEdge> decode_from_edge(std::string_view text) {
  TRY_ASSIGN(const json::value v, json::parse(text), "watch message");
  json::ObjectReader r(v, "watch message");
  const std::string type = r.string("type", 16);
  if (type == "applied") {
    Applied m{version_of(r)};
    TRY(r.finish());
    return m;
  }
  if (type == "verified") {
    Verified m{version_of(r, "id"), r.boolean("ok", false), r.string("phase", 64), r.string("message", 8192), r.integer("ms", 0, INT64_MAX, 0)};
    TRY(r.finish());
    return m;
  }
  if (type == "state") {
    TRY_ASSIGN(State m, read_state(r));
    return m;
  }
  return fail(ErrorCode::kProtocol, "watch message of unknown type `{}`", type);
}

std::string frame(std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(size >> (8 * i));
  out += text;
  return out;
}

Result<std::optional<std::string>> FrameReader::next() {
  constexpr size_t kLengthBytes = 4;
  if (buffer_.size() < kLengthBytes) return std::nullopt;
  uint32_t size = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) size |= static_cast<uint32_t>(static_cast<unsigned char>(buffer_[i])) << (8 * i);
  if (size > max_bytes_) return fail(ErrorCode::kTooLarge, "a message of {} bytes (limit {})", size, max_bytes_);
  if (buffer_.size() < kLengthBytes + size) return std::nullopt;
  std::string text = buffer_.substr(kLengthBytes, size);
  buffer_.erase(0, kLengthBytes + size);
  return text;
}

}  // namespace skerry::watch
