"""What the kernel counts for the whole machine, or for the user who made a namespace: one container must not use it up for another, or for the host."""
import ctypes
import os
import pathlib

import hostile
import pytest
import sandbox as sb

CGROUP_V2 = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()


@pytest.fixture
def pair(box):
    attackers = [box.attacker(files=4096), box.attacker(files=4096)]
    yield attackers
    for attacker in attackers:
        attacker.kill()


def test_inotify_instances(pair):
    """fs.inotify.max_user_instances: counted for the user of the host who made the user namespace, too."""
    first, second = pair
    most = pathlib.Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
    assert first.tries("inotify") == {"made": most, "end": "EMFILE"}
    assert second.tries("inotify")["made"] == most
    fd = ctypes.CDLL(None).inotify_init1(os.O_CLOEXEC)
    assert fd >= 0, "root of the host has none left"
    os.close(fd)


def test_inotify_control(box):
    """CONTROL: namespaces that one user makes share that user's number; the second finds nothing left. Both by a user of this test's own."""
    namespace = [*hostile.NOBODY_UNFILTERED, "unshare", "--user", "--map-root-user"]
    with hostile.hold([*namespace, box.tools / "attack", "run", "inotify"], b"end=EMFILE"):
        assert box.control("count-inotify", wrapper=namespace) == {"made": "0", "end": "EMFILE"}


def test_queued_signals(pair):
    """RLIMIT_SIGPENDING, counted likewise."""
    first, second = pair
    assert first.tries("signals", 1 << 20)["end"] == "EAGAIN"
    assert second.tries("signals", 100) == {"made": "100", "end": "ok"}


def test_asynchronous_io_contexts(pair):
    """fs.aio-max-nr is one number for the machine: the filter knows no such call."""
    before = pathlib.Path("/proc/sys/fs/aio-nr").read_text()
    assert pair[0].tries("aio") == {"io_setup": "ENOSYS"}
    assert pathlib.Path("/proc/sys/fs/aio-nr").read_text() == before
    # CONTROL: without the filter the machine's number is taken.
    assert pair[0].box.control("aio", wrapper=hostile.NOBODY_UNFILTERED) == {"io_setup": "ok"}


def test_terminals(pair):
    """kernel.pty.max, less what the host keeps for itself, is for all containers together."""
    first, second = pair
    assert first.tries("terminals", 5000) == {"made": "32", "end": "ENOSPC"}
    assert second.tries("terminals", 8)["made"] == "8"
    assert int(pathlib.Path("/proc/sys/kernel/pty/nr").read_text()) < 1000


def ends_for_memory(pair, name, *arguments):
    """The first of the pair takes what it may not have, and ends as one that took too much memory; another takes its place."""
    with pytest.raises(ConnectionError):
        pair[0].tries(name, *arguments, timeout=60)
    assert pair[0].ended()["oom"]
    pair[0] = pair[0].box.attacker()


def test_bytes_in_sockets(pair):
    """What waits in sockets is the kernel's memory, of which all TCP of the machine has one pool (tcp_mem)."""
    def pages():
        return int(next(line for line in open("/proc/net/sockstat") if line.startswith("TCP:")).split(" mem ")[1])
    before = pages()
    if CGROUP_V2:  # they are part of its memory
        ends_for_memory(pair, "socket-buffers", 300)
    else:
        got = pair[0].tries("socket-buffers", 300, timeout=60)
        assert int(got["held-mb"]) < 64, got
    assert (pages() - before) * 4096 < 80 << 20
    # CONTROL: outside of the group the same program holds all that it wants, here 150 MB.
    with hostile.hold([*hostile.ROOT_IN_NAMESPACES, "sh", "-c", f"ip link set lo up && exec {pair[0].box.tools}/attack run socket-buffers 150"], b"end=ok"):
        assert (pages() - before) * 4096 > 150 << 20


def test_datagrams_in_sockets(pair):
    """udp_mem is one pool, too: what goes beyond the container's part is dropped."""
    def pages():
        return int(next(line for line in open("/proc/net/sockstat") if line.startswith("UDP:")).split(" mem ")[1])
    before = pages()
    if CGROUP_V2:
        ends_for_memory(pair, "datagram-buffers")
    else:
        assert int(pair[0].tries("datagram-buffers", timeout=60)["sent-mb"]) > 1000
    assert (pages() - before) * 4096 < 80 << 20


def compiled_bytes():
    """What compiled filters take of the one room that the machine has for them."""
    return sum(int(line.split()[1]) for line in open("/proc/vmallocinfo") if "bpf" in line)


def test_compiled_filters(pair):
    """net.core.bpf_jit_limit: whoever fills it takes seccomp from everybody who is not root, and so every further container. No group counts it."""
    before = compiled_bytes()
    closed = dict.fromkeys(["filter", "reuseport-filter", "program", "reuseport-program", "high-bits", "end"], "ENOSYS")
    assert pair[0].tries("socket-filters", 100) == {**closed, "made": "0"}
    assert pair[0].tries("call-filters", 4) == {"made": "0", "end": "ENOSYS"}
    # CONTROL: outside, where the same program has its filters compiled: 70 KB each.
    for name, count in (("socket-filters", 100), ("call-filters", 10)):
        with hostile.hold([*hostile.NOBODY_UNFILTERED, pair[0].box.tools / "attack", "run", name, str(count), "hold"], b"end="):
            assert compiled_bytes() - before > 3 << 20, name


def test_huge_pages(attacker):
    """Where the host reserved none there is nothing to take."""
    if int(pathlib.Path("/proc/sys/vm/nr_hugepages").read_text()) > 0:
        pytest.skip("this machine reserved huge pages")
    assert attacker.tries("huge-pages") == {"map": "ENOMEM"}
