"""Containers as sandboxd makes them, seen from inside: identity, files, system calls, limits."""
import os
import stat
import struct
import time

import pytest
import sandbox as sb


def status(instance):
    return dict(line.split(":\t", 1) for line in instance.get("/read/proc/self/status").splitlines() if ":\t" in line)


def test_runs_as_fn_without_any_capability(instance):
    ids = instance.values("/ids")
    assert (ids["uid"], ids["gid"], ids["groups"]) == ("1000", "1000", "0")
    fields = status(instance)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0, name
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"


def test_is_nobody_on_the_host(box, instance):
    uids = set()
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if os.readlink(f"/proc/{pid}/exe") == "/app/probe":
                    uids.add(os.stat(f"/proc/{pid}").st_uid)
            except OSError:
                pass
    assert uids and all(0x10000000 <= uid < 0x70000000 for uid in uids), uids


def test_sees_only_its_own_processes(instance):
    assert instance.values("/ids")["pid"] == "2"


def test_environment_is_exactly_the_plans(instance):
    assert instance.get("/env").split() == ["A=b", "PATH=/app"]


def test_gets_no_descriptor_of_the_host(instance):
    targets = [line.split(" ", 1)[1] for line in instance.get("/fds").splitlines()]
    assert all(t.startswith(("pipe:", "socket:", "/dev/null", "/proc/")) for t in targets), targets


def test_top_is_writable_and_layers_are_not_changed(box, instance):
    assert instance.values("/write/app/new")["errno"] == "0"
    assert instance.values("/write/tmp/new")["errno"] == "0"
    assert instance.values("/write/home/fn/new")["errno"] == "0"
    assert instance.values("/write/etc/new")["errno"] == "13"
    assert instance.get("/read/etc/lower") == "from the layer\n"
    assert not (box.state / "layers" / ("a" * 64) / "app" / "new").exists()


@pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi/x", "/sys/kernel/uevent_helper", "/proc/sysrq-trigger",
                                  "/proc/sys/kernel/core_pattern"])
def test_kernel_files_are_hidden_or_closed(instance, path):
    assert instance.values("/write" + path)["errno"] != "0" or path in ("/proc/kcore", "/proc/keys", "/proc/timer_list")  # /dev/null takes what is written
    assert instance.get("/read" + path) in ("", "error=No such file or directory\n", "error=Permission denied\n", "error=Input/output error\n",
                                             "error=Not a directory\n") or path == "/proc/sys/kernel/core_pattern"


# name, number and arguments; all answer 38, ENOSYS
@pytest.mark.parametrize("name,call", [("mount", "165"), ("umount2", "166"), ("pivot_root", "155"), ("chroot", "161"), ("unshare", "272/268435456"),
                                       ("setns", "308/0/0"), ("bpf", "321"), ("keyctl", "250"), ("add_key", "248"), ("io_uring_setup", "425"),
                                       ("perf_event_open", "298"), ("ptrace", "101"), ("process_vm_readv", "310"), ("userfaultfd", "323"),
                                       ("open_by_handle_at", "304"), ("init_module", "175"), ("kexec_load", "246"), ("reboot", "169"), ("swapon", "167"),
                                       ("clone3", "435"), ("clone with a user namespace", "56/268435473"), ("raw socket", "41/17/3"), ("syslog", "103"),
                                       ("ioctl TIOCSTI", f"16/0/{0x5412}"), ("ioctl TIOCSTI with a high bit", f"16/0/{0x100005412}"), ("ioctl TIOCLINUX", f"16/0/{0x541C}")])
def test_system_calls_that_are_closed(instance, name, call):
    values = instance.values("/syscall/" + call)
    assert (values["result"], values["errno"]) == ("-1", "38"), (name, values)


def test_foreign_system_call_tables_end_the_program(box):
    i = box.up()
    with pytest.raises(ConnectionError):
        i.get(f"/syscall/{0x40000000 + 39}")  # x32 getpid
    assert box.connect().wait(sb.EXITED, i.id)["signal"] == 31  # SIGSYS


def test_devices_are_the_standard_ones_and_cannot_be_changed(instance):
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        assert stat.S_ISCHR(int(instance.values(f"/stat/dev/{name}")["mode"])), name
    assert instance.values("/write/dev/new")["errno"] == "30"
    assert instance.values("/write/dev/shm/new")["errno"] == "0"
    for name in ("mem", "kmsg", "console", "sda", "loop0", "fuse", "kvm"):
        assert instance.values(f"/stat/dev/{name}")["errno"] == "2", name


def test_sees_no_mount_of_the_host(instance):
    points = {line.split()[1] for line in instance.get("/read/proc/self/mounts").splitlines()}
    allowed = ("/proc", "/sys", "/dev")
    assert "/" in points and all(p == "/" or p.startswith(allowed) for p in points), points


def test_files_are_made_as_usual(box):
    i = box.up()
    assert i.values("/umask")["umask"] == str(0o22)
    assert stat.S_IMODE(int(i.values("/stat/tmp")["mode"])) == 0o1777
    assert i.values("/stat/home/fn")["uid"] == "1000"
    i.kill()


def test_goes_before_the_platform_when_the_machine_is_out_of_memory(instance):
    assert int(instance.get("/read/proc/self/oom_score_adj")) == 500


def test_init_cannot_be_looked_into(instance):
    for name in ("exe", "root/etc", "mem", "environ", "fd/3", "maps"):
        answer = instance.get(f"/read/proc/1/{name}")
        assert answer in ("error=Permission denied\n", "error=No such file or directory\n"), (name, answer)


def test_output_goes_to_its_pipe(instance):
    instance.get("/print/line-for-the-log")
    data = b""
    end = sb.in_time(5)
    while b"line-for-the-log\n" not in data and time.monotonic() < end:
        try:
            data += os.read(instance.out, 4096)
        except BlockingIOError:
            time.sleep(0.01)
    assert b"line-for-the-log\n" in data


def test_own_servers_are_reached_through_sockets_born_inside(box):
    i = box.up(transport=2, port=8080)
    assert i.get("/hello") == "hello\n"
    box.connect().send(struct.pack("<BQ", 3, 9) + sb.text(i.id) + struct.pack("<B", 2))
    assert len(box.connect().wait(sb.SOCKETS, i.id)["fds"]) == 2
    i.kill()


def test_memory_over_the_limit_ends_the_container_and_says_so(box):
    i = box.up(memory=32 << 20)
    with pytest.raises((ConnectionError, TimeoutError)):
        i.get("/memory", timeout=20)
    assert box.connect().wait(sb.EXITED, i.id)["oom"]


def test_processes_are_bounded(box):
    i = box.up(processes=20)
    values = i.values("/fork")
    assert 10 <= int(values["made"]) < 20 and values["errno"] == "11"
    i.kill()


def test_disk_is_bounded(box):
    i = box.up(scratch=4 << 20)
    values = i.values("/disk/tmp/big")
    assert values["errno"] == "28" and int(values["written"]) <= 4 << 20
    i.kill()


def test_the_programs_status_is_told(box):
    i = box.up()
    with pytest.raises(ConnectionError):
        i.get("/exit/7")
    ended = box.connect().wait(sb.EXITED, i.id)
    assert (ended["exit_code"], ended["signal"], ended["oom"]) == (7, 0, False)


def test_a_program_that_is_not_there_fails_the_start_by_name(box):
    id_ = box.boot(argv=["/app/none"])
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert failed["phase"] == "process" and "/app/none" in failed["message"]


def test_a_layer_that_is_not_there_fails_the_start_by_name(box):
    digest = "sha256:" + "b" * 64
    id_ = box.boot(layers=[digest])
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert failed["phase"] == "mount" and digest in failed["message"]
