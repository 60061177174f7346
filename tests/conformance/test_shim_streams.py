"""Streaming: pieces pass when they are written, proven by gates, never by the clock."""

import pytest

from kit.http1 import LAST_CHUNK, chunk, head, sha256


@pytest.mark.needs("response_stream")
def test_pieces_arrive_one_by_one(shim, name):
    with shim.connect() as connection:
        connection.send_head("GET", f"/stream?gate={name}&n=4")
        answer = connection.read_head()
        assert (answer.status, answer.get("transfer-encoding"), answer.get("content-length")) == (200, "chunked", None)
        for number in range(4):
            assert connection.read_piece(answer, 8) == b"piece %d\n" % number
            if number < 3:
                assert connection.is_quiet(), "a piece before its gate was opened"
                shim.open_gate(name)
        assert connection.read_body(answer).body == b""
        assert answer.whole
        assert connection.ask("GET", "/hello").status == 200


@pytest.mark.needs("request_stream")
@pytest.mark.parametrize("framing", ("length", "chunked"))
def test_handler_sees_body_bytes_before_the_body_is_over(shim, name, framing):
    pieces = [b"first piece\n", b"second\n", b"third and last\n"]
    whole = b"".join(pieces)
    with shim.connect() as connection:
        if framing == "chunked":
            connection.send_head("POST", f"/upload?id={name}", chunked=True)
        else:
            connection.send_head("POST", f"/upload?id={name}", length=len(whole))
        size = 0
        for piece in pieces:
            connection.send(chunk(piece) if framing == "chunked" else piece)
            size += len(piece)
            shim.out.wait_for(f"upload {name} {size}")
        if framing == "chunked":
            connection.send(LAST_CHUNK)
        assert connection.read_answer().json() == {"bytes": len(whole), "sha256": sha256(whole)}


@pytest.mark.needs("duplex")
def test_echo_answers_while_the_body_still_arrives(shim):
    with shim.connect() as connection:
        connection.send(head("POST", "/echo", chunked=True) + chunk(b"ping 0\n"))
        answer = connection.read_head()
        assert connection.read_piece(answer, 7) == b"ping 0\n"
        for number in range(1, 20):
            piece = b"ping %d\n" % number
            connection.send(chunk(piece))
            assert connection.read_piece(answer, len(piece)) == piece
        connection.send(LAST_CHUNK)
        assert connection.read_body(answer).whole
        assert connection.ask("GET", "/hello").status == 200
