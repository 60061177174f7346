"""A Skerry of the bench's own, from the release build: the one of the end-to-end tests on addresses that neither they nor an installed one use."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.parse

import harness

os.environ["SKERRY_BUILD"] = str(harness.BUILD)
sys.path.insert(0, str(harness.ROOT / "tests/e2e"))
from conftest import BIN, Skerry  # noqa: E402

SUBNET = "100.96.0.0/16"


class ShipFailed(RuntimeError):
    def __init__(self, name, said):
        super().__init__(f"ship {name}: {said}")
        lines = [line.strip() for line in said.splitlines()]
        # The log's last line tells more than the CLI's summary of it.
        self.reason = next((line[2:] for line in reversed(lines) if line.startswith("| ")), next((line for line in lines if line.startswith("error:")), said.strip()))


class Daemon(Skerry):
    def start(self):
        text, replaced = re.subn(r'^subnet = ".*"$', f'subnet = "{SUBNET}"', self.config.read_text(), flags=re.M)
        if replaced != 1:
            raise RuntimeError("the tests' configuration names no subnet to replace")
        self.config.write_text(text)
        super().start()

    def sweep(self):
        return subprocess.run([BIN / "skerry-sandboxd", "sweep", "--run-dir", self.run, "--state-dir", self.state, "--tag", self.tag, "--subnet", SUBNET],
                              capture_output=True, text=True, timeout=60)

    def close(self):
        super().close()
        if left := self.leftovers():
            raise RuntimeError(f"the bench's daemon left {left}")

    def deploy(self, name, source=None, files=None, **runtime):
        """Ships a folder or the given files as function `name`."""
        work = pathlib.Path(self.folder) / f"src-{name}"
        if source:
            shutil.copytree(source, work)
        for path, content in (files or {}).items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pathlib.Path):
                shutil.copy(content, target)  # with its mode
            else:
                target.write_text(content)
        settings = "".join(f"{key} = {json.dumps(value)}\n" for key, value in runtime.items())
        (work / "func.toml").write_text(f'[edge_compute]\nfunc_name = "{name}"\n[runtime]\n{settings}')
        shipped = self.cli("ship", work, check=False)
        if shipped.returncode != 0:
            raise ShipFailed(name, shipped.stderr)
        return Function(self, name, self.get(name))

    def deploy_hellos(self, report, languages, **runtime):
        """The examples that greet, by language. One that cannot be built here (Maven asks a registry even for nothing) is a row with the reason."""
        found = {}
        for language in languages:
            try:
                found[language] = self.deploy(f"hello-{language}", harness.ROOT / f"examples/hello-{language}", **runtime)
            except ShipFailed as e:
                report.add(f"{report.what}/{language}", "", note=f"not measured: {e.reason}")
        return found

    def tls_context(self):
        return ssl.create_default_context(cafile=self.ca)


class Function:
    STATE_S = 0.6  # edge tells its state every quarter of a second: what it said before that is no news

    def __init__(self, daemon, name, described):
        self.daemon, self.name, self.id = daemon, name, described["id"]
        self.host = urllib.parse.urlsplit(described["url"]).hostname

    def processes(self):
        """Every process on this machine that began as this function. One that became it later (a spare) is known to edge only."""
        found, mark = [], f"SKERRY_FUNCTION={self.name}".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(int(pid))
        return found

    def left(self):
        return self.processes() or [i["id"] for i in self.daemon.instances() if i["function"] == self.id]

    def wait_gone(self):
        time.sleep(self.STATE_S)
        harness.wait_for(lambda: not self.left(), lambda: f"{self.name} does not end: {self.left()}", pause_s=0.05)


@contextlib.contextmanager
def daemon():
    d = Daemon()
    try:
        yield d
    finally:
        d.close()
