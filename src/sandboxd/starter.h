// starter: the hot path of sandboxd. Takes plans from edge and control, makes containers in ready slots, tells what becomes of them.
//
// Root, one thread. Takes no rtnl lock and commits no nft transaction; slots come from filler, leftovers go to reaper. Every message is checked
// here again, whoever sent it. State that must outlive this process is in <run_dir>/instances/<id>.state; the containers are its truth.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "contract/sandbox_messages.h"
#include "os/unix_socket.h"
#include "sandboxd/cgroups.h"
#include "sandboxd/container.h"
#include "sandboxd/mounts.h"
#include "sandboxd/poller.h"
#include "sandboxd/settings.h"

namespace skerry::sandbox {

class Starter {
 public:
  static constexpr size_t kPoolTarget = 12;      // slots kept ready
  static constexpr size_t kMaxWaiting = 1024;    // starts that wait for a slot
  static constexpr Duration kSlotTime = std::chrono::seconds(10);
  static constexpr size_t kMaxContainers = 10'000;

  Starter(const Settings& settings, const Logger& logger) : settings_(settings), logger_(logger), mounts_(settings) {}

  Result<void> prepare(UniqueFd listener);
  // Until SIGTERM. Containers stay.
  void run(const volatile bool& stop);

 private:
  enum class Role : uint8_t { kEdge, kControl, kRoot };
  struct Client {
    UniqueFd fd;
    Role role;
  };
  struct Container {
    std::string id;
    std::string label;
    PlanKind kind = PlanKind::kInstance;
    int owner = -1;  // descriptor of the client that a job belongs to
    uint32_t index = 0;
    uint64_t request = 0;
    Launched process;
    UniqueFd net_namespace;
    UniqueFd out, err, status, cpu;  // kept, to give them to an edge that restarts
    Transport transport = Transport::kNone;
    bool running = false;
    bool failed = false;
    bool has_pipes = false;
    Report last;
    uint32_t slot_us = 0, mount_us = 0;
    TimePoint launched_at{};
  };
  struct Waiting {
    int client;
    uint64_t request;
    StartPlan plan;
    std::vector<UniqueFd> fds;
    TimePoint since;
  };

  void accept_client();
  void read_client(int fd);
  void drop_client(int fd);
  void handle(Client& client, ClientMessage message, std::vector<UniqueFd> fds);
  void on_start(Client& client, const Start& start, std::vector<UniqueFd> fds);
  Result<StartPlan> read_plan(const Client& client, const std::vector<UniqueFd>& fds);
  void make_container(Waiting start);
  Result<void> make_container_in(Slot slot, Waiting& start, Container& container);
  Result<UniqueFd> deliver_secrets(const std::string& id, int sealed, UniqueFd& out, UniqueFd& err);
  void send_started(Container& container);
  std::vector<int> instance_descriptors(const Container& container, const std::vector<UniqueFd>& sockets);
  Result<std::vector<UniqueFd>> make_sockets(const Container& container, size_t count);
  void on_report(const std::string& id);
  void on_exit(const std::string& id);
  void kill_container(const Container& container);
  void adopt();
  void adopt_one(const std::string& id, const std::string& state);
  void list(Client& client, uint64_t request);
  void send(int client, const StarterMessage& message, std::span<const int> fds = {});
  [[nodiscard]] int edge() const;
  void fail_start(const Waiting& start, std::string_view phase, const Error& error);
  void want_slots();
  void read_filler();
  void serve_waiting();
  void tell_reaper(uint32_t index, const std::string& id);
  [[nodiscard]] TimePoint now() const { return clock_.now(); }

  const Settings& settings_;
  const Logger& logger_;
  SystemClock clock_;
  Mounts mounts_;
  std::unique_ptr<Cgroups> cgroups_;
  std::vector<sock_filter> filter_;
  UniqueFd nothing_;  // /dev/null, standard input of instances
  Poller poller_;
  UniqueFd listener_;
  UniqueFd filler_;
  UniqueFd reaper_;
  std::vector<std::string> unreaped_;
  std::unordered_map<int, Client> clients_;
  std::map<std::string, Container> containers_;
  std::deque<Slot> pool_;
  std::deque<Waiting> waiting_;
  std::string filler_error_;
};

}  // namespace skerry::sandbox
