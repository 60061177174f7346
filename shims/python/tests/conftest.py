"""Unit tests of the Python shim: `python3 -m pytest shims/python/tests`. What a running shim does is asked by tests/conformance."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = Path(__file__).resolve().parent.parent
# Puts the descriptors at 3 and 4, as the platform does.
LAUNCH = SHIM.parent.parent / "tests/conformance/kit/launch.py"
sys.path.insert(0, str(SHIM))

WAIT_S = 10
INTERPRETER = os.environ.get("CONFORMANCE_PYTHON", sys.executable)


class Started:
    """A shim process over a project written by the test; speaks one request at a time."""

    def __init__(self, folder, files, environment):
        app = folder / "app"
        for name, text in files.items():
            (app / name).parent.mkdir(parents=True, exist_ok=True)
            (app / name).write_text(text)
        self.path = str(folder / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(16)
        status_read, status_write = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), f"{listener.fileno()},{status_write}", str(app), INTERPRETER, str(SHIM / "main.py")],
            pass_fds=(listener.fileno(), status_write), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "SKERRY_APP_DIR": str(app), "LANG": "C.UTF-8", **environment})
        listener.close()
        os.close(status_write)
        with os.fdopen(status_read) as stream:
            self.status = stream.read().splitlines()

    def ask(self, target="/", method="GET", body=b""):
        """The answer's body; b"" for none or a chunked one."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(WAIT_S)
            connection.connect(self.path)
            connection.sendall(b"%b %b HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % (method.encode(), target.encode(), len(body)) + body)
            data = b""
            while b"\r\n\r\n" not in data:
                part = connection.recv(65536)
                if not part:
                    return data
                data += part
            head, _, rest = data.partition(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), 0)
            while len(rest) < length:
                rest += connection.recv(65536)
            return rest

    def end(self):
        """SIGTERM; (exit status, standard output, standard error)."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
def run(tmp_path):
    """run({"func.py": "..."}, NAME="value") -> Started"""
    started = []

    def begin(files, **environment):
        started.append(Started(tmp_path / str(len(started)), files, environment))
        return started[-1]

    yield begin
    for shim in started:
        if shim.process.poll() is None:
            shim.process.kill()
        shim.process.communicate()
