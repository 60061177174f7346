#include "sandboxd/container.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "contract/wire.h"
#include "os/file.h"

namespace skerry::sandbox {
namespace {

// Messages have to have bytes; all that matters is in the descriptors.
constexpr std::string_view kGo = "go";

// Mapped, not read: the offset of the file is shared by everyone who holds it.
Result<StartPlan> plan_in(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail_errno("plan");
  const auto size = static_cast<size_t>(st.st_size);
  if (size == 0 || size > kMaxPlanBytes) return fail(ErrorCode::kProtocol, "a plan of {} bytes", size);
  void* bytes = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED) return fail_errno("map the plan");
  auto plan = StartPlan::decode({static_cast<const char*>(bytes), size});
  ::munmap(bytes, size);
  return plan;
}

}  // namespace

Result<Launched> launch(Slot& slot, const StartPlan& plan, int plan_fd, int root, const ProgramFds& fds) {
  TRY_ASSIGN(Pipe report, make_pipe());
  std::vector<int> sent{plan_fd, root, report.write.get()};
  for (const int fd : {fds.in, fds.out, fds.err, fds.listener, fds.status, fds.assignment, fds.secrets})
    if (fd >= 0) sent.push_back(fd);
  TRY(send_message(slot.seat.get(), kGo, sent), "container " + plan.id);
  TRY(set_nonblocking(report.read.get()));
  return Launched{slot.pid, std::move(slot.process), std::move(report.read)};
}

Result<void> assign(int seat, const Assignment& assignment) {
  wire::Writer w;
  w.string(assignment.hostname);
  std::vector<std::string> paths;
  std::vector<int> fds;
  for (const auto& [path, tree] : assignment.trees) {
    paths.push_back(path);
    fds.push_back(tree.get());
  }
  w.strings(paths);
  fds.push_back(assignment.done.get());
  return send_message(seat, w.take(), fds);
}

Result<Assignment> hear_assignment(int seat) {
  TRY_ASSIGN(Message message, receive_message(seat));
  wire::Reader r(message.bytes);
  Assignment assignment;
  assignment.hostname = r.string(63);
  const auto paths = r.strings(kMaxMessageFds, 4096);
  TRY(r.finish("assignment"));
  if (message.fds.size() != paths.size() + 1) return fail(ErrorCode::kProtocol, "{} trees for {} paths", message.fds.size(), paths.size());
  for (size_t i = 0; i < paths.size(); ++i) assignment.trees.emplace_back(paths[i], std::move(message.fds[i]));
  assignment.done = std::move(message.fds.back());
  return assignment;
}

Result<Word> hear(int seat) {
  TRY_ASSIGN(Message message, receive_message(seat));
  if (message.fds.size() < 3) return fail(ErrorCode::kProtocol, "not the word to start");
  Word word;
  word.plan_fd = std::move(message.fds[0]);
  word.root = std::move(message.fds[1]);
  word.report = std::move(message.fds[2]);
  word.program.assign(std::make_move_iterator(message.fds.begin() + 3), std::make_move_iterator(message.fds.end()));
  TRY_ASSIGN(word.plan, plan_in(word.plan_fd.get()));
  return word;
}

Result<void> pass_on(int socket, const Word& word) {
  std::vector<int> sent{word.plan_fd.get()};
  for (const UniqueFd& fd : word.program) sent.push_back(fd.get());
  return send_message(socket, kGo, sent);
}

Result<ProgramWord> hear_program(int socket) {
  TRY_ASSIGN(Message message, receive_message(socket));
  if (message.fds.empty()) return fail(ErrorCode::kProtocol, "not the word to start");
  ProgramWord word;
  TRY_ASSIGN(word.plan, plan_in(message.fds[0].get()));
  word.held = std::move(message.fds);
  std::vector<int*> expected{&word.fds.in, &word.fds.out, &word.fds.err};
  if (word.plan.transport == Transport::kUnix) expected.insert(expected.end(), {&word.fds.listener, &word.fds.status});
  if (word.plan.spare) expected.push_back(&word.fds.assignment);
  if (word.plan.has_secrets) expected.push_back(&word.fds.secrets);
  if (word.held.size() != expected.size() + 1) return fail(ErrorCode::kProtocol, "{} descriptors for a plan that needs {}", word.held.size() - 1, expected.size());
  for (size_t i = 0; i < expected.size(); ++i) *expected[i] = word.held[i + 1].get();
  return word;
}

}  // namespace skerry::sandbox
