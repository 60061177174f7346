#include "build/sandbox_client.h"

#include <unistd.h>

#include "base/id.h"
#include "contract/sandbox_messages.h"
#include "os/file.h"
#include "os/unix_socket.h"

namespace skerry {
namespace {

// One message, or why not: a deadline, or the other end gone.
Task<Result<Message>> receive(int fd, FdWatch& watch, TimePoint deadline) {
  for (;;) {
    auto message = receive_message(fd);
    if (message) co_return message;
    if (message.error().sys_errno() != EAGAIN) co_return fail(ErrorCode::kUnavailable, "sandboxd restarted during the work; try again");
    if (co_await watch.readable().wait(deadline) == Wake::kTimeout) co_return fail(ErrorCode::kTimeout, "not done in time");
  }
}

Result<UniqueFd> connect_to(const std::string& path) {
  auto connection = connect_unix(path, SocketType::kSeqpacket);
  if (!connection) return fail(ErrorCode::kUnavailable, "sandboxd is not there ({}); try again in a moment", connection.error().message());
  TRY(set_nonblocking(connection->get()));
  return connection;
}

}  // namespace

Task<Result<JobEnd>> SandboxJobs::run(Job job, TimePoint deadline) {
  StartPlan plan;
  plan.id = new_ulid();
  plan.label = job.label;
  plan.kind = PlanKind::kJob;
  plan.layers = std::move(job.layers);
  plan.argv = std::move(job.argv);
  plan.env = std::move(job.env);
  plan.cwd = std::move(job.cwd);
  plan.hostname = "build";
  plan.limits = job.limits;
  CO_TRY_ASSIGN(const UniqueFd connection, connect_to(path_));
  CO_TRY_ASSIGN(const UniqueFd plan_fd, make_sealed_memfd("plan", plan.encode()));
  const int fds[] = {plan_fd.get(), job.in, job.out, job.err};
  CO_TRY(send_message(connection.get(), sandbox::encode(sandbox::ClientMessage(sandbox::Start{1})), fds));
  FdWatch watch(loop_, connection.get());
  CO_TRY(watch.status());
  for (;;) {
    auto message = co_await receive(connection.get(), watch, deadline);
    if (!message && message.error().code() == ErrorCode::kUnavailable) co_await kill_orphan(plan.id);
    if (!message) co_return pass(std::move(message).error());
    CO_TRY_ASSIGN(const sandbox::StarterMessage decoded, sandbox::decode_starter(message->bytes));
    if (const auto* failed = std::get_if<sandbox::StartFailed>(&decoded))
      co_return fail(static_cast<ErrorCode>(failed->code), "the build container: {}: {}", failed->phase, failed->message);
    if (const auto* refused = std::get_if<sandbox::Refused>(&decoded)) co_return fail(ErrorCode::kInternal, "sandboxd refused a job: {}", refused->message);
    if (const auto* exited = std::get_if<sandbox::Exited>(&decoded)) co_return JobEnd{exited->exit_code, exited->term_signal, exited->out_of_memory};
  }
}

// A container outlives the starter that made it, and the next one adopts it. Nobody waits for this one any more.
Task<void> SandboxJobs::kill_orphan(std::string id) {
  const TimePoint deadline = loop_.now() + kReconnectTime;
  while (loop_.now() < deadline) {
    if (const auto connection = connect_to(path_)) {
      (void)send_message(connection->get(), sandbox::encode(sandbox::ClientMessage(sandbox::Signal{id, sandbox::SignalKind::kKill})));
      co_return;
    }
    co_await loop_.sleep_until(loop_.now() + kReconnectEvery);
  }
}

Task<Result<LayerSize>> SandboxLayers::unpack(Digest digest, int archive, std::string subfolder, uint64_t max_bytes, uint32_t max_files) {
  CO_TRY_ASSIGN(const UniqueFd connection, connect_to(path_));
  const int fds[] = {archive};
  CO_TRY(send_message(connection.get(), sandbox::encode(sandbox::LayerRequest(sandbox::UnpackLayer{digest.str(), subfolder, max_bytes, max_files})), fds));
  FdWatch watch(loop_, connection.get());
  CO_TRY(watch.status());
  CO_TRY_ASSIGN(const Message message, co_await receive(connection.get(), watch, loop_.now() + kUnpackTime));
  CO_TRY_ASSIGN(const sandbox::LayerDone done, sandbox::decode_layer_done(message.bytes));
  if (!done.ok) co_return fail(static_cast<ErrorCode>(done.code), "{}", done.message);
  co_return LayerSize{done.bytes, done.files};
}

Task<Result<bool>> SandboxLayers::has(Digest digest) {
  CO_TRY_ASSIGN(const UniqueFd connection, connect_to(path_));
  CO_TRY(send_message(connection.get(), sandbox::encode(sandbox::LayerRequest(sandbox::HasLayer{digest.str()}))));
  FdWatch watch(loop_, connection.get());
  CO_TRY(watch.status());
  CO_TRY_ASSIGN(const Message message, co_await receive(connection.get(), watch, loop_.now() + std::chrono::seconds(30)));
  CO_TRY_ASSIGN(const sandbox::LayerDone done, sandbox::decode_layer_done(message.bytes));
  co_return done.ok;
}

}  // namespace skerry
