"""Spares: what waits, what it becomes, and that nothing of the time before shows. Every other case of the kit runs on spares too."""

import collections

import pytest

from kit.process import Shim

pytestmark = pytest.mark.spare


@pytest.fixture
def spare(case, tmp_path_factory):
    """A spare that waits; the test assigns."""
    with case.shim(tmp_path_factory, assign=False) as shim:
        shim.wait_waiting()
        yield shim


def test_environment_is_exactly_what_was_assigned(shim):
    assert shim.ask("GET", "/env").json()["env"] == shim.environment


def test_secrets_are_part_of_the_environment_and_the_plan_wins(spare):
    spare.assign(secrets=b"DB=postgres://x\0TZ=Europe/Berlin\0EMPTY=\0")
    spare.wait_ready()
    env = spare.ask("GET", "/env").json()["env"]
    assert env == {**spare.environment, "DB": "postgres://x", "EMPTY": ""}


@pytest.mark.parametrize("secrets", [b"", b"\x01"])
def test_secrets_that_did_not_come_fail_the_start(spare, secrets):
    spare.assign(secrets=secrets)
    *_, last = spare.status_lines()
    assert last == {"error": "start_failed", "message": "the secrets were not delivered"}
    assert spare.wait_exit() == 1


def test_what_nobody_wants_exits(spare):
    spare.end_assignment()
    assert spare.wait_exit() == 0
    assert spare.out.wait_end() == spare.err.wait_end() == []


def kinds(shim):
    """How many descriptors of each kind the shim has open: `socket`, `pipe`, a path."""
    return collections.Counter(link.split(":")[0] for link in shim.open_links())


def test_nothing_of_the_warm_up_is_left(spare, case, tmp_path_factory):
    """The same kinds of descriptors as a shim has that was started in the ordinary way: no file, pipe or connection of the time before."""
    spare.assign()
    spare.wait_ready()
    with Shim(case.program(tmp_path_factory), case.adapter.start_timeout_s) as ordinary:
        ordinary.wait_ready()
        assert kinds(spare) - kinds(ordinary) == {}
