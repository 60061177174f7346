"""Our ingress beside nginx and HAProxy, in turns in one run, with the proxy on one core and the load and the upstream on the other: CPU time per request at 64
connections, latency added at one connection, and what a new TLS connection costs."""
import contextlib

import harness
from daemon import daemon
from proxies import TRANSPORTS, Bench

ROUNDS = 7
SECONDS = {"busy": 0.8, "single": 0.5, "connect": 0.5}
SCHEMES = ("plain", "tls")
CPU_TARGETS = {("tcp", "plain"): 1.2, ("tcp", "tls"): 1.25, ("unix", "plain"): 1.4, ("unix", "tls"): 1.4}
ADDED_TARGET, H2_TARGET = 0.75, 1.0
H2_SECONDS = 1


def one_round(bench, seen):
    """Every contender does each thing once; `seen` gains the outcomes by (what, contender)."""
    def note(key, name, outcome):
        seen.setdefault(key, {}).setdefault(name, []).append(outcome)

    for transport in TRANSPORTS:
        note((transport, "direct"), "direct", bench.load_direct(transport, connections=1, seconds=SECONDS["single"]))
        for scheme in SCHEMES:
            for c in bench.contenders:
                note((transport, scheme, "busy"), c.name, bench.load(c, transport, scheme, connections=64, seconds=SECONDS["busy"]))
                note((transport, scheme, "single"), c.name, bench.load(c, transport, scheme, connections=1, seconds=SECONDS["single"]))
    for kind in ("new", "resumed"):
        for c in bench.contenders:
            note(kind, c.name, bench.load(c, "unix", "tls", connections=1, connect=kind, seconds=SECONDS["connect"]))


def h2_round(bench, seen):
    for c in bench.contenders:
        requests, cpu_us = harness.h2load(c.addresses["tls"], c.hosts["unix"], c.pids, bench.load_cpu, H2_SECONDS)
        seen.setdefault("h2", {}).setdefault(c.name, []).append({"answered": requests, "cpu_us_per_request": cpu_us})


def why_no_h2(bench):
    """None when all can be measured over HTTP/2."""
    if reason := harness.missing("h2load"):
        return reason
    without = [c.name for c in bench.contenders if not harness.offers_h2(c.addresses["tls"], c.hosts["unix"])]
    return f"no HTTP/2 is offered by {', '.join(without)}" if without else None


def per_round(outcomes, field):
    return [o[field] for o in outcomes]


def ratio(over, under):
    """The median of each round's ratio."""
    return harness.median([a / b for a, b in zip(over, under)])


def rows(report, seen, peers):
    middle = lambda outcomes, field: harness.median(per_round(outcomes, field))
    for (transport, scheme), target in CPU_TARGETS.items():
        busy = seen[transport, scheme, "busy"]
        cpu = {name: per_round(o, "cpu_us_per_request") for name, o in busy.items()}
        for peer in peers or [None]:
            report.add(f"ingress/{transport}/{scheme}/cpu", "us/request", value=harness.median(cpu["ours"]), n=sum(per_round(busy["ours"], "answered")), peer=peer,
                       peer_value=peer and harness.median(cpu[peer]), ratio=peer and ratio(cpu[peer], cpu["ours"]),
                       note=f"64 connections; the peer's over ours, target >= {target}; p50..p99 are our latencies in us",
                       **{p: middle(busy["ours"], f"{p}_us") for p in ("p50", "p95", "p99")})
    for transport, scheme in CPU_TARGETS:
        single, direct = seen[transport, scheme, "single"], per_round(seen[transport, "direct"]["direct"], "p50_us")
        added = {name: [a - b for a, b in zip(per_round(o, "p50_us"), direct)] for name, o in single.items()}
        for peer in peers or [None]:
            report.add(f"ingress/{transport}/{scheme}/added_p50", "us", value=harness.median(added["ours"]), n=sum(per_round(single["ours"], "n")), peer=peer,
                       peer_value=peer and harness.median(added[peer]),
                       note=f"1 connection, less the {harness.median(direct):.0f} us of the upstream itself; ours over the peer's, target <= {ADDED_TARGET}; p50..p99 not reduced",
                       **{p: middle(single["ours"], f"{p}_us") for p in ("p50", "p95", "p99")})
    for kind in ("new", "resumed"):
        for peer in peers or [None]:
            ours, theirs = seen[kind]["ours"], seen[kind][peer] if peer else []
            resumed = sum(per_round(ours, "resumed")) / max(1, sum(per_round(ours, "answered")))
            report.add(f"ingress/tls_{kind}", "us", value=middle(ours, "p50_us"), n=sum(per_round(ours, "n")), peer=peer, peer_value=peer and middle(theirs, "p50_us"),
                       ratio=peer and ratio(per_round(ours, "p50_us"), per_round(theirs, "p50_us")),
                       note=f"connect, handshake, GET; ours over the peer's; {resumed:.0%} resumed", **{p: middle(ours, f"{p}_us") for p in ("p50", "p95", "p99")})
            report.add(f"ingress/tls_{kind}/cpu", "us/connection", value=middle(ours, "cpu_us_per_request"), n=sum(per_round(ours, "answered")), peer=peer,
                       peer_value=peer and middle(theirs, "cpu_us_per_request"),
                       ratio=peer and ratio(per_round(theirs, "cpu_us_per_request"), per_round(ours, "cpu_us_per_request")), note="the peer's over ours")
    if "h2" in seen:
        cpu = {name: per_round(o, "cpu_us_per_request") for name, o in seen["h2"].items()}
        for peer in peers:
            report.add("ingress/unix/h2/cpu", "us/request", value=harness.median(cpu["ours"]), n=sum(per_round(seen["h2"]["ours"], "answered")), peer=peer,
                       peer_value=harness.median(cpu[peer]), ratio=ratio(cpu[peer], cpu["ours"]),
                       note=f"16 connections of 4 streams, over TLS; the peer's over ours, target >= {H2_TARGET} against haproxy")


def run():
    report = harness.Report("ingress")
    with daemon() as d, contextlib.ExitStack() as stack:
        bench = Bench(stack, report, d, pinned=True)
        harness.header("ingress")
        print("upstream: bench/upstream.c, in a container behind ours, a bare process behind the peers; access log and request id on in all", flush=True)
        seen, no_h2 = {}, why_no_h2(bench)
        if no_h2:
            report.add("ingress/unix/h2/cpu", "us/request", note=f"not measured: {no_h2}")
        for _ in range(harness.count(ROUNDS)):
            one_round(bench, seen)
            if not no_h2:
                h2_round(bench, seen)
        rows(report, seen, [c.name for c in bench.contenders[1:]])
    report.save()
