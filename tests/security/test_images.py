"""Hostile images: layers whose /dev, /proc, /sys and /etc are not what a runtime expects, and starts that race with a change of them."""
import os
import pathlib
import time

import hostile
import pytest
import sandbox as sb

CORE_PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern")
STANDARD = {"/dev/null": "1:3", "/dev/zero": "1:5", "/dev/full": "1:7", "/dev/random": "1:8", "/dev/urandom": "1:9"}


@pytest.fixture(autouse=True)
def the_host_is_as_before():
    watched = [pathlib.Path(p) for p in ("/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname")]
    before = [(p.read_bytes(), p.stat().st_ino) for p in watched], CORE_PATTERN.read_text()
    yield
    assert ([(p.read_bytes(), p.stat().st_ino) for p in watched], CORE_PATTERN.read_text()) == before


def assert_ordinary(inside):
    """/proc, /sys and /dev are the runtime's, whatever the image has there."""
    got = inside.tries("stat", "/dev", "/proc", "/sys", "/etc", *STANDARD)
    assert all(got[folder].split()[2] == "folder" for folder in ("/dev", "/proc", "/sys", "/etc")), got
    assert {path: got[path].split()[3] for path in STANDARD} == STANDARD, got
    points = {line.split()[4]: line.split(" - ")[1].split()[0] for line in inside.text("print", "/proc/self/mountinfo").splitlines()}
    assert (points["/"], points["/proc"], points["/dev"], points["/dev/pts"], points["/dev/shm"], points["/sys"]) == ("overlay", "proc", "tmpfs", "devpts", "tmpfs", "tmpfs"), points
    assert all(point == "/" or point.startswith(("/proc", "/dev", "/sys")) for point in points), points
    assert inside.tries("open-to-write", "/proc/sys/kernel/core_pattern") == {"/proc/sys/kernel/core_pattern": "EACCES"}


def start(box, fill, **plan):
    def all_of_it(top):
        box.put_program(top)
        fill(top)
    return box.attacker(layers=[box.make_layer(all_of_it)], **plan)


def link(top, name, target):
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).symlink_to(target)


# SECURITY: each of these made a runtime mount, write or mask at a place of the image's choosing.
LINKS = {
    "CVE-2026-41579 /dev is a symlink": [("dev", "/tmp/target")],
    "CVE-2026-41579 /dev is a symlink to /proc": [("dev", "/proc")],
    "CVE-2021-30465 /proc is a symlink": [("proc", "/tmp/target")],
    "CVE-2019-19921 /proc is a symlink out": [("proc", "../../../../../../proc")],
    "CVE-2021-30465 /sys is a symlink": [("sys", "/tmp/target")],
    "CVE-2024-45310 /etc is a symlink out": [("etc", "../../../../../../etc")],
    "/tmp, /home and /app's neighbours are symlinks": [("tmp", "/proc/self"), ("home", "/etc")],
    "/home/fn is a symlink": [("home/fn", "/etc")],
    "CVE-2025-31133 /dev/null is a symlink": [("dev/null", "/proc/sys/kernel/core_pattern")],
    "CVE-2025-52565 /dev/console and /dev/pts are symlinks": [("dev/console", "/proc/sysrq-trigger"), ("dev/pts", "/proc/sys"), ("dev/ptmx", "/proc/sysrq-trigger")],
    "CVE-2025-52881 /proc/self is a symlink": [("proc/self", "/proc/1"), ("proc/sys", "/tmp/target"), ("proc/kcore", "/etc/passwd")],
    "/etc/hosts and /etc/resolv.conf are symlinks": [("etc/hosts", "/../../../../etc/hosts"), ("etc/resolv.conf", "/../../../../etc/resolv.conf"), ("etc/hostname", "/etc/passwd")],
}


@pytest.mark.parametrize("case", LINKS)
def test_places_of_the_runtime_that_are_symlinks(box, case):
    def fill(top):
        for name, target in LINKS[case]:
            link(top, name, target)
    inside = start(box, fill)
    assert_ordinary(inside)
    # Nothing was mounted or written where the link led.
    assert inside.tries("stat", "/tmp/target") == {"/tmp/target": "ENOENT"}
    assert "localhost" in inside.text("print", "/etc/hosts") and inside.text("print", "/etc/hostname") == "i-test\n"
    inside.kill()


def test_cve_2025_52881_writes_of_the_start_reach_the_kernel(box):
    """What a start writes below /proc goes to the kernel's files, not to the image's: the score is the real one, seen from the host."""
    def fill(top):
        (top / "proc" / "self").mkdir(parents=True)
        (top / "proc" / "self" / "oom_score_adj").write_text("image")
        (top / "proc" / "sys" / "kernel").mkdir(parents=True)
    inside = start(box, fill)
    assert {pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in inside.processes()} == {"500\n"}
    assert inside.text("print", "/proc/self/oom_score_adj") == "500\n"
    inside.kill()


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "etc", "tmp", "home"])
def test_places_of_the_runtime_that_are_files(box, name):
    inside = start(box, lambda top: (top / name).write_text("a file"))
    assert_ordinary(inside)
    inside.kill()


def test_app_that_is_a_symlink_is_the_runtimes_folder(box):
    """The program cannot be there then: the start fails by name, and does not run what the link leads to."""
    layer = box.make_layer(lambda top: link(top, "app", "/proc/1/root"))
    id_ = box.boot(layers=[layer], argv=["/app/bin/sh"])
    failed = box.connect().wait(sb.START_FAILED, id_)
    assert failed["phase"] == "process" and "/app/bin/sh" in failed["message"]


def test_the_way_up_leads_to_the_containers_own_root(box):
    """The program's first lookup goes to the root by ".." and back, as the relative link to a dynamic loader does: at no moment of the start does
    that lead to the root which the container was made under. Many starts, because the moment is short."""
    def fill(top):
        box.put_program(top)
        (top / "usr" / "lib").mkdir(parents=True)
    layer = box.make_layer(fill)
    client = box.connect()
    for _ in range(20):
        for id_ in [box.boot(layers=[layer], argv=["/usr/lib/../../app/attack"]) for _ in range(10)]:
            started = client.wait(sb.STARTED, id_)
            for fd in started["fds"]:
                os.close(fd)
            box.signal(id_, 1)
            client.wait(sb.EXITED, id_)


def test_devices_and_pipes_in_a_layer_are_dead(box):
    """As a deceived unpacker would leave them: the layer's mount has nodev."""
    def fill(top):
        (top / "nodes").mkdir()
        os.mknod(top / "nodes" / "mem", 0o20666, os.makedev(1, 1))
        os.mknod(top / "nodes" / "disk", 0o60666, os.makedev(254, 0))
        os.mknod(top / "nodes" / "null", 0o20666, os.makedev(1, 3))
    inside = start(box, fill)
    assert inside.tries("read", "/nodes/mem", "/nodes/disk", "/nodes/null") == dict.fromkeys(["/nodes/mem", "/nodes/disk", "/nodes/null"], "EACCES")
    inside.kill()
    # CONTROL: where devices may be opened the very same node is read.
    assert os.read(os.open(box.state / "layers" / f"{box.made:064x}" / "nodes" / "null", os.O_RDONLY), 1) == b""


def test_passwd_of_the_image_decides_nothing(box):
    """CVE-2016-3697: names and numbers of users come from the plan, never from a file of the image."""
    def fill(top):
        (top / "etc").mkdir()
        (top / "etc" / "passwd").write_text("fn:x:0:0::/:/bin/sh\n1000:x:0:0::/root:/x\n" + "x" * 70000 + "\n:::::::\n")
        (top / "etc" / "group").write_text("root:x:0:fn,1000\nfn:x:0:\n\0\n" * 2000)
    inside = start(box, fill)
    got = inside.tries("identity")
    assert (got["uid"], got["euid"], got["egid"]) == ("1000", "1000", "1000")
    inside.kill()


def test_environment_of_the_greatest_size(box):
    """Past the bound the plan is refused by name, or the program is not started; sandboxd goes on."""
    mine = box.attacker(env=[f"V{i}=" + "x" * 4000 for i in range(60)])
    assert mine.tries("identity")["uid"] == "1000"
    mine.kill()
    client = sb.Client(box.run / "starter.sock")
    big = sb.memfd(sb.plan(sb.new_id(), [box.layer], ["/app/attack"], [f"V{i}=" + "x" * 60000 for i in range(200)]))
    client.send(b"\0" + (7).to_bytes(8, "little"), [big])
    os.close(big)
    try:
        assert client.receive()["type"] in (sb.REFUSED, sb.START_FAILED)
    except ConnectionError:
        pass  # a plan that long is no message of edge's
    client.close()
    again = box.attacker()
    assert again.tries("identity")["uid"] == "1000"
    again.kill()


def test_a_program_that_is_a_script_of_itself(box):
    def fill(top):
        (top / "app" / "loop").write_text("#!/app/loop\n")
        (top / "app" / "loop").chmod(0o755)
    layer = box.make_layer(lambda top: (box.put_program(top), fill(top)))
    failed = box.connect().wait(sb.START_FAILED, box.boot(layers=[layer], argv=["/app/loop"]))
    assert failed["phase"] == "process" and "/app/loop" in failed["message"]


def test_cve_2021_30465_starts_race_with_an_instance_that_moves_its_folders(box):
    """Where two containers shared a folder, one swapped a mount's target for a symlink. Here each has its own top: the instance may not move the
    folders, and what it does to /app is its own while eight more of the same layers start."""
    racer = box.attacker()
    ids = []
    end = sb.in_time(2)
    while len(ids) < 8 and time.monotonic() < end:
        ids.append(box.boot(argv=["/app/attack"]))
        got = racer.tries("make-devices")
        assert (got["rename-dev"], got["unlink"], got["symlink"]) == ("EACCES", "EROFS", "EROFS")
        tampered = racer.tries("tamper", "/app/attack")
        assert tampered["replace"] in ("ok", "EEXIST")
    for id_ in ids:
        started = box.connect().wait(sb.STARTED, id_)
        inside = hostile.Attacker(box, sb.Instance(box, id_, started))
        assert_ordinary(inside)
        inside.kill()
    racer.kill()
