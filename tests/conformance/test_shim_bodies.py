"""Bodies byte for byte, both ways, whatever their framing and size."""

import threading

import pytest

from kit.http1 import LAST_CHUNK, chunk, head, pattern, sha256

LARGE = 10 * 1024 * 1024
EVERY_BYTE = bytes(range(256)) * 3 + b"\r\n\r\n0\r\n\r\n" + b"\xff\xfe\x00"


def send_beside(connection, parts):
    """Sends from a thread, so that a shim that answers while it reads does not stand still."""

    def run():
        for part in parts:
            connection.send(part)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_binary_body_comes_back_unchanged(shim):
    answer = shim.ask("POST", "/echo", headers=[("content-type", "application/x-odd")], body=EVERY_BYTE)
    assert answer.body == EVERY_BYTE
    assert answer.get("content-type") == "application/x-odd"


def test_empty_body_comes_back_empty(shim):
    with shim.connect() as connection:
        answer = connection.ask("POST", "/echo", body=b"")
        assert (answer.status, answer.body, answer.whole) == (200, b"", True)
        assert connection.ask("POST", "/digest", body=b"").json() == {"bytes": 0, "sha256": sha256(b"")}


def test_no_body_at_all_reads_as_empty(shim):
    assert shim.ask("POST", "/digest").json() == {"bytes": 0, "sha256": sha256(b"")}


@pytest.mark.parametrize("size", (1, 1023, 65535, 65536, 65537, 1_000_003))
def test_body_of_known_length_arrives_whole(shim, size):
    body = pattern(size)
    assert shim.ask("PUT", "/digest", body=body).json() == {"bytes": size, "sha256": sha256(body)}


def test_chunked_body_arrives_without_its_framing(shim):
    pieces = [EVERY_BYTE, b"x", pattern(70_000), b"\r\n", b"0"]
    with shim.connect() as connection:
        connection.send(head("POST", "/digest", chunked=True) + b"".join(map(chunk, pieces)) + LAST_CHUNK)
        whole = b"".join(pieces)
        assert connection.read_answer().json() == {"bytes": len(whole), "sha256": sha256(whole)}
        assert connection.ask("GET", "/hello").status == 200


def test_chunk_boundaries_may_fall_anywhere(shim):
    body = pattern(300)
    wire = head("POST", "/digest", chunked=True) + b"".join(chunk(body[at:at + 37]) for at in range(0, 300, 37)) + LAST_CHUNK
    with shim.connect() as connection:
        for at in range(0, len(wire), 5):
            connection.send(wire[at:at + 5])
        assert connection.read_answer().json() == {"bytes": 300, "sha256": sha256(body)}


def test_empty_chunked_body_reads_as_empty(shim):
    with shim.connect() as connection:
        connection.send(head("POST", "/digest", chunked=True) + LAST_CHUNK)
        assert connection.read_answer().json() == {"bytes": 0, "sha256": sha256(b"")}


def test_large_upload_arrives_whole(shim):
    body = pattern(LARGE)
    assert shim.ask("POST", "/digest", body=body).json() == {"bytes": LARGE, "sha256": sha256(body)}


@pytest.mark.parametrize("framing", ("length", "chunked"))
def test_large_body_comes_back_whole(shim, framing):
    body = pattern(LARGE)
    with shim.connect() as connection:
        if framing == "length":
            parts = [head("POST", "/echo", length=LARGE), body]
        else:
            parts = [head("POST", "/echo", chunked=True), *(chunk(body[at:at + 50_000]) for at in range(0, LARGE, 50_000)), LAST_CHUNK]
        sender = send_beside(connection, parts)
        answer = connection.read_answer()
        sender.join(10)
        assert not sender.is_alive()
        assert (len(answer.body), sha256(answer.body)) == (LARGE, sha256(body))
        assert connection.ask("GET", "/hello").status == 200


@pytest.mark.parametrize("size", (0, 1, 65536, 65537, LARGE))
def test_announced_length_is_kept(shim, size):
    answer = shim.ask("GET", f"/bytes?n={size}&framing=length")
    assert answer.get("content-length") == str(size)
    assert (answer.whole, answer.body == pattern(size)) == (True, True)


@pytest.mark.needs("response_stream")
@pytest.mark.parametrize("size", (0, 1, 65537, LARGE))
def test_unannounced_length_is_chunked(shim, size):
    with shim.connect() as connection:
        answer = connection.ask("GET", f"/bytes?n={size}&framing=chunked")
        assert (answer.whole, answer.body == pattern(size)) == (True, True)
        if size > 1:
            assert answer.get("transfer-encoding") == "chunked"
        assert connection.ask("GET", "/hello").status == 200


def test_slow_reader_gets_everything(shim):
    """The answer is many times what the kernel holds, so the shim must wait for the reader more than once."""
    with shim.connect() as connection:
        connection.send_head("GET", f"/bytes?n={LARGE}&framing=length")
        answer = connection.read_head()
        assert shim.ask("GET", "/hello").status == 200
        connection.read_body(answer)
        assert (answer.whole, sha256(answer.body)) == (True, sha256(pattern(LARGE)))


@pytest.mark.needs("response_stream")
def test_answer_waits_for_its_reader(fresh):
    """64 MiB that nobody reads do not pile up in the shim."""
    size = 64 * 1024 * 1024
    before_kb = fresh.memory_peak_kb()
    with fresh.connect() as connection:
        connection.send_head("GET", f"/bytes?n={size}&framing=chunked")
        answer = connection.read_head()
        fresh.wait_at_rest()
        assert fresh.memory_peak_kb() - before_kb < 24 * 1024
        connection.read_body(answer)
        assert (answer.whole, len(answer.body)) == (True, size)


@pytest.mark.needs("lazy_body")
def test_unread_body_waits_in_the_kernel(shim, name):
    """Back-pressure: no more than 64 KB is read ahead of the handler."""
    body = pattern(4 * 1024 * 1024)
    with shim.connect() as connection:
        connection.send_head("POST", f"/hold?gate={name}", length=len(body))
        shim.out.wait_for(f"hold {name}")
        sent = connection.send_until_stuck(body, stuck_ms=300)
        # 64 KB read ahead, what one read takes, and the socket's own buffer (212,992 by default).
        assert sent < 1024 * 1024
        shim.open_gate(name)
        connection.send(body[sent:])
        assert connection.read_answer().json() == {"bytes": len(body), "sha256": sha256(body)}


def test_short_unread_body_leaves_the_connection_usable(shim):
    with shim.connect() as connection:
        for size in (0, 1, 60_000):
            assert connection.ask("POST", "/unread", body=pattern(size)).body == b"unread\n"
        assert connection.ask("POST", "/echo", body=b"after").body == b"after"


def test_short_unread_chunked_body_leaves_the_connection_usable(shim):
    with shim.connect() as connection:
        connection.send(head("POST", "/unread", chunked=True) + chunk(pattern(30_000)) + chunk(pattern(10_000)) + LAST_CHUNK)
        assert connection.read_answer().body == b"unread\n"
        assert connection.ask("POST", "/echo", body=b"after").body == b"after"


@pytest.mark.needs("lazy_body")
@pytest.mark.parametrize("framing", ("length", "chunked"))
def test_rest_of_a_short_unread_body_may_follow_the_answer(shim, framing):
    first, rest = pattern(10), pattern(50_000)
    with shim.connect() as connection:
        if framing == "length":
            connection.send(head("POST", "/unread", length=len(first) + len(rest)) + first)
            assert connection.read_answer().body == b"unread\n"
            connection.send(rest)
        else:
            connection.send(head("POST", "/unread", chunked=True) + chunk(first))
            assert connection.read_answer().body == b"unread\n"
            connection.send(chunk(rest) + LAST_CHUNK)
        assert connection.ask("POST", "/echo", body=b"after").body == b"after"


@pytest.mark.needs("lazy_body")
def test_long_unread_body_costs_the_connection_not_the_answer(shim):
    with shim.connect() as connection:
        # In one write: the answer, and the end, may come as soon as the head is there.
        connection.send(head("POST", "/unread", length=50 * 1024 * 1024) + pattern(1000))
        assert connection.read_answer().body == b"unread\n"
        connection.wait_ended()
    assert shim.ask("GET", "/hello").status == 200
