#include "targets.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/id.h"
#include "contract/plan.h"
#include "contract/sandbox_messages.h"
#include "contract/secret_blob.h"
#include "contract/watch.h"
#include "meter/journal.h"
#include "resolver/message.h"
#include "resolver/servers.h"
#include "sandboxd/firewall.h"
#include "sandboxd/plan_rules.h"
#include "sandboxd/scratch_image.h"
#include "sandboxd/slot.h"

namespace skerry::fuzz {
namespace {

constexpr std::string_view kId = "01hv8z2k3m4n5p6q7r8s9tavwx";

void hold(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

// ---- plans

StartPlan instance_plan() {
  StartPlan plan;
  plan.id = kId;
  plan.label = "rev1";
  plan.layers = {*Digest::parse("sha256:" + std::string(64, 'a')), *Digest::parse("sha256:" + std::string(64, 'b'))};
  plan.argv = {"/usr/bin/python3", "main.py"};
  plan.env = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "A="};
  plan.cwd = "/app";
  plan.hostname = "i-" + plan.id.substr(14);
  plan.transport = Transport::kUnix;
  plan.runtime_layers = 1;
  return plan;
}

EgressPolicy policy() {
  EgressPolicy p;
  for (const char* text : {"203.0.113.0/24:443", "198.51.100.7", "udp/192.0.2.0/24:8000-8100"}) p.allow.push_back(*parse_egress_rule(text));
  for (const char* text : {"203.0.113.9", "0.0.0.0/0:25", "tcp/[2001:db8::/32]:80"}) p.deny.push_back(*parse_egress_rule(text));
  p.normalise();
  return p;
}

StartPlan job_plan() {
  StartPlan plan = instance_plan();
  plan.kind = PlanKind::kJob;
  plan.transport = Transport::kNone;
  plan.runtime_layers = 0;
  plan.network = Network::kNone;
  return plan;
}

void run_plan(std::string_view bytes) {
  const auto plan = StartPlan::decode(bytes);
  if (!plan) return;
  hold(plan->encode() == bytes, "a plan is not what it was decoded from");
  const sandbox::Settings settings;
  if (sandbox::check_plan(sandbox::Role::kEdge, *plan, settings)) {
    hold(plan->kind == PlanKind::kInstance && !plan->spare, "edge starts what is no instance");
    hold(plan->limits.memory_bytes <= settings.max_memory_bytes && plan->cwd == "/app" && plan->isolation == Isolation::kNative, "edge starts what it may not");
  }
  if (sandbox::check_plan(sandbox::Role::kControl, *plan, settings)) hold(plan->kind == PlanKind::kJob && !plan->has_secrets, "control starts what is no job");
  if (plan->runtime_layers == 0) return;
  const StartPlan spare = spare_of(*plan, std::string(kId));
  hold(StartPlan::decode(spare.encode()).has_value(), "the spare of a plan is no plan");
}
std::vector<std::string> plan_seeds() {
  StartPlan server = instance_plan();
  server.transport = Transport::kTcp;
  server.port = 8080;
  server.runtime_layers = 0;
  server.has_secrets = true;
  StartPlan held = instance_plan();
  held.egress = policy();
  return {instance_plan().encode(), job_plan().encode(), server.encode(), spare_of(instance_plan(), std::string(kId)).encode(), held.encode(), spare_of(held, std::string(kId)).encode()};
}

void run_spares(std::string_view bytes) {
  if (const auto orders = sandbox::decode_spares(bytes)) hold(sandbox::encode_spares(*orders) == bytes, "spares are not what they were decoded from");
}
std::vector<std::string> spares_seeds() {
  const StartPlan spare = spare_of(instance_plan(), std::string(kId));
  return {sandbox::encode_spares({}), sandbox::encode_spares({{spare, 2}}), sandbox::encode_spares({{spare, 0}, {spare, 255}})};
}

void run_policies(std::string_view bytes) {
  if (const auto policies = sandbox::decode_policies(bytes)) {
    hold(sandbox::encode_policies(*policies) == bytes, "policies are not what they were decoded from");
    for (const EgressPolicy& p : *policies) (void)sandbox::policy_rules(p, p.allow);
  }
}
std::vector<std::string> policies_seeds() { return {sandbox::encode_policies({}), sandbox::encode_policies({policy()}), sandbox::encode_policies({policy(), policy()})}; }

// What people write: a rule is one text, whatever was written, and covers itself.
void run_egress_rule(std::string_view bytes) {
  const auto rule = parse_egress_rule(bytes);
  if (!rule) return;
  hold(rule->text().size() <= kMaxEgressTextBytes && parse_egress_rule(rule->text()) == *rule, "a rule changes when it is told again");
  hold(rule->covers(*rule) && rule->overlaps(*rule), "a rule that does not cover itself");
}
std::vector<std::string> egress_rule_seeds() { return {"203.0.113.0/24:443", "198.51.100.7", "tcp/192.0.2.0/24:8000-8100", "udp/[2001:db8::/32]:443", "::/0", "0.0.0.0/0:25"}; }

// ---- messages between processes

template <auto kDecode>
void run_message(std::string_view bytes) {
  if (const auto message = kDecode(bytes)) hold(encode(*message) == bytes, "a message is not what it was decoded from");
}

template <typename Message>
std::vector<std::string> encoded(std::initializer_list<Message> messages) {
  std::vector<std::string> out;
  for (const Message& message : messages) out.push_back(encode(message));
  return out;
}

std::vector<std::string> client_seeds() {
  using namespace sandbox;
  const std::string id(kId);
  return encoded<ClientMessage>({Start{1}, Signal{id, SignalKind::kKill}, SetFrozen{2, id, true}, MoreSockets{3, id, 8}, List{4}, GetUsage{5, id}, KeepSpares{6}, KeepPolicies{7}});
}
std::vector<std::string> starter_seeds() {
  using namespace sandbox;
  const std::string id(kId);
  return encoded<StarterMessage>({Started{1, id, 2, 3, 4, true}, StartFailed{1, id, "mount", "why", 3}, Exited{id, -1, 9, true, 5, 6}, Listed{1, id, "rev"}, Sockets{1, id},
                                  Usage{1, id, 2, 3}, Done{1}, Refused{1, "no"}});
}
std::vector<std::string> layer_seeds() {
  using namespace sandbox;
  return encoded<LayerRequest>({UnpackLayer{"sha256:" + std::string(64, 'a'), "/app", 1, 2}, RemoveLayer{"sha256:" + std::string(64, 'b')}, HasLayer{"x"}});
}
std::vector<std::string> layer_done_seeds() { return encoded<sandbox::LayerDone>({{true, false, 0, "", 1, 2}, {false, false, 3, "why", 0, 0}}); }
std::vector<std::string> deliver_seeds() { return encoded<sandbox::Deliver>({{std::string(kId)}}); }

// Those that sandboxd's own roles say to each other.
void run_roles(std::string_view bytes) {
  if (const auto want = sandbox::decode_want(bytes)) {
    hold(sandbox::encode_want(*want) == bytes, "a wish for slots is not what it was decoded from");
    hold(EgressPolicy::decode(want->policy).has_value(), "filler would make rules of what is no policy");
  }
  if (const auto disk = sandbox::decode_want_scratch(bytes)) {
    hold(sandbox::encode_want_scratch(*disk) == bytes, "a wish for a disk is not what it was decoded from");
    hold(*disk >= kMinScratchDiskBytes && *disk <= kMaxScratchBytes, "filler would make a disk that no plan has");
  }
  if (const auto dead = sandbox::decode_dead(bytes)) {
    hold(sandbox::encode_dead(*dead) == bytes, "a dead container is not what it was decoded from");
    hold(dead->index <= sandbox::kMaxSlotIndex && (dead->id.empty() || is_ulid(dead->id)), "reaper would remove what is no container's");
  }
  const auto slot = sandbox::decode_slot(Message{std::string(bytes), {}});
  hold(!slot || std::holds_alternative<sandbox::NoSlot>(*slot), "a slot without its descriptors");
}
std::vector<std::string> roles_seeds() {
  sandbox::Slot slot;
  slot.index = 7;
  slot.pid = 4711;
  return {sandbox::encode_want({12, ""}), sandbox::encode_want({64, policy().encode()}), sandbox::encode_want_scratch(kMinScratchDiskBytes), sandbox::encode_dead({7, ""}), sandbox::encode_dead({0, std::string(kId)}), sandbox::encode_slot(slot), sandbox::encode_slot_error("no", ""), sandbox::encode_slot_error("no", policy().encode())};
}

void run_secret_blob(std::string_view bytes) {
  const auto secrets = read_secret_blob(bytes);
  if (!secrets) return;
  hold(check_secrets(*secrets).has_value() && secret_blob_bytes(*secrets) == bytes.size(), "secrets that may not be");
  std::string again(bytes.size(), '\0');
  write_secret_blob(*secrets, again.data());
  hold(again == bytes, "secrets are not what they were read from");
}
std::vector<std::string> secret_blob_seeds() {
  std::vector<std::string> out;
  for (const std::vector<SecretView>& secrets : {std::vector<SecretView>{}, {{"DATABASE_URL", "postgres://u:p=w@h/d"}, {"EMPTY", ""}}}) {
    std::string blob(secret_blob_bytes(secrets), '\0');
    write_secret_blob(secrets, blob.data());
    out.push_back(std::move(blob));
  }
  return out;
}

// ---- the watch

// Text has many forms of one value, so it is the second encoding that must stand.
template <auto kDecode>
void run_watch(std::string_view bytes) {
  const auto message = kDecode(bytes);
  if (!message) return;
  const std::string once = watch::encode(*message);
  const auto again = kDecode(once);
  hold(again.has_value() && watch::encode(*again) == once, "a watch message changes when it is told again");
}
std::vector<std::string> from_control_seeds() {
  FunctionConfig function;
  function.id = FunctionId("f1");
  function.org = OrgId("o1");
  function.name = "hello";
  RevisionConfig revision;
  revision.id = RevisionId("r1");
  revision.layers = instance_plan().layers;
  revision.argv = {"/app/main"};
  revision.env = {"A=b"};
  function.revisions = {revision};
  function.routes = {{"hello.skerry.localhost", {{revision.id, 1}}}};
  watch::Snapshot snapshot{3, "gw", "local", "skerry.localhost", "PEM", "KEY", {function}};
  return {watch::encode(watch::FromControl(snapshot)), watch::encode(watch::FromControl(watch::FunctionChange{4, function})),
          watch::encode(watch::FromControl(watch::FunctionRemoved{5, function.id})), watch::encode(watch::FromControl(watch::Verify{6, function.id, revision}))};
}
std::vector<std::string> from_edge_seeds() {
  watch::State state{{{InstanceId(std::string(kId)), FunctionId("f1"), RevisionId("r1"), "idle", "boot", 1}}};
  return {watch::encode(watch::FromEdge(watch::Applied{3})), watch::encode(watch::FromEdge(watch::Verified{1, false, "mount", "why", 5})), watch::encode(watch::FromEdge(state))};
}

// However a stream is cut, the same messages come out of it. The first byte says how it is cut.
void run_frames(std::string_view bytes) {
  constexpr size_t kMaxFrame = 4096;
  const size_t step = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes[0]) % 16;
  if (!bytes.empty()) bytes.remove_prefix(1);
  const auto all = [&](size_t piece) {
    std::vector<std::string> out;
    watch::FrameReader reader(kMaxFrame);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      reader.append(bytes.substr(at, piece));
      for (;;) {
        auto next = reader.next();
        if (!next) return out.emplace_back("over the bound"), out;
        if (!*next) break;
        hold((*next)->size() <= kMaxFrame, "a frame over its bound");
        out.push_back(std::move(**next));
      }
    }
    return out;
  };
  hold(all(step) == all(std::max<size_t>(1, bytes.size())), "a stream reads differently when it is cut differently");
}
std::vector<std::string> frames_seeds() { return {"\x01" + watch::frame("{}"), "\x05" + watch::frame("") + watch::frame("{\"type\":\"applied\"}"), std::string("\x02\xff\xff\xff\xff", 5)}; }

// ---- the journal

constexpr size_t kJournalHead = meter::kRecordBytes * 4;  // what an input may fill: the header and three records

std::string temporary_file() {
  std::string path = "/tmp/skerry-fuzz-XXXXXX";
  const int fd = ::mkstemp(path.data());
  hold(fd >= 0 && ::ftruncate(fd, meter::kSegmentBytes) == 0, "no temporary file");
  ::close(fd);
  return path;
}

void run_journal(std::string_view bytes) {
  static const std::string path = temporary_file();
  static const int registered = std::atexit([] { ::unlink(path.c_str()); });
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  std::string head(kJournalHead, '\0');
  std::copy_n(bytes.begin(), std::min(bytes.size(), head.size()), head.begin());
  hold(registered == 0 && fd >= 0 && ::pwrite(fd, head.data(), head.size(), 0) == static_cast<ssize_t>(head.size()), "write the segment");
  ::close(fd);
  uint64_t records = 0;
  const auto end = meter::read_segment(path, 0, [&](const meter::Entry& e, bool) {
    ++records;
    hold(e.function.size() <= 32 && e.request_id.size() <= 40, "a field over its bound");
  });
  if (end) hold(records <= *end && *end <= 3, "records where there are none");
}
std::vector<std::string> journal_seeds() {
  std::string folder = "/tmp/skerry-fuzz-XXXXXX";
  hold(::mkdtemp(folder.data()) != nullptr, "no temporary folder");
  {
    auto journal = meter::Journal::open(folder);
    hold(journal.has_value(), "no journal");
    for (int i = 0; i < 2; ++i) hold((*journal)->append({"f1", "r1", "local", "req", 1, 200, 1, 2, 3, 4, 5, 6}).has_value(), "append to the journal");
  }
  const std::string path = folder + "/" + meter::segment_name(1);
  std::string head(kJournalHead, '\0');
  std::ifstream(path, std::ios::binary).read(head.data(), static_cast<std::streamsize>(head.size()));
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
  return {head};
}

// ---- names: a question as a container sends it, or (from its second half on) a server's answer to it

const std::string kQuestion = std::string("\x12\x34\1\0\0\1\0\0\0\0\0\0\3WwW\7example\3org\0\0\1\0\1", 33);

void run_dns_question(std::string_view bytes) {
  const dns::Asked asked = dns::read_question(bytes);
  hold(!(asked.question && asked.refusal), "a question that is refused and asked");
  if (asked.refusal) {
    const std::string answer = dns::code_answer(bytes, std::nullopt, *asked.refusal);
    hold(answer.size() == dns::kHeaderBytes && !dns::read_question(answer).question && !dns::read_question(answer).refusal, "an answer that would be answered");
  }
  if (!asked.question) return;
  const dns::Question& q = *asked.question;
  hold(q.end <= bytes.size() && q.end <= dns::kHeaderBytes + dns::kMaxNameBytes + 4 && q.udp_bytes >= dns::kPlainUdpBytes && q.udp_bytes <= dns::kMaxUdpAnswer, "a question over its bounds");
  const std::string sent = dns::with_id(bytes, 7);
  hold(dns::classify_reply(sent, q, sent) == dns::Reply::kNotOurs, "a question is its own answer");
  const std::string failure = dns::code_answer(sent, q, dns::Code::kServerFailure);
  hold(dns::classify_reply(sent, q, failure) == dns::Reply::kFailed && failure.size() <= dns::kPlainUdpBytes, "our own failure is not one");
  hold(dns::classify_reply(sent, q, dns::truncated(dns::code_answer(sent, q, dns::Code::kNoError), q)) == dns::Reply::kAnswer, "a cut answer is none");
  if (const auto own = dns::own_answer(sent, q, {"skerry.localhost", 1})) hold(dns::classify_reply(sent, q, *own) == dns::Reply::kAnswer && own->size() <= 600, "our own answer is none");
}
std::vector<std::string> dns_question_seeds() {
  std::string with_opt = kQuestion, own = std::string("\x12\x34\1\0\0\1\0\0\0\0\0\0\1f\6skerry\11localhost\0\0\1\0\1", 36);
  with_opt[11] = 1;
  with_opt += std::string("\0\0\x29\x04\xD0\0\0\0\0\0\0", 11);
  return {kQuestion, with_opt, own};
}

void run_dns_reply(std::string_view bytes) {
  const dns::Question q = *dns::read_question(kQuestion).question;
  const dns::Reply reply = dns::classify_reply(kQuestion, q, bytes);
  if (reply == dns::Reply::kNotOurs) return;
  hold(bytes.substr(0, 2) == std::string_view(kQuestion).substr(0, 2) && (bytes[2] & 0x80) != 0, "an answer to something else");
  hold(dns::with_id(bytes, 9).substr(2) == bytes.substr(2), "an answer changes on its way");
  if (reply == dns::Reply::kAnswer) hold(dns::truncated(bytes, q).size() == q.end, "a cut answer has no question");
}
std::vector<std::string> dns_reply_seeds() {
  const dns::Question q = *dns::read_question(kQuestion).question;
  std::string answer = dns::code_answer(kQuestion, q, dns::Code::kNoError) + std::string("\xC0\x0C\0\1\0\1\0\0\0\x3C\0\4\1\2\3\4", 16);
  answer[7] = 1;
  return {answer, dns::code_answer(kQuestion, q, dns::Code::kServerFailure), dns::code_answer(kQuestion, std::nullopt, dns::Code::kRefused)};
}

// A resolv.conf is the host's own, but other programs write it.
void run_resolv_conf(std::string_view bytes) { hold(dns::servers_of(bytes, {}).size() <= dns::kMaxServers, "more servers than are taken"); }
std::vector<std::string> resolv_conf_seeds() { return {"# x\nnameserver 127.0.0.53\nnameserver\tfd00::1\r\nnameserver fe80::1%lo\noptions edns0\n"}; }

constexpr Target kTargets[] = {
    {"plan", run_plan, plan_seeds},
    {"spares", run_spares, spares_seeds},
    {"policies", run_policies, policies_seeds},
    {"egress_rule", run_egress_rule, egress_rule_seeds},
    {"client_message", run_message<sandbox::decode_client>, client_seeds},
    {"starter_message", run_message<sandbox::decode_starter>, starter_seeds},
    {"layer_request", run_message<sandbox::decode_layer_request>, layer_seeds},
    {"layer_done", run_message<sandbox::decode_layer_done>, layer_done_seeds},
    {"deliver", run_message<sandbox::decode_deliver>, deliver_seeds},
    {"roles", run_roles, roles_seeds},
    {"secret_blob", run_secret_blob, secret_blob_seeds},
    {"watch_from_control", run_watch<watch::decode_from_control>, from_control_seeds, 50'000},
    {"watch_from_edge", run_watch<watch::decode_from_edge>, from_edge_seeds},
    {"frames", run_frames, frames_seeds},
    {"dns_question", run_dns_question, dns_question_seeds},
    {"dns_reply", run_dns_reply, dns_reply_seeds},
    {"resolv_conf", run_resolv_conf, resolv_conf_seeds},
    {"journal", run_journal, journal_seeds, 10'000},
};

int nibble(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

}  // namespace

std::span<const Target> targets() { return kTargets; }

const Target* find_target(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTargets), std::end(kTargets), [&](const Target& t) { return t.name == name; });
  return found == std::end(kTargets) ? nullptr : found;
}

std::vector<std::string> kept_corpus(std::string_view name) {
  std::vector<std::string> out;
  std::ifstream file(std::string(SKERRY_FUZZ_CORPUS) + "/" + std::string(name) + ".hex");
  for (std::string line; std::getline(file, line);) {
    std::string bytes;
    for (size_t i = 0; i + 1 < line.size(); i += 2) {
      hold(nibble(line[i]) >= 0 && nibble(line[i + 1]) >= 0, "a line of the corpus is not hexadecimal");
      bytes += static_cast<char>(nibble(line[i]) << 4 | nibble(line[i + 1]));
    }
    out.push_back(std::move(bytes));
  }
  return out;
}

}  // namespace skerry::fuzz
