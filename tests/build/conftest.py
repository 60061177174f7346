"""A Skerry of these tests' own (tests/e2e/conftest.py makes it), with a local source of packages and a view on each stage of a ship."""
import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import ssl
import tarfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("whole_skerry", ROOT / "tests/e2e/conftest.py")
_whole = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_whole)


SHIP_S = 500  # the first use of an image unpacks it


class Builds(_whole.Skerry):
    registries_matter = True  # a test that needs one is skipped where none answers

    def __init__(self, subnet="100.66.0.0/16"):
        self.subnet = subnet  # an address range that no other daemon of this machine has
        self.sources = pathlib.Path("/tmp") / ("skb" + os.urandom(4).hex())
        self.sources.mkdir(mode=0o755)
        super().__init__()

    def start(self):
        text = self.config.read_text()
        if "[build]" not in text:
            self.config.write_text(text + f'[build]\nsources = ["{self.sources}"]\n')
        super().start()

    def events(self, name, files, **config):
        """Ships a project over the API and gives the progress events."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path, content in sorted(files.items()):
                data = content.encode() if isinstance(content, str) else content
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))
        headers = {"content-type": "application/x-tar"}
        upload = self.upload(packed.getvalue(), headers)
        extra = {key: config.pop(key) for key in ("language", "version") if key in config}
        body = json.dumps({"function": {"name": name}, "source": {"upload": upload}, "config": config, **extra})
        began = time.monotonic()
        context = ssl.create_default_context(cafile=self.ca)
        answer = self.request("localhost", self.api, context, "POST", "/v1/functions/ship", body, {"authorization": f"Bearer {self.token}"}, True, SHIP_S)
        events = Events(answer, time.monotonic() - began)
        silent = re.search(r"the registry \S+ (does|did) not answer", events.log)
        if silent and self.registries_matter and not events.ok:
            pytest.skip(silent.group(0))
        return events

    def upload(self, data, headers):
        context = ssl.create_default_context(cafile=self.ca)
        answer = self.request("localhost", self.api, context, "POST", "/v1/uploads", data, {"authorization": f"Bearer {self.token}", **headers})
        return answer["digest"]

    def builds_log(self, build_id):
        return (self.state / "control" / "builds" / f"{build_id}.log").read_text()

    def close(self):
        super().close()
        shutil.rmtree(self.sources, ignore_errors=True)


class Events:
    def __init__(self, answer, seconds):
        self.status, self.seconds = answer.status, seconds
        self.all = [json.loads(line) for line in answer.text.splitlines() if line.strip()]

    @property
    def last(self):
        return self.all[-1]

    @property
    def ok(self):
        return self.last.get("event") == "done"

    @property
    def stages(self):
        """{stage: its last state}"""
        return {e["stage"]: e["state"] for e in self.all if e.get("event") == "stage"}

    def ms(self, stage):
        return [e["ms"] for e in self.all if e.get("event") == "stage" and e["stage"] == stage and e["state"] != "begin"][-1]

    @property
    def log(self):
        return "\n".join(e["line"] for e in self.all if e.get("event") == "log")

    @property
    def error(self):
        return self.last["error"]

    def __repr__(self):
        return "\n".join(json.dumps(e) for e in self.all)


@pytest.fixture(scope="session")
def builds():
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    s = Builds()
    yield s
    s.close()
