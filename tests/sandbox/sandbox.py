"""A small client of sandboxd for the tests: its wire codec, its sockets, and the three roles as processes of a test of its own."""
import array
import fcntl
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from slow import SLOW, in_time  # noqa: E402
WITHOUT = [sys.executable, str(ROOT / "tests/sandbox/without.py")]  # CALL[,CALL...]: before a command that shall do without them
BIN = pathlib.Path(os.environ.get("SKERRY_BUILD", ROOT / "build/dev")) / "bin"
LAYER_ID_BASE = 0x70000000
SUBNET = "10.199"  # not the one of an installed Skerry, nor of the other tests
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
START, SIGNAL, SET_FROZEN, MORE_SOCKETS, LIST, GET_USAGE, KEEP_SPARES, KEEP_POLICIES = range(8)
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
         processes=64, files=256, network=1, secrets=False, runtime_layers=0, spare=False, hostname="i-test", isolation=0, disk=False, egress=b""):
    return (struct.pack("<I", 5) + text(id_) + text(label) + struct.pack("<BB", kind, isolation) + texts(layers) + texts(list(argv)) + texts(list(env)) + text(cwd)
            + text(hostname) + struct.pack("<BHBBBB", transport, port, network, runtime_layers, int(spare), int(secrets)) + struct.pack("<QQIIIB", memory, scratch, cpu, processes, files, int(disk)) + text(egress))


def policy(allow=(), deny=()):
    """An egress policy, encoded; of IPv4 rules as a manifest has them, none of which covers another of its list."""
    def rule(written):
        protocol = {"tcp": 1, "udp": 2}.get(written.split("/")[0], 0)
        address, _, ports = (written.split("/", 1)[1] if protocol else written).partition(":")
        network, _, prefix = address.partition("/")
        first, _, last = ports.partition("-")
        return 0, protocol, int(first or 0), int(last or first or 0), socket.inet_aton(network), int(prefix or 32)

    def rules(written):
        return struct.pack("<B", len(written)) + b"".join(struct.pack("<BBHH4sB", *r) for r in sorted(map(rule, written)))
    return rules(allow) + rules(deny) if allow or deny else b""


F_ADD_SEALS, SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8


def memfd(data, seals=SEALS):
    fd = os.memfd_create("plan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
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
        return value.decode(errors="replace")


def decode(raw):
    r = Reader(raw)
    kind = r.number("B")
    out = {"type": kind}
    if kind == STARTED:
        out.update(request=r.number("Q"), id=r.text(), slot_us=r.number("I"), mount_us=r.number("I"), process_us=r.number("I"), prestarted=bool(r.number("B")), address=r.number("I"))
    elif kind == START_FAILED:
        out.update(request=r.number("Q"), id=r.text(), phase=r.text(), message=r.text(), code=r.number("B"))
    elif kind == EXITED:
        out.update(id=r.text(), exit_code=r.number("i"), signal=r.number("i"), oom=bool(r.number("B")), cpu_us=r.number("Q"), peak=r.number("Q"))
    elif kind == LISTED:
        out.update(request=r.number("Q"), id=r.text(), label=r.text(), address=r.number("I"))
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
        if not select.select([self.socket], [], [], timeout * SLOW)[0]:
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
        end = in_time(timeout)
        while True:
            m = self.receive(max(0.01, end - time.monotonic()) / SLOW)
            if m["type"] == kind and (id_ is None or m.get("id") == id_):
                return m
            self.pending.append(m)

    def close(self):
        self.socket.close()


class Sandbox:
    """starter, filler and reaper on folders, interfaces and groups of their own."""

    def __init__(self, prefix=(), more=()):
        self.role_options = list(more)
        self.prefix = list(prefix)  # of the commands that start the roles
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
        return ["--run-dir", str(self.run), "--state-dir", str(self.state), "--tag", self.tag, "--subnet", SUBNET + ".0.0/16", "--edge-uid", "61001",
                "--edge-gid", "61001", "--control-uid", "61002", "--control-gid", "61002", *self.role_options]

    def start(self, role):
        log = open(self.folder / (role + ".log"), "ab")
        self.processes[role] = subprocess.Popen([*self.prefix, BIN / "skerry-sandboxd", role, *self.options()], stderr=log)
        end = in_time(10)
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
        (self.run / (role + ".sock")).unlink()  # a connection is for the next one

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
        secrets = options.pop("secrets", b"")
        fd = memfd(plan(id_, layers, argv, secrets=bool(secrets), **options))
        sealed = [memfd(secrets)] if secrets else []
        client.send(struct.pack("<BQ", START, 7), [fd, *sealed])
        for used in (fd, *sealed):
            os.close(used)
        return id_

    def up(self, **options):
        id_ = self.boot(**options)
        end = in_time(10)
        while time.monotonic() < end:
            m = self.connect().receive()
            if m.get("id") == id_ and m["type"] == STARTED:
                return Instance(self, id_, m)
            assert m["type"] != START_FAILED, m
            self.connect().pending.append(m)
        raise TimeoutError

    def keep_spares(self, count, client=None, **options):
        """Orders spares of the probe; waits until starter has taken the order, not until they are ready."""
        client = client or self.connect()
        env = ["PATH=/usr/local/bin:/usr/bin:/bin", "SKERRY_ASSIGNMENT_FD=5"]
        layers = options.pop("layers", [self.layer])
        spare = plan(new_id(), layers, options.pop("argv", ["/app/probe"]), env=env, label="spare", hostname="spare", runtime_layers=len(layers), spare=True, **options)
        fd = memfd(struct.pack("<I", 1) + text(spare) + struct.pack("<B", count))
        client.send(struct.pack("<BQ", KEEP_SPARES, 9), [fd])
        os.close(fd)
        return client.wait(DONE)

    def keep_policies(self, *policies, client=None):
        """Says for which policies slots are to be ready; waits until starter has taken it, not until they are."""
        client = client or self.connect()
        fd = memfd(struct.pack("<I", len(policies)) + b"".join(text(p) for p in policies))
        client.send(struct.pack("<BQ", KEEP_POLICIES, 10), [fd])
        os.close(fd)
        return client.wait(DONE)

    def job(self, *arguments, client=None, env=(), stdin=None, network=1):
        """Starts `probe ARGUMENTS` as a job; gives its id and the read ends of its output."""
        client = client or self.connect()
        id_ = new_id()
        null = os.open("/dev/null", os.O_RDONLY)
        out, out_write = os.pipe()
        err, err_write = os.pipe()
        fd = memfd(plan(id_, [self.layer], ["/app/probe", *arguments], env=env, kind=1, transport=0, network=network))
        client.send(struct.pack("<BQ", START, 8), [fd, null if stdin is None else stdin, out_write, err_write])
        for used in (null, out_write, err_write, fd):
            os.close(used)
        return id_, out, err

    def signal(self, id_, kind):
        self.connect().send(struct.pack("<B", SIGNAL) + text(id_) + struct.pack("<B", kind))

    def freeze(self, id_, on):
        self.connect().send(struct.pack("<BQ", SET_FROZEN, 5) + text(id_) + struct.pack("<B", on))
        self.connect().wait(DONE)

    def listed(self, client=None):
        """Ids and labels, as a List tells them."""
        client = client or self.connect()
        client.send(struct.pack("<BQ", LIST, 11))
        found = {}
        while True:
            m = client.receive()
            if m["type"] == DONE:
                return found
            if m["type"] == LISTED:
                found[m["id"]] = m["label"]
                for fd in m["fds"]:
                    os.close(fd)
            else:
                client.pending.append(m)

    def reconnect(self):
        if self.client:
            self.client.close()
        self.client = None
        return self.connect()

    def groups(self):
        """This sandbox's control groups, with the processes in each."""
        parent = next((p for p in (pathlib.Path("/sys/fs/cgroup/pids") / self.tag, pathlib.Path("/sys/fs/cgroup") / self.tag) if p.exists()), None)
        found = {}
        for group in parent.glob("s*") if parent else []:
            try:
                found[group.name] = [int(p) for p in (group / "cgroup.procs").read_text().split()]
            except OSError:
                pass  # removed meanwhile
        return found

    def leftovers(self):
        """Control groups, interfaces, nft table, mounts and processes that are still ours."""
        found = []
        for controller in ("pids", "memory", ""):
            parent = pathlib.Path("/sys/fs/cgroup") / controller / self.tag
            found += [str(p) for p in [parent, *parent.glob("s*")] if parent.exists()]
        found += [n for _, n in socket.if_nameindex() if n.startswith(self.tag + "-")]
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        found += [line for line in tables.splitlines() if line.endswith(f" {self.tag}")]
        found += [line for line in open("/proc/mounts") if str(self.folder) in line]
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if str(self.folder).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(f"process {pid}")
            except OSError:
                pass
        return found

    def wait_until(self, condition, what, timeout=10):
        end = in_time(timeout)
        while not condition():
            assert time.monotonic() < end, what
            time.sleep(0.01)

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
        self.out, self.err, self.status, self.cpu, self.freezer, *self.sockets = started["fds"]
        self.connection = None

    def get(self, path, timeout=10):
        if self.connection is None:
            if self.sockets:
                self.connection = socket.socket(fileno=self.sockets.pop())
                end = in_time(10)
                address = "::ffff:127.0.0.1" if self.connection.family == socket.AF_INET6 else "127.0.0.1"
                while self.connection.connect_ex((address, 8080)) not in (0, 106):
                    assert time.monotonic() < end
                    select.select([], [self.connection], [], 0.01)
                self.connection.setblocking(True)
            else:
                self.connection = socket.socket(socket.AF_UNIX)
                self.connection.connect(str(self.sandbox.run / "instances" / (self.id + ".sock")))
        self.connection.settimeout(timeout * SLOW)
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
