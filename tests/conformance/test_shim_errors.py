"""The author's code throws: before the head a 500 without details, after it an answer that is visibly not whole. The process lives."""

import pytest

from kit.http1 import REQUEST_ID, head, pattern


def error_of(answer):
    assert answer.status == 500
    assert answer.get("x-skerry-error") == "function_error"
    return answer.json()["error"]


@pytest.mark.parametrize("method", ("GET", "POST", "DELETE"))
def test_exception_before_the_head_is_a_500_without_details(shim, method):
    answer = shim.ask(method, "/error/before")
    assert error_of(answer) == {"code": "function_error", "message": "the function failed; see its log", "request_id": REQUEST_ID}
    assert answer.get("content-length") == str(len(answer.body))
    assert b"conformance before" not in answer.body


def test_500_carries_the_requests_own_id(shim):
    answer = shim.ask("GET", "/error/before", headers=[("x-request-id", 'id-"quoted"\\')])
    assert error_of(answer)["request_id"] == 'id-"quoted"\\'


def test_exception_is_traced_on_standard_error_only(fresh):
    fresh.ask("GET", "/error/before")
    fresh.err.wait_for(lambda line: "conformance before" in line)
    assert not any("conformance before" in line for line in fresh.out.so_far())
    fresh.err.wait_for(lambda line: "conformance before" not in line)  # a message alone is no trace


def test_connection_lives_after_an_exception(shim):
    with shim.connect() as connection:
        for _ in range(10):
            assert connection.ask("GET", "/error/before").status == 500
        assert connection.ask("GET", "/hello").status == 200


def test_exception_with_an_unread_body_leaves_the_connection_usable(shim):
    with shim.connect() as connection:
        assert connection.ask("POST", "/error/before", body=pattern(20_000)).status == 500
        assert connection.ask("GET", "/hello").body == b"hello\n"


def test_head_request_gets_the_500_without_its_body(shim):
    with shim.connect() as connection:
        answer = connection.ask("HEAD", "/error/before")
        assert (answer.status, answer.get("x-skerry-error")) == (500, "function_error")
        assert connection.ask("GET", "/hello").body == b"hello\n"


@pytest.mark.needs("response_stream")
def test_exception_after_the_head_ends_without_the_last_chunk(shim):
    with shim.connect() as connection:
        answer = connection.ask("GET", "/error/after")
        assert (answer.status, answer.get("transfer-encoding")) == (200, "chunked")
        assert (answer.whole, answer.body) == (False, b"partial\n")
    shim.err.wait_for(lambda line: "conformance after" in line)
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.needs("response_stream")
def test_exception_inside_an_announced_length_ends_short_of_it(shim):
    with shim.connect() as connection:
        answer = connection.ask("GET", "/error/short")
        assert (answer.status, answer.get("content-length")) == (200, "100")
        assert (answer.whole, answer.body) == (False, b"partial\n")
    assert shim.ask("GET", "/hello").status == 200


def test_exception_beside_a_busy_request_does_not_touch_it(shim, name):
    with shim.connect() as busy:
        busy.send_head("POST", f"/wait?gate={name}")
        shim.out.wait_for(f"wait begin {name}")
        assert shim.ask("GET", "/error/before").status == 500
        shim.open_gate(name)
        assert busy.read_answer().body == b"waited\n"


@pytest.mark.parametrize("wire", (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"\x00\x01\x02\r\n\r\n"))
def test_bytes_that_are_no_request_cost_only_their_connection(shim, wire):
    """The platform never sends them: whatever the shim says, it ends the connection and goes on."""
    with shim.connect() as connection:
        connection.send(wire)
        connection.drain()
    assert shim.ask("GET", "/hello").status == 200


@pytest.mark.parametrize("bad", (b"zz\r\n", b"-5\r\n", b"5\r\nhelloXX"))
def test_bad_chunks_never_look_like_a_whole_body(shim, bad):
    with shim.connect() as connection:
        connection.send(head("POST", "/digest", chunked=True) + b"3\r\nabc\r\n" + bad + b"\r\n\r\n")
        connection.half_close()
        assert b'"sha256"' not in connection.read_to_end()
    assert shim.ask("GET", "/hello").status == 200
