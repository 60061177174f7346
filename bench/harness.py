"""What every bench shares: where things are, rows and how they are told, processes that end with the bench, clients that measure first bytes."""
import contextlib
import json
import math
import os
import pathlib
import platform
import re
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("SKERRY_BUILD", ROOT / "build/release")).resolve()
PEERS = ROOT / "build/bench"  # what scripts/bench installed and compiled
OUT = ROOT / "bench/out"
SPACE_S = 0.15  # between launches: tight loops flatter every one of them
SCALE = float(os.environ.get("SCALE", "1"))  # of the number of samples and rounds; below 1 only to try a bench out


def count(n):
    return max(3, round(n * SCALE))


def missing(peer):
    """Why a peer is not here, as scripts/bench noted it; None when it is."""
    note = PEERS / f"{peer}.missing"
    return note.read_text().strip() if note.exists() else None


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class Report:
    """Rows of one bench. `ratio` is what NUMBERS' targets speak of: the note of a row says of what over what."""

    def __init__(self, what):
        self.what, self.rows = what, []

    def add(self, name, unit, value=None, samples=None, peer=None, peer_value=None, ratio=None, note="", **percentiles):
        row = {"name": name, "value": value, "unit": unit, "n": len(samples) if samples else percentiles.pop("n", None), "p50": None, "p95": None, "p99": None,
               "peer": peer, "peer_value": peer_value, "ratio": ratio, "note": note}
        if samples:
            row.update(p50=percentile(samples, 50), p95=percentile(samples, 95), p99=percentile(samples, 99))
            row["value"] = row["p50"] if value is None else value
        row.update(percentiles)
        # What was added can drown in noise and come out below zero: then there is nothing to divide.
        if ratio is None and row["value"] is not None and peer_value and min(peer_value, row["value"]) > 0:
            row["ratio"] = row["value"] / peer_value
        self.rows.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})

    def save(self):
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{self.what}.json").write_text(json.dumps(self.rows, indent=1) + "\n")
        show = lambda v: "" if v is None else f"{v:.3g}" if isinstance(v, float) and abs(v) < 100 else f"{v:.0f}" if isinstance(v, float) else str(v)
        columns = ["name", "value", "unit", "n", "p50", "p95", "p99", "peer", "peer_value", "ratio", "note"]
        table = [columns] + [[show(row[c]) for c in columns] for row in self.rows]
        widths = [max(len(line[i]) for line in table) for i in range(len(columns) - 1)]
        for line in table:
            print("  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:-1], widths[1:])), line[-1]]).rstrip())
        print(f"-> bench/out/{self.what}.json", flush=True)


def header(what):
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    favordynmods = any("favordynmods" in line for line in open("/proc/mounts"))
    print(f"\n== {what}: {time.strftime('%F %T')}, {commit or 'no commit'}, {os.cpu_count()} x {model}, Linux {platform.release()}, "
          f"favordynmods {'on' if favordynmods else 'off'}, load {os.getloadavg()[0]:.1f}, {BUILD.name} build", flush=True)


# ---- processes

@contextlib.contextmanager
def process(command, *, cpu=None, ready=None, **options):
    """A process that ends with the block. `ready`: (host, port) or a socket path that must accept first. `env -i` unless told otherwise."""
    log = tempfile.TemporaryFile()
    command = [str(c) for c in command]
    if cpu is not None:
        command = ["taskset", "-c", str(cpu), *command]
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **{"env": {}, **options})
    try:
        if ready:
            wait_for(lambda: accepts(ready) or p.poll() is not None, f"{command[0]} does not accept at {ready}")
        if p.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {log.read().decode(errors='replace')[-2000:]}")
        yield p
    finally:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                p.wait(10)
        if p.poll() is None:
            p.kill()
            p.wait()


def accepts(where):
    family = socket.AF_UNIX if isinstance(where, (str, pathlib.Path)) else socket.AF_INET
    with socket.socket(family) as s:
        try:
            s.connect(str(where) if family == socket.AF_UNIX else where)
            return True
        except OSError:
            return False


def wait_for(condition, why, timeout_s=15, pause_s=0.01):
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(why() if callable(why) else why)
        time.sleep(pause_s)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    """A process and all below it."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += children(int(child))
    return found


def pin(pids, cpu):
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), {cpu})


# ---- clients

class Caller:
    """One kept connection that measures from the request's first byte out to the answer's first byte in."""

    def __init__(self, address, context=None, server_name=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(60)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=server_name)

    def get(self, host, path="/"):
        """(milliseconds to the first byte, status, headers)"""
        request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        begin = time.perf_counter_ns()
        self.socket.sendall(request)
        received = self.socket.recv(65536)
        took_ms = (time.perf_counter_ns() - begin) / 1e6
        while b"\r\n\r\n" not in received:
            received += self.more()
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        if "content-length" in headers:
            while len(body) < int(headers["content-length"]):
                body += self.more()
        elif headers.get("transfer-encoding") == "chunked":
            while not body.endswith(b"0\r\n\r\n"):
                body += self.more()
        return took_ms, int(lines[0].split()[1]), headers

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionError("the connection ended in an answer")
        return piece

    def close(self):
        self.socket.close()


def timing(header_value):
    """Server-Timing as ({metric: ms}, {metric: description})."""
    durations, words = {}, {}
    for metric in filter(None, (m.strip() for m in header_value.split(","))):
        name, *fields = [f.strip() for f in metric.split(";")]
        for field in fields:
            key, _, value = field.partition("=")
            if key == "dur":
                durations[name] = float(value)
            elif key == "desc":
                words[name] = value.strip('"')
    return durations, words


def load(target, **options):
    """Runs bench-loadgen; options as its long ones, True for a flag. Gives what it printed."""
    command = [str(BUILD / "bin/bench-loadgen"), target]
    pids, cpu = options.pop("cpu_of", []), options.pop("cpu", None)
    for pid in pids:
        command += ["--cpu-of", str(pid)]
    for name, value in options.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)] if value is not False else []
    if cpu is not None:
        command = ["taskset", "-c", str(cpu), *command]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if result.returncode != 0:
        raise RuntimeError(f"{target} {options}: {result.stderr.strip()}")
    outcome = json.loads(result.stdout)
    if outcome["errors"]:
        raise RuntimeError(f"{target} {options}: {outcome['errors']} errors: {outcome['first_error']}")
    return outcome


def cpu_ns(pids):
    """Time on a CPU of all threads, as the scheduler sums it."""
    return sum(int(task.read_text().split()[0]) for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def h2load(address, host, pids, cpu, seconds):
    """HTTP/2 over TLS with nghttp2's h2load: (requests, CPU us a request of `pids`). The CPU of the 16 handshakes is in it, for everybody."""
    command = ["h2load", "--clients=16", "--max-concurrent-streams=4", f"--duration={seconds}", "--tls13-ciphers=TLS_AES_128_GCM_SHA256", "--groups=X25519",
               f"--connect-to={address}", f"https://{host}/"]
    before = cpu_ns(pids)
    result = subprocess.run((["taskset", "-c", str(cpu)] if cpu is not None else []) + command, capture_output=True, text=True, timeout=60)
    used = cpu_ns(pids) - before
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", result.stdout)
    good = re.search(r"status codes: (\d+) 2xx", result.stdout)
    if not found or not good or int(found.group(2)) or int(found.group(1)) == 0 or good.group(1) != found.group(1):
        raise RuntimeError(f"h2load {address}: {result.stdout[-400:]}{result.stderr[-400:]}")
    return int(found.group(1)), used / 1000 / int(found.group(1))


def offers_h2(address, host):
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    name, _, port = address.rpartition(":")
    with socket.create_connection((name, int(port)), 5) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
        return tls.selected_alpn_protocol() == "h2"


def median(values):
    return statistics.median(values)
