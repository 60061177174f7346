"""A whole Skerry of the test's own: skerryd and its children on other folders, ports, control groups and addresses than an installed one."""
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from slow import SLOW, in_time  # noqa: E402

BIN = pathlib.Path(os.environ.get("SKERRY_BUILD", ROOT / "build/dev")) / "bin"
IMAGES = pathlib.Path(os.environ.get("SKERRY_IMAGES", "/var/lib/skerry/images"))


# Each Skerry has containers' addresses of its own: it listens on the first of them.
SUBNETS = itertools.chain(["198.19.0.0/16"], (f"100.{n}.0.0/16" for n in range(70, 90)))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode(errors="replace")


class Skerry:
    subnet = None

    def __init__(self, prefix=(), settings=""):
        self.prefix = list(prefix)  # of the command that starts skerryd
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ske", dir="/tmp"))
        os.chmod(self.folder, 0o755)
        self.run, self.state = self.folder / "r", self.folder / "s"
        self.https, self.http, self.api = free_port(), free_port(), free_port()
        self.tag = "e" + os.urandom(3).hex()
        self.subnet = self.subnet or next(SUBNETS)
        self.config = self.folder / "skerry.toml"
        self.config.write_text(
            f'state_dir = "{self.state}"\nrun_dir = "{self.run}"\nimages_dir = "{IMAGES}"\nshims_dir = "{ROOT / "shims"}"\ntag = "{self.tag}"\n'
            f'subnet = "{self.subnet}"\n[ports]\nhttps = {self.https}\nhttp = {self.http}\napi = {self.api}\n'
            f'[limits]\nships_per_hour = 3600\n{settings}')  # many tests share one; the bound itself is tested in tests/control
        self.process = None
        self.start()

    def start(self):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([*self.prefix, BIN / "skerryd", "--config", self.config], stderr=log, stdin=subprocess.DEVNULL)
        self.wait(lambda: self.healthy(), "skerryd did not come up")

    def healthy(self):
        if self.process.poll() is not None:
            raise RuntimeError(self.log())
        try:
            return self.api_call("GET", "/v1/status").get("edge_connected") is True
        except (OSError, ValueError, KeyError, FileNotFoundError):
            return False

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def wait(self, ready, why, timeout=30):
        end = in_time(timeout)
        while not ready():
            if time.monotonic() > end:
                raise TimeoutError(f"{why}\n{self.log()}")
            time.sleep(0.02)

    @property
    def gateway(self):
        """The host's address as containers see it."""
        return self.subnet.replace("0.0/16", "0.1")

    @property
    def token(self):
        return (self.state / "control" / "admin.token").read_text().strip()

    @property
    def ca(self):
        return self.state / "control" / "ca.pem"

    def cli(self, *arguments, check=True, input=None, cwd=None):
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "SKERRY_URL": f"https://localhost:{self.api}", "SKERRY_TOKEN": self.token,
                       "SKERRY_CA": str(self.ca), "NO_COLOR": "1"}
        result = subprocess.run([BIN / "skerry", *map(str, arguments)], capture_output=True, text=True, env=environment, input=input, cwd=cwd, timeout=600 * SLOW)
        if check:
            assert result.returncode == 0, (result.stdout, result.stderr, self.log())
        return result

    def ship(self, source, **files):
        """Ships a copy of a folder, with files added or replaced."""
        work = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        if source:
            shutil.copytree(source, work, dirs_exist_ok=True)
        for name, text in files.items():
            path = work / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self.cli("ship", work, "--json", check=False)

    def get(self, name):
        return json.loads(self.cli("get", name, "--json").stdout)

    def api_call(self, method, path, body=None, token=None, raw=False):
        context = ssl.create_default_context(cafile=self.ca)
        return self.request("localhost", self.api, context, method, path, body, {"authorization": f"Bearer {token or self.token}"}, raw)

    def request(self, host, port, context, method, path, body=None, headers=None, raw=False, connect_timeout=10):
        answer = exchange(host, port, context, method, path, body, headers, connect_timeout)
        return answer if raw else json.loads(answer.text)

    def call(self, url, path="", method="GET", body=None, headers=None, timeout=60):
        parts = urllib.parse.urlsplit(url)
        context = ssl.create_default_context(cafile=self.ca)
        return exchange(parts.hostname, parts.port, context, method, parts.path + path, body, headers, timeout)

    def processes(self):
        return {p["name"]: p["pid"] for p in json.loads((self.run / "processes.json").read_text())}

    def instances(self):
        return self.api_call("GET", "/v1/status")["instances"]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30 * SLOW)

    def sweep(self):
        return subprocess.run([BIN / "skerry-sandboxd", "sweep", "--run-dir", self.run, "--state-dir", self.state, "--tag", self.tag, "--subnet", self.subnet],
                              capture_output=True, text=True, timeout=60 * SLOW)

    def leftovers(self):
        found = [n for _, n in socket.if_nameindex() if n.startswith(self.tag[:8] + "-")]
        for controller in ("pids", "memory", "cpu", "freezer"):
            if pathlib.Path(f"/sys/fs/cgroup/{controller}/{self.tag}").exists():
                found.append(f"cgroup {controller}")
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            if str(self.folder) in line:
                found.append(line)
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        if f"inet {self.tag}" in tables:
            found.append("nft table")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if str(self.folder).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(f"process {pid}")
            except OSError:
                pass
        return found

    def close(self):
        self.stop()
        self.sweep()
        shutil.rmtree(self.folder, ignore_errors=True)


def exchange(host, port, context, method, path, body=None, headers=None, timeout=60):
    """One request over a connection of its own, with the name kept for SNI and Host and the address always loopback."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}:{port}", "connection: close"]
    if data is not None:
        lines.append(f"content-length: {len(data)}")
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    with socket.create_connection(("127.0.0.1", port), timeout * SLOW) as plain:
        with context.wrap_socket(plain, server_hostname=host) if context else plain as s:
            s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (data or b""))
            received = b""
            while piece := s.recv(65536):
                received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    parsed = {}
    for field in fields:
        name, value = field.split(":", 1)
        parsed[name.lower()] = value.strip()
    if parsed.get("transfer-encoding") == "chunked":
        out = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            count = int(size, 16)
            if count == 0:
                break
            out, rest = out + rest[:count], rest[count + 2:]
        rest = out
    return Answer(int(first.split()[1]), parsed, rest)


@pytest.fixture(scope="session")
def skerry():
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    s = Skerry()
    yield s
    s.close()
