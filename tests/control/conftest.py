"""skerry-control in a folder of its own, a client of its API, and an edge that says what a test wants."""
import hashlib
import http.client
import json
import os
import pathlib
import queue
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SKERRY_BUILD", ROOT / "build/dev")) / "bin/skerry-control"
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def ulid():
    return "00" + "".join(CROCKFORD[b % 32] for b in os.urandom(24))


def wait_for(ready, why, timeout=20):
    """Polls a condition of another process that has no event to wait for."""
    end = time.monotonic() + timeout
    while not (found := ready()):
        assert time.monotonic() < end, why
        time.sleep(0.01)
    return found


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def code(self):
        return self.json["error"]["code"]

    @property
    def message(self):
        return self.json["error"]["message"]


class Control:
    def __init__(self, folder, extra_config=""):
        self.folder = pathlib.Path(folder)
        self.state, self.run = self.folder / "state", self.folder / "run"
        for path in (self.state / "keeper", self.state / "logs", self.state / "journal", self.run):
            path.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "skerry.toml"
        self.config.write_text(f'state_dir = "{self.state}"\nrun_dir = "{self.run}"\nimages_dir = "{self.folder}/images"\nshims_dir = "{ROOT}/shims"\n{extra_config}')
        self.process = None

    def start(self, listening=()):
        """`listening`: (name, socket) pairs handed over as skerryd does."""
        environment = {"PATH": os.environ["PATH"]}
        if listening:
            environment["SKERRY_FDS"] = ",".join(f"{name}={s.fileno()}" for name, s in listening)
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([PROGRAM, "--config", self.config], stdin=subprocess.DEVNULL, stderr=log, env=environment,
                                        pass_fds=[s.fileno() for _, s in listening])
        log.close()
        wait_for(self.healthy, f"skerry-control did not come up: {self.log()}")
        return self

    def healthy(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.call("GET", "/v1/health", token=None).status == 200
        except OSError:
            return False

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            return self.process.wait(20)
        return None

    @property
    def token(self):
        return (self.state / "control/admin.token").read_text().strip()

    def connection(self, timeout=30):
        return UnixConnection(self.run / "control.sock", timeout)

    def call(self, method, path, body=None, token="", headers=None, timeout=30):
        connection = self.connection(timeout)
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.token}"
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def get(self, path):
        answer = self.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def ship(self, name, config=None, source=None, timeout=60):
        return self.call("POST", "/v1/functions/ship", {"function": {"name": name}, "source": source, "config": config or {}}, timeout=timeout)

    def database(self):
        return sqlite3.connect(self.state / "control/control.db", timeout=10)

    def seed_function(self, name):
        """A function whose code was built once. Control must not be running, and have run before."""
        function, revision, layer = ulid(), ulid(), "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        artifact = {"layers": [layer], "argv": ["/app/serve"], "env": [], "transport": "unix", "port": 8080, "health_path": "", "language": "go", "version": "", "size_bytes": 10}
        config = {"id": revision, "tag": "seeded1", "number": 1, "layers": [layer], "argv": ["/app/serve"], "env": ["PORT=8080"]}
        with self.database() as db:
            db.execute("INSERT INTO functions VALUES(?,?,1,1,?)", (function, name, revision))
            db.execute("INSERT INTO revisions VALUES(?,?,1,'seeded1',1,'go',?,10,'{}',?,?,'',1)",
                       (revision, function, layer, json.dumps(artifact), json.dumps(config)))
        db.close()
        return function

    def seed(self, *names):
        self.start()
        self.stop()
        functions = [self.seed_function(name) for name in names]
        self.start()
        return functions


class Edge:
    """Speaks the watch. Starts everything and applies everything, unless told otherwise."""

    def __init__(self, control):
        self.control = control
        self.messages = queue.Queue()
        self.functions = {}
        self.version = 0
        self.start_error = None  # (phase, message)
        self.applies = True
        self.answers_verify = True
        self.on_verify = lambda revision: None
        self.verified = []
        self.snapshot = None  # the first of the last connection
        self.socket = None
        self.thread = None
        self.changed = threading.Condition()

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(self.control.run / "watch.sock"))
        self.thread = threading.Thread(target=self.follow, args=(self.socket,), daemon=True)
        self.thread.start()
        self.snapshot = self.expect("snapshot")
        return self

    def leave(self):
        if self.socket:
            self.socket.shutdown(socket.SHUT_RDWR)
            self.thread.join(10)
            self.socket.close()
            self.socket = None

    def traffic(self, name):
        """The revision that the function's own host goes to."""
        return next(r["targets"][0]["revision"] for r in self.functions[name]["routes"] if "--" not in r["host"])

    def send(self, message):
        text = json.dumps(message).encode()
        self.socket.sendall(struct.pack("<I", len(text)) + text)

    def expect(self, kind, timeout=20):
        while True:
            message = self.messages.get(timeout=timeout)
            if message["type"] == kind:
                return message

    def wait(self, ready, why, timeout=20):
        with self.changed:
            assert self.changed.wait_for(ready, timeout), why

    def follow(self, sock):
        stream = sock.makefile("rb")
        while len(head := stream.read(4)) == 4:
            message = json.loads(stream.read(struct.unpack("<I", head)[0]))
            with self.changed:
                self.take(message)
                self.changed.notify_all()
            self.messages.put(message)

    def take(self, message):
        kind = message["type"]
        if kind == "verify":
            self.verified.append(message["revision"])
            self.on_verify(message["revision"])
            if not self.answers_verify:
                return
            phase, text = self.start_error or ("", "")
            self.send({"type": "verified", "id": message["id"], "ok": self.start_error is None, "phase": phase, "message": text, "ms": 1})
            return
        if kind == "snapshot":
            self.functions = {f["name"]: f for f in message["functions"]}
        elif kind == "function":
            self.functions[message["function"]["name"]] = message["function"]
        elif kind == "removed":
            self.functions = {n: f for n, f in self.functions.items() if f["id"] != message["id"]}
        assert message["version"] >= self.version, "versions only grow"
        self.version = message["version"]
        if self.applies:
            self.send({"type": "applied", "version": self.version})


@pytest.fixture
def made():
    with tempfile.TemporaryDirectory(prefix="skc", dir="/tmp") as folder:
        control = Control(folder)
        yield control
        control.stop()


@pytest.fixture
def control(made):
    return made.start()


@pytest.fixture
def edge(made):
    edge = Edge(made)
    yield edge
    edge.leave()


@pytest.fixture
def keeper_key(made):
    """The public half of a location's key, as keeper leaves it: any X25519 point will do for sealing."""
    (made.state / "keeper/location.pub").write_text("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n")
