#include "daemon/edge_config.h"

#include <fcntl.h>

#include "loop/scope.h"
#include "os/file.h"

namespace skerry {
namespace {
constexpr size_t kMaxOutgoingBytes = 16U << 20;
constexpr auto kReconnectDelay = std::chrono::milliseconds(100);
constexpr const char* kSnapshotName = "snapshot.json";
}  // namespace

EdgeConfig::EdgeConfig(Loop& loop, const Logger& logger, std::string socket_path, std::string directory, Receiver& receiver)
    : loop_(loop), logger_(logger), socket_path_(std::move(socket_path)), directory_(std::move(directory)), receiver_(receiver), outgoing_ready_(loop) {}

bool EdgeConfig::load() {
  auto text = read_file(directory_ + "/" + kSnapshotName, watch::kMaxWatchMessage);
  if (!text) return false;
  auto message = watch::decode_from_control(*text);
  if (!message || !std::holds_alternative<watch::Snapshot>(*message)) {
    // Not fatal: control sends it again. Said, because until then nothing is served.
    logger_.error("the stored configuration cannot be read", {{"error", message ? "not a snapshot" : message.error().message()}});
    return false;
  }
  apply(std::move(*message));
  return true;
}

Result<void> EdgeConfig::save() {
  watch::Snapshot whole = snapshot_;
  for (const auto& [id, function] : functions_) whole.functions.push_back(function);
  TRY_ASSIGN(const UniqueFd directory, open_at(AT_FDCWD, directory_, O_RDONLY | O_DIRECTORY));
  // 0600: it holds the TLS key.
  return write_file_atomic(directory.get(), kSnapshotName, watch::encode(watch::FromControl(std::move(whole))), 0600);
}

void EdgeConfig::apply(watch::FromControl message) {
  if (auto* verify = std::get_if<watch::Verify>(&message)) {
    receiver_.on_verify(*verify);
    return;
  }
  if (auto* snapshot = std::get_if<watch::Snapshot>(&message)) {
    functions_.clear();
    for (FunctionConfig& function : snapshot->functions) functions_[FunctionId(function.id)] = std::move(function);
    snapshot->functions.clear();
    snapshot_ = std::move(*snapshot);
  } else if (auto* change = std::get_if<watch::FunctionChange>(&message)) {
    snapshot_.version = change->version;
    functions_[FunctionId(change->function.id)] = std::move(change->function);
  } else if (const auto* removed = std::get_if<watch::FunctionRemoved>(&message)) {
    snapshot_.version = removed->version;
    functions_.erase(removed->id);
  }
  receiver_.on_configuration(*this);
}

void EdgeConfig::send(const watch::FromEdge& message) {
  if (!connected_) return;
  const std::string frame = watch::frame(watch::encode(message));
  if (outgoing_.size() + frame.size() > kMaxOutgoingBytes) return;  // control does not read: it gets a new state later
  outgoing_ += frame;
  outgoing_ready_.set();
}

Task<void> EdgeConfig::write_messages(Stream& stream) {
  for (;;) {
    if (outgoing_.empty()) {
      (void)co_await outgoing_ready_.wait();
      continue;
    }
    const std::string batch = std::exchange(outgoing_, {});
    if (!co_await stream.write(batch, {}, loop_.now() + std::chrono::seconds(10))) co_return stream.abort();
  }
}

Task<void> EdgeConfig::run() {
  for (;;) {
    auto stream = co_await connect_unix_stream(loop_, socket_path_, loop_.now() + std::chrono::seconds(1));
    if (stream) {
      connected_ = true;
      {
        Scope writer(loop_);
        writer.spawn(write_messages(**stream));
        co_await follow(**stream);
      }
      connected_ = false;
      outgoing_.clear();
      logger_.warn("the connection to control ended; the last configuration stays in force");
    }
    co_await loop_.sleep_until(loop_.now() + kReconnectDelay);
  }
}

Task<void> EdgeConfig::follow(Stream& stream) {
  watch::FrameReader frames(watch::kMaxWatchMessage);
  auto chunk = std::make_unique<char[]>(64 * 1024);
  for (;;) {
    auto n = co_await stream.read({chunk.get(), 64 * 1024}, kNoDeadline);
    if (!n || *n == 0) co_return;
    frames.append({chunk.get(), *n});
    if (auto taken = take_messages(frames); !taken) {
      logger_.error("control sent what is not a configuration", {{"error", taken.error().message()}});
      co_return;
    }
  }
}

Result<void> EdgeConfig::take_messages(watch::FrameReader& frames) {
  for (;;) {
    TRY_ASSIGN(const auto text, frames.next());
    if (!text) return {};
    TRY_ASSIGN(watch::FromControl message, watch::decode_from_control(*text));
    const bool is_change = !std::holds_alternative<watch::Verify>(message);
    apply(std::move(message));
    if (!is_change) continue;
    if (auto saved = save(); !saved) logger_.error("the configuration could not be stored", {{"error", saved.error().message()}});
    send(watch::Applied{snapshot_.version});
  }
}

}  // namespace skerry
