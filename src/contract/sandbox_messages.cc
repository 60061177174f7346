#include "contract/sandbox_messages.h"

#include "base/id.h"
#include "contract/wire.h"

namespace skerry::sandbox {
namespace {

constexpr size_t kIdBytes = 26;
constexpr size_t kLabelBytes = 128;
constexpr size_t kTextBytes = 4096;
constexpr size_t kDigestBytes = 80;

// Each message lists its fields once, for both directions. Out is wire::Writer or In below.
struct In {
  wire::Reader r;
  void id(std::string& v) {
    v = r.string(kIdBytes);
    if (!r.failed() && !is_ulid(v)) r.fail_now();
  }
  void text(std::string& v, size_t max) { v = r.string(max); }
  template <typename T>
  void num(T& v) {
    if constexpr (std::is_same_v<T, bool>) v = r.boolean();
    else v = r.number<T>();
  }
  void kind(SignalKind& v) { v = r.enumeration(SignalKind::kKill); }
};
struct Out {
  wire::Writer w;
  void id(const std::string& v) { w.string(v); }
  void text(const std::string& v, size_t max) { w.string(std::string_view(v).substr(0, max)); }
  template <typename T>
  void num(const T& v) {
    if constexpr (std::is_same_v<T, bool>) w.number(static_cast<uint8_t>(v));
    else w.number(v);
  }
  void kind(const SignalKind& v) { w.number(v); }
};

void fields(auto& io, auto& m)
  requires requires { m.slot_us; }
{
  io.num(m.request), io.id(m.id), io.num(m.slot_us), io.num(m.mount_us), io.num(m.process_us), io.num(m.prestarted), io.num(m.address);
}
void fields(auto& io, auto& m)
  requires requires { m.phase; }
{
  io.num(m.request), io.id(m.id), io.text(m.phase, 32), io.text(m.message, kTextBytes), io.num(m.code);
}
void fields(auto& io, auto& m)
  requires requires { m.exit_code; }
{
  io.id(m.id), io.num(m.exit_code), io.num(m.term_signal), io.num(m.out_of_memory), io.num(m.cpu_us), io.num(m.peak_memory_bytes);
}
void fields(auto& io, auto& m)
  requires requires { m.label; }
{
  io.num(m.request), io.id(m.id), io.text(m.label, kLabelBytes), io.num(m.address);
}
void fields(auto& io, auto& m)
  requires requires { m.memory_bytes; }
{
  io.num(m.request), io.id(m.id), io.num(m.cpu_us), io.num(m.memory_bytes);
}
void fields(auto& io, auto& m)
  requires requires { m.kind; }
{
  io.id(m.id), io.kind(m.kind);
}
void fields(auto& io, auto& m)
  requires requires { m.frozen; }
{
  io.num(m.request), io.id(m.id), io.num(m.frozen);
}
void fields(auto& io, auto& m)
  requires requires { m.count; }
{
  io.num(m.request), io.id(m.id), io.num(m.count);
}
void fields(auto& io, Start& m) { io.num(m.request); }
void fields(auto& io, const Start& m) { io.num(m.request); }
void fields(auto& io, List& m) { io.num(m.request); }
void fields(auto& io, const List& m) { io.num(m.request); }
void fields(auto& io, KeepSpares& m) { io.num(m.request); }
void fields(auto& io, const KeepSpares& m) { io.num(m.request); }
void fields(auto& io, KeepPolicies& m) { io.num(m.request); }
void fields(auto& io, const KeepPolicies& m) { io.num(m.request); }
void fields(auto& io, Done& m) { io.num(m.request); }
void fields(auto& io, const Done& m) { io.num(m.request); }
void fields(auto& io, GetUsage& m) { io.num(m.request), io.id(m.id); }
void fields(auto& io, const GetUsage& m) { io.num(m.request), io.id(m.id); }
void fields(auto& io, Sockets& m) { io.num(m.request), io.id(m.id); }
void fields(auto& io, const Sockets& m) { io.num(m.request), io.id(m.id); }
void fields(auto& io, Refused& m) { io.num(m.request), io.text(m.message, kTextBytes); }
void fields(auto& io, const Refused& m) { io.num(m.request), io.text(m.message, kTextBytes); }
void fields(auto& io, auto& m)
  requires requires { m.subfolder; }
{
  io.text(m.digest, kDigestBytes), io.text(m.subfolder, 256), io.num(m.max_bytes), io.num(m.max_files);
}
void fields(auto& io, RemoveLayer& m) { io.text(m.digest, kDigestBytes); }
void fields(auto& io, const RemoveLayer& m) { io.text(m.digest, kDigestBytes); }
void fields(auto& io, HasLayer& m) { io.text(m.digest, kDigestBytes); }
void fields(auto& io, const HasLayer& m) { io.text(m.digest, kDigestBytes); }
void fields(auto& io, auto& m)
  requires requires { m.existed; }
{
  io.num(m.ok), io.num(m.existed), io.num(m.code), io.text(m.message, kTextBytes), io.num(m.bytes), io.num(m.files);
}
void fields(auto& io, Deliver& m) { io.id(m.id); }
void fields(auto& io, const Deliver& m) { io.id(m.id); }

template <typename Variant>
std::string encode_variant(const Variant& message) {
  Out out;
  out.w.number(static_cast<uint8_t>(message.index()));
  std::visit([&](const auto& m) { fields(out, m); }, message);
  return out.w.take();
}

template <typename Variant, size_t I = 0>
Result<Variant> decode_variant(uint8_t index, In& in, std::string_view what) {
  if constexpr (I == std::variant_size_v<Variant>) {
    return fail(ErrorCode::kProtocol, "{}: unknown type {}", what, index);
  } else {
    if (index != I) return decode_variant<Variant, I + 1>(index, in, what);
    std::variant_alternative_t<I, Variant> m;
    fields(in, m);
    TRY(in.r.finish(what));
    return Variant(std::move(m));
  }
}

template <typename Variant>
Result<Variant> decode_any(std::string_view bytes, std::string_view what) {
  In in{wire::Reader(bytes)};
  const auto index = in.r.number<uint8_t>();
  if (in.r.failed()) return fail(ErrorCode::kProtocol, "{}: empty", what);
  return decode_variant<Variant>(index, in, what);
}

template <typename M>
std::string encode_one(const M& message) {
  Out out;
  fields(out, message);
  return out.w.take();
}
template <typename M>
Result<M> decode_one(std::string_view bytes, std::string_view what) {
  In in{wire::Reader(bytes)};
  M message;
  fields(in, message);
  TRY(in.r.finish(what));
  return message;
}

}  // namespace

std::string encode_spares(const std::vector<SpareOrder>& orders) {
  wire::Writer w;
  w.number(static_cast<uint32_t>(orders.size()));
  for (const SpareOrder& order : orders) {
    w.string(order.plan.encode());
    w.number(order.count);
  }
  return w.take();
}

Result<std::vector<SpareOrder>> decode_spares(std::string_view bytes) {
  wire::Reader r(bytes);
  const auto count = r.number<uint32_t>();
  if (count > kMaxSpareOrders) r.fail_now();
  std::vector<SpareOrder> orders;
  for (uint32_t i = 0; i < count && !r.failed(); ++i) {
    auto plan = StartPlan::decode(r.string(kMaxPlanBytes));
    if (!plan) return pass(std::move(plan).error(), "spare");
    orders.push_back({std::move(*plan), r.number<uint8_t>()});
    // SECURITY: a spare runs before anybody's function does: nothing but a runtime, under the names and variables that spare_of() gives it.
    const StartPlan& given = orders.back().plan;
    if (!given.spare || spare_of(given, given.id).encode() != given.encode()) return fail(ErrorCode::kProtocol, "a spare that is none");
  }
  TRY(r.finish("list of spares"));
  return orders;
}

std::string encode_policies(const std::vector<EgressPolicy>& policies) {
  wire::Writer w;
  w.number(static_cast<uint32_t>(policies.size()));
  for (const EgressPolicy& policy : policies) w.string(policy.encode());
  return w.take();
}

Result<std::vector<EgressPolicy>> decode_policies(std::string_view bytes) {
  wire::Reader r(bytes);
  const auto count = r.number<uint32_t>();
  if (count > kMaxPolicyOrders) r.fail_now();
  std::vector<EgressPolicy> policies;
  for (uint32_t i = 0; i < count && !r.failed(); ++i) {
    TRY_ASSIGN(EgressPolicy policy, EgressPolicy::decode(r.string(kMaxPolicyBytes)));
    if (policy.empty()) r.fail_now();
    policies.push_back(std::move(policy));
  }
  TRY(r.finish("list of policies"));
  return policies;
}

std::string encode(const ClientMessage& message) { return encode_variant(message); }
std::string encode(const StarterMessage& message) { return encode_variant(message); }
Result<ClientMessage> decode_client(std::string_view bytes) { return decode_any<ClientMessage>(bytes, "message to starter"); }
Result<StarterMessage> decode_starter(std::string_view bytes) { return decode_any<StarterMessage>(bytes, "message from starter"); }
std::string encode(const LayerRequest& message) { return encode_variant(message); }
Result<LayerRequest> decode_layer_request(std::string_view bytes) { return decode_any<LayerRequest>(bytes, "layer request"); }
std::string encode(const LayerDone& message) { return encode_one(message); }
Result<LayerDone> decode_layer_done(std::string_view bytes) { return decode_one<LayerDone>(bytes, "layer answer"); }
std::string encode(const Deliver& message) { return encode_one(message); }
Result<Deliver> decode_deliver(std::string_view bytes) { return decode_one<Deliver>(bytes, "delivery to keeper"); }

}  // namespace skerry::sandbox
