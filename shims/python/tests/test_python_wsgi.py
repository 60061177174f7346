import pytest

from skerry_shim.wsgi_input import Disconnected, Input


def input_of(*pieces, gone=False):
    waiting = list(pieces)
    return Input(lambda: [waiting.pop(0)] if waiting else [], lambda: gone)


def test_read_gives_what_was_asked_for():
    body = input_of(b"abc", b"def", b"ghi")
    assert [body.read(2), body.read(5), body.read(0), body.read(10), body.read(1), body.read()] == [b"ab", b"cdefg", b"", b"hi", b"", b""]
    assert input_of(b"abc", b"def").read() == b"abcdef"
    assert input_of(b"abc", b"def").read(None) == b"abcdef"


def test_lines():
    body = input_of(b"one\ntw", b"o\n\nthr", b"ee")
    assert list(body) == [b"one\n", b"two\n", b"\n", b"three"]
    body = input_of(b"abcdef\n")
    assert [body.readline(4), body.readline(4), body.readline(4), body.readline(0)] == [b"abcd", b"ef\n", b"", b""]
    assert input_of(b"a\nb\nc\n").readlines(3) == [b"a\n", b"b\n"]
    assert input_of(b"a\nb").readlines() == [b"a\n", b"b"]


def test_body_that_breaks_off_is_no_end():
    body = input_of(b"abc", gone=True)
    with pytest.raises(Disconnected):
        body.read()


APP = """
import threading
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/twice":
        start_response("200 OK", [])
        start_response("200 OK", [])
    if path == "/replaced":
        import sys
        start_response("200 OK", [])
        try:
            raise ValueError("x")
        except ValueError:
            start_response("418 Teapot", [("X-A", "b")], sys.exc_info())
        return [b"replaced"]
    if path == "/write":
        start_response("200 OK", [("Content-Length", "4")])(b"wr")
        return [b"it"]
    if path == "/split":
        start_response("200 OK", [("X-A", "a\\r\\nX-B: b")])
        return [b""]
    if path == "/vars":
        start_response("200 OK", [])
        return [repr(sorted(environ.items())).encode()]
    if path == "/exit":
        raise SystemExit(3)
    start_response("200 OK", [])
    return Answer()
class Answer:
    def __iter__(self):
        yield b"one "
        yield b""
        yield b"two"
    def close(self):
        print("closed")
"""


@pytest.fixture
def shim(run):
    return run({"main.py": APP})


def test_second_start_response_is_an_error(shim):
    assert b"function_error" in shim.ask("/twice")


def test_start_response_with_exc_info_replaces_the_head(shim):
    assert shim.ask("/replaced") == b"replaced"


def test_write_and_iterable_follow_each_other(shim):
    assert shim.ask("/write") == b"writ"


def test_headers_that_would_split_the_answer_are_a_500(shim):
    assert b"function_error" in shim.ask("/split")


def test_exit_in_a_handler_is_a_failure_of_that_request_only(shim):
    assert b"function_error" in shim.ask("/exit")
    assert b"function_error" in shim.ask("/exit")


def test_iterable_is_closed(shim):
    shim.ask("/")
    assert shim.end() == (0, "closed\n", "")


def test_underscore_headers_cannot_pose_as_the_platforms(run):
    import socket

    shim = run({"main.py": APP})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(shim.path)
        connection.sendall(b"GET /vars HTTP/1.1\r\nhost: h\r\nx_forwarded_for: 6.6.6.6\r\nx-forwarded-for: 1.1.1.1\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n")
        data = b""
        while b"wsgi.version" not in data:
            part = connection.recv(65536)
            assert part, data
            data += part
    assert b"6.6.6.6" not in data
    assert b"('HTTP_COOKIE', 'a=1; b=2')" in data
