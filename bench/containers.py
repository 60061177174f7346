"""What making a container costs in sandboxd alone, phase by phase and beside what others take to start one, and whether many of them leave anything: a static program
in a pooled slot, launches spaced.

The client, the three roles and the program inside are those of tests/sandbox."""
import contextlib
import os
import pathlib
import socket
import sys
import time

import harness
from launchers import Bubblewrap, Crun, peer

os.environ["SKERRY_BUILD"] = str(harness.BUILD)
sys.path.insert(0, str(harness.ROOT / "tests/sandbox"))
import sandbox as sb  # noqa: E402

STARTS, CYCLES = 100, 300
SPACE_S = 0.1
# What the parts took by themselves in the prototype (NUMBERS, "Parts of a container start"), in ms: those that are left on the way of a start. The rest (clone3, /dev,
# /tmp and /proc, capabilities, the filter) is done ahead of it, in a parked container.
PARTS = {
    "mount": (0.22, "overlay 0.15, detached layers and tmpfs 0.07; ours has the group's limits, the pipes and the listening socket in it, too"),
    "process": (0.72, "pivot_root 0.08, static exec 0.64"),
    "first_byte": (2.0, "the whole with a pooled network namespace"),
}
TARGET = 1.2


def start_once(box, samples):
    """One start to its first byte and its end; what starter says of its phases is taken as it is named."""
    begin = time.perf_counter_ns()
    instance = box.up()
    instance.get("/hello")
    samples.setdefault("first_byte", []).append((time.perf_counter_ns() - begin) / 1e6)
    for name, value in instance.started.items():
        if name.endswith("_us"):
            samples.setdefault(name[:-3], []).append(value / 1000)
    begin = time.perf_counter_ns()
    instance.kill()
    samples.setdefault("kill", []).append((time.perf_counter_ns() - begin) / 1e6)
    for fd in (instance.out, instance.err, instance.status, instance.cpu, *instance.sockets):
        os.close(fd)
    if instance.connection:
        instance.connection.close()


def holdings(box):
    """What the roles and everything below them hold of the machine."""
    roles = [p.pid for p in box.processes.values()]
    processes = [pid for role in roles for pid in harness.children(role)]
    fds, namespaces = 0, set()
    for pid in processes:
        for kind, name in (("ns", "namespaces"), ("fd", "descriptors")):
            try:
                links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/{kind}")]
            except OSError:
                continue  # ended meanwhile
            namespaces.update(link for link in links if link.split(":")[0] in ("net", "mnt", "pid", "user", "ipc", "uts", "cgroup") and ":[" in link)
            if kind == "fd" and pid in roles:
                fds += len(links)
    mounts = sum(len(pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()) for pid in (*roles, "self"))
    groups = sum(1 for parent in pathlib.Path("/sys/fs/cgroup").glob(f"**/{box.tag}") for _ in parent.rglob("*/"))
    rss = sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in roles) * os.sysconf("SC_PAGE_SIZE") // 1024
    return {"processes": len(processes), "descriptors": fds, "namespaces": len(namespaces), "mounts": mounts, "cgroups": groups,
            "interfaces": sum(1 for _, name in socket.if_nameindex() if name.startswith(box.tag + "-")), "rss_kb": rss}


def settled(box, wanted=None, timeout_s=30):
    """What is held once the pool is full again: when it is what was wanted, else when it has not changed for a second."""
    end = time.monotonic() + timeout_s
    last, since = holdings(box), time.monotonic()
    same = lambda a, b: {**a, "rss_kb": 0} == {**b, "rss_kb": 0}
    while time.monotonic() < end and not (wanted and same(last, wanted)):
        time.sleep(0.1)
        now = holdings(box)
        if not same(now, last):
            last, since = now, time.monotonic()
        elif not wanted and time.monotonic() - since > 1:
            break
    return last


def rows(report, samples, peers):
    for name, values in samples.items():
        part, what = PARTS.get(name, (None, ""))
        met = "" if part is None else f"; ours over it, target <= {TARGET}: {'met' if harness.median(values) <= TARGET * part else 'MISSED'}"
        report.add(f"sandbox/{name}", "ms", samples=values, peer=part and "prototype's parts", peer_value=part, note=what + met)
    for name, run in peers.items():
        if run:
            report.add(f"sandbox/{name}", "ms", samples=run.samples, note="to the first answer of a static C program")
            report.add(f"sandbox/first_byte against {name}", "ms", value=harness.median(samples["first_byte"]), n=len(run.samples), peer=name,
                       peer_value=harness.median(run.samples), note="ours over the peer's, in the same turns")


def run():
    report = harness.Report("sandbox")
    box = sb.Sandbox()
    try:
        with contextlib.ExitStack() as stack:
            harness.header("sandbox")
            peers = {name: peer(report, name, make, stack) for name, make in (("crun", Crun), ("bubblewrap", Bubblewrap))}
            for _ in range(20):
                start_once(box, {})
            samples = {}
            for _ in range(harness.count(STARTS)):
                time.sleep(SPACE_S)
                start_once(box, samples)
                for other in filter(None, peers.values()):
                    other.sample()
            rows(report, samples, peers)
        before = settled(box)
        begin = time.monotonic()
        cycles = harness.count(CYCLES)
        for _ in range(cycles):
            start_once(box, {})
        report.add("sandbox/cycles", "1/s", value=cycles / (time.monotonic() - begin), n=cycles, note="starts to the first byte and kills, one after another without a pause")
        after = settled(box, before)
        for name, value in after.items():
            report.add(f"sandbox/left/{name}", "", value=value, n=cycles, peer="before the cycles", peer_value=before[name],
                       note="of the three roles" if name == "rss_kb" else "ok" if value == before[name] else "LEFT BEHIND")
    finally:
        box.close()
    report.save()
