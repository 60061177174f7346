"""Containers as sandboxd makes them, seen from inside and from outside. Needs root; makes its own control groups, interfaces and folders."""
import os
import signal
import socket
import struct
import time

import pytest
import sandbox as sb

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes containers: needs root")


@pytest.fixture(scope="module")
def box():
    s = sb.Sandbox()
    yield s
    s.close()


@pytest.fixture(scope="module")
def instance(box):
    return box.up(env=["A=b", "PATH=/app"])


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
    assert instance.values("/write" + path)["errno"] != "0" or path in ("/proc/keys", "/proc/timer_list")
    assert instance.get("/read" + path) in ("", "error=No such file or directory\n", "error=Permission denied\n", "error=Input/output error\n",
                                             "error=Not a directory\n") or path == "/proc/sys/kernel/core_pattern"


# name, number, arguments, errno: 38 ENOSYS (not in the allow-list), 1 EPERM
@pytest.mark.parametrize("name,call", [("mount", "165"), ("umount2", "166"), ("pivot_root", "155"), ("chroot", "161"), ("unshare", "272/268435456"),
                                       ("setns", "308/0/0"), ("bpf", "321"), ("keyctl", "250"), ("add_key", "248"), ("io_uring_setup", "425"),
                                       ("perf_event_open", "298"), ("ptrace", "101"), ("process_vm_readv", "310"), ("userfaultfd", "323"),
                                       ("open_by_handle_at", "304"), ("init_module", "175"), ("kexec_load", "246"), ("reboot", "169"), ("swapon", "167"),
                                       ("clone3", "435"), ("clone with a user namespace", "56/268435473"), ("raw socket", "41/17/3"), ("syslog", "103")])
def test_system_calls_that_are_closed(instance, name, call):
    values = instance.values("/syscall/" + call)
    assert values["result"] == "-1" and values["errno"] in ("38", "1"), (name, values)


def test_output_goes_to_its_pipe(instance):
    instance.get("/print/line-for-the-log")
    data = b""
    end = time.monotonic() + 5
    while b"line-for-the-log\n" not in data and time.monotonic() < end:
        try:
            data += os.read(instance.out, 4096)
        except BlockingIOError:
            time.sleep(0.01)
    assert b"line-for-the-log\n" in data


def test_reaches_neither_the_host_nor_private_addresses(instance):
    listener = socket.socket()
    listener.bind(("0.0.0.0", 0))
    listener.listen()
    port = listener.getsockname()[1]
    for address in ("198.19.0.1", "169.254.169.254", "10.0.0.1", "192.168.0.1"):
        assert instance.values(f"/connect/{address}/{port}").get("connected", "0") == "0", address
    listener.close()


def test_reaches_no_other_container(box, instance):
    other = box.up(transport=2, port=8080)
    assert other.get("/hello") == "hello\n"
    address = [l for l in other.get("/read/proc/net/fib_trie").splitlines() if "198.19." in l][0].split("-- ")[1]
    assert instance.values(f"/connect/{address}/8080").get("connected", "0") == "0"
    other.kill()


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
    assert values["errno"] in ("28", "27") and int(values["written"]) <= 4 << 20
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


def test_frozen_instances_wait_and_go_on(box):
    i = box.up()
    i.get("/hello")
    freeze = lambda on: box.connect().send(struct.pack("<BQ", 2, 5) + sb.text(i.id) + struct.pack("<B", on))
    freeze(1)
    box.connect().wait(sb.DONE)
    with pytest.raises(TimeoutError):
        i.get("/hello", timeout=0.3)
    freeze(0)
    box.connect().wait(sb.DONE)
    i.connection = None
    assert i.get("/hello") == "hello\n"
    i.kill()


def test_jobs_use_the_descriptors_that_they_were_given(box):
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    id_ = sb.new_id()
    plan = sb.memfd(sb.plan(id_, [box.layer], ["/app/none-such"], kind=1, transport=0))
    box.connect().send(struct.pack("<BQ", 0, 3), [plan, null, write, null])
    assert box.connect().wait(sb.START_FAILED, id_)["phase"] == "process"
    for fd in (read, write, null, plan):
        os.close(fd)


def test_strangers_are_refused(box):
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(61009)
            os.setuid(61009)
            client = sb.Client(box.run / "starter.sock")
            client.send(struct.pack("<BQ", 4, 1))
            client.receive(5)
            os._exit(1)
        except ConnectionError:
            os._exit(0)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_edge_may_not_start_jobs(box):
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            null = os.open("/dev/null", os.O_RDWR)
            os.setgid(61001)
            os.setuid(61001)
            client = sb.Client(box.run / "starter.sock")
            fd = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/probe"], kind=1, transport=0))
            client.send(struct.pack("<BQ", 0, 3), [fd, null, null, null])
            m = client.receive(5)
            code = 0 if m["type"] == sb.REFUSED and "may not" in m["message"] else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("garbage", [b"\x00", b"\xff" * 50, struct.pack("<BQ", 0, 1), b"\x01" + b"x" * 40000])
def test_garbage_is_refused_and_harms_nobody(box, garbage):
    client = sb.Client(box.run / "starter.sock")
    client.send(garbage)
    assert client.receive()["type"] == sb.REFUSED
    client.close()
    i = box.up()
    assert i.get("/hello") == "hello\n"
    i.kill()


@pytest.mark.parametrize("role", ["filler", "reaper", "starter"])
def test_each_role_may_be_killed(box, role):
    before = box.up()
    box.kill(role)
    assert before.get("/hello") == "hello\n"  # a warm request needs nobody
    box.start(role)
    if role == "starter":
        box.client.close()
        box.client = None
        box.connect().send(struct.pack("<BQ", 4, 11))
        listed = box.connect().wait(sb.LISTED, before.id)
        assert listed["label"] == "rev"
    assert before.get("/hello") == "hello\n"
    after = box.up()
    assert after.get("/hello") == "hello\n"
    for i in (before, after):
        assert i.kill()["id"] == i.id


def test_fifty_come_and_go_and_leave_nothing(box):
    for i in [box.up() for _ in range(50)]:
        i.kill()
    end = time.monotonic() + 20
    ours = lambda: [s for s in os.listdir(box.run / "instances") if s.endswith(".sock")]
    while len(ours()) > 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(ours()) <= 1, ours()  # the module's own instance
