"""SIGTERM: no new work, what is in progress finishes, the stop hook runs, exit 0."""

import pytest

from kit.http1 import head


def test_idle_shim_exits_0(fresh):
    assert fresh.ask("GET", "/hello").status == 200
    fresh.terminate()
    assert fresh.wait_exit() == 0


def test_unused_shim_exits_0(fresh):
    fresh.terminate()
    assert fresh.wait_exit() == 0


def test_idle_connections_are_closed(fresh):
    connections = [fresh.connect() for _ in range(3)]
    for connection in connections:
        assert connection.ask("GET", "/hello").status == 200
    fresh.terminate()
    for connection in connections:
        connection.wait_ended()
    assert fresh.wait_exit() == 0


def test_request_in_progress_finishes(fresh, name):
    with fresh.connect() as busy, fresh.connect() as idle, fresh.connect() as opener:
        assert idle.ask("GET", "/hello").status == 200
        # Two requests in progress: the first lets the second go on, since nothing new is accepted after the signal.
        busy.send_head("POST", f"/wait?gate={name}")
        fresh.out.wait_for(f"wait begin {name}")
        opener.send(head("POST", f"/gate?name={name}")[:10])
        fresh.terminate()
        idle.wait_ended()
        assert fresh.process.poll() is None, "it did not wait for the request"
        assert busy.is_quiet()
        opener.send(head("POST", f"/gate?name={name}")[10:])
        assert opener.read_answer().status == 204
        answer = busy.read_answer()
        assert (answer.status, answer.body, answer.whole) == (200, b"waited\n", True)
        busy.wait_ended()
    assert fresh.wait_exit() == 0


@pytest.mark.parametrize("bytes_before", [10, None], ids=["a part", "the whole"])
def test_what_had_arrived_unread_is_answered(fresh, bytes_before):
    with fresh.connect() as connection:
        assert connection.ask("GET", "/hello").status == 200
        with fresh.paused():
            connection.send(head("GET", "/hello")[:bytes_before])
            fresh.terminate()
        if bytes_before:
            connection.send(head("GET", "/hello")[bytes_before:])
        answer = connection.read_answer()
        assert answer.status == 200 and answer.whole
        connection.wait_ended()
    assert fresh.wait_exit() == 0


@pytest.mark.needs("stop_hook")
def test_stop_hook_runs_once_after_the_work(fresh):
    assert fresh.ask("GET", "/hello").status == 200
    fresh.terminate()
    assert fresh.wait_exit() == 0
    assert fresh.out.wait_end().count("stop hook ran") == 1


@pytest.mark.needs("stop_hook")
def test_second_signal_changes_nothing(fresh):
    fresh.terminate()
    fresh.terminate()
    assert fresh.wait_exit() == 0
    assert fresh.out.wait_end().count("stop hook ran") == 1
