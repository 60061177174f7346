"""System calls, from inside a container: each answers as the filter says, and the same call works on this machine where one barrier is missing."""
import hostile
import pytest

CLOSED = "ENOSYS"  # what the seccomp filter answers

# class or CVE -> (attack, what each step is answered, the control's barrier that is missing, what the control must show)
FILTER, PRIVILEGE = hostile.NOBODY_UNFILTERED, hostile.ROOT_IN_NAMESPACES
CASES = {
    "mount": ("mount", {"mount": CLOSED}, PRIVILEGE, "mount"),
    "bind mount of the root": ("bind", {"bind": CLOSED}, PRIVILEGE, "bind"),
    "remount of /proc": ("remount", {"remount": CLOSED}, PRIVILEGE, "remount"),
    "umount uncovers masked paths": ("umount", {"umount": CLOSED}, PRIVILEGE, "umount"),
    "chroot escape": ("chroot", {"chroot": CLOSED}, PRIVILEGE, "chroot"),
    "pivot_root": ("pivot_root", {"pivot_root": CLOSED}, None, None),
    "CVE-2022-0185 new mount calls": ("new-mount-api", {"fsopen": CLOSED, "open_tree": CLOSED, "fspick": CLOSED}, PRIVILEGE, "fsopen"),
    "user namespace by unshare": ("unshare", {"unshare": CLOSED}, FILTER, "unshare"),
    "other namespaces by unshare": ("unshare-all", dict.fromkeys(["mount", "net", "pid", "ipc", "uts", "cgroup", "time"], CLOSED), PRIVILEGE, "cgroup"),
    "user namespace by clone": ("clone", {"clone": CLOSED}, FILTER, "clone"),
    "user namespace by clone3": ("clone3", {"clone3": CLOSED}, FILTER, "clone3"),
    "setns": ("setns", {"open-init": "EACCES", "setns": CLOSED, "setns-pidfd": CLOSED}, PRIVILEGE, "setns"),
    "bpf": ("bpf", {"bpf": CLOSED}, PRIVILEGE, "bpf"),
    "keyrings, CVE-2016-0728": ("keys", {"add_key": CLOSED, "keyctl": CLOSED, "request_key": CLOSED}, FILTER, "add_key"),
    "io_uring": ("io_uring", {"io_uring": CLOSED}, FILTER, "io_uring"),
    "perf_event_open": ("perf", {"perf": CLOSED}, FILTER, "perf"),
    "userfaultfd": ("userfaultfd", {"userfaultfd": CLOSED}, FILTER, "userfaultfd"),
    "Shocker, open_by_handle_at": ("handles", {"name_to_handle": CLOSED, "open_by_handle": CLOSED}, PRIVILEGE, "open_by_handle"),
    "ptrace": ("ptrace", {"ptrace": CLOSED}, FILTER, "ptrace"),
    "another process's memory and descriptors": ("process-memory", dict.fromkeys(["process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"], CLOSED), FILTER,
                                                  "process_vm_readv"),
    "kernel image, modules, swap, clock, ports": ("machine", dict.fromkeys(
        ["kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "swapon", "swapoff", "reboot", "settimeofday", "clock_settime", "adjtimex", "iopl",
         "ioperm", "acct", "quotactl", "vhangup", "modify_ldt", "fanotify_init", "sethostname", "setdomainname"], CLOSED), None, None),
    "kernel log": ("kernel-log", {"syslog": CLOSED, "dev-kmsg": "ENOENT", "proc-kmsg": "EACCES"}, PRIVILEGE, "syslog"),
    "personality switches address randomization off": ("personality", {"no-randomization": CLOSED, "read-implies-exec": CLOSED, "32-bit": CLOSED, "ask": "ok"}, FILTER,
                                                        "no-randomization"),
    "CVE-2019-10063, CVE-2023-6546 terminals": ("terminal", {"open": "ok", "TIOCSTI": CLOSED, "TIOCSTI-high-bit": CLOSED, "TIOCLINUX": CLOSED, "line-discipline": CLOSED}, PRIVILEGE,
                                                        "TIOCSTI-high-bit"),
    "more of the processors, less of the out-of-memory killer": ("priority", {"nice": "EPERM", "realtime": "EPERM", "ioprio": CLOSED, "oom": "EACCES"}, PRIVILEGE, "realtime"),
    "root by setuid or by a map of users": ("become-root", dict.fromkeys(["setuid", "setgid", "setgroups", "setresuid", "uid_map", "gid_map"], "EPERM"), PRIVILEGE, "setuid"),
    "raw sockets": ("raw", {"icmp": "EPERM", "ip": "EPERM", "tcp": "EPERM", "icmp6": "EPERM", "ping": "EACCES"}, PRIVILEGE, "icmp"),
    "packet, vsock and other families": ("families", dict.fromkeys(
        ["packet", "vsock", "alg", "key", "xdp", "can", "rds", "tipc", "bluetooth", "smc", "x25", "ax25", "appletalk", "llc", "nfc", "kcm", "netlink-netfilter", "netlink-audit",
         "netlink-xfrm", "netlink-uevent", "netlink-generic", "netlink-diag"], CLOSED), FILTER, "netlink-generic"),
    "kernel and physical addresses": ("addresses", {"kallsyms": "0", "pagemap": "0"}, None, None),
}


@pytest.mark.parametrize("case", CASES)
def test_closed(attacker, case):
    attack, answers, _, _ = CASES[case]
    assert attacker.tries(attack) == answers


@pytest.mark.parametrize("case", [case for case, (_, _, barrier, _) in CASES.items() if barrier])
def test_control_works_without_the_barrier(box, case):
    """CONTROL: without the filter (as nobody), or as root, in namespaces of its own, the same program gets what it asks for."""
    attack, _, barrier, step = CASES[case]
    got = box.control(attack, wrapper=barrier)[step]
    if got in ("ENOSYS", "EPERM", "EACCES"):
        pytest.skip(f"this machine's kernel closes it outside of containers too: {got}")
    assert got == "ok"


def test_foreign_system_call_tables_end_the_process(box, attacker):
    """i386's and x32's numbers mean other calls: a filter of numbers alone would let them pass."""
    assert attacker.tries("i386") == {"i386": "SIGSYS"}
    assert attacker.tries("x32") == {"x32": "SIGSYS"}
    # CONTROL: without the filter the kernel carries them out, or has no such table and says so.
    assert box.control("i386", wrapper=FILTER) == {"i386": "exit 7"}
    assert box.control("x32", wrapper=FILTER) == {"x32": "exit 7"}


def test_kernel_addresses_are_there_for_root():
    """CONTROL of "kernel and physical addresses": what the container reads as zeros are addresses for root of the host."""
    with open("/proc/kallsyms") as symbols:
        assert any(int(line.split()[0], 16) for line in symbols)
