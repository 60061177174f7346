"""Tokens, uploads, bad input, limits: what the API answers without an edge."""
import hashlib
import json
import os
import socket
import ssl
import stat
import time

import pytest

from conftest import wait_for


def test_the_first_token_is_in_a_file_for_root_only(control):
    path = control.state / "control/admin.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert control.call("GET", "/v1/functions").json == {"functions": []}
    database = (control.state / "control/control.db").read_bytes() + (control.state / "control/control.db-wal").read_bytes()
    assert control.token.encode() not in database


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"}])
@pytest.mark.parametrize("call", [("GET", "/v1/functions"), ("GET", "/v1/status"), ("GET", "/v1/ca"), ("POST", "/v1/uploads"), ("GET", "/v1/secrets"),
                                  ("POST", "/v1/tokens"), ("GET", "/v1/nothing")])
def test_without_a_token_there_is_nothing(control, headers, call):
    answer = control.call(*call, token=None, headers=headers)
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.json["error"]["request_id"] == answer.headers["x-request-id"]


def test_health_needs_no_token(control):
    assert control.call("GET", "/v1/health", token=None).json["status"] == "ok"


def test_tokens_come_and_go(control):
    made = control.call("POST", "/v1/tokens", {"name": "ci"})
    assert made.status == 201
    token = made.json["token"]
    assert control.call("GET", "/v1/functions", token=token).status == 200
    listed = control.get("/v1/tokens")["tokens"]
    assert [t["name"] for t in listed] == ["admin", "ci"] and token not in json.dumps(listed)
    assert control.call("DELETE", f"/v1/tokens/{made.json['id']}").status == 204
    assert control.call("GET", "/v1/functions", token=token).status == 401
    assert control.call("DELETE", f"/v1/tokens/{made.json['id']}").status == 404


def test_the_last_token_stays(control):
    only = control.get("/v1/tokens")["tokens"][0]["id"]
    answer = control.call("DELETE", f"/v1/tokens/{only}")
    assert (answer.status, answer.code) == (409, "conflict")
    assert control.call("GET", "/v1/tokens").status == 200


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 1}, {"name": "a" * 101}, {"name": "a", "more": 1}, [], "text"])
def test_a_token_needs_a_name_and_nothing_else(control, body):
    assert control.call("POST", "/v1/tokens", body).status == 400


def test_status_says_what_this_is(control):
    status = control.get("/v1/status")
    assert status["location"] == "local" and status["domain"] == "skerry.localhost" and len(status["gateway_id"]) >= 10
    assert status["edge_connected"] is False and status["instances"] == [] and status["functions"] == 0


def test_the_ca_signs_what_is_served(control):
    """The pem is the CA whose certificate covers the functions' hosts."""
    pem = control.get("/v1/ca")["pem"]
    ssl.create_default_context(cadata=pem)
    assert (control.state / "control/ca.pem").read_text() == pem
    assert stat.S_IMODE((control.state / "control/ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((control.state / "control/server.key").stat().st_mode) == 0o600


def test_the_api_over_tls(made):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        made.start([("api_tls", listener)])
        context = ssl.create_default_context(cadata=made.get("/v1/ca")["pem"])
        with socket.create_connection(listener.getsockname(), 10) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {made.token}\r\n\r\n".encode())
            got = b""
            while piece := tls.recv(65536):
                got += piece
        assert got.startswith(b"HTTP/1.1 200 ") and b"gateway_id" in got


# ---- uploads

def test_an_upload_is_kept_by_its_digest(control):
    body = os.urandom(300_000)
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    first = control.call("POST", "/v1/uploads", body, headers={"Skerry-Digest": digest})
    assert first.status == 201 and first.json["digest"] == digest and first.json["size"] == len(body)
    again = control.call("POST", "/v1/uploads", body)
    assert again.json["digest"] == digest
    assert (control.state / "control/blobs" / digest[7:]).read_bytes() == body


def blobs(control):
    return sorted(p.name for p in (control.state / "control/blobs").iterdir())


def test_an_upload_that_is_not_as_announced_is_not_kept(control):
    answer = control.call("POST", "/v1/uploads", b"changed", headers={"Skerry-Digest": "sha256:" + "0" * 64})
    assert (answer.status, answer.code) == (400, "bad_request") and "announced" in answer.message
    assert control.call("POST", "/v1/uploads", b"x", headers={"Skerry-Digest": "md5:1"}).status == 400
    assert control.call("POST", "/v1/uploads", b"").status == 400
    wait_for(lambda: blobs(control) == [], "a refused upload is left")


def test_an_upload_at_the_limit_passes_and_one_byte_more_does_not(control):
    limit = 50 * 1024 * 1024
    assert control.call("POST", "/v1/uploads", b"\0" * limit).status == 201
    announced = control.call("POST", "/v1/uploads", b"", headers={"Content-Length": str(limit + 1)})
    assert (announced.status, announced.code) == (413, "too_large")
    kept = blobs(control)
    connection = control.connection()
    connection.putrequest("POST", "/v1/uploads")
    connection.putheader("Authorization", f"Bearer {control.token}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    chunk = b"100000\r\n" + b"\0" * 0x100000 + b"\r\n"
    try:
        for _ in range(51):
            connection.send(chunk)
        connection.send(b"0\r\n\r\n")
    except OSError:
        pass  # refused while it was still being sent
    assert connection.getresponse().status == 413
    connection.close()
    wait_for(lambda: blobs(control) == kept, "a refused upload is left")


def test_an_upload_that_breaks_off_leaves_nothing(control):
    connection = control.connection()
    connection.putrequest("POST", "/v1/uploads")
    connection.putheader("Authorization", f"Bearer {control.token}")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()
    connection.send(b"x" * 5000)
    connection.sock.shutdown(socket.SHUT_WR)
    connection.sock.settimeout(10)
    while connection.sock.recv(4096):
        pass
    connection.close()
    wait_for(lambda: blobs(control) == [], "a broken upload is left")


# ---- what is refused

def test_what_is_not_there(control):
    for method, path in [("GET", "/v1/functions/none"), ("DELETE", "/v1/functions/none"), ("GET", "/v1/functions/none/revisions"), ("GET", "/v1/functions/none/logs"),
                         ("POST", "/v1/functions/none/rollback"), ("GET", "/v1/what"), ("GET", "/"), ("PATCH", "/v1/functions"), ("DELETE", "/v1/secrets/NONE"),
                         ("PUT", "/v1/functions/none"), ("GET", "/v1/functions/../tokens")]:
        answer = control.call(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
        assert (answer.status, answer.code) == (404, "not_found"), (method, path, answer.body)


@pytest.mark.parametrize("body, named", [
    (b"", "JSON"), (b"{", "JSON"), (b"[" * 100_000, "JSON"), ({"function": {}}, "function.name"), ({"function": {"name": "Orders"}}, "function.name"),
    ({"function": {"name": "orders"}, "config": {"memory_mb": 1 << 40}}, "memory_mb"), ({"function": {"name": "orders"}, "config": {"env": {"PORT": "1"}}}, "PORT"),
    ({"function": {"name": "orders"}, "config": {"env": {"A": 1}}}, "config.env.A"), ({"function": {"name": "orders"}, "colour": 1}, "colour"),
    ({"function": {"name": "orders"}, "source": {"upload": "sha256:../../../../etc/passwd"}}, "upload"), ({"function": {"name": "orders"}, "language": "cobol"}, "language"),
])
def test_a_bad_ship_names_what_is_wrong(control, body, named):
    answer = control.call("POST", "/v1/functions/ship", body)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert named.lower() in answer.message.lower() or named == "JSON", answer.message
    assert control.get("/v1/functions")["functions"] == []


def test_a_ship_of_what_was_not_uploaded(control):
    answer = control.ship("orders", source={"upload": "sha256:" + "1" * 64})
    assert (answer.status, answer.code) == (404, "not_found") and "upload it again" in answer.message


def test_a_body_over_the_limit(control):
    answer = control.call("POST", "/v1/functions/ship", b" " * (2 * 1024 * 1024 + 1))
    assert (answer.status, answer.code) == (413, "too_large")


def test_times_that_are_none(made):
    made.seed("orders")
    for query in ("since=yesterday", "until=2026-13-45", "since=2026-11-23T18:40:01%2B02:00"):
        assert made.call("GET", f"/v1/usage?{query}").status == 400, query
        assert made.call("GET", f"/v1/functions/orders/logs?{query}").status == 400, query


def test_usage_names_a_function_that_is_removed_and_none_that_never_was(made):
    function = made.seed("orders")[0]
    made.stop()
    with made.database() as db:
        db.execute("INSERT INTO usage VALUES(?,'r','local',?,0,3,0,5000,0,0,0,0)", (function, int(time.time()) // 3600 * 3_600_000))
    db.close()
    made.start()
    for _ in range(2):
        usage = made.get("/v1/usage?function=orders")
        assert [(f["function"], f["requests"]) for f in usage["functions"]] == [("orders", 3)]
        assert usage["until"] <= time.strftime("%Y-%m-%dT%H:%M:%S.999Z", time.gmtime())  # no time that is still to come
        made.call("DELETE", "/v1/functions/orders")
    assert made.get("/v1/functions")["functions"] == []
    unknown = made.call("GET", "/v1/usage?function=ordres")
    assert (unknown.status, unknown.code) == (404, "not_found") and "ordres" in unknown.message


def test_a_build_log_is_found_by_id_only(made):
    made.seed("orders")
    (made.state / "control/builds/01arz3ndektsv4rrffq69g5fav.log").write_text("collected\n")
    answer = made.call("GET", "/v1/functions/orders/builds/01arz3ndektsv4rrffq69g5fav/log")
    assert answer.status == 200 and answer.body == b"collected\n"
    for path in ("..%2fadmin.token", "../../admin.token", "../control.db", "x"):
        assert made.call("GET", f"/v1/functions/orders/builds/{path}/log").status == 404


# ---- rates

def test_a_token_has_a_thousand_requests_a_minute(control):
    token = control.call("POST", "/v1/tokens", {"name": "busy"}).json["token"]
    connection = control.connection()
    codes = []
    for _ in range(1001):
        connection.request("GET", "/v1/ca", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        body = response.read()
        codes.append(response.status)
    assert codes == [200] * 1000 + [429]
    assert json.loads(body)["error"]["code"] == "limit_reached" and 1 <= int(response.headers["retry-after"]) <= 60
    connection.close()
    assert control.call("GET", "/v1/ca").status == 200, "another token is not touched"
    assert control.call("GET", "/v1/health", token=None).status == 200
