import pytest

from skerry_shim.head import HEAD_MAX, BadHead, RequestHead, answer_head, check_headers, split_target, unquote


def head_of(*lines):
    return RequestHead(b"\r\n".join((b"POST /a?b HTTP/1.1",) + lines))


def test_framing_is_length_or_chunked_or_nothing():
    assert (head_of().length, head_of().chunked) == (0, False)
    assert (head_of(b"content-length: 12").length, head_of(b"content-length: 12").chunked) == (12, False)
    assert (head_of(b"transfer-encoding: chunked").length, head_of(b"transfer-encoding: chunked").chunked) == (None, True)


@pytest.mark.parametrize("lines", (
    (b"content-length: 1", b"content-length: 2"),
    (b"content-length: 1", b"transfer-encoding: chunked"),
    (b"transfer-encoding: chunked", b"content-length: 1"),
    (b"transfer-encoding: gzip, chunked",),
    (b"content-length: -1",),
    (b"content-length: 0x10",),
    (b"content-length: " + b"9" * 19,),
    (b"no colon",),
    (b": no name",),
    (b"two words: x",),
    (b" folded: x",),
))
def test_bad_lines_are_refused(lines):
    with pytest.raises(BadHead):
        head_of(*lines)


@pytest.mark.parametrize("line", (b"", b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/1.1 x", b" / HTTP/1.1"))
def test_bad_request_lines_are_refused(line):
    with pytest.raises(BadHead):
        RequestHead(line)


def test_names_are_lowered_and_values_trimmed():
    assert head_of(b"X-A: \t v \t", b"x-a:w").headers == [(b"x-a", b"v"), (b"x-a", b"w")]


def test_caller_is_the_last_one_forwarded_for():
    assert head_of(b"x-forwarded-for: 1.1.1.1, 2.2.2.2", b"x-forwarded-for: 3.3.3.3, 2001:db8::1").caller() == "2001:db8::1"
    assert head_of().caller() is None


@pytest.mark.parametrize("host, server", (
    (b"a.example", ("a.example", 443)), (b"a.example:8443", ("a.example", 8443)), (b"[::1]", ("[::1]", 443)), (b"[::1]:81", ("[::1]", 81)),
))
def test_server_is_the_public_one(host, server):
    assert head_of(b"host: " + host).server() == server


@pytest.mark.parametrize("raw, decoded", (
    (b"/plain", "/plain"), (b"/%20%41", "/ A"), (b"/%C3%bc", "/ü"), (b"/%", "/%"), (b"/%4", "/%4"), (b"/%zz%41", "/%zzA"), (b"/%ff", "/\ufffd"), (b"/%2541", "/%41"),
))
def test_paths_are_decoded_once(raw, decoded):
    assert unquote(raw) == decoded


def test_target_is_split_at_the_first_question_mark():
    assert split_target(b"/a%20b?c?d=%20") == ("/a b", b"/a%20b", b"c?d=%20")


@pytest.mark.parametrize("header", (
    (b"x-a", b"v\r\nset-cookie: stolen=1"), (b"x-a", b"v\nx"), (b"x-a", b"\0"), (b"x a", b"v"), (b"x-a: b", b"v"), (b"", b"v"), (b"x-a\r\n", b"v"),
))
def test_headers_that_would_split_the_answer_are_refused(header):
    with pytest.raises(ValueError):
        check_headers([header])


def test_hop_by_hop_headers_are_the_shims():
    checked, length = check_headers([(b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"), (b"X-Kept", b"1"), (b"Content-Length", b"5")])
    assert (checked, length) == ([(b"x-kept", b"1")], 5)


@pytest.mark.parametrize("value", (b"", b"x", b"-1", b"1,1"))
def test_content_length_of_an_author_must_be_one(value):
    with pytest.raises(ValueError):
        check_headers([(b"content-length", value)])


def test_answer_heads():
    assert answer_head(200, [(b"a", b"b")], 3) == b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 3\r\n\r\n"
    assert answer_head(799, [], "chunked", close=True) == b"HTTP/1.1 799 \r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    assert answer_head(204, [], None) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_head_at_the_limit_and_past_it(run):
    shim = run({"func.py": "class F:\n    async def handle(self, scope, receive, send):\n"
                           "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
                           "        await send({'type': 'http.response.body', 'body': b'seen'})\ndef new():\n    return F()\n"})
    rest = len(b"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 0") - 1
    assert shim.ask("/" + "x" * (HEAD_MAX - rest - 1)) == b"seen"
    assert shim.ask("/" + "x" * (HEAD_MAX - rest)) == b""
