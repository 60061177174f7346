"""Runs the Go tests of the shim and its generator, one case each, so that they are counted with the others."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
GO = os.environ.get("CONFORMANCE_GO", "go")
LIMIT_S = 280


@pytest.mark.skipif(shutil.which(GO) is None, reason=f"{GO} is not installed")
@pytest.mark.parametrize("package", ("./shim", "./generate"))
def test_package(package):
    environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    done = subprocess.run([GO, "test", "-count=1", "-v", package], cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    assert "--- PASS" in done.stdout, "no test ran"
