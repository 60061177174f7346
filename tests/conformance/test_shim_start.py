"""Starting: the status pipe's lines in order, start-up code once, and a start that fails says why in one line."""

import json

import pytest

STATUS_LINE_MAX = 4096


def test_phases_are_told_in_order(start):
    shim = start()
    assert shim.wait_ready() == [{"phase": "runtime"}, {"phase": "code"}, {"phase": "ready"}]
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.needs("start_hook")
def test_start_up_code_runs_once_before_the_first_request(fresh):
    assert fresh.ask("GET", "/hooks").json()["starts"] == 1
    assert fresh.ask("GET", "/hooks").json()["starts"] == 1


@pytest.mark.needs("start_cfg")
def test_start_up_code_is_given_the_environment(fresh):
    assert fresh.ask("GET", "/hooks").json()["value"] == fresh.environment["CONFORMANCE_VALUE"]


@pytest.fixture
def failed(failure, tmp_path_factory):
    with failure.shim(tmp_path_factory) as shim:
        yield shim


def test_failing_start_says_so_and_exits_1(failed, failure):
    lines = failed.status_lines()
    assert failed.wait_exit() == 1
    *phases, last = lines
    assert phases in ([], [{"phase": "runtime"}], [{"phase": "runtime"}, {"phase": "code"}])
    assert set(last) == {"error", "message"}
    assert last["error"] == "start_failed"
    assert failure.detail.message in last["message"]
    assert "\n" not in last["message"]
    assert all(len(json.dumps(line)) <= STATUS_LINE_MAX for line in lines)


def test_failing_start_is_told_on_standard_error_only(failed, failure):
    failed.wait_exit()
    assert failed.out.wait_end() == []
    assert any(failure.detail.message in line for line in failed.err.wait_end())
