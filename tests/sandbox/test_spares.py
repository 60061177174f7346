"""Spares: runtimes that wait, and what becomes of them."""
import os
import pathlib
import subprocess
import time

import pytest
import sandbox as sb

CODE = "b" * 64


@pytest.fixture
def code(box):
    """A layer below /app, as a function's code is."""
    top = box.state / "layers" / CODE
    if not top.exists():
        (top / "app").mkdir(parents=True)
        (top / "app" / "code").write_text("the function\n")
        for path in [top, *top.rglob("*")]:
            os.chown(path, sb.LAYER_ID_BASE, sb.LAYER_ID_BASE)
        (box.state / "layers" / (CODE + ".meta")).write_text("/app 1 1\n")
    return "sha256:" + CODE


@pytest.fixture
def spares(box):
    """keep(n) orders n spares and waits until so many wait (and no other)."""
    def keep(count, **options):
        box.keep_spares(count, **options)
        until(lambda: len(waiting(box)) == count)
    yield keep
    keep(0)


def until(condition, seconds=10):
    end = sb.in_time(seconds)
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def programs(box):
    """Host pids of every probe (or attack) in the sandbox's groups, to the names of their hosts."""
    found = {}
    for pids in box.groups().values():
        for pid in pids:
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith(("/probe", "/attack")):
                    found[pid] = subprocess.run(["nsenter", "-t", str(pid), "-u", "hostname"], capture_output=True, text=True).stdout.strip()
            except OSError:
                pass  # ended meanwhile
    return found


def waiting(box):
    """The spares that read their assignment: blocked in read(5)."""
    ids = []
    for pid, name in programs(box).items():
        try:
            call = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[:2]
        except OSError:
            continue  # ended meanwhile
        if name == "spare" and call == ["0", "0x5"]:
            ids.append(pid)
    return ids


def instance_of(box, code, **options):
    return box.up(layers=[box.layer, code], runtime_layers=1, **options)


def test_a_spare_becomes_an_instance(box, code, spares):
    spares(1)
    (pid,) = waiting(box)
    i = instance_of(box, code, env=["GREETING=hello", "EMPTY="])
    assert i.started["prestarted"]
    assert pid in programs(box)  # the same process
    assert i.get("/read/app/code") == "the function\n"
    assert i.get("/env").splitlines() == ["GREETING=hello", "EMPTY="]
    assert i.get("/read/etc/hostname") == "i-test\n" and "i-test" in i.get("/read/etc/hosts")
    assert i.get("/cwd") == "/app"
    assert i.get("/read/etc/lower") == "from the layer\n"  # the runtime's own layers stay
    assert programs(box)[pid] == "i-test"
    i.kill()


def test_its_folder_is_writable_and_counts(box, code, spares):
    spares(1)
    i = instance_of(box, code)
    assert i.get("/write/app/new") == "errno=0\n"
    assert (box.state / "layers" / CODE / "app" / "new").exists() is False
    i.kill()
    again = instance_of(box, code)
    assert again.get("/read/app/new") == "error=No such file or directory\n"
    again.kill()


def test_spares_are_used_once_and_made_again(box, code, spares):
    spares(2)
    first = set(waiting(box))
    i = instance_of(box, code)
    until(lambda: len(waiting(box)) == 2)
    assert set(waiting(box)) != first
    i.kill()


def test_the_next_spare_leaves_the_machine_to_the_first_request(box, code, spares):
    spares(1)
    used = time.monotonic()
    i = instance_of(box, code)
    until(lambda: len(waiting(box)) == 1)
    assert time.monotonic() - used >= 0.1  # Starter::kSpareRest; it comes up in less
    i.kill()


def test_without_a_spare_it_boots(box, code):
    i = instance_of(box, code)
    assert not i.started["prestarted"]
    assert i.get("/read/app/code") == "the function\n"
    i.kill()


@pytest.mark.parametrize("other", [{"memory": 32 << 20}, {"argv": ["/app/probe", "wait"]}, {"layers": "code first"}])
def test_a_spare_of_another_kind_is_left_alone(box, code, spares, other):
    spares(1)
    if other.get("layers"):
        other = {"layers": [code, box.layer]}
    id_ = box.boot(**{"layers": [box.layer, code], "runtime_layers": 1, **other})
    started = box.connect().wait(sb.STARTED, id_)
    assert not started["prestarted"]
    assert len(waiting(box)) == 1
    box.signal(id_, 1)
    box.connect().wait(sb.EXITED, id_)


def test_an_instance_from_a_spare_outlives_starter(box, code, spares):
    spares(1)
    i = instance_of(box, code)
    box.kill("starter")
    box.start("starter")
    box.reconnect()
    until(lambda: i.id in box.listed())
    assert i.get("/hello") == "hello\n"
    until(lambda: not waiting(box))  # spares go with the starter that had them
    box.signal(i.id, 1)
    box.connect().wait(sb.EXITED, i.id)


def test_a_spare_that_dies_costs_nothing(box, code, spares):
    spares(1)
    (pid,) = waiting(box)
    os.kill(pid, 9)
    until(lambda: pid not in programs(box))
    i = instance_of(box, code)
    assert i.get("/read/app/code") == "the function\n"
    i.kill()
    until(lambda: waiting(box) and waiting(box) != [pid])


def test_a_spare_that_is_killed_while_it_becomes_fails_the_start_and_nothing_else(box, code, spares):
    """Its program is stopped, so that the assignment reaches a process that never answers; then it is killed."""
    spares(1)
    (pid,) = waiting(box)
    os.kill(pid, 19)
    id_ = box.boot(layers=[box.layer, code], runtime_layers=1)
    box.connect().wait(sb.STARTED, id_)
    os.kill(pid, 9)
    assert box.connect().wait(sb.EXITED, id_)["signal"] == 9
    i = instance_of(box, code)
    assert i.get("/hello") == "hello\n"
    i.kill()


def test_spares_are_limited_like_the_instances_they_become(box, code, spares):
    spares(1)
    i = instance_of(box, code)
    status = i.get("/read/proc/self/status")
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in status
    assert "Max open files            256                  256" in i.get("/read/proc/self/limits")
    assert [line.split()[0] for line in i.get("/fds").splitlines()] == ["0", "1", "2", "3", "4"]  # 4: this request
    i.kill()


def test_nothing_but_edge_and_spares_are_let_in(box):
    client = box.connect()
    ordinary = sb.memfd(sb.struct.pack("<I", 1) + sb.text(sb.plan(sb.new_id(), [box.layer], ["/app/probe"])) + sb.struct.pack("<B", 1))
    for fds in ([], [ordinary], [ordinary, ordinary]):
        client.send(sb.struct.pack("<BQ", sb.KEEP_SPARES, 9), fds)
        assert client.wait(sb.REFUSED)["request"] == 9
    os.close(ordinary)
    fd = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/probe"], runtime_layers=1, spare=True))
    client.send(sb.struct.pack("<BQ", sb.START, 7), [fd])
    assert "spare" in client.wait(sb.REFUSED)["message"]
    os.close(fd)
