"""A small client of sandboxd for the tests: its wire codec, its sockets, and the three roles as processes of a test of its own."""
import array
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SKERRY_BUILD", ROOT / "build/dev")) / "bin"
LAYER_ID_BASE = 0x70000000
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
STARTED, START_FAILED, EXITED, LISTED, SOCKETS, USAGE, DONE, REFUSED = range(8)


def new_id():
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join(ALPHABET[(value >> (5 * (25 - i))) & 31] for i in range(26))


def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<I", len(raw)) + raw


def texts(items):
    return struct.pack("<I", len(items)) + b"".join(text(i) for i in items)


def plan(id_, layers, argv, env=(), kind=0, transport=1, port=0, cwd="/app", label="rev", memory=64 << 20, scratch=32 << 20, cpu=1000,
         processes=64, files=256, network=1, secrets=False):
    return (struct.pack("<I", 1) + text(id_) + text(label) + struct.pack("<B", kind) + texts(layers) + texts(list(argv)) + texts(list(env)) + text(cwd)
            + text("i-test") + struct.pack("<BHBB", transport, port, network, int(secrets)) + struct.pack("<QQIII", memory, scratch, cpu, processes, files))


def memfd(data):
    fd = os.memfd_create("plan")
    os.write(fd, data)
    os.lseek(fd, 0, 0)
    return fd


class Reader:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def number(self, form):
        value, = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def text(self):
        size = self.number("I")
        value = self.raw[self.at:self.at + size]
        self.at += size
        return value.decode()


def decode(raw):
    r = Reader(raw)
    kind = r.number("B")
    out = {"type": kind}
    if kind == STARTED:
        out.update(request=r.number("Q"), id=r.text(), slot_us=r.number("I"), mount_us=r.number("I"), process_us=r.number("I"))
    elif kind == START_FAILED:
        out.update(request=r.number("Q"), id=r.text(), phase=r.text(), message=r.text(), code=r.number("B"))
    elif kind == EXITED:
        out.update(id=r.text(), exit_code=r.number("i"), signal=r.number("i"), oom=bool(r.number("B")), cpu_us=r.number("Q"), peak=r.number("Q"))
    elif kind == LISTED:
        out.update(request=r.number("Q"), id=r.text(), label=r.text())
    elif kind == SOCKETS:
        out.update(request=r.number("Q"), id=r.text())
    elif kind == USAGE:
        out.update(request=r.number("Q"), id=r.text(), cpu_us=r.number("Q"), memory=r.number("Q"))
    elif kind == DONE:
        out.update(request=r.number("Q"))
    elif kind == REFUSED:
        out.update(request=r.number("Q"), message=r.text())
    return out


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(str(path))
        self.pending = []

    def send(self, data, fds=()):
        self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def receive(self, timeout=10):
        if not select.select([self.socket], [], [], timeout)[0]:
            raise TimeoutError("sandboxd said nothing")
        raw, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
        if not raw:
            raise ConnectionError("sandboxd closed the connection")
        fds = array.array("i")
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                fds.frombytes(data[:len(data) - len(data) % 4])
        message = decode(raw)
        message["fds"] = list(fds)
        return message

    def wait(self, kind, id_=None, timeout=10):
        """The next message of that type (and id); others are kept for later waits."""
        for i, m in enumerate(self.pending):
            if m["type"] == kind and (id_ is None or m.get("id") == id_):
                return self.pending.pop(i)
        end = time.monotonic() + timeout
        while True:
            m = self.receive(max(0.01, end - time.monotonic()))
            if m["type"] == kind and (id_ is None or m.get("id") == id_):
                return m
            self.pending.append(m)

    def close(self):
        self.socket.close()


class Sandbox:
    """starter, filler and reaper on folders, interfaces and groups of their own."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sk", dir="/tmp"))
        self.run, self.state = self.folder / "r", self.folder / "s"
        for d in (self.run, self.state / "layers"):
            d.mkdir(parents=True)
        os.chmod(self.folder, 0o755)
        self.tag = "t" + os.urandom(3).hex()
        self.processes = {}
        for role in ("reaper", "filler", "starter"):
            self.start(role)
        self.client = None
        self.layer = self.probe_layer()

    def options(self):
        return ["--run-dir", str(self.run), "--state-dir", str(self.state), "--tag", self.tag, "--subnet", "198.19.0.0/16", "--edge-uid", "61001",
                "--edge-gid", "61001", "--control-uid", "61002", "--control-gid", "61002"]

    def start(self, role):
        log = open(self.folder / (role + ".log"), "ab")
        self.processes[role] = subprocess.Popen([BIN / "skerry-sandboxd", role, *self.options()], stderr=log)
        end = time.monotonic() + 10
        while True:  # the socket accepts as soon as the role is up
            try:
                Client(self.run / (role + ".sock")).close()
                return
            except OSError:
                if time.monotonic() > end or self.processes[role].poll() is not None:
                    raise RuntimeError((self.folder / (role + ".log")).read_text())
                time.sleep(0.01)

    def kill(self, role):
        p = self.processes[role]
        p.send_signal(signal.SIGKILL)
        p.wait()

    def connect(self):
        if self.client is None:
            self.client = Client(self.run / "starter.sock")
        return self.client

    def probe_layer(self):
        """A layer with the probe program and nothing else, made as skerry-unpack would leave it."""
        hex_ = "a" * 64
        top = self.state / "layers" / hex_
        (top / "app").mkdir(parents=True)
        (top / "etc").mkdir()
        (top / "etc" / "lower").write_text("from the layer\n")
        subprocess.run(["clang-19", "-O1", "-static", "-o", top / "app" / "probe", ROOT / "tests/sandbox/probe.c", "-Wno-everything"], check=True)
        for path in [top, *top.rglob("*")]:
            os.chown(path, LAYER_ID_BASE, LAYER_ID_BASE)
        (self.state / "layers" / (hex_ + ".meta")).write_text("/ 1 1\n")
        return "sha256:" + hex_

    def boot(self, client=None, **options):
        client = client or self.connect()
        id_ = new_id()
        argv = options.pop("argv", ["/app/probe"])
        layers = options.pop("layers", [self.layer])
        fd = memfd(plan(id_, layers, argv, **options))
        client.send(struct.pack("<BQ", 0, 7), [fd])
        os.close(fd)
        return id_

    def up(self, **options):
        id_ = self.boot(**options)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            m = self.connect().receive()
            if m.get("id") == id_ and m["type"] == STARTED:
                return Instance(self, id_, m)
            assert m["type"] != START_FAILED, m
            self.connect().pending.append(m)
        raise TimeoutError

    def signal(self, id_, kind):
        self.connect().send(struct.pack("<B", 1) + text(id_) + struct.pack("<B", kind))

    def leftovers(self):
        found = []
        for controller in ("pids", "memory"):
            parent = pathlib.Path("/sys/fs/cgroup") / controller / self.tag
            found += [str(p) for p in parent.glob("s*")] if parent.exists() else []
        found += [n for _, n in socket.if_nameindex() if n.startswith(self.tag[:8] + "-")]
        return found

    def close(self):
        if self.client:
            self.client.close()
        for p in self.processes.values():
            if p.poll() is None:
                p.terminate()
        for p in self.processes.values():
            p.wait(10)
        swept = subprocess.run([BIN / "skerry-sandboxd", "sweep", *self.options()], capture_output=True, text=True)
        left = self.leftovers()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert swept.returncode == 0, swept.stderr
        assert not left, left


class Instance:
    def __init__(self, sandbox, id_, started):
        self.sandbox, self.id, self.started = sandbox, id_, started
        self.out, self.err, self.status, self.cpu, *self.sockets = started["fds"]
        self.connection = None

    def get(self, path, timeout=10):
        if self.connection is None:
            if self.sockets:
                self.connection = socket.socket(fileno=self.sockets.pop())
                end = time.monotonic() + 10
                while self.connection.connect_ex(("127.0.0.1", 8080)) not in (0, 106):
                    assert time.monotonic() < end
                    select.select([], [self.connection], [], 0.01)
                self.connection.setblocking(True)
            else:
                self.connection = socket.socket(socket.AF_UNIX)
                self.connection.connect(str(self.sandbox.run / "instances" / (self.id + ".sock")))
        self.connection.settimeout(timeout)
        self.connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.connection.recv(65536)
            if not piece:
                raise ConnectionError("the instance closed the connection")
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < size:
            body += self.connection.recv(65536)
        return body.decode(errors="replace")

    def values(self, path):
        return dict(line.split("=", 1) for line in self.get(path).splitlines() if "=" in line)

    def kill(self):
        self.sandbox.signal(self.id, 1)
        return self.sandbox.connect().wait(EXITED, self.id)
