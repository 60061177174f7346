"""Runs the node:test files beside it, one test for each, so that `make test` counts them."""
import pathlib
import shutil
import subprocess

import pytest

FILES = sorted(path.name for path in pathlib.Path(__file__).parent.glob("*.test.js"))


@pytest.mark.parametrize("file", FILES)
def test_node(file):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    done = subprocess.run([node, "--test", "--test-reporter=spec", pathlib.Path(__file__).parent / file], capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_files_were_found():
    assert len(FILES) >= 6
