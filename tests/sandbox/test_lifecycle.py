"""How containers end, freeze, and outlive the processes that made them; and that nothing of them stays."""
import contextlib
import os
import pathlib
import signal
import struct
import subprocess
import time

import pytest
import sandbox as sb


def read_all(fd):
    with os.fdopen(fd, "rb") as f:
        return f.read()


# ---- ends


def test_the_programs_status_is_told_once(box):
    i = box.up()
    with pytest.raises(ConnectionError):
        i.get("/exit/7")
    ended = box.connect().wait(sb.EXITED, i.id)
    assert (ended["exit_code"], ended["signal"], ended["oom"]) == (7, 0, False)
    assert ended["peak"] > 0
    assert i.id not in box.listed()
    with pytest.raises(TimeoutError):
        box.connect().wait(sb.EXITED, i.id, timeout=0.2)


def test_terminate_reaches_the_program(box):
    i = box.up()
    box.signal(i.id, 0)
    ended = box.connect().wait(sb.EXITED, i.id)
    assert (ended["exit_code"], ended["signal"]) == (-1, 15)


def test_a_child_that_takes_all_the_memory_ends_the_whole_container(box):
    i = box.up(memory=32 << 20)
    with contextlib.suppress(ConnectionError):  # the program may still answer, or not
        i.get("/child-memory", timeout=20)
    assert box.connect().wait(sb.EXITED, i.id, timeout=20)["oom"]


def test_a_program_that_is_not_there_fails_the_start_by_name(box):
    id_ = box.boot(argv=["/app/none"])
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert failed["phase"] == "process" and "/app/none" in failed["message"]
    box.wait_until(lambda: not (box.run / "instances" / f"{id_}.sock").exists(), "the socket stays")


def test_a_layer_that_is_not_there_fails_the_start_by_name(box):
    digest = "sha256:" + "b" * 64
    id_ = box.boot(layers=[digest])
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert failed["phase"] == "mount" and digest in failed["message"]


def test_starts_wait_for_slots_and_fail_after_their_time(box):
    os.kill(box.processes["filler"].pid, 19)  # SIGSTOP
    try:
        client = sb.Client(box.run / "starter.sock")
        ids = [box.boot(client=client) for _ in range(20)]  # more than the pool holds
        late = client.wait(sb.START_FAILED, timeout=15)
        assert late["phase"] == "slot" and late["code"] != 0 and late["id"] in ids
    finally:
        os.kill(box.processes["filler"].pid, 18)  # SIGCONT
    for m in [m for m in client.pending if m["type"] == sb.STARTED]:
        box.signal(m["id"], 1)
        assert client.wait(sb.EXITED, m["id"])
        for fd in m["fds"]:
            os.close(fd)
    client.close()


# ---- frozen


def test_frozen_instances_wait_and_go_on(box):
    i = box.up()
    i.get("/hello")
    box.freeze(i.id, 1)
    with pytest.raises(TimeoutError):
        i.get("/hello", timeout=0.3)
    box.freeze(i.id, 0)
    i.connection.close()
    i.connection = None
    assert i.get("/hello") == "hello\n"
    i.kill()


@pytest.mark.parametrize("kind,expected", [(0, 15), (1, 9)])
def test_frozen_instances_can_be_ended(box, kind, expected):
    i = box.up()
    box.freeze(i.id, 1)
    box.signal(i.id, kind)
    assert box.connect().wait(sb.EXITED, i.id)["signal"] == expected


# ---- jobs


def test_jobs_use_the_descriptors_and_environment_that_they_were_given(box):
    read, write = os.pipe()
    id_, out, err = box.job("copy", stdin=read, env=["PURPOSE=test"])
    os.close(read)
    os.write(write, b"through the container")
    os.close(write)
    assert box.connect().wait(sb.EXITED, id_)["exit_code"] == 0
    assert read_all(out) == b"through the container"
    assert read_all(err) == b"test\n"


def test_jobs_are_not_listed(box):
    id_, out, err = box.job("wait")
    assert box.connect().wait(sb.STARTED, id_)["fds"] == []
    assert os.read(out, 100) == b"waiting\n"
    assert id_ not in box.listed()
    box.signal(id_, 1)
    assert box.connect().wait(sb.EXITED, id_)["signal"] == 9
    os.close(out), os.close(err)


def test_a_job_ends_with_the_connection_that_asked_for_it(box):
    client = sb.Client(box.run / "starter.sock")
    _, out, err = box.job("wait", client=client)
    assert os.read(out, 100) == b"waiting\n"
    client.close()
    assert read_all(out) == b"", "the job's output ends when all of it is dead"
    os.close(err)


# ---- restarts


@pytest.mark.parametrize("role", ["filler", "reaper", "starter"])
def test_each_role_may_be_killed(box, role):
    before = box.up()
    box.kill(role)
    assert before.get("/hello") == "hello\n"  # a warm request needs nobody
    box.start(role)
    if role == "starter":
        box.reconnect()
        assert box.listed()[before.id] == "rev"
    assert before.get("/hello") == "hello\n"
    after = box.up()
    assert after.get("/hello") == "hello\n"
    for i in (before, after):
        assert i.kill()["id"] == i.id


@pytest.mark.parametrize("label", ["", "two words", "a\nb"])
def test_any_label_outlives_a_restart(box, label):
    i = box.up(label=label)
    box.kill("starter")
    box.start("starter")
    box.reconnect()
    assert box.listed()[i.id] == label
    i.kill()


def test_how_an_adopted_instance_ended_is_not_made_up(box):
    i = box.up()
    box.kill("starter")
    box.start("starter")
    box.reconnect()
    assert i.id in box.listed()
    with pytest.raises(ConnectionError):
        i.get("/exit/0")
    ended = box.connect().wait(sb.EXITED, i.id)
    assert (ended["exit_code"], ended["signal"]) == (-1, 0)


def test_an_adopted_instance_still_answers_for_its_memory(box):
    i = box.up(memory=32 << 20)
    box.kill("starter")
    box.start("starter")
    box.reconnect()
    with contextlib.suppress(ConnectionError):  # the program may still answer, or not
        i.get("/child-memory", timeout=20)
    assert box.connect().wait(sb.EXITED, i.id, timeout=20)["oom"]


def test_own_servers_get_sockets_after_a_restart(box):
    i = box.up(transport=2, port=8080)
    box.kill("starter")
    box.start("starter")
    box.reconnect().send(struct.pack("<BQ", sb.MORE_SOCKETS, 9) + sb.text(i.id) + struct.pack("<B", 1))
    i.sockets = box.connect().wait(sb.SOCKETS, i.id)["fds"]
    assert i.get("/hello") == "hello\n"
    i.kill()


def test_jobs_and_slots_of_a_dead_starter_do_not_stay(box):
    _, out, err = box.job("wait")
    assert os.read(out, 100) == b"waiting\n"
    box.wait_until(lambda: len(box.groups()) > 8, "no pool of slots")
    old = set(box.groups())
    box.kill("starter")
    box.kill("filler")  # so that every group is an old one
    box.start("starter")
    box.wait_until(lambda: not set(box.groups()) & old, "groups of the old starter stay")
    assert read_all(out) == b""
    os.close(err)
    box.start("filler")
    box.reconnect()
    i = box.up()
    assert i.get("/hello") == "hello\n"
    i.kill()


def test_a_stale_state_file_harms_nobody_who_has_the_slot_now(box):
    i = box.up()
    index = next(int(name[1:]) for name, pids in box.groups().items() if pids)
    stale = box.run / "instances" / f"{sb.new_id()}.state"
    stale.write_text(f"skerry-instance-1 {index} {os.getpid()} 12345 1 old\n")
    damaged = box.run / "instances" / f"{sb.new_id()}.state"
    damaged.write_text(f"skerry-instance-1 {index}")
    box.kill("starter")
    box.start("starter")
    box.reconnect()
    box.wait_until(lambda: not stale.exists() and not damaged.exists(), "the stale files stay")
    assert i.get("/hello") == "hello\n"
    i.kill()


# ---- nothing stays


def test_fifty_come_and_go_and_leave_nothing(box):
    fds = lambda: {role: len(os.listdir(f"/proc/{p.pid}/fd")) for role, p in box.processes.items()}
    quiet = lambda: len(box.groups()) <= 12 and not any(s.endswith(".sock") for s in os.listdir(box.run / "instances"))
    box.wait_until(quiet, "containers of earlier tests stay")
    box.wait_until(lambda: len(box.groups()) == 12, "the pool is not full")
    before = fds()
    for i in [box.up() for _ in range(50)]:
        i.kill()
        for fd in (i.out, i.err, i.status, i.cpu):
            os.close(fd)
    box.wait_until(quiet, f"left: {os.listdir(box.run / 'instances')} {box.groups()}", timeout=20)
    box.wait_until(lambda: len(box.groups()) == 12, "the pool is not full again")
    # A slot that is being made holds some for a moment.
    box.wait_until(lambda: all(now <= before[role] + 8 for role, now in fds().items()), f"descriptors stay open: {before} before")
    assert not os.listdir(box.run / "instances")


def test_sweep_removes_everything_even_what_is_frozen_or_a_job():
    s = sb.Sandbox()
    i = s.up()
    s.freeze(i.id, 1)
    _, out, err = s.job("wait")
    assert os.read(out, 100) == b"waiting\n"
    for role in ("starter", "filler", "reaper"):
        s.kill(role)
    assert any(s.groups().values()), "the containers outlive their makers"
    half_made = next(p for p in (pathlib.Path("/sys/fs/cgroup/memory") / s.tag, pathlib.Path("/sys/fs/cgroup") / s.tag) if p.exists())
    (half_made / "s15000").mkdir()  # as a filler leaves it that is killed between two hierarchies
    began = time.monotonic()
    swept = subprocess.run([sb.BIN / "skerry-sandboxd", "sweep", *s.options()], capture_output=True, text=True)
    assert swept.returncode == 0, swept.stderr
    assert "removed 1 containers" in swept.stdout
    assert time.monotonic() - began < 5
    assert read_all(out) == b""
    os.close(err)
    s.close()  # fails when anything is left


def test_a_parked_container_that_is_killed_costs_no_start(box):
    """Every process that waits in a slot, both of each: the next start takes what filler has made since, or waits for it."""
    for which in (0, -1):
        box.wait_until(lambda: sum(len(pids) == 2 for pids in box.groups().values()) == 12, "the pool is not full")
        parked = [sorted(pids)[which] for pids in box.groups().values() if len(pids) == 2]
        for pid in parked:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # went with its init
        # A kill in the very moment of the exec cannot be told from one of the program: that is the program's end.
        box.wait_until(lambda: not {pid for pids in box.groups().values() for pid in pids} & set(parked), "what was killed lives")
        i = box.up()
        assert i.get("/hello") == "hello\n"
        i.kill()
