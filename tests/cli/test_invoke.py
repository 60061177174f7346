"""invoke, env and trust: a TLS server with a CA made here stands for the ingress."""

import http.server
import json
import pathlib
import shlex
import ssl
import subprocess
import threading

import pytest
from conftest import TIMEOUT_S
from fake_gateway import unused_port

HOST = "orders-abcdefghij.skerry.localhost"


class Function(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []

    def log_message(self, *args):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        Function.seen.append({"method": self.command, "path": self.path, "headers": self.headers, "body": body})
        status = int(self.path[8:]) if self.path.startswith("/status/") else 200
        payload = b"\x00\xff raw" if self.path == "/raw" else json.dumps({"path": self.path, "method": self.command}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if self.path == "/raw" else "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Request-Id", "req-77")
        self.send_header("X-Many", "a")
        self.send_header("X-Many", "b")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = answer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, timeout=TIMEOUT_S)

    for ca in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2", "-subj", f"/CN=Test {ca}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf")
    (folder / "ext").write_text("subjectAltName=DNS:*.skerry.localhost\n")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "leaf.pem", "-days", "2", "-extfile", "ext")
    return folder


@pytest.fixture
def ingress(certificates, gateway):
    Function.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Function)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "leaf.pem", certificates / "leaf.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    gateway.ca_pem = (certificates / "ca.pem").read_text()
    gateway.add_function("orders", url=f"https://{HOST}:{server.server_address[1]}/")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_invoke_verifies_tls_and_prints_the_body(cli, ingress):
    cli.env["https_proxy"] = "http://127.0.0.1:9"  # not for loopback
    assert json.loads(cli.run("invoke", "orders").stdout) == {"path": "/", "method": "GET"}
    assert Function.seen[0]["headers"]["Host"].startswith(HOST)
    assert (cli.home / ".config/skerry/ca.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_invoke_sends_what_it_is_told(cli, ingress, tmp_path):
    cli.run("invoke", "orders", "--path", "/v1/a?x=1", "--method", "PUT", "--data", '{"a":1}', "--header", "X-One: 1", "--header", "X-Empty:")
    seen = Function.seen[-1]
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/v1/a?x=1", b'{"a":1}')
    assert seen["headers"]["X-One"] == "1" and seen["headers"]["X-Empty"] == "" and seen["headers"]["Content-Type"] == "application/json"
    cli.run("invoke", "orders", "--data", "plain")
    assert Function.seen[-1]["method"] == "POST" and Function.seen[-1]["headers"]["Content-Type"].startswith("text/plain")
    body = tmp_path / "body.bin"
    body.write_bytes(b"\x00\x01\n")
    cli.run("invoke", "orders", "-d", f"@{body}", "-H", "content-type: application/x-thing")
    assert Function.seen[-1]["body"] == b"\x00\x01\n" and Function.seen[-1]["headers"]["Content-Type"] == "application/x-thing"
    cli.run("invoke", "orders", "-d", "@-", stdin="from stdin\n")
    assert Function.seen[-1]["body"] == b"from stdin\n"
    cli.run("invoke", "orders", "-X", "HEAD")
    assert Function.seen[-1]["method"] == "HEAD"
    assert "Authorization" not in Function.seen[-1]["headers"]  # the gateway's token is not the function's business


def test_invoke_streams_bytes_as_they_are(cli, ingress):
    p = cli.popen("invoke", "orders", "--path", "/raw", stdout=subprocess.PIPE)
    assert p.stdout.buffer.read() == b"\x00\xff raw"
    assert p.wait(TIMEOUT_S) == 0
    p.stdout.close()


def test_invoke_exit_codes_and_json(cli, ingress):
    cli.run("invoke", "orders", "--path", "/status/404", code=8)
    cli.run("invoke", "orders", "--path", "/status/503", code=9)
    cli.run("invoke", "orders", "--path", "/status/302")
    out = json.loads(cli.run("invoke", "orders", "--path", "/status/500", "--json", code=9).stdout)
    assert out["status"] == 500 and out["body"]["path"] == "/status/500" and out["headers"]["X-Many"] == "a, b" and out["ms"] >= 0
    assert cli.run("invoke", "orders", "-i").stdout.startswith("HTTP 200\n")


def test_invoke_refuses_bad_input(cli, ingress):
    for args in (["--path", "/a b"], ["--path", "/a\r\nX: 1"], ["--method", "get it"], ["--header", "nonsense"], ["--header", "A: b\r\nC: d"], ["--data", "@/no/such"], ["--timeout", "soon"], ["--timeout", "0"]):
        cli.run("invoke", "orders", *args, code=2)
    assert Function.seen == []


def test_invoke_does_not_talk_to_an_untrusted_server(cli, gateway, ingress, certificates):
    gateway.ca_pem = (certificates / "other.pem").read_text()
    assert cli.error("invoke", "orders", code=5)["code"] == "tls"
    assert Function.seen == []
    cli.env["SKERRY_CA"] = str(certificates / "ca.pem")  # the environment wins
    cli.run("invoke", "orders")
    cli.env["SKERRY_CA"] = str(certificates / "ca.key")
    assert "not a certificate" in cli.run("invoke", "orders", code=2).stderr


def test_invoke_of_an_ingress_that_is_not_there(cli, gateway):
    gateway.ca_pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    gateway.add_function("orders", url=f"http://{HOST}:{unused_port()}/")
    error = cli.error("invoke", "orders", code=5)
    assert error["code"] == "unreachable" and "Connection refused" in error["message"]


def test_env_is_for_scripts(cli, ingress):
    exports = dict(line[len("export "):].split("=", 1) for line in cli.run("env", "orders").stdout.splitlines())
    values = {k: shlex.split(v)[0] for k, v in exports.items()}
    assert values == cli.json("env", "orders")
    assert set(values) == {"FUNCTION_URL", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}
    # curl resolves *.localhost by itself; the bundle verifies both the function and the rest of the world.
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", values["FUNCTION_URL"]], env={**cli.env, **values}, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert json.loads(done.stdout)["path"] == "/", done.stderr


def test_trust_installs_and_removes(cli, ingress, certificates, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    cli.run("trust", "--dir", str(store))
    installed = store / "skerry-local-ca.crt"
    assert installed.read_text() == (certificates / "ca.pem").read_text()
    assert cli.run("trust", "--print").stdout == installed.read_text()
    cli.run("trust", "--remove", "--dir", str(store))
    cli.run("trust", "--remove", "--dir", str(store))  # twice is fine
    assert list(store.iterdir()) == []
    cli.run("trust", "--dir", str(tmp_path / "none"), code=3)


def test_trust_refuses_what_is_no_certificate(cli, gateway, tmp_path):
    for pem in ("", "hello", "-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"):
        gateway.ca_pem = pem
        assert cli.error("trust", "--dir", str(tmp_path), code=1)["code"] == "unexpected_answer"
    assert not pathlib.Path(tmp_path, "skerry-local-ca.crt").exists()
