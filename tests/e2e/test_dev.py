"""skerry dev: a folder served by a Skerry of the session's own, shipped again at every change, and nothing left however the session ends."""
import fcntl
import os
import pathlib
import pty
import queue
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import termios
import threading
import time
import urllib.parse

import pytest
from conftest import BIN, IMAGES, ROOT, exchange

WAIT_S = 60
BASE = pathlib.Path("/var/lib/skerry-dev")
HELLO = ROOT / "examples" / "hello-python"
FUNCTION = """
import os
print("loaded TEXT", flush=True)
class Function:
    async def handle(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": ("TEXT " + os.environ.get("GREETING", "-")).encode()})
def new():
    return Function()
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes containers: needs root")


def environment(**extra):
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1", "SKERRY_IMAGES": str(IMAGES), **extra}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "hello"
    shutil.copytree(HELLO, folder)
    return folder


def write(project, text):
    (project / "func.py").write_text(FUNCTION.replace("TEXT", text))


class Dev:
    """A running `skerry dev`, and what it says. With a terminal, all three descriptors are one, and closing it hangs up."""

    def __init__(self, project, *arguments, terminal=False):
        self.lines, self.seen = queue.Queue(), []
        self.enough, self.tell_enough = os.pipe()
        command, options = [BIN / "skerry", "dev", project, *arguments], {"env": environment()}
        if terminal:
            self.master, slave = pty.openpty()
            self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)), **options)
            os.close(slave)
            self.reader = threading.Thread(target=self.read, args=[self.master], daemon=True)
        else:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
            self.reader = threading.Thread(target=self.read, args=[self.process.stdout.fileno()], daemon=True)
        self.reader.start()

    def read(self, fd):
        rest = b""
        while True:
            if self.enough in select.select([fd, self.enough], [], [])[0]:
                return
            try:
                piece = os.read(fd, 4096)
            except OSError:  # the terminal's other end is closed
                piece = b""
            *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                self.lines.put(line.decode(errors="replace"))
            if not piece:
                return self.lines.put(None)

    def expect(self, pattern):
        """The match in the next line that has one."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"never said {pattern!r}: {self.seen}"
            self.seen.append(line)
            if found := re.search(pattern, line):
                return found

    def expect_urls(self):
        self.http = self.expect(r"ok (http://\S+)")[1]
        found = self.expect(r"(https://\S+) \(curl --cacert (\S+)\)")
        self.https, self.ca = found[1], pathlib.Path(found[2])
        self.folder = self.ca.parent
        self.tag = self.folder.name
        return self

    def call(self, url=None):
        parts = urllib.parse.urlsplit(url or self.http)
        context = ssl.create_default_context(cafile=self.ca) if parts.scheme == "https" else None
        return exchange(parts.hostname, parts.port, context, "GET", "/")

    def guard(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())

    def end(self, sign):
        self.process.send_signal(sign)
        assert self.process.wait(WAIT_S) == 0
        self.reader.join(WAIT_S)

    def hang_up(self):
        os.write(self.tell_enough, b"x")  # a terminal that is being read stays open
        self.reader.join(WAIT_S)
        os.close(self.master)

    def close(self):
        """After a failed test: ended so that it can clear up."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(WAIT_S)


@pytest.fixture
def dev():
    started = []

    def start(*arguments, **options):
        started.append(Dev(*arguments, **options))
        return started[-1]

    yield start
    for session in started:
        session.close()


def wait_until(true, what):
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def read(path):
    try:
        return path.read_bytes()
    except OSError:  # a process that has ended meanwhile
        return b""


def leftovers(tag):
    """Everything on this machine that bears the session's tag or lies in its folder."""
    folder = str(BASE / tag)
    found = [f"interface {n}" for _, n in socket.if_nameindex() if n.startswith(tag + "-")]
    found += [f"cgroup {p}" for p in (*pathlib.Path("/sys/fs/cgroup").glob(tag), *pathlib.Path("/sys/fs/cgroup").glob(f"*/{tag}"))]
    found += [f"mount {line}" for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if folder in line]
    if f" {tag}\n" in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout:
        found.append("nft table")
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        if folder.encode() in read(process / "cmdline") or f"/{tag}".encode() in read(process / "cgroup"):
            found.append(f"process {process.name} {read(process / 'cmdline')}")
    return found + ([folder] if os.path.exists(folder) else [])


def test_a_folder_is_served_followed_and_gone(dev, project):
    write(project, "first")
    session = dev(project)
    session.expect_urls()
    assert session.call().text == "first -" and session.call(session.https).text == "first -"
    session.expect("stdout .*loaded first")
    assert len(leftovers(session.tag)) > 5  # what is looked for at the end is there now

    write(project, "second")
    wait_until(lambda: session.call().text == "second -", "the change was not shipped")

    (project / "func.py").write_text("def new(:\n")
    session.expect("SyntaxError")
    session.expect("^error: ")
    session.expect("what was shipped before still answers")
    assert session.call().text == "second -"

    write(project, "third")
    wait_until(lambda: session.call().text == "third -", "the mended function was not shipped")

    session.end(signal.SIGINT)
    session.expect("nothing is left")
    assert leftovers(session.tag) == []
    assert not (project / ".skerry").exists()


def test_secrets_come_from_dotenv_and_a_closed_terminal_ends_it(dev, project):
    write(project, "hello")
    with open(project / "func.toml", "a") as manifest:
        manifest.write('\n[[secrets]]\nbinding = "GREETING"\nname = "GREETING"\n')
    (project / ".env").write_text("OTHER=not listed\n")
    session = dev(project, terminal=True)
    session.expect("`GREETING` is listed under .*secrets.* and has no value in .env")
    (project / ".env").write_text("GREETING='from .env'\n")
    session.expect_urls()
    assert session.call().text == "hello from .env"
    (project / ".env.local").write_text("GREETING=of my own\n")
    wait_until(lambda: session.call().text == "hello of my own", "the new value did not arrive")
    assert not any("of my own" in line or "from .env" in line for line in session.seen)

    session.hang_up()
    assert session.process.wait(WAIT_S) == 0
    assert leftovers(session.tag) == []


def test_killed_sessions_leave_nothing(dev, project):
    first = dev(project).expect_urls()
    first.process.kill()
    wait_until(lambda: not leftovers(first.tag), f"the guard left {leftovers(first.tag)}")

    second = dev(project).expect_urls()
    guard = second.guard()
    os.kill(second.process.pid, signal.SIGSTOP)  # so that it cannot do the guard's work
    os.kill(guard, signal.SIGKILL)
    second.process.kill()
    second.process.wait(WAIT_S)
    assert leftovers(second.tag)
    third = dev(project).expect_urls()
    assert leftovers(second.tag) == []
    assert third.call().status == 200

    # The guard alone: `skerry dev` says that its Skerry is gone, and does the guard's work.
    os.kill(third.guard(), signal.SIGKILL)
    assert third.process.wait(WAIT_S) == 1
    third.expect("skerryd has ended")
    assert leftovers(third.tag) == []


def test_sessions_live_side_by_side(dev, project, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(project, other)
    write(project, "one")
    write(other, "two")
    one, two = dev(project), dev(other)
    one.expect_urls(), two.expect_urls()
    assert (one.call().text, two.call().text) == ("one -", "two -")
    one.end(signal.SIGTERM)
    assert leftovers(one.tag) == [] and two.call().text == "two -"
    two.end(signal.SIGTERM)
    assert leftovers(two.tag) == []


def run(*arguments, **options):
    options.setdefault("env", environment())
    return subprocess.run([BIN / "skerry", "dev", *arguments], capture_output=True, text=True, timeout=WAIT_S, **options)


def test_what_cannot_work_is_said_before_anything_is_made(project, tmp_path):
    before = sorted(BASE.glob("*")) if BASE.exists() else []
    no_images = run(project, env=environment(SKERRY_IMAGES=str(tmp_path)))
    assert no_images.returncode == 1 and "python, python-build" in no_images.stderr and "make images" in no_images.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        in_use = run(project, "--port", str(port))
    assert in_use.returncode == 1 and f"port {port}" in in_use.stderr and "--port takes another" in in_use.stderr
    for arguments in (["--port", "0"], ["--port", "65536"], ["--port", "x"], ["--keep"], ["--remote", "--port", "1"]):
        assert run(project, *arguments).returncode == 2, arguments
    assert run(tmp_path / "none").returncode == 2
    assert (sorted(BASE.glob("*")) if BASE.exists() else []) == before


def test_without_root_it_names_both_ways_out(project):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # where everyone may enter, unlike a checkout
        os.chmod(folder, 0o755)
        program = shutil.copy(BIN / "skerry", folder)
        refused = subprocess.run([program, "dev", folder], capture_output=True, text=True, timeout=WAIT_S, user=65534, group=65534, extra_groups=[], env=environment())
    assert refused.returncode == 4
    assert "needs root" in refused.stderr and "sudo skerry dev" in refused.stderr and "skerry dev --remote" in refused.stderr
