"""Containers whose program attacks: tests/sandbox's sandboxd, layers made of hostile files, and the attacks of attacks/*.c carried out in them or,
as a control, outside of them."""
import atexit
import contextlib
import functools
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "sandbox"))
import sandbox as sb  # noqa: E402

SOURCES = pathlib.Path(__file__).parent / "attacks"
SUBNET = "10.197"  # not the one of tests/sandbox


@functools.cache
def build():
    """A folder with the attack program and the hostile dynamic loader, compiled once for all modules of tests."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="skh", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    flags = ["clang-19", "-D_GNU_SOURCE", "-O1", "-static", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror"]
    parts = [SOURCES / name for name in ("main.c", "kernel.c", "files.c", "processes.c", "bombs.c", "network.c", "shared.c")]
    subprocess.run([*flags, "-o", folder / "attack", *parts], check=True)
    subprocess.run([*(flag if flag != "-static" else "-static-pie" for flag in flags), "-fPIE", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-o", folder / "loader", SOURCES / "interpreter.c"], check=True)
    return folder


@contextlib.contextmanager
def hold(command, word):
    """A process below `unshare --fork` that stays, once it has printed the word; with the block it ends for certain."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        said = b""
        while word not in said:
            piece = os.read(process.stdout.fileno(), 65536)
            assert piece, f"{command} ended after {said}"
            said += piece
        pid = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        inner = os.pidfd_open(int(pid))
        try:
            yield
        finally:
            signal.pidfd_send_signal(inner, signal.SIGKILL)
            select.select([inner], [], [], 10)
            os.close(inner)


def lines(text):
    """What an attack told, by name. A name that comes twice fails: nothing is hidden by a later line."""
    out = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        assert name not in out, f"`{name}` was told twice:\n{text}"
        out[name] = value
    return out


class Box(sb.Sandbox):
    """A sandboxd, and a layer with the attack program at /app/attack."""

    def __init__(self, prefix=()):
        sb.SUBNET, kept = SUBNET, sb.SUBNET
        self.made = 0
        try:
            super().__init__(prefix)
        finally:
            sb.SUBNET = kept

    def options(self):
        return [SUBNET + ".0.0/16" if option == sb.SUBNET + ".0.0/16" else option for option in super().options()]

    def probe_layer(self):
        self.tools = self.folder / "tools"
        shutil.copytree(build(), self.tools)
        self.tools.chmod(0o755)
        return self.make_layer(self.put_program)

    def put_program(self, top):
        (top / "app").mkdir(exist_ok=True)
        (top / "app" / "attack").write_bytes((self.tools / "attack").read_bytes())
        (top / "app" / "attack").chmod(0o755)

    def make_layer(self, fill, owner=0, at="/"):
        """A layer as skerry-unpack would leave it, or as it would be had skerry-unpack been deceived: `fill` makes what it likes in the folder. A function's
        code is below `at`."""
        self.made += 1
        name = f"{self.made:064x}"
        top = self.state / "layers" / name
        top.mkdir()
        top.chmod(0o755)
        fill(top)
        for path in [top, *top.rglob("*")]:
            mode = path.lstat().st_mode
            os.lchown(path, sb.LAYER_ID_BASE + owner, sb.LAYER_ID_BASE + owner)
            if not path.is_symlink():
                path.chmod(mode & 0o7777)  # chown takes setuid away
        (self.state / "layers" / (name + ".meta")).write_text(f"{at} 1 1\n")
        return "sha256:" + name

    def attacker(self, env=(), **plan):
        mark = os.urandom(8).hex()
        return Attacker(self, self.up(argv=["/app/attack"], env=[*env, "MARK=" + mark], **plan), mark)

    def first_moment(self, *arguments, **plan):
        """A container whose program is the attack from its first instruction: its id, and its output once it is started."""
        instance = self.up(argv=["/app/attack", "run", *arguments], **plan)
        return instance.id, instance.out

    def control(self, name, *arguments, wrapper=(), program=None, timeout=20):
        """The same attack on the same machine, but not in a container."""
        done = subprocess.run([*wrapper, program or self.tools / "attack", "run", name, *arguments], capture_output=True, text=True, timeout=timeout * sb.SLOW)
        return lines(done.stdout)


# Outside, without one barrier or more. Everything is in namespaces that end with the command: nothing of the machine is changed.
ROOT_IN_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--cgroup", "--mount-proc"]
NOBODY_UNFILTERED = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts", "--cgroup", "--mount-proc", "setpriv", "--reuid=61999", "--regid=61999",
                     "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]


class Attacker:
    def __init__(self, box, instance, mark=None):
        self.box, self.instance, self.id, self.mark = box, instance, instance.id, mark

    def text(self, name, *arguments, timeout=30):
        return self.instance.get("/" + name + ("?" + "&".join(map(str, arguments)) if arguments else ""), timeout)

    def tries(self, name, *arguments, timeout=30):
        return lines(self.text(name, *arguments, timeout=timeout))

    def begin(self, name, *arguments):
        """An attack that is not waited for."""
        self.tries("identity")  # connects
        self.instance.connection.sendall(f"GET /{name}?{'&'.join(map(str, arguments))} HTTP/1.1\r\n\r\n".encode())

    def processes(self):
        """Its processes on the host, init first: the group with the process that has this container's environment."""
        found = [sorted(pids) for pids in self.box.groups().values() if any(f"MARK={self.mark}".encode() in environment(pid) for pid in pids)]
        assert len(found) == 1, found
        return found[0]

    def init(self):
        return self.processes()[0]

    def group(self, controller="pids"):
        """The folder of its control group."""
        v1 = pathlib.Path("/sys/fs/cgroup") / controller / self.box.tag
        parent = v1 if v1.exists() else pathlib.Path("/sys/fs/cgroup") / self.box.tag
        init = self.init()
        return parent / next(name for name, pids in self.box.groups().items() if init in pids)

    def lift(self, controller):
        """CONTROL: takes this container's limit away, and no other barrier."""
        group = self.group(controller)
        for name, value in {"pids.max": "max", "memory.memsw.limit_in_bytes": "-1", "memory.limit_in_bytes": "-1", "memory.max": "max", "cpu.cfs_quota_us": "-1", "cpu.max": "max"}.items():
            if name.startswith(controller) and (group / name).exists():
                (group / name).write_text(value)

    def cpu_us(self):
        """As its counter says that is handed out with the instance: v1 in ns, v2 by name in us."""
        text = os.pread(self.instance.cpu, 4096, 0).decode()
        return int(text) // 1000 if text.strip().isdigit() else int(text.split("usage_usec ")[1].split()[0])

    def kill(self):
        return self.instance.kill()

    def ended(self, timeout=20):
        return self.box.connect().wait(sb.EXITED, self.id, timeout)


def environment(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    return b""
