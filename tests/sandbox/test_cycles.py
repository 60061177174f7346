"""Containers made and ended again and again: what is counted before is counted after. CYCLES=10000 is `make soak`."""
import contextlib
import os
import pathlib
import subprocess

import pytest
import sandbox as sb
from test_scratch import Box, code_layer
from test_spares import waiting

CYCLES = int(os.environ.get("CYCLES", 500 // int(sb.SLOW)))
WARM_UP = 48          # until caches and pools are as they stay
AT_ONCE = 4
POOL = 12 + 1         # Starter::kPoolTarget, and a spare
KINDS = 8
MB = 1 << 20
GROWTH_KB = 1024      # of a role's memory: the allocator's, whatever the number of cycles


def ids_of(pid):
    """The namespaces of a process."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/ns"):
            found.add(os.readlink(f"/proc/{pid}/ns/{name}"))
    return found


def anonymous_kb(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("RssAnon"))


def descriptors(pid):
    """Without the folder that filler reads once a second, to see which disks are over."""
    folder, open_ones = f"/proc/{pid}/fd", 0
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            open_ones += os.readlink(f"{folder}/{fd}") != "/sys/block"
    return open_ones


def counts(box):
    """All that a container is made of, as far as it is this box's: other sandboxes on the machine come and go."""
    roles = {name: process.pid for name, process in box.processes.items()}
    groups = box.groups()
    containers = [pid for pids in groups.values() for pid in pids]
    host = {os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    children = [task.read_text().split() for pid in roles.values() for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children")]
    return {
        **{f"descriptors of {name}": descriptors(pid) for name, pid in roles.items()},
        **{f"mounts of {name}": len(open(f"/proc/{pid}/mountinfo").readlines()) for name, pid in roles.items()},
        "mounts of the host": sum(str(box.folder) in line for line in open("/proc/self/mountinfo")),
        "namespaces": len(set().union(*map(ids_of, [*containers, *roles.values()])) - host),
        "groups": len(groups),
        "processes": len(containers),
        "children": sum(map(len, children)),
        "interfaces": sum(name.startswith(box.tag + "-") for name in os.listdir("/sys/class/net")),
        "lines of the firewall": len(subprocess.run(["nft", "list", "table", "inet", box.tag], capture_output=True, text=True).stdout.splitlines()),
        "disks": len(box.disks()),
        "files": len(os.listdir(box.run / "instances")) + len(os.listdir(box.state / "scratch")),
    }


def begin(box, kind):
    """One container of a kind; gives its id and the descriptors that came with it."""
    client = box.connect()
    if kind == 0:  # fails to start
        id_ = box.boot(argv=["/app/none"])
        client.wait(sb.START_FAILED, id_)
        return None, []
    if kind == 1:
        id_, *fds = box.job("wait")
        client.wait(sb.STARTED, id_)
        return id_, fds
    if kind == 2:
        id_ = box.boot(transport=2, port=8080)
    elif kind == 3:
        id_ = box.boot(scratch=16 * MB, disk=True)
    elif kind == 4:
        id_ = box.boot(env=[f"A{n}={'x' * 1000}" for n in range(100)])
    elif kind == 5:  # of the spare, where it is ready
        id_ = box.boot(layers=[box.layer, box.code], runtime_layers=1)
    else:
        id_ = box.boot()
    return id_, client.wait(sb.STARTED, id_)["fds"]


def cycle(box, numbers):
    begun = [begin(box, n % KINDS) for n in numbers]
    for id_, fds in begun:
        for fd in fds:
            os.close(fd)
        if id_ is not None:
            box.signal(id_, 1)
    for id_, _ in begun:
        if id_ is not None:
            box.connect().wait(sb.EXITED, id_)


def held_files(box):
    """Files of disks that filler knows of, whether they are over or not."""
    held = 0
    for fd in pathlib.Path(f"/proc/{box.processes['filler'].pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            held += "/scratch/#" in os.readlink(fd)
    return held


def settled(box, disks=1):
    """The counts, once everything that is over is away and all that waits is ready: slots, one spare, and so many disks."""
    seen = []

    def quiet():
        pool = box.groups()
        whole = len(pool) == POOL and all(len(pids) == 2 for pids in pool.values()) and len(waiting(box)) == 1 and held_files(box) == len(box.disks()) == disks
        seen[:] = [*seen[-2:], counts(box)]
        return whole and seen == 3 * [seen[-1]] and seen[-1]["interfaces"] == seen[-1]["children"] == POOL  # who ended is a child until filler looks

    box.wait_until(quiet, seen, 60)  # what it failed at
    return seen[-1]


@pytest.fixture(scope="module")
def box():
    b = Box()
    b.code = code_layer(b)
    b.keep_spares(1)
    yield b
    b.close()


def test_nothing_stays_of_containers_that_come_and_go(box):
    for n in range(0, WARM_UP, AT_ONCE):
        cycle(box, range(n, n + AT_ONCE))
    before = settled(box)
    memory = {name: anonymous_kb(process.pid) for name, process in box.processes.items()}
    for n in range(0, CYCLES, AT_ONCE):
        cycle(box, range(n, n + AT_ONCE))
    assert settled(box) == before
    grown = {name: anonymous_kb(process.pid) - memory[name] for name, process in box.processes.items()}
    print(f"{CYCLES} cycles: {before}, memory {memory} KB grown by {grown}")
    assert all(kb <= GROWTH_KB for kb in grown.values()), grown
