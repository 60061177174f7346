"""The whole Skerry of tests/e2e, for attacks that need all of it; and sandboxd alone with hostile containers, for those that need only that."""
import importlib.util
import os
import pathlib

import pytest

_path = pathlib.Path(__file__).resolve().parents[1] / "e2e" / "conftest.py"
_spec = importlib.util.spec_from_file_location("e2e_conftest", _path)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
Skerry, exchange, ROOT = _module.Skerry, _module.exchange, _module.ROOT
skerry = _module.skerry


@pytest.fixture(scope="module")
def box():
    if os.geteuid() != 0:
        pytest.skip("makes containers: needs root")
    import hostile
    b = hostile.Box()
    yield b
    b.close()


@pytest.fixture(scope="module")
def attacker(box):
    """One container, for attacks that leave it as it was."""
    return box.attacker(env=["SECRET=of-the-attacker"])
