"""The whole product in a kernel that lacks every call that something replaces (tests/sandbox/test_fallbacks.py has them one by one)."""
import os
import sys

import pytest
from conftest import ROOT, Skerry

CALLS = "close_range,clone3,mlockall,mount:3=14"


@pytest.fixture(scope="module")
def bare():
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    s = Skerry([sys.executable, str(ROOT / "tests/sandbox/without.py"), CALLS])
    yield s
    s.close()


def test_functions_are_shipped_and_called_where_all_that_can_be_replaced_is(bare):
    bare.cli("secrets", "set", "WORD", input="of-the-keeper\n")
    bare.ship(ROOT / "examples" / "hello-python")
    assert bare.call(bare.get("hello-python")["url"]).status == 200
    assert "memory is not locked" in (bare.folder / "log").read_text(), "keeper says what it does without"
