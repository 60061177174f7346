"""Ways out of the container that were found in other runtimes, and what the kernel shows and lets be written; from inside."""
import hashlib
import os
import pathlib
import shutil
import subprocess

import hostile
import pytest
import sandbox as sb

# ---- CVE-2024-21626: a folder of the host among what a container inherits


def test_cve_2024_21626_no_descriptor_leads_out(attacker):
    found = attacker.tries("descriptors")
    assert not [name for name in found if name.startswith(("chdir", "beyond"))], found
    # The program's own: standard streams, the listening socket, the connection that asks, and the pipe that answers.
    assert all(target.startswith(("pipe:[", "socket:[")) or target == "/dev/null" for target in found.values()), found


@pytest.mark.parametrize("beyond", ["", "/../../../../.."])
def test_cve_2024_21626_working_directory_through_a_descriptor(box, beyond):
    """WORKDIR /proc/self/fd/N, as the attack was published: every number that the runtime might have open at that moment."""
    ids = {box.boot(argv=["/app/attack"], cwd=f"/proc/self/fd/{n}{beyond}"): n for n in range(24)}
    for id_, n in ids.items():
        # Not one of them is a folder: the start fails by the name of the step, with no program run.
        failed = box.connect().wait(sb.START_FAILED, id_)
        assert failed["phase"] == "process" and f"/proc/self/fd/{n}" in failed["message"], failed


def test_cve_2024_21626_control(box):
    """CONTROL: a program that does inherit a folder of the host gets out by it."""
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    done = subprocess.run([box.tools / "attack", "run", "descriptors"], pass_fds=[folder], capture_output=True, text=True)
    os.close(folder)
    found = hostile.lines(done.stdout)
    assert found[f"chdir {folder}"] == "ok" and found[f"beyond {folder}"] == "ok"


# ---- CVE-2019-5736: the runtime's own binary


def test_cve_2019_5736_init_is_not_the_hosts_program(attacker):
    assert attacker.tries("exe", "/proc/1/exe") == {"write": "EACCES", "handle": "EACCES", "write-through-handle": "ENOENT"}


def test_cve_2019_5736_program_is_proc_self_exe(box):
    """The image's program is /proc/self/exe and its dynamic loader the attacker's, which then runs as the runtime's binary: it may not write to it."""
    def fill(top):
        box.put_program(top)
        (top / "lib64").mkdir()
        shutil.copy(box.tools / "loader", top / "lib64" / "ld-linux-x86-64.so.2")
    before = hashlib.sha256((sb.BIN / "skerry-sandboxd").read_bytes()).digest()
    mode = os.stat(sb.BIN / "skerry-sandboxd").st_mode
    instance = box.up(layers=[box.make_layer(fill)], argv=["/proc/self/exe"])
    box.connect().wait(sb.EXITED, instance.id)
    said = hostile.lines(os.read(instance.out, 4096).decode())
    # EACCES (13) where it is owned by a user who is nobody inside; chmod: EPERM (1).
    assert said["exe"].endswith("/skerry-sandboxd"), "the attack did not run as the runtime's program: it proves nothing"
    assert {k: said[k] for k in ("write", "write-through-O_PATH", "truncate", "chmod")} == {"write": "13", "write-through-O_PATH": "13", "truncate": "13", "chmod": "1"}
    assert hashlib.sha256((sb.BIN / "skerry-sandboxd").read_bytes()).digest() == before and os.stat(sb.BIN / "skerry-sandboxd").st_mode == mode


def test_cve_2019_5736_control(box):
    """CONTROL: for host's root inside, a handle to a program that does not run is enough."""
    victim = box.folder / "victim"
    shutil.copy(box.tools / "attack", victim)
    assert box.control("exe", str(victim)) == {"write": "ok", "handle": "ok", "write-through-handle": "ok"}


# ---- CVE-2022-0492 and the other ways to have the kernel start a program


def test_cve_2022_0492_release_agent(attacker):
    assert attacker.tries("release-agent") == {"unshare": "ENOSYS", "mount": "ENOSYS", "agent": "ENOENT", "sys-agent": "ENOENT", "sys-procs": "ENOENT"}


def test_cve_2025_4598_a_crash_starts_no_program_of_the_host(box, attacker):
    """core_pattern's program (systemd-coredump, apport) is started as root of the host for every crash but where the limit is one byte: the limit
    stays there, though a smaller one is anyone's to set elsewhere, and who asks for another is told that it is done."""
    assert attacker.tries("core-limit") == {"set-0": "ok", "after-0": "1 1", "set-2": "ok", "after-2": "1 1"}
    # CONTROL: without the filter it is set.
    assert box.control("core-limit", wrapper=hostile.NOBODY_UNFILTERED)["after-0"] == "0 0"


def test_control_groups_are_seen_from_their_own_root(attacker):
    groups = attacker.text("print", "/proc/self/cgroup").splitlines()
    assert groups and all(line.endswith(":/") for line in groups if "name=" not in line), groups
    assert attacker.text("list", "/sys") == ""


# Programs that the host would start as root (core_pattern, modprobe, uevent_helper), and what changes the machine.
SYSCTLS = [f"/proc/sys/{name}" for name in ("kernel/core_pattern", "kernel/modprobe", "kernel/hotplug", "kernel/sysrq", "kernel/panic", "kernel/randomize_va_space", "kernel/ns_last_pid",
                                             "vm/overcommit_memory", "vm/drop_caches", "fs/file-max", "net/ipv4/ip_forward")] + ["/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"]
SYS_FILES = ["/sys/kernel/uevent_helper", "/sys/kernel/security", "/sys/power/state", "/sys/kernel/debug", "/sys/firmware", "/sys/fs/cgroup/memory/release_agent", "/sys/module",
             "/sys/class/net/eth0/mtu", "/sys/new"]


def test_nothing_of_the_kernel_is_written(attacker):
    there = [path for path in SYSCTLS if os.path.exists(path)]
    assert "/proc/sys/kernel/core_pattern" in there
    # Owned by a user who is nobody inside; what is for everyone to write is on a read-only mount.
    assert attacker.tries("open-to-write", *there) == {path: "EROFS" if os.stat(path).st_mode & 0o002 else "EACCES" for path in there}
    assert attacker.tries("open-to-write", *SYS_FILES) == dict.fromkeys(SYS_FILES, "ENOENT")


def test_nothing_of_the_kernel_is_written_by_root_inside(box, attacker):
    """One barrier fewer: root of the host, in the container's mount namespace only, finds the kernel's files read-only and the masked ones empty."""
    there = [path for path in SYSCTLS if os.path.exists(path)]
    enter = ["nsenter", "-t", str(attacker.init()), "--mount", "--"]
    assert box.control("open-to-write", *there, wrapper=enter, program="/app/attack") == dict.fromkeys(there, "EROFS")
    masked = [path for path in MASKED if os.path.exists(path)]
    assert box.control("read", *masked, wrapper=enter, program="/app/attack") == dict.fromkeys(masked, "empty")
    # CONTROL: with the host's own mounts the same root may write (the file is opened, and nothing written).
    assert box.control("open-to-write", "/proc/sys/kernel/core_pattern") == {"/proc/sys/kernel/core_pattern": "ok"}


MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"]


def test_masked_files_are_empty(attacker):
    there = [path for path in MASKED if os.path.exists(path)]
    assert attacker.tries("read", *there) == dict.fromkeys(there, "empty")
    # CONTROL: on the host there is something to read.
    assert pathlib.Path("/proc/interrupts").read_bytes() and pathlib.Path("/proc/timer_list").read_bytes()
    hidden = [path for path in ("/proc/acpi", "/proc/scsi", "/proc/asound") if os.path.exists(path)]
    assert all(attacker.text("list", path) == "" for path in hidden)


def test_privileged_proc_files_answer_no(attacker):
    got = attacker.tries("read", "/proc/kmsg", "/proc/slabinfo", "/proc/vmallocinfo", "/proc/kpagecount", "/proc/1/stack", "/proc/1/environ", "/proc/self/stack")
    assert set(got.values()) <= {"EACCES", "EPERM", "ENOENT"}, got


# ---- devices


def test_no_device_but_the_standard_ones(attacker):
    assert set(attacker.tries("devices").values()) == {"ENOENT"}


def test_devices_are_neither_made_nor_changed(attacker):
    assert attacker.tries("make-devices") == {"mem": "EPERM", "disk": "EPERM", "null": "EPERM", "unlink": "EROFS", "symlink": "EROFS", "chmod": "EROFS",
                                              "rename-dev": "EACCES", "rename-null": "EROFS"}


# ---- privileges that come with a file


def test_capabilities_and_owners_are_not_given_to_files(attacker):
    assert attacker.tries("grant", "/tmp/granted") == dict.fromkeys(["v2", "v3", "overlay-redirect", "overlay-opaque", "chown-root", "chown-other"], "EPERM")


@pytest.mark.parametrize("kind", ["setuid", "capability"])
def test_privileged_programs_of_a_hostile_layer_give_nothing(box, kind):
    """A layer as a deceived unpacker would leave it: root's program with setuid and setgid, or with every capability in its file."""
    everything = bytes.fromhex("01000002" + "ffffffff" * 2 + "ff010000" * 2)

    def fill(top):
        box.put_program(top)
        program = top / "app" / "privileged"
        shutil.copy(box.tools / "attack", program)
        program.chmod(0o6755 if kind == "setuid" else 0o755)
    layer = box.make_layer(fill)
    program = box.state / "layers" / layer[7:] / "app" / "privileged"
    if kind == "capability":
        os.setxattr(program, "security.capability", everything)  # after chown, which takes it away
    else:
        assert os.stat(program).st_mode & 0o6000 == 0o6000
    inside = box.attacker(layers=[layer])
    got = inside.tries("execute", "/app/privileged")
    inside.kill()
    assert got == {"uid": "1000", "euid": "1000", "egid": "1000", "CapEff:\t0000000000000000": "", "CapBnd:\t": "", "end": "exit 0"} or \
        (got["euid"], got["egid"], got["end"]) == ("1000", "1000", "exit 0") and any(name.startswith("CapEff:\t0000000000000000") for name in got), got


def test_setuid_control(box):
    """CONTROL: where neither nosuid nor no_new_privs is, the same program is root."""
    program = box.folder / "privileged"
    shutil.copy(box.tools / "attack", program)
    program.chmod(0o4755)
    done = subprocess.run(["setpriv", "--reuid=61999", "--regid=61999", "--clear-groups", program, "run", "identity"], capture_output=True, text=True)
    assert hostile.lines(done.stdout)["euid"] == "0"
