"""A registry that does not answer fails a build by its name within 20 s, in every language."""
import io
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tarfile
import time

import pytest
from conftest import ROOT, Builds

NOBODY = "192.0.2.7"  # an address for documentation: nothing is there
LIMIT_S = 20
VARIABLES = {"PIP_INDEX_URL": f"http://{NOBODY}/simple", "NPM_CONFIG_REGISTRY": f"http://{NOBODY}/", "GOPROXY": f"http://{NOBODY}"}


@pytest.fixture(scope="module")
def cut_off():
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(VARIABLES)
    try:
        s = Builds(subnet="100.67.0.0/16")
        s.registries_matter = False
        yield s
        s.close()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


PROJECTS = {
    "python": {"main.py": "app = None\n", "requirements.txt": "six==1.16.0\n"},
    "node": {"package.json": json.dumps({"name": "x", "dependencies": {"ms": "2.1.3"}}), "index.js": "exports.handle = () => 'x'\n"},
    "go": {"go.mod": "module example.com/x\n\ngo 1.24\n\nrequire github.com/google/uuid v1.6.0\n", "handle.go": "package x\n"},
}


@pytest.mark.parametrize("language", sorted(PROJECTS))
def test_one_that_cannot_be_reached_is_named(cut_off, language):
    files = PROJECTS[language]
    cut_off.events(f"warm-{language}", files)
    events = cut_off.events(f"cut-{language}", files)
    assert not events.ok and events.error["details"]["stage"] == "deps", events
    assert re.search(f"the registry {re.escape(NOBODY)} (does|did) not answer", events.log), events
    assert events.seconds < LIMIT_S


@pytest.fixture
def silent():
    """Takes connections and never says a word."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(64)
        yield f"http://127.0.0.1:{s.getsockname()[1]}"


def deps_python(tmp_path, url, **files):
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        pytest.skip("this Python has no pip")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PIP_INDEX_URL": url, "HOME": str(tmp_path)}
    began = time.monotonic()
    result = subprocess.run([sys.executable, "-I", ROOT / "shims/python/build/deps.py"], input=packed.getvalue(), capture_output=True, env=environment, timeout=120)
    return result, time.monotonic() - began


def test_one_that_takes_connections_and_says_nothing_is_named_too(tmp_path, silent):
    result, seconds = deps_python(tmp_path, silent + "/simple", requirements__txt="six==1.16.0\n")
    assert result.returncode == 1 and not result.stdout
    assert b"could not install" in result.stderr and b"127.0.0.1" in result.stderr
    assert seconds < LIMIT_S


def test_an_empty_list_asks_no_registry(tmp_path):
    result, _ = deps_python(tmp_path, "http://127.0.0.1:9/simple", pyproject__toml='[project]\nname = "x"\nversion = "1"\ndependencies = []\n')
    assert result.returncode == 0, result.stderr
    assert tarfile.open(fileobj=io.BytesIO(result.stdout)).getnames() == []


def test_a_name_that_leads_out_of_the_manifests_folder_is_left_out(tmp_path):
    result, _ = deps_python(tmp_path, "http://127.0.0.1:9/simple", **{"../escaped__txt": "six\n"})
    assert result.returncode == 0, result.stderr
    assert not pathlib.Path(tmp_path, "escaped.txt").exists()
