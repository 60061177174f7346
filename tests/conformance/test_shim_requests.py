"""What reaches the handler, and what of its answer reaches the caller: methods, paths, queries, headers, statuses."""

import pytest

from kit.http1 import REQUEST_ID, head

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


def values(request, name):
    return [value for known, value in request["headers"] if known == name]


@pytest.mark.parametrize("method", METHODS)
def test_method_reaches_the_handler(shim, method):
    answer = shim.ask(method, "/request", body=None if method in ("GET", "OPTIONS", "PROPFIND") else b"x")
    assert answer.status == 200
    assert answer.json()["method"] == method


def test_head_is_answered_without_a_body(shim):
    with shim.connect() as connection:
        answer = connection.ask("HEAD", "/hello")
        assert answer.status == 200
        assert answer.get("content-type").startswith("text/plain")
        assert answer.get("content-length") in (None, "6")
        # Were there a body, it would be read as the next answer's head.
        assert connection.ask("GET", "/hello").body == b"hello\n"


@pytest.mark.parametrize("path", ("/request", "/request/", "/request/a", "/request/a/b/c/", "/request/a//b", "/request/..%2f", "/request/a;b=c", "/request/" + "x" * 4000))
def test_sub_path_reaches_the_handler(shim, path):
    request = shim.ask("GET", path).json()
    assert request["path"] in (path, path.replace("%2f", "/"))
    if request["raw_path"] is not None:
        assert request["raw_path"] == path


@pytest.mark.parametrize("raw, decoded", (
    ("/request/a%20b", "/request/a b"),
    ("/request/%C3%BC%e2%82%ac", "/request/ü€"),
    ("/request/a+b", "/request/a+b"),
    ("/request/100%25", "/request/100%"),
))
def test_encoded_path_is_decoded_once(shim, raw, decoded):
    request = shim.ask("GET", raw).json()
    assert request["path"] in (decoded, raw)
    if request["raw_path"] is not None:
        assert request["raw_path"] == raw


@pytest.mark.needs("raw_path")
def test_raw_path_is_kept_beside_the_decoded_one(shim):
    request = shim.ask("GET", "/request/%C3%BC%2F%2525").json()
    assert request["raw_path"] == "/request/%C3%BC%2F%2525"
    assert request["path"] == "/request/ü/%25"


@pytest.mark.parametrize("query", ("x=1", "x=1&x=2&y", "q=a%20b+c%26", "empty=", "=", "a=%C3%BC", "u=https://example.com/?a=b", ""))
def test_query_reaches_the_handler_raw(shim, query):
    assert shim.ask("GET", f"/request?{query}").json()["query"] == query


@pytest.mark.needs("stray_escapes")
def test_query_that_is_no_escape_reaches_the_handler_raw(shim):
    assert shim.ask("GET", "/request?a=%zz&b=%").json()["query"] == "a=%zz&b=%"


def test_odd_targets_are_answered(shim):
    for target in ("/request?a=%zz&b=%", "/request?q={}|^`", "/request//x"):
        assert shim.ask("GET", target).status == 200


def test_scheme_and_caller_are_the_public_ones(shim):
    request = shim.ask("GET", "/request").json()
    assert request["scheme"] in ("https", None)
    assert request["client"] in ("203.0.113.9", None)
    assert values(request, "x-forwarded-proto") == ["https"]
    assert values(request, "x-request-id") == [REQUEST_ID]
    assert values(request, "host")[0].startswith("conformance-")


def test_header_names_are_lower_case_and_values_untouched(shim):
    odd = 'a "quoted", value; with=signs   and spaces \\'
    request = shim.ask("GET", "/request", headers=[("x-odd", odd), ("x-empty", ""), ("x-long", "v" * 8000)]).json()
    assert values(request, "x-odd") == [odd]
    assert values(request, "x-empty") in ([""], [])
    assert values(request, "x-long") == ["v" * 8000]
    assert all(name == name.lower() for name, _ in request["headers"])


def test_repeated_request_headers_all_arrive(shim, case):
    request = shim.ask("GET", "/request", headers=[("x-rep", "one"), ("x-other", "between"), ("x-rep", "two"), ("x-rep", "three")]).json()
    if "headers_apart" in case.detail.capabilities:
        assert values(request, "x-rep") == ["one", "two", "three"]
    else:
        joined = ",".join(values(request, "x-rep"))
        assert [part.strip() for part in joined.split(",")] == ["one", "two", "three"]


def test_repeated_answer_headers_all_leave(shim, case):
    answer = shim.ask("GET", "/repeated")
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2, c; Path=/"]
    if "headers_apart" in case.detail.capabilities:
        assert answer.all("x-repeated") == ["one", "two"]
    else:
        assert ", ".join(answer.all("x-repeated")) == "one, two"


def test_large_header_block_reaches_the_handler(shim):
    many = [(f"x-many-{number}", "v" * 500) for number in range(100)]
    request = shim.ask("GET", "/request", headers=many).json()
    for name, value in many:
        assert values(request, name) == [value]


@pytest.mark.parametrize("code", (200, 201, 202, 301, 400, 401, 404, 418, 429, 500, 503))
def test_status_reaches_the_caller(shim, code):
    answer = shim.ask("GET", f"/status?code={code}")
    assert (answer.status, answer.body) == (code, b"")
    assert answer.get("x-conformance") == "status"


@pytest.mark.parametrize("code", (204, 304))
def test_status_without_body_has_no_framing_of_one(shim, code):
    with shim.connect() as connection:
        answer = connection.ask("GET", f"/status?code={code}")
        assert answer.status == code
        assert answer.get("x-conformance") == "status"
        assert connection.ask("GET", "/hello").body == b"hello\n"


def test_empty_answer_says_its_length(shim):
    with shim.connect() as connection:
        answer = connection.ask("GET", "/empty")
        assert (answer.status, answer.body, answer.whole) == (200, b"", True)
        assert connection.ask("GET", "/hello").status == 200


def test_short_answer_has_a_content_length(shim):
    answer = shim.ask("GET", "/hello")
    assert answer.get("content-length") == "6"
    assert answer.get("content-type").split(";")[0] == "text/plain"


def test_unknown_path_is_the_handlers_to_answer(shim):
    answer = shim.ask("GET", "/health")
    assert (answer.status, answer.body) == (404, b"no such path\n")


def test_head_in_two_writes_is_one_request(shim):
    """The platform writes it at once; the kernel may still deliver it in parts."""
    with shim.connect() as connection:
        data = head("GET", "/request/parts?x=1", [("x-last", "value")])
        connection.send(data[:37])
        # A round trip on another connection: the shim has had the first part for long.
        assert shim.ask("GET", "/hello").status == 200
        connection.send(data[37:])
        request = connection.read_answer().json()
        assert (request["path"], request["query"]) == ("/request/parts", "x=1")
        assert values(request, "x-last") == ["value"]
