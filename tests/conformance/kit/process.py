"""One running shim: makes what the platform would make (listening socket, status pipe, environment), starts it, watches it, ends it.

Owns the child, its pipes and the socket's folder. Every wait has a deadline and ends with an AssertionError that tells what the shim has written so far.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from adapters import Program
from kit.http1 import Connection

WAIT_S = 10.0
LAUNCH = Path(__file__).with_name("launch.py")
# As starter makes it: a request may wait in the kernel before the shim is ready.
BACKLOG = 128

# CONTRACT section 3, without what only exists in a container.
ENVIRONMENT = {
    "PORT": "8080",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",
    "USER": "fn",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "HOSTNAME": "conformance",
    "SKERRY_SHIM": "1",
    "SKERRY_FUNCTION": "conformance",
    "SKERRY_REVISION": "conformance-1",
    "SKERRY_LOCATION": "here",
    "SKERRY_INSTANCE": "i-1",
    "K_SERVICE": "conformance",
    "K_CONFIGURATION": "conformance",
    "K_REVISION": "conformance-1",
    "CONFORMANCE_VALUE": "a value = with, signs; ü",
}


# What a runtime is told before there is a function.
SPARE_ENVIRONMENT = ("PATH", "HOME", "USER", "TMPDIR", "LANG", "TZ", "PYTHONUNBUFFERED", "NODE_ENV")


class Lines:
    """A stream of the child, collected by a thread of its own, that a test can wait on."""

    def __init__(self, stream):
        self._stream = stream
        self._changed = threading.Condition()
        self._lines = []
        self._ended = False
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self):
        for line in self._stream:
            with self._changed:
                self._lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, wanted, timeout_s=WAIT_S):
        """Waits for a line: `wanted` is the whole line, or a predicate of it. Returns the line."""
        matches = wanted if callable(wanted) else lambda line: line == wanted
        with self._changed:
            found = self._changed.wait_for(lambda: self._ended or any(map(matches, self._lines)), timeout_s)
            for line in self._lines:
                if matches(line):
                    return line
            why = "the stream ended" if found else f"{timeout_s} s passed"
            raise AssertionError(f"no line {wanted!r}: {why}; lines so far: {self._lines}")

    def wait_end(self, timeout_s=WAIT_S):
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, timeout_s), f"the stream did not end; lines so far: {self._lines}"
            return list(self._lines)

    def so_far(self):
        with self._changed:
            return list(self._lines)


class Shim:
    """Start with `Shim(program)`, then `wait_ready()`; a context manager that leaves nothing behind."""

    def __init__(self, program: Program, start_timeout_s=WAIT_S, environment=None, spare=False, assign=True):
        """`spare`: started without the program's folder and environment, which it is given (`assign`) when it waits for them."""
        self._start_timeout_s = start_timeout_s
        self._folder = tempfile.mkdtemp(prefix="skerry-conformance-")
        self._connections = []
        self.path = os.path.join(self._folder, "fn.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(BACKLOG)
        status_read, status_write = os.pipe()
        self.listener_link = os.readlink(f"/proc/self/fd/{listener.fileno()}")
        self.status_link = os.readlink(f"/proc/self/fd/{status_write}")
        self.environment = {**ENVIRONMENT, **program.env, **(environment or {}), "SKERRY_APP_DIR": str(program.app)}
        self.app = program.app
        inherited, begin, folder = [listener.fileno(), status_write], self.environment, program.app
        if spare:
            assignment_read, self._assignment = os.pipe()
            inherited.append(assignment_read)
            begin, folder = {name: self.environment[name] for name in SPARE_ENVIRONMENT if name in self.environment} | {"SKERRY_ASSIGNMENT_FD": "5"}, self._folder
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), ",".join(map(str, inherited)), str(folder), *program.argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=inherited, env=begin)
        listener.close()
        for fd in inherited[1:]:
            os.close(fd)
        self.out = Lines(self.process.stdout)
        self.err = Lines(self.process.stderr)
        self._status_stream = os.fdopen(status_read, "rb")
        self.status = Lines(self._status_stream)
        self.is_spare = spare
        if spare and assign:
            self.wait_waiting()
            self.assign()

    def wait_waiting(self):
        self.status.wait_for('{"phase":"waiting"}', self._start_timeout_s)

    def assign(self, secrets=None):
        """Makes an instance of a spare. `secrets` are the bytes that follow the environment, or None where none are announced."""
        entries = "".join(f"{name}={value}\0" for name, value in self.environment.items()).encode()
        self.end_assignment((b"N" if secrets is None else b"S") + entries + b"\0" + (secrets or b""))

    def end_assignment(self, data=b""):
        with os.fdopen(self._assignment, "wb") as pipe:
            pipe.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def wait_ready(self):
        """Waits for the ready line and for the shim to close descriptor 4; returns all status lines, parsed."""
        lines = self.status_lines()
        assert lines and lines[-1] == {"phase": "ready"}, f"not ready: status {lines}, stderr {self.err.so_far()}"
        return lines

    def status_lines(self):
        lines = [json.loads(line) for line in self.status.wait_end(self._start_timeout_s)]
        if self.is_spare:
            assert lines[:1] == [{"phase": "waiting"}], lines
            del lines[0]
        return lines

    def connect(self) -> Connection:
        connection = Connection(self.path, WAIT_S)
        self._connections.append(connection)
        return connection

    def ask(self, method, target, **more):
        """One request on a connection of its own."""
        with self.connect() as connection:
            return connection.ask(method, target, **more)

    def open_gate(self, name):
        answer = self.ask("POST", f"/gate?name={name}")
        assert answer.status == 204, answer

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    @contextlib.contextmanager
    def paused(self):
        """No thread of the shim runs: what is sent waits in the kernel, signals too."""
        self.process.send_signal(signal.SIGSTOP)
        end = time.monotonic() + WAIT_S
        while Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < end, "it does not stand still"
            time.sleep(0.001)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def wait_exit(self, timeout_s=WAIT_S):
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the shim is still there after {timeout_s} s; stdout {self.out.so_far()}, stderr {self.err.so_far()}") from None

    def open_links(self):
        """What the shim's descriptors are, as the kernel names them."""
        folder = f"/proc/{self.process.pid}/fd"
        return [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]

    def memory_peak_kb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))

    def wait_at_rest(self, deadline_s=WAIT_S):
        """Not a wait for time: returns when every thread of the shim sleeps, that is, when it has done all it can do."""
        end = time.monotonic() + deadline_s
        tasks = Path(f"/proc/{self.process.pid}/task")
        while time.monotonic() < end:
            states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
            if all(state == "S" for state in states):
                return
        raise AssertionError("the shim never came to rest")

    def close(self):
        for connection in self._connections:
            connection.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for lines, stream in ((self.out, self.process.stdout), (self.err, self.process.stderr), (self.status, self._status_stream)):
            # A grandchild that a test left would hold the pipe; the collecting thread is a daemon, so the test does not hang on it.
            lines._thread.join(1.0)
            if not lines._thread.is_alive():
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)
