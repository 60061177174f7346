/* Attacks on what the kernel has once for the whole machine, or counts for nobody: compiled filters, descriptors on their way. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "attack.h"

static void tell_end_of(long made, int error) {
  tell_number("made", made);
  errno = error;
  tell("end", error ? -1 : 0);
}

/* The longest filter that there may be. Each is compiled to machine code, in a room that the kernel has once (net.core.bpf_jit_limit): who fills it
 * takes socket filters and seccomp from everyone who is not root. */
static struct sock_fprog longest_filter(void) {
  static struct sock_filter steps[BPF_MAXINSNS];
  for (size_t i = 0; i < BPF_MAXINSNS - 1; ++i) steps[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 0x12345678, 0, 0);
  steps[BPF_MAXINSNS - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  return (struct sock_fprog){BPF_MAXINSNS, steps};
}
/* By socket filters: each way that a socket takes one, then as many of the first as are wanted. */
static void do_socket_filters(char** a) {
  const struct sock_fprog filter = longest_filter();
  const int first = socket(AF_INET, SOCK_DGRAM, 0), second = socket(AF_INET, SOCK_DGRAM, 0), none = -1;
  tell("filter", setsockopt(first, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
  setsockopt(second, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int));
  tell("reuseport-filter", setsockopt(second, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter));
  tell("program", setsockopt(first, SOL_SOCKET, SO_ATTACH_BPF, &none, sizeof none));
  tell("reuseport-program", setsockopt(second, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &none, sizeof none));
  tell("high-bits", syscall(SYS_setsockopt, first, (1UL << 32) | SOL_SOCKET, (1UL << 32) | SO_ATTACH_FILTER, &filter, sizeof filter));
  const long wanted = *a ? atol(*a) : 0;
  long made = 0;
  while (made < wanted && setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0) ++made;
  tell_end_of(made, made < wanted ? errno : 0);
  if (a[0] && a[1]) hold_on();
}
/* By filters of system calls: as many as one process may have, in so many processes. */
static void do_call_filters(char** a) {
  const long wanted = *a ? atol(*a) : 1;
  const struct sock_fprog filter = longest_filter();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  pid_t children[64];
  long begun = 0;
  volatile long* seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (; begun < wanted && begun < 64; ++begun) {
    const pid_t pid = children[begun] = fork();
    if (pid < 0) { seen[1] = errno; break; }
    if (pid != 0) continue;
    while (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0) __atomic_add_fetch(&seen[0], 1, __ATOMIC_RELAXED);
    seen[1] = errno;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0) __atomic_add_fetch(&seen[0], 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&seen[2], 1, __ATOMIC_RELAXED);
    hold_on();
  }
  const long until = now_ms() + 10000;
  while (seen[2] < begun && now_ms() < until) usleep(1000);
  tell_end_of(seen[0], (int)seen[1]);
  if (a[0] && a[1]) hold_on();
  for (long i = 0; i < begun; ++i) kill(children[i], SIGKILL);
}
/* Descriptors that are sent and never received are nobody's: not in a table that RLIMIT_NOFILE bounds. */
static void do_flying_descriptors(char** a) {
  const long wanted = atol(*a);
  long made = 0;
  int error = 0, ends[2] = {-1, -1};
  enum { kAtOnce = 50 };
  int fds[kAtOnce];
  _Alignas(struct cmsghdr) char rights[CMSG_SPACE(sizeof fds)] = {0};
  char byte = 0;
  struct iovec piece = {&byte, 1};
  const struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = rights, .msg_controllen = sizeof rights};
  *CMSG_FIRSTHDR(&message) = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)};
  while (made < wanted && error == 0) {
    for (int i = 0; i < kAtOnce; ++i) fds[i] = open("/dev/null", O_RDONLY);
    if (fds[kAtOnce - 1] < 0) error = errno;
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, sizeof fds);
    while (error == 0 && sendmsg(ends[0], &message, MSG_DONTWAIT) < 0) {
      if (errno != EAGAIN && errno != EBADF) error = errno;
      else if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) error = errno;
    }
    for (int i = 0; i < kAtOnce; ++i) close(fds[i]);
    if (error == 0) made += kAtOnce;
  }
  tell_end_of(made, error);
  if (a[1]) hold_on();
}
/* As many open files as there may be, in as many processes as there may be. */
static void do_descriptors_of_all(char** a) {
  (void)a;
  long processes = 0;
  while (fork() > 0) ++processes;
  while (open("/dev/null", O_RDONLY) >= 0) {
  }
  if (processes == 0) hold_on();
  usleep(3000000); /* the kernel ends all of this before */
  tell_end_of(processes, 0);
}

const struct attack shared_attacks[] = {{"socket-filters", do_socket_filters}, {"call-filters", do_call_filters},
                                        {"flying-descriptors", do_flying_descriptors}, {"descriptors-of-all", do_descriptors_of_all}, {NULL, NULL}};
