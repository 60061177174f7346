"""Turns every test into one per language and shape: `-k python` runs one language, `-k python-wsgi` one shape of it.

A test that takes `shim` gets a running, ready shim, shared by the tests of its file (a conformance function keeps no state that tests could share by
accident: gates and ids are unique). `fresh` starts one of its own. `@pytest.mark.needs("told")` leaves variants
without the capability out: they are no skip, because no machine could run them.
"""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from adapters import CAPABILITIES, FUNCTIONS, LANGUAGES, load, why_absent  # noqa: E402
from kit.process import Shim  # noqa: E402


class Case:
    """A language and one of its projects; prepares the project once per session."""

    _programs: dict = {}

    def __init__(self, language, adapter, folder, detail, spare):
        self.language, self.adapter, self.folder, self.detail, self.spare = language, adapter, folder, detail, spare

    def program(self, scratch_root):
        key = (self.language, self.folder)
        if key not in self._programs:
            scratch = scratch_root.mktemp(f"{self.language}-{Path(self.folder).name}")
            self._programs[key] = self.adapter.prepare(FUNCTIONS / self.language / self.folder, scratch)
        return self._programs[key]

    def shim(self, scratch_root, environment=None, **more):
        return Shim(self.program(scratch_root), self.adapter.start_timeout_s, environment, self.spare, **more)


def cases(kind, needed=frozenset(), spares_only=False):
    """pytest parameters for every variant (`kind` "variants") that has the needed capabilities, or every start failure ("failures"): each started
    in the ordinary way, and once more as a spare where the shim can be one."""
    for language in LANGUAGES:
        if why_absent(language):
            continue
        adapter = load(language)
        for detail in getattr(adapter, kind):
            folder = detail.name if kind == "variants" else f"failures/{detail.kind}"
            for spare in (False, True) if adapter.spares else (False,):
                if (kind == "failures" or needed <= detail.capabilities) and (spare or not spares_only):
                    yield pytest.param(Case(language, adapter, folder, detail, spare), id=f"{language}-{folder.rpartition('/')[2]}{'-spare' if spare else ''}")


def pytest_configure(config):
    config.addinivalue_line("markers", "spare: only for shims that were started as spares")
    config.addinivalue_line("markers", "needs(*capabilities): only for variants whose contract promises these")


def pytest_generate_tests(metafunc):
    needed = frozenset(capability for marker in metafunc.definition.iter_markers("needs") for capability in marker.args)
    assert needed <= CAPABILITIES, f"unknown capability in {sorted(needed)}"
    spares_only = any(metafunc.definition.iter_markers("spare"))
    for name, kind in (("case", "variants"), ("failure", "failures")):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(cases(kind, needed, spares_only)), scope="module")


@pytest.fixture(scope="module")
def _shared_shim(case, tmp_path_factory):
    with case.shim(tmp_path_factory) as shim:
        shim.wait_ready()
        yield shim


@pytest.fixture
def shim(_shared_shim):
    """A ready shim, shared by the tests of one file. The process must outlive the test."""
    yield _shared_shim
    assert _shared_shim.process.poll() is None, f"the shim exited: {_shared_shim.err.so_far()}"


@pytest.fixture
def fresh(case, tmp_path_factory):
    """A ready shim of the test's own, which the test may end."""
    with case.shim(tmp_path_factory) as shim:
        shim.wait_ready()
        yield shim


@pytest.fixture
def start(case, tmp_path_factory):
    """`start(**environment)` -> a shim that was started and not waited for."""
    shims = []

    def begin(**environment):
        shims.append(case.shim(tmp_path_factory, environment))
        return shims[-1]

    yield begin
    for shim in shims:
        shim.close()


_unique = itertools.count(1)


@pytest.fixture
def name():
    """A name for a gate or an id that no other test uses."""
    return f"n{next(_unique)}"
