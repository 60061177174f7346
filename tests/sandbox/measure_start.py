"""Prints how long a start takes, in its phases and to the first byte: launches spaced, a static program, everything expensive made ahead.
measure_start.py [COUNT] [policy]: with `policy` the containers have an egress policy, which edge would have named."""
import statistics
import sys
import time

import sandbox as sb

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100
SPACE_S = 0.1
EGRESS = sb.policy(allow=["203.0.113.0/24:443", "198.51.100.7"], deny=["203.0.113.9"]) if sys.argv[2:] == ["policy"] else b""


def row(name, values):
    ordered = sorted(values)
    print(f"{name:12} p50 {statistics.median(ordered):8.2f} ms   p95 {ordered[int(len(ordered) * 0.95)]:8.2f} ms   n {len(ordered)}")


def main():
    box = sb.Sandbox()
    try:
        slot, mount, process, first = [], [], [], []
        if EGRESS:
            box.keep_policies(EGRESS)
        for _ in range(COUNT):
            time.sleep(SPACE_S)
            begin = time.perf_counter()
            instance = box.up(egress=EGRESS)
            instance.get("/hello")
            first.append((time.perf_counter() - begin) * 1000)
            slot.append(instance.started["slot_us"] / 1000)
            mount.append(instance.started["mount_us"] / 1000)
            process.append(instance.started["process_us"] / 1000)
            instance.kill()
        row("slot", slot)
        row("mount", mount)
        row("process", process)
        row("first byte", first)
    finally:
        box.close()


main()
