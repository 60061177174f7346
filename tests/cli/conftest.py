import json
import os
import pathlib
import subprocess

import pytest
from fake_gateway import TOKEN, FakeGateway

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SKERRY_BIN", str(ROOT / "build/dev/bin/skerry"))
TIMEOUT_S = 60


class Cli:
    """Runs `skerry` with an environment of its own."""

    def __init__(self, home, gateway):
        self.home = home
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8", "TERM": "xterm",
            "SKERRY_URL": gateway.url, "SKERRY_TOKEN": TOKEN,
        }

    def popen(self, *args, cwd=None, **kwargs):
        return subprocess.Popen([BINARY, *args], env=self.env, cwd=cwd or self.home, text=True, **kwargs)

    def run(self, *args, cwd=None, stdin=None, code=0):
        done = subprocess.run([BINARY, *args], env=self.env, cwd=cwd or self.home, input=stdin if stdin is not None else "", capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == code, f"{args}: exit {done.returncode}, wanted {code}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
        return done

    def json(self, *args, **kwargs):
        return json.loads(self.run(*args, "--json", **kwargs).stdout)

    def error(self, *args, code, **kwargs):
        """The error object of a failing run with --json."""
        return json.loads(self.run(*args, "--json", code=code, **kwargs).stderr)["error"]


@pytest.fixture(scope="session", autouse=True)
def binary():
    if not os.access(BINARY, os.X_OK):
        pytest.fail(f"no program at {BINARY}: build it, or set SKERRY_BIN")


@pytest.fixture
def gateway(tmp_path):
    g = FakeGateway(socket_path=tmp_path / "g.sock")
    yield g
    g.close()


@pytest.fixture
def cli(tmp_path, gateway):
    home = tmp_path / "home"
    home.mkdir()
    return Cli(home, gateway)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "func.toml").write_text('[edge_compute]\nfunc_name = "orders"\n[env_vars]\nLOG_LEVEL = "info"\n')
    (folder / "func.py").write_text("def new(): pass\n")
    (folder / "requirements.txt").write_text("")
    return folder
