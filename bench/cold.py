"""First requests to functions of which no process exists, through ingress over an open connection, beside workerd's dynamic load of a worker and `crun run`.

One round asks every contender once; between two launches all is over and SPACE_S passes. The figure is the time from the request to the answer's first byte."""
import contextlib
import pathlib
import tempfile
import time

import harness
import thaw
from daemon import daemon
from launchers import Crun, peer

SAMPLES = 100
LANGUAGES = {"go": 1.0, "python": 1.0, "node": 1.0, "java": 1.2}  # target: at most so many times workerd's
CRUN_TARGET = 0.2
NOT_COLD = ("warm", "thaw", "wake")


class Cold:
    """A function, asked once and then waited out."""

    def __init__(self, function, caller, scheme):
        self.function, self.caller, self.scheme = function, caller, scheme
        self.samples, self.phases, self.modes = [], {}, {}

    def sample(self):
        time.sleep(harness.SPACE_S)
        if left := self.function.left():
            raise RuntimeError(f"{self.function.name} is not at zero: {left}")
        took_ms, status, headers = self.caller.get(self.function.host)
        if status != 200:
            raise RuntimeError(f"{self.function.name} answered {status}")
        durations, words = harness.timing(headers.get("server-timing", ""))
        mode = words.get("start", "?")
        if mode in NOT_COLD:
            raise RuntimeError(f"{self.function.name} was not at zero: its start was {mode}")
        self.samples.append(took_ms)
        self.modes[mode] = self.modes.get(mode, 0) + 1
        for phase, ms in durations.items():
            self.phases.setdefault(phase, []).append(ms)
        self.function.wait_gone()  # its end is not part of what comes next


class Workerd:
    """workerd with a router whose worker loader makes a worker of each new path: code it has not seen, in a process that runs and is warm."""

    ROUTER = """
const code = `export default { async fetch() { return new Response("hello\\\\n"); } };`;
export default {
  async fetch(request, env) {
    const worker = env.LOADER.get(new URL(request.url).pathname,
      () => ({ compatibilityDate: "2026-01-01", mainModule: "main.js", modules: { "main.js": code }, globalOutbound: null }));
    return worker.getEntrypoint().fetch(request);
  },
};
"""
    CONFIG = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = .router)], sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "main")]);
const router :Workerd.Worker = (modules = [(name = "router.js", esModule = embed "router.js")], compatibilityDate = "2026-01-01", bindings = [(name = "LOADER", workerLoader = ())]);
"""

    def __init__(self, stack):
        self.samples, self.asked = [], 0
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = harness.free_port()
        (folder / "router.js").write_text(self.ROUTER)
        (folder / "config.capnp").write_text(self.CONFIG % port)
        program = next((harness.PEERS / "peers/node_modules/@cloudflare").glob("workerd-linux-*/bin/workerd"))
        stack.enter_context(harness.process([program, "serve", "--experimental", folder / "config.capnp"], ready=("127.0.0.1", port)))
        self.caller = harness.Caller(("127.0.0.1", port))
        stack.callback(self.caller.close)
        for _ in range(20):  # its router is warm, as our ingress is
            self.sample()
        self.samples.clear()

    def sample(self):
        time.sleep(harness.SPACE_S)
        self.asked += 1
        took_ms, status, _ = self.caller.get("localhost", f"/{self.asked}")
        if status != 200:
            raise RuntimeError(f"workerd answered {status}")
        self.samples.append(took_ms)


def contenders(report, d, stack):
    """(name, Cold) of ours: each language and a C program, plain and TLS; and the callers."""
    functions = d.deploy_hellos(report, LANGUAGES, idle_timeout="0s")
    functions["c"] = d.deploy("hello-c", files={"upstream": harness.PEERS / "upstream"}, language="python", entrypoint=["/app/upstream"], idle_timeout="0s")
    callers = {"plain": harness.Caller(("127.0.0.1", d.http)),
               "tls": harness.Caller(("127.0.0.1", d.https), d.tls_context(), functions["c"].host)}
    for caller in callers.values():
        stack.callback(caller.close)
    for function in functions.values():
        function.wait_gone()  # a ship tries its function out
    ours = [(f"{language}/{scheme}", Cold(f, caller, scheme)) for scheme, caller in callers.items() for language, f in functions.items()]
    return ours, callers


def rows(report, ours, workerd, crun):
    for name, peer_run, what in (("workerd", workerd, "dynamic load of a small worker, plain HTTP at its router"), ("crun", crun, "crun run of the C program, to its first answer")):
        if peer_run:
            report.add(f"cold/{name}", "ms", samples=peer_run.samples, note=what)
    for name, run in ours:
        against, target = (crun, CRUN_TARGET) if name.startswith("c/") else (workerd, LANGUAGES.get(name.split("/")[0]))
        modes = ", ".join(f"{n} {mode}" for mode, n in sorted(run.modes.items()))
        tail = harness.percentile(run.samples, 99) / harness.percentile(run.samples, 50)
        report.add(f"cold/{name}", "ms", samples=run.samples, peer=against and ("crun" if against is crun else "workerd"),
                   peer_value=against and harness.median(against.samples), note=f"zero-cold, first byte; {modes}; ours over the peer's, target <= {target}; p99 is {tail:.1f}x p50, target <= 3")
        for phase, values in run.phases.items():
            report.add(f"cold/{name}/{phase}", "ms", samples=values, note="as Server-Timing says")


def run():
    report = harness.Report("cold")
    with daemon() as d, contextlib.ExitStack() as stack:
        ours, callers = contenders(report, d, stack)
        harness.header("cold")
        workerd, crun = peer(report, "workerd", Workerd, stack), peer(report, "crun", Crun, stack)
        for _ in range(harness.count(SAMPLES)):
            for contender in [workerd, crun, *(run for _, run in ours)]:
                if contender:
                    contender.sample()
        rows(report, ours, workerd, crun)
        thaw.run(report, d, LANGUAGES, callers, harness.count(SAMPLES))
    report.save()
