#include "confine/confine.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <memory>

namespace skerry {
namespace {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// What every C++ program needs to use memory, to end, and to return from a signal.
constexpr int kCommon[] = {
    SYS_brk,  SYS_munmap,     SYS_madvise,      SYS_mremap,          SYS_futex,
    SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_restart_syscall, SYS_clock_gettime};
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
// The sanitizer's run time makes these: to probe memory, and at the end, when it looks for leaks and prints.
constexpr int kSanitizer[] = {
    SYS_pipe2,  SYS_sigaltstack, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_getpid, SYS_gettid, SYS_write,
    SYS_openat, SYS_read,        SYS_close,        SYS_readlink,       SYS_clone,  SYS_wait4,  SYS_prctl,
    SYS_ptrace, SYS_sched_yield, SYS_newfstatat,   SYS_getdents64,     SYS_tgkill, SYS_ioctl};
#define SKERRY_SANITIZED 1
#endif
#endif

Result<void> add(scmp_filter_ctx filter, const AllowedCall& call) {
  int done = 0;
  if (call.argument < 0) {
    done = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call.number, 0);
  } else {
    const scmp_arg_cmp compare = {static_cast<unsigned>(call.argument), SCMP_CMP_MASKED_EQ, call.mask,
                                  call.value};
    done = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call.number, 1, &compare);
  }
  if (done != 0)
    return std::unexpected(Error::from_errno(-done, fmt::format("filter: system call {}", call.number)));
  return {};
}

}  // namespace

Result<void> renounce_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("PR_SET_NO_NEW_PRIVS");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("PR_SET_DUMPABLE");
  return limit_resource(RLIMIT_CORE, 0);
}

Result<void> limit_resource(int resource, uint64_t value) {
#ifdef SKERRY_SANITIZED
  if (resource == RLIMIT_AS) return {};  // the sanitizer's shadow alone is terabytes of address space
#endif
  rlimit now{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &now) != 0)
    return fail_errno("getrlimit {}", resource);
  now.rlim_max = std::min<rlim_t>(now.rlim_max, value);
  now.rlim_cur = now.rlim_max;
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &now) != 0)
    return fail_errno("setrlimit {}", resource);
  return {};
}

Result<void> allow_only(std::span<const AllowedCall> allowed) {
  const Filter filter(seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release);
  if (filter == nullptr) return fail(ErrorCode::kNoCapacity, "seccomp_init failed");
  // SECURITY: a call through another architecture's table would dodge a filter that looks at numbers.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  for (const int number : kCommon) TRY(add(filter.get(), {number}));
#ifdef SKERRY_SANITIZED
  for (const int number : kSanitizer) TRY(add(filter.get(), {number}));
#endif
  TRY(add(filter.get(), {SYS_mmap, 2, PROT_EXEC, 0}));
  TRY(add(filter.get(), {SYS_mprotect, 2, PROT_EXEC, 0}));
  for (const AllowedCall& call : allowed) TRY(add(filter.get(), call));
  if (const int done = seccomp_load(filter.get()); done != 0) {
    return std::unexpected(Error::from_errno(-done, "load the system call filter"));
  }
  return {};
}

}  // namespace skerry
