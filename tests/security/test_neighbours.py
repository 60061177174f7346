"""What two instances and the host share is nothing: files, processes, memory, environment, sockets, shared memory, layers, and init."""
import hashlib
import os
import pathlib
import socket

import hostile
import pytest
import sandbox as sb

LIBRARY = b"the library of everyone\n" * 100


@pytest.fixture(scope="module")
def shared_layer(box):
    """What two functions of one language share: a runtime whose files are root's, and here even some that are the function's own user's."""
    def fill(top):
        box.put_program(top)
        (top / "opt").mkdir()
        (top / "opt" / "shim.py").write_bytes(LIBRARY)
        (top / "app" / "library").write_bytes(LIBRARY)
    layer = box.make_layer(fill)
    os.chown(box.state / "layers" / layer[7:] / "app" / "library", sb.LAYER_ID_BASE + 1000, sb.LAYER_ID_BASE + 1000)
    return layer


@pytest.fixture(scope="module")
def pair(box, shared_layer):
    """Two instances of the same layers. Each has a secret in its environment that the other must not find."""
    return box.attacker(layers=[shared_layer], env=["SECRET=a-word-of-the-first"]), box.attacker(layers=[shared_layer], env=["SECRET=a-word-of-the-second"])


# ---- init


def test_init_takes_no_signal_and_shows_nothing(attacker):
    assert attacker.tries("signal-init") == {"init": "ok"}
    assert set(attacker.tries("init-files").values()) == {"EACCES"}
    # CONTROL: of a process of its own, the same program reads all of this.
    assert attacker.tries("read", "/proc/self/maps", "/proc/self/environ").keys() == {"/proc/self/maps", "/proc/self/environ"}
    assert "bytes" in attacker.tries("read", "/proc/self/maps")["/proc/self/maps"]


# ---- processes


def test_no_process_of_the_host_or_of_another_instance(pair):
    first, second = pair
    foreign = [str(pid) for pid in (os.getpid(), *second.processes(), *(p.pid for p in first.box.processes.values()))]
    got = first.tries("find-processes", *foreign)
    assert int(got.pop("found")) <= 4, got  # init, the program, and this attack with its child
    assert got == {f"{how} {pid}": {"kill": "ESRCH", "proc": "ENOENT"}[how] for pid in foreign for how in ("kill", "proc")}


def test_environment_and_secrets_of_another_instance(pair):
    first, second = pair
    assert int(first.tries("search", "a-word-of-the-second")["found"]) == 0
    # CONTROL: the same search finds the word in the instance that has it.
    assert int(second.tries("search", "a-word-of-the-second")["found"]) > 0


def test_users_of_two_instances_are_two_of_the_host(pair):
    users = [os.stat(f"/proc/{instance.processes()[-1]}").st_uid for instance in pair]
    assert users[0] != users[1] and all(0x10000000 <= user < sb.LAYER_ID_BASE for user in users), users
    ranges = [pathlib.Path(f"/proc/{instance.processes()[-1]}/uid_map").read_text().split() for instance in pair]
    (_, start_a, count_a), (_, start_b, count_b) = [[int(n) for n in r] for r in ranges]
    assert start_a + count_a <= start_b or start_b + count_b <= start_a


def test_namespaces_of_two_instances_and_the_host_are_three(pair):
    for kind in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        seen = {os.stat(f"/proc/{pid}/ns/{kind}").st_ino for pid in (os.getpid(), pair[0].processes()[-1], pair[1].processes()[-1])}
        assert len(seen) == 3, kind


# ---- sockets


def test_abstract_sockets_of_the_host(attacker):
    name = "skerry-" + os.urandom(4).hex()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        assert attacker.tries("abstract", name) == {"connect": "ECONNREFUSED"}
        # CONTROL: in the host's network namespace the same program connects.
        assert attacker.box.control("abstract", name) == {"connect": "ok"}


def test_abstract_sockets_of_another_instance(pair):
    first, second = pair
    assert second.tries("abstract-listen", "of-the-second") == {"bind": "ok", "listen": "ok"}
    assert first.tries("abstract", "of-the-second") == {"connect": "ECONNREFUSED"}
    assert second.tries("abstract", "of-the-second") == {"connect": "ok"}  # CONTROL


def test_sockets_of_the_platform_are_no_files_inside(box, attacker):
    paths = [str(box.run / "starter.sock"), str(box.run / "filler.sock"), "/run/skerry/keeper.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
             "/run/dbus/system_bus_socket", "/run/systemd/private"]
    assert attacker.tries("unix", *paths) == dict.fromkeys(paths, "ENOENT")
    # CONTROL: root of the host connects to starter.
    assert box.control("unix", paths[0]) == {paths[0]: "ok"}


# ---- shared memory


def test_shared_memory_semaphores_and_queues_are_each_instances_own(pair):
    first, second = pair
    assert second.tries("share", "for-the-other") == dict.fromkeys(["shm", "sem", "msg", "file"], "ok")
    assert first.tries("find-shared") == {"shm": "ENOENT", "sem": "ENOENT", "msg": "ENOENT", "file": "ENOENT", "segments": "0"}
    assert second.tries("find-shared") == {"shm": "ok", "sem": "ok", "msg": "ok", "file": "ok", "segments": "1"}  # CONTROL
    assert first.box.control("find-shared")["shm"] == "ENOENT"


def test_posix_queues(box, attacker):
    """No memory of the kernel for them (RLIMIT_MSGQUEUE 0)."""
    assert attacker.tries("queue") == {"mq": "EMFILE"}
    assert box.control("queue", wrapper=["unshare", "--ipc"]) == {"mq": "ok"}  # CONTROL


# ---- layers


EVERY_WAY = ("open", "write", "map", "chmod", "xattr", "times", "truncate", "rename", "replace", "unlink")


def test_a_shim_is_not_changed_for_another_instance(box, pair, shared_layer):
    """A file of root's cannot be written at all; one of the function's own user is copied into the instance's top first."""
    first, second = pair
    lower = box.state / "layers" / shared_layer[7:]
    before = {path: (hashlib.sha256(path.read_bytes()).digest(), path.stat()) for path in (lower / "opt" / "shim.py", lower / "app" / "library")}
    roots = first.tries("tamper", "/opt/shim.py")
    assert {roots[way] for way in ("open", "truncate", "rename", "unlink")} <= {"EACCES", "ENOENT"} and roots["chmod"] == "EPERM", roots
    assert roots["write"] == "EACCES" and roots["map"] in ("EBADF", "EACCES")
    own = first.tries("tamper", "/app/library")
    if own["xattr"] == "EOPNOTSUPP":  # before Linux 6.6 a tmpfs keeps no attributes of users
        own["xattr"] = "ok"
    assert {own[way] for way in EVERY_WAY} == {"ok"}, own  # CONTROL: in the instance itself the tampering works
    assert first.tries("stat", "/app/library")["/app/library"].split()[2] == "link"
    # Neither the layer on the host, nor an instance that runs, nor one that starts now sees any of it.
    late = box.attacker(layers=[shared_layer])
    for instance in (second, late):
        for path in ("/opt/shim.py", "/app/library"):
            assert instance.text("print", path).encode() == LIBRARY, path
    late.kill()
    for path, (digest, st) in before.items():
        now = path.stat()
        assert hashlib.sha256(path.read_bytes()).digest() == digest
        assert (now.st_mode, now.st_uid, now.st_mtime_ns, now.st_ino, now.st_nlink) == (st.st_mode, st.st_uid, st.st_mtime_ns, st.st_ino, st.st_nlink)
        assert os.listxattr(path) == []


def test_layers_are_read_only_for_root_inside_too(box, pair, shared_layer):
    """One barrier fewer: root of the host in the container's mount namespace changes the instance's top, never the layer."""
    first, _ = pair
    enter = ["nsenter", "-t", str(first.init()), "--mount", "--"]
    assert box.control("tamper", "/opt/shim.py", wrapper=enter, program="/app/attack")["open"] == "ok"
    assert (box.state / "layers" / shared_layer[7:] / "opt" / "shim.py").read_bytes() == LIBRARY


def test_files_of_another_instance(pair):
    first, second = pair
    second.tries("grant", "/tmp/of-the-second")  # makes it
    assert second.tries("where", "/tmp/of-the-second") == {"cwd": "/app", "/tmp/of-the-second": "ok"}
    hosts = [str(first.box.folder), str(first.box.state / "layers"), "/var/lib/skerry", "/run/skerry", "/root", "/home/fn/../../boot"]
    assert first.tries("where", "/tmp/of-the-second", *hosts) == {"cwd": "/app", "/tmp/of-the-second": "ENOENT", **dict.fromkeys(hosts, "ENOENT")}
