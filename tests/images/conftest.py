"""Shared ground of the image tests: an image folder, unpacked roots, and a network namespace with TLS servers in it."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
IMAGES = REPOSITORY / "images"
sys.path.insert(0, str(IMAGES))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from inside import Network, Root  # noqa: E402

BUILD_TIMEOUT_S = 900


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("tests/images needs root: namespaces, mounts and file owners", returncode=4)


@pytest.fixture(scope="session")
def store() -> pathlib.Path:
    """The image folder: what SKERRY_IMAGES names or the default one; images that are missing are built."""
    subprocess.run([IMAGES / "build"], check=True, timeout=BUILD_TIMEOUT_S)
    return pathlib.Path(os.environ.get("SKERRY_IMAGES") or "/var/lib/skerry/images")


@pytest.fixture(scope="session")
def roots(store, tmp_path_factory):
    """roots(name) unpacks an image once and returns it, ready to run programs in."""
    base = tmp_path_factory.mktemp("roots")
    base.chmod(0o755)
    unpacked: dict[str, Root] = {}

    def get(name: str) -> Root:
        if name not in unpacked:
            current = json.loads((store / name / "current").read_text())
            target = base / name
            target.mkdir()
            subprocess.run(["tar", "-xpf", store / name / f"{current['recipe']}.tar", "--numeric-owner", "-C", target], check=True, timeout=120)
            unpacked[name] = Root(target)
        return unpacked[name]

    yield get
    shutil.rmtree(base)


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A network namespace with loopback only, where TLS servers with a test CA's and a stranger's certificate listen."""
    folder = tmp_path_factory.mktemp("network")
    with Network(folder) as made:
        yield made
