"""Thousands of seconds of a location, in virtual time: dispatch_sim.cc says what must hold."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SKERRY_BUILD", ROOT / "build/dev")) / "bin/dispatch_sim"
SECONDS = 120


@pytest.mark.parametrize("seed", range(1, 21))
def test_what_must_hold_holds(seed):
    result = subprocess.run([PROGRAM, str(seed), str(SECONDS)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, f"{result.stderr}{result.stdout}; again: {PROGRAM} {seed} {SECONDS}"
    told = dict(re.findall(r"(\w+)=(\d+)", result.stdout))
    # A run in which nothing went wrong shows nothing.
    assert int(told["served"]) > 1000 and {"timeout", "cancelled", "function_failed"} & told.keys(), result.stdout
