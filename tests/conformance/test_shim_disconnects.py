"""The caller goes away: the handler is told, its output thrown away, the connection closed when it has returned and not before."""

import pytest

from kit.http1 import head, pattern


@pytest.mark.needs("told")
def test_handler_is_told_and_the_connection_ends_with_it(shim, name):
    with shim.connect() as connection:
        connection.send_head("GET", f"/told?id={name}")
        shim.out.wait_for(f"told waiting {name}")
        connection.half_close()
        shim.out.wait_for(f"told {name}")
        # The handler is still at its gate: the close would say that the instance is free.
        assert shim.ask("GET", "/hello").status == 200
        assert connection.is_quiet()
        shim.open_gate(name)
        shim.out.wait_for(f"told returned {name}")
        connection.drain()
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.needs("told")
def test_handler_is_told_of_a_whole_close_too(shim, name):
    connection = shim.connect()
    connection.send_head("GET", f"/told?id={name}")
    shim.out.wait_for(f"told waiting {name}")
    connection.close()
    shim.out.wait_for(f"told {name}")
    shim.open_gate(name)
    shim.out.wait_for(f"told returned {name}")
    assert shim.ask("GET", "/hello").status == 200


def test_connection_ends_when_an_untold_handler_returns(shim, name):
    with shim.connect() as connection:
        connection.send_head("POST", f"/wait?gate={name}")
        shim.out.wait_for(f"wait begin {name}")
        connection.half_close()
        assert shim.ask("GET", "/hello").status == 200
        assert connection.is_quiet()
        shim.open_gate(name)
        shim.out.wait_for(f"wait end {name}")
        connection.drain()
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.needs("response_stream")
def test_what_is_written_after_the_end_is_thrown_away(shim, name):
    with shim.connect() as connection:
        connection.send_head("GET", f"/stream?gate={name}&n=3")
        answer = connection.read_head()
        assert connection.read_piece(answer, 8) == b"piece 0\n"
        connection.half_close()
        shim.open_gate(name)
        shim.open_gate(name)
        shim.out.wait_for(f"stream end {name}")
        connection.drain()
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.needs("response_stream")
def test_end_while_the_answer_waits_for_its_reader(shim):
    """Nobody reads, the kernel is full, the caller goes away: the handler must not hang for ever."""
    with shim.connect() as connection:
        connection.send_head("GET", f"/bytes?n={64 * 1024 * 1024}&framing=chunked")
        connection.read_head()
        shim.wait_at_rest()
        connection.half_close()
        connection.drain()
    assert shim.ask("GET", "/hello").status == 200


def test_end_in_the_middle_of_a_body(shim):
    with shim.connect() as connection:
        connection.send(head("POST", "/digest", length=100_000) + pattern(1000))
        connection.half_close()
        connection.drain()
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.needs("lazy_body")
def test_end_behind_an_unread_body_is_seen(shim, name):
    """The body fills what is read ahead, so the end cannot be found by reading."""
    with shim.connect() as connection:
        connection.send_head("POST", f"/hold?gate={name}", length=4 * 1024 * 1024)
        shim.out.wait_for(f"hold {name}")
        connection.send_until_stuck(pattern(4 * 1024 * 1024), stuck_ms=100)
        connection.half_close()
        shim.open_gate(name)
        connection.drain()
    assert shim.ask("GET", "/hello").status == 200


def test_many_ends_leave_a_working_shim(shim, name):
    for at in range(20):
        connection = shim.connect()
        connection.send_head("POST", f"/wait?gate={name}-{at}")
        shim.out.wait_for(f"wait begin {name}-{at}")
        connection.close()
    for at in range(20):
        shim.open_gate(f"{name}-{at}")
        shim.out.wait_for(f"wait end {name}-{at}")
    assert shim.ask("POST", "/echo", body=b"still here").body == b"still here"
