"""First requests to functions of which no process exists, through ingress over an open connection, beside workerd's dynamic load of a worker and `crun run`.

One round asks every contender once; between two launches all is over and SPACE_S passes. The figure is the time from the request to the answer's first byte."""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import harness
from daemon import daemon

SAMPLES = 100
LANGUAGES = {"go": 1.0, "python": 1.0, "node": 1.0, "java": 1.2}  # target: at most so many times workerd's
CRUN_TARGET = 0.2
NOT_COLD = ("warm", "thaw", "wake")
CLONE_FS, CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x200, 0x20000, 0x4000, 1 << 18, 2


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


class Crun:
    """`crun run` of bench/upstream.c on a listening socket that was made before and already holds the request: the cheapest way in that it offers. It
    refuses machines with both kinds of control groups, so it is started by a thread whose mounts lack the second kind."""

    def __init__(self, stack):
        self.samples, self.asked = [], 0
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rootfs = self.folder / "rootfs"
        for name in ("proc", "dev", "sys"):
            (rootfs / name).mkdir(parents=True)
        (rootfs / "upstream").write_bytes((harness.PEERS / "upstream").read_bytes())
        (rootfs / "upstream").chmod(0o755)
        subprocess.run(["crun", "spec"], cwd=self.folder, check=True)
        config = json.loads((self.folder / "config.json").read_text())
        config["process"].update(terminal=False, args=["/upstream", "fd"], cwd="/")
        config["linux"]["resources"] = {"memory": {"limit": 256 << 20}, "pids": {"limit": 1024}}  # limits as a function has them
        (self.folder / "config.json").write_text(json.dumps(config))
        self.thread = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1, initializer=self.hide_unified_groups))
        self.sample()  # says at once what is wrong, and fills caches
        self.samples.clear()

    @staticmethod
    def hide_unified_groups():
        libc = ctypes.CDLL(None, use_errno=True)
        for done in (libc.unshare(CLONE_FS | CLONE_NEWNS), libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)):
            if done != 0:
                raise OSError(ctypes.get_errno(), "private mounts")
        if os.path.ismount("/sys/fs/cgroup/unified"):
            libc.umount2(b"/sys/fs/cgroup/unified", MNT_DETACH)

    def sample(self):
        time.sleep(harness.SPACE_S)
        self.asked += 1
        self.samples.append(self.thread.submit(self.run_once, f"bench-{os.getpid()}-{self.asked}").result(60))

    def run_once(self, name):
        crun = [shutil.which("crun"), "--root", str(self.folder / "state"), "--cgroup-manager", "cgroupfs"]
        path = str(self.folder / "listen.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        log = os.open(self.folder / "log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
            listener.bind(path)
            listener.listen()
            caller.connect(path)
            caller.settimeout(30)
            moves = [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in ((log, 1), (log, 2), (listener.fileno(), 3), (log, 4))]
            command = [*crun, "run", "--preserve-fds", "2", "--bundle", str(self.folder), name]
            begin = time.perf_counter_ns()
            caller.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            pid = os.posix_spawn(crun[0], command, {}, file_actions=moves)
            listener.close()
            try:
                if not caller.recv(4096):
                    raise RuntimeError(f"crun: {(self.folder / 'log').read_text()}")
                return (time.perf_counter_ns() - begin) / 1e6
            finally:
                os.close(log)
                subprocess.run([*crun, "delete", "--force", name], capture_output=True, timeout=30)
                os.waitpid(pid, 0)


def peer(report, name, make, stack):
    """A contender from outside, or None and a row with the reason."""
    try:
        if reason := harness.missing(name):
            raise RuntimeError(reason)
        return make(stack)
    except (OSError, RuntimeError, StopIteration, TimeoutError, subprocess.SubprocessError) as e:
        report.add(f"cold/{name}", "ms", note=f"not measured: {e or type(e).__name__}")
        return None


def contenders(report, d, stack):
    """(name, Cold) of ours: each language and a C program, plain and TLS."""
    functions = d.deploy_hellos(report, LANGUAGES, idle_timeout="0s")
    functions["c"] = d.deploy("hello-c", files={"upstream": harness.PEERS / "upstream"}, language="python", entrypoint=["/app/upstream"], idle_timeout="0s")
    callers = {"plain": harness.Caller(("127.0.0.1", d.http)),
               "tls": harness.Caller(("127.0.0.1", d.https), d.tls_context(), functions["c"].host)}
    for caller in callers.values():
        stack.callback(caller.close)
    for function in functions.values():
        function.wait_gone()  # a ship tries its function out
    return [(f"{language}/{scheme}", Cold(f, caller, scheme)) for scheme, caller in callers.items() for language, f in functions.items()]


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
        ours = contenders(report, d, stack)
        harness.header("cold")
        workerd, crun = peer(report, "workerd", Workerd, stack), peer(report, "crun", Crun, stack)
        for _ in range(harness.count(SAMPLES)):
            for contender in [workerd, crun, *(run for _, run in ours)]:
                if contender:
                    contender.sample()
        rows(report, ours, workerd, crun)
    report.save()
