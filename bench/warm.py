"""The whole warm path, dispatch and container included, beside nginx's proxy to a bare process: latency at 1 and 64 connections in closed loop, and at a kept
rate in open loop. Nothing is pinned: every process has both cores, as in use. Hello functions of each language follow, as they are."""
import contextlib

import harness
from daemon import daemon
from proxies import TRANSPORTS, Bench

ROUNDS = 7
SECONDS = 0.8
RATE = 1500  # open loop, a second: well below what either proxy can do on this machine
P50_TARGET, P99_TARGET = 1.3, 1.5
SHAPES = {"1": {"connections": 1}, "64": {"connections": 64}, "open": {"connections": 64, "rate": RATE}}
LANGUAGES = ("go", "python", "node", "java")


def one_round(bench, hellos, seen):
    def note(key, outcome):
        seen.setdefault(key, []).append(outcome)

    for transport in TRANSPORTS:
        for shape, options in SHAPES.items():
            note((transport, shape, "direct"), bench.load_direct(transport, seconds=SECONDS, **options))
            for scheme in ("plain", "tls"):
                for c in bench.contenders:
                    note((transport, scheme, shape, c.name), bench.load(c, transport, scheme, seconds=SECONDS, **options))
    for language, function in hellos.items():
        address = bench.contenders[0].addresses["plain"]
        note(("hello", language), harness.load(address, host=function.host, connections=1, seconds=SECONDS))


def rows(report, seen, hellos, peers):
    middle = lambda key, field: harness.median([o[field] for o in seen[key]])
    percentiles = lambda key: {p: middle(key, f"{p}_us") for p in ("p50", "p95", "p99")} | {"n": sum(o["n"] for o in seen[key])}
    for transport in TRANSPORTS:
        for scheme in ("plain", "tls"):
            for shape in SHAPES:
                key = lambda name: (transport, scheme, shape, name)
                for field, target in (("p50_us", P50_TARGET), ("p99_us", P99_TARGET)):
                    added = lambda name: [a[field] - b[field] for a, b in zip(seen[key(name)], seen[transport, shape, "direct"])]
                    how = "open loop, 64 connections" if shape == "open" else f"{shape} connection(s)"
                    unsent = sum(o["unsent"] for o in seen[key("ours")])
                    for peer in peers or [None]:
                        report.add(f"warm/{transport}/{scheme}/{shape}/added_{field[:3]}", "us", value=harness.median(added("ours")), peer=peer,
                                   peer_value=peer and harness.median(added(peer)), **percentiles(key("ours")),
                                   note=f"{how}, less the {middle((transport, shape, 'direct'), field):.0f} us of the upstream itself; target <= {target}; "
                                        f"p50..p99 not reduced" + (f"; {unsent} not sent" if shape == "open" else ""))
    for language in hellos:
        report.add(f"warm/hello-{language}", "us", value=middle(("hello", language), "p50_us"), **percentiles(("hello", language)), note="1 connection, plain, concurrency 1")


def run():
    report = harness.Report("warm")
    with daemon() as d, contextlib.ExitStack() as stack:
        hellos = d.deploy_hellos(report, LANGUAGES, idle_timeout="1h", min_instances=1)
        bench = Bench(stack, report, d, pinned=False)
        bench.contenders = [c for c in bench.contenders if c.name != "haproxy"]  # the claim is about nginx
        harness.header("warm")
        seen = {}
        for _ in range(harness.count(ROUNDS)):
            one_round(bench, hellos, seen)
        rows(report, seen, hellos, [c.name for c in bench.contenders[1:]])
    report.save()
