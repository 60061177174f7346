"""Instances frozen and thawed as edge does it: through the descriptor that starter hands over, without a word to sandboxd."""
import errno
import os
import pathlib
import signal
import threading
import time

import pytest
import sandbox as sb

EDGE = 61001
WORDS = {"THAWED": ("FROZEN", "THAWED"), "FREEZING": ("FROZEN", "THAWED"), "FROZEN": ("FROZEN", "THAWED"), "0": ("1", "0"), "1": ("1", "0")}


def write(instance, frozen):
    state = os.pread(instance.freezer, 16, 0).decode().strip()
    os.pwrite(instance.freezer, WORDS[state][0 if frozen else 1].encode(), 0)


def group_of(box, instance):
    pid = int((box.run / "instances" / f"{instance.id}.state").read_text().split()[2])
    return pid, next(name for name, pids in box.groups().items() if pid in pids)


def stands_still(box, group):
    v1 = pathlib.Path(f"/sys/fs/cgroup/freezer/{box.tag}/{group}/freezer.state")
    return v1.read_text() == "FROZEN\n" if v1.exists() else "frozen 1\n" in pathlib.Path(f"/sys/fs/cgroup/{box.tag}/{group}/cgroup.events").read_text()


def freeze(box, instance):
    """Until every process of it stands still."""
    _, group = group_of(box, instance)
    write(instance, True)
    box.wait_until(lambda: stands_still(box, group), "it does not stand still")


def as_edge(action):
    """What `action` says, run by edge's user without any right of root's."""
    read, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(EDGE)
            os.setuid(EDGE)
            os.write(write_end, str(action()).encode())
        except OSError as e:
            os.write(write_end, errno.errorcode[e.errno].encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    said = os.read(read, 4096).decode()
    os.close(read)
    return said


def values(instance, path):
    return {name: int(value) for name, value in instance.values(path).items()}


@pytest.fixture
def up(box):
    i = box.up()
    i.get("/hello")
    yield i
    if i.id in box.listed():
        i.kill()


def test_edges_user_may_freeze_this_one_and_nothing_else(box, up):
    other = box.up()
    _, group = group_of(box, up)
    path = os.readlink(f"/proc/self/fd/{up.freezer}")
    assert as_edge(lambda: write(up, True)) == "None"
    box.wait_until(lambda: stands_still(box, group), "it does not stand still")
    assert other.get("/hello") == "hello\n"
    assert as_edge(lambda: write(up, False)) == "None"
    assert up.get("/hello") == "hello\n"
    # By its name the file is closed to it, as everything else of the group is; and the descriptor takes no other word.
    assert as_edge(lambda: os.open(path, os.O_WRONLY)) == "EACCES"
    assert as_edge(lambda: os.open(f"/proc/self/fd/{up.freezer}", os.O_WRONLY)) in ("EACCES", "ENOENT")
    assert as_edge(lambda: os.pwrite(up.freezer, b"max", 0)) in ("EINVAL", "ERANGE")
    assert as_edge(lambda: os.open("../tasks", os.O_WRONLY, dir_fd=up.freezer)) == "ENOTDIR"
    other.kill()


def test_the_descriptor_of_a_container_that_is_gone_reaches_no_other(box):
    i = box.up()
    _, group = group_of(box, i)
    i.kill()
    box.wait_until(lambda: group not in box.groups(), "the group stays")

    def is_nobodys():
        try:
            os.pwrite(i.freezer, b"FROZEN", 0)
        except OSError as failed:
            return failed.errno == errno.ENODEV
        return False
    box.wait_until(is_nobodys, "it reaches a group")  # groups of one container are removed one after the other


def test_nothing_runs_while_it_is_frozen_and_a_request_waits_for_the_thaw(box, up):
    up.get("/count")
    box.wait_until(lambda: values(up, "/count")["counted"] > 10, "it does not count")
    freeze(box, up)
    used = os.pread(up.cpu, 256, 0)
    up.connection.sendall(b"GET /count HTTP/1.1\r\n\r\n")  # the kernel keeps it
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        assert os.pread(up.cpu, 256, 0) == used, "it used CPU"
        time.sleep(0.01)
    begin = time.monotonic()
    write(up, False)
    head, body = up.connection.recv(65536).split(b"\r\n\r\n", 1)
    assert body.startswith(b"counted=") and time.monotonic() - begin < 1 * sb.SLOW


def test_clocks_are_right_after_a_thaw_and_a_due_timer_fires_once(box, up):
    period_s = 0.2
    up.get(f"/ring/{int(period_s * 1000)}")
    box.wait_until(lambda: values(up, "/count")["rung"] > 0, "the timer does not fire")
    freeze(box, up)
    missed = 10
    until = time.monotonic() + missed * period_s
    while time.monotonic() < until:  # that much of its time passes, and there is no other sign of it
        time.sleep(0.05)
    before = {"real": time.time_ns(), "monotonic": time.monotonic_ns()}
    write(up, False)
    begin = time.monotonic()
    clocks = values(up, "/clocks")
    after = {"real": time.time_ns(), "monotonic": time.monotonic_ns()}
    for name in before:
        assert before[name] <= clocks[name] <= after[name], name
    frozen_at = values(up, "/count")["rung"]
    awake = (time.monotonic() - begin) / period_s
    assert 2 <= frozen_at <= 3 + 1 + awake, "it fired for times that had passed"  # it had rung once or twice before
    up.get("/ring/0")


@pytest.mark.parametrize("kind,expected", [(0, signal.SIGTERM), (1, signal.SIGKILL)])
def test_a_frozen_one_ends_when_it_is_told_to(box, kind, expected):
    i = box.up()
    freeze(box, i)
    box.signal(i.id, kind)
    assert box.connect().wait(sb.EXITED, i.id)["signal"] == expected


def test_one_that_is_frozen_again_while_it_is_killed_ends_too(box):
    i = box.up()
    stop = threading.Event()

    def hold():
        while not stop.is_set():
            try:
                write(i, True)
            except OSError:
                return  # it is gone

    holder = threading.Thread(target=hold)
    freeze(box, i)
    holder.start()
    box.signal(i.id, 1)
    end = time.monotonic() + 0.3
    while time.monotonic() < end and holder.is_alive():
        time.sleep(0.01)
    stop.set()
    holder.join()
    assert box.connect().wait(sb.EXITED, i.id)["signal"] == signal.SIGKILL


def test_one_that_somebody_killed_while_it_was_frozen_ends_with_the_thaw(box):
    i = box.up()
    pid, _ = group_of(box, i)
    freeze(box, i)
    os.kill(pid, signal.SIGKILL)
    write(i, False)
    assert box.connect().wait(sb.EXITED, i.id)["signal"] == signal.SIGKILL


def test_a_starter_that_restarts_finds_it_and_the_descriptor_still_thaws(box):
    frozen, ended = box.up(), box.up()
    for i in (frozen, ended):
        i.get("/hello")
        freeze(box, i)
    box.kill("starter")
    box.start("starter")
    box.reconnect()
    assert {frozen.id, ended.id} <= set(box.listed())
    box.signal(ended.id, 1)
    assert box.connect().wait(sb.EXITED, ended.id)
    write(frozen, False)
    assert frozen.get("/hello") == "hello\n"
    frozen.kill()


def test_a_list_gives_the_freezer_to_the_edge_that_comes_next(box, up):
    freeze(box, up)
    client = box.reconnect()
    client.send(b"\x04" + (77).to_bytes(8, "little"))
    listed = client.wait(sb.LISTED, up.id)
    client.wait(sb.DONE)
    up.freezer = listed["fds"][4]
    write(up, False)
    assert up.get("/hello") == "hello\n"
