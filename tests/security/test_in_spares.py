"""Functions that begin in a spare, a runtime that waited for any function: what they find of the time before and of others is nothing, and what they do in
their first moment stops where it would stop in a container of their own. The runtimes' own part is in test_import_time.py."""
import os

import hostile
import pytest
import sandbox as sb
from test_spares import waiting

MB = 1 << 20
LIMITS = {"memory": 32 * MB, "scratch": 8 * MB, "processes": 64, "files": 100}
LIBRARY = b"the runtime of everyone\n"


@pytest.fixture(scope="module")
def box():
    b = hostile.Box()
    b.runtime = b.make_layer(lambda top: (b.put_program(top), (top / "opt").mkdir(), (top / "opt" / "library").write_bytes(LIBRARY)))
    own = b.state / "layers" / b.runtime[7:] / "opt"
    for path in (own, own / "library"):
        os.chown(path, sb.LAYER_ID_BASE + 1000, sb.LAYER_ID_BASE + 1000)
    b.code = b.make_layer(lambda top: ((top / "app").mkdir(), (top / "app" / "code").write_text("a function\n")), at="/app")
    b.keep_spares(2, layers=[b.runtime], argv=["/app/attack"], **LIMITS)
    yield b
    b.close()


def begin(box, start, **options):
    """The id and the message of a container that was a spare, or was not ("boot")."""
    if start == "spare":
        box.wait_until(lambda: len(waiting(box)) == 2, "no spares")
    layers = {"layers": [box.runtime, box.code], "runtime_layers": 1} if start == "spare" else {"layers": [box.runtime]}
    id_ = box.boot(**{"argv": ["/app/attack"], **layers, **LIMITS, **options})
    started = box.connect().wait(sb.STARTED, id_)
    assert started["prestarted"] == (start == "spare")
    return id_, started


@pytest.fixture(scope="module")
def pair(box):
    """Two functions, each in what was a spare, and the numbers of their programs on the host."""
    found = []
    for name in ("first", "second"):
        box.wait_until(lambda: len(waiting(box)) == 2, "no spares")
        before = set(waiting(box))
        id_, started = begin(box, "spare", env=[f"SECRET=a-word-of-the-{name}"])
        attacker = hostile.Attacker(box, sb.Instance(box, id_, started))
        attacker.tries("identity")
        attacker.pid, = before - set(waiting(box))
        found.append(attacker)
    return found


def test_no_descriptor_of_the_time_before(pair):
    found = pair[0].tries("descriptors")
    assert not [name for name in found if name.startswith(("chdir", "beyond"))], found
    assert all(target.startswith(("pipe:[", "socket:[")) or target == "/dev/null" for target in found.values()), found
    assert len(found) <= 6, found  # standard streams, the listening socket, the connection that asks, the pipe that answers


def test_no_privilege(pair):
    got = pair[0].tries("identity")
    assert (got["uid"], got["euid"], got["egid"]) == ("1000", "1000", "1000") and any(name.startswith("CapEff:\t0000000000000000") for name in got), got
    for attack in ("mount", "umount", "unshare", "setns", "bpf", "io_uring", "ptrace"):
        assert set(pair[0].tries(attack).values()) <= {"ENOSYS", "EACCES"}, attack


def test_nothing_of_another_function(box, pair):
    first, second = pair
    second.tries("grant", "/tmp/of-the-second")  # makes it
    second.tries("grant", "/app/of-the-second")
    assert second.tries("where", "/tmp/of-the-second", "/app/of-the-second", "/app/code")["/app/of-the-second"] == "ok"
    assert first.tries("where", "/tmp/of-the-second", "/app/of-the-second", "/app/code") == {
        "cwd": "/app", "/tmp/of-the-second": "ENOENT", "/app/of-the-second": "ENOENT", "/app/code": "ok"}
    word = "a-word-of-the-second"[::-1]
    assert first.tries("search-memory", word) == {"found": "0"}
    assert int(second.tries("search-memory", word)["found"]) > 0  # CONTROL
    told = first.text("print", "/proc/self/mountinfo")
    assert "/app" in told and str(box.folder) not in told and box.code[7:] not in told


def test_users_and_namespaces_of_its_own(pair):
    assert len({os.stat(f"/proc/{attacker.pid}").st_uid for attacker in pair}) == 2
    for kind in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        assert len({os.stat(f"/proc/{pid}/ns/{kind}").st_ino for pid in (os.getpid(), pair[0].pid, pair[1].pid)}) == 3, kind


def test_a_changed_runtime_is_the_instances_own(box, pair):
    first, second = pair
    tampered = first.tries("tamper", "/opt/library")
    assert (tampered["open"], tampered["write"], tampered["truncate"]) == ("ok", "ok", "ok")
    assert second.text("print", "/opt/library").encode() == LIBRARY
    id_, started = begin(box, "spare")  # one that was made after
    late = hostile.Attacker(box, sb.Instance(box, id_, started))
    assert late.text("print", "/opt/library").encode() == LIBRARY
    late.kill()
    assert (box.state / "layers" / box.runtime[7:] / "opt" / "library").read_bytes() == LIBRARY


# ---- the first moment: the attack is the first that the function does


def below(got, name, bound, *ends):
    assert got["end"] in ends and int(got[name]) <= bound, got


FIRST = {
    "fork": lambda got: below(got, "made", 63, "EAGAIN"),
    "threads": lambda got: below(got, "made", 63, "EAGAIN"),
    "open-files": lambda got: below(got, "made", 100, "EMFILE"),
    "disk /tmp/bomb": lambda got: below(got, "written", 8 * MB, "ENOSPC", "EFBIG"),
    "files /tmp": lambda got: below(got, "written", 8 * MB, "ENOSPC"),
    "inodes /tmp": lambda got: below(got, "made", 8192, "ENOSPC"),
    "memory": None,
    "memfd": None,
}


@pytest.mark.parametrize("start", ["boot", "spare"])
@pytest.mark.parametrize("attack", FIRST)
def test_bombs_in_the_first_moment(box, start, attack):
    id_, started = begin(box, start, **({"env": ["ATTACK=" + attack]} if start == "spare" else {"argv": ["/app/attack", "run", *attack.split()]}))
    ended = box.connect().wait(sb.EXITED, id_, 20)
    said = os.read(started["fds"][0], 65536).decode() if FIRST[attack] else ""
    for fd in started["fds"]:
        os.close(fd)
    if FIRST[attack]:
        assert not ended["oom"], ended
        FIRST[attack](hostile.lines(said))
    else:
        assert ended["oom"] and ended["peak"] <= LIMITS["memory"], ended
