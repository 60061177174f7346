"""SIGTERM, SIGKILL, damaged files: what was acknowledged is there afterwards."""
import hashlib
import os
import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

from conftest import PROGRAM, wait_for


def test_sigterm_ends_it_cleanly(control):
    assert control.stop() == 0


def test_identity_survives(made):
    made.start()
    first = (made.get("/v1/status")["gateway_id"], made.get("/v1/ca")["pem"], made.token)
    made.kill()
    made.start()
    assert (made.get("/v1/status")["gateway_id"], made.get("/v1/ca")["pem"], made.token) == first


def test_the_admin_token_is_not_made_again(made):
    made.start()
    token = made.token
    ci = made.call("POST", "/v1/tokens", {"name": "ci"}).json["token"]
    made.stop()
    made.start()
    assert made.token == token
    assert [t["name"] for t in made.call("GET", "/v1/tokens", token=ci).json["tokens"]] == ["admin", "ci"]


def test_what_was_acknowledged_survives_sigkill(made, edge, keeper_key):
    made.seed("orders")
    edge.connect()
    done = made.ship("orders", {"memory_mb": 64, "secrets": []}).events[-1]
    digest = made.call("POST", "/v1/uploads", b"bytes").json["digest"]
    assert made.call("PUT", "/v1/secrets/TOKEN", {"value": "x"}).status == 200
    version = edge.version
    made.kill()
    edge.leave()
    made.start()
    edge.connect()
    assert made.get("/v1/functions/orders")["revision"]["id"] == done["revision"]["id"]
    assert edge.traffic("orders") == done["revision"]["id"]
    assert edge.version >= version
    assert (made.state / "control/blobs" / digest[7:]).read_bytes() == b"bytes"
    assert [s["name"] for s in made.get("/v1/secrets")["secrets"]] == ["TOKEN"]


def test_a_ship_that_was_cut_by_sigkill_is_failed_and_traffic_stays(made, edge):
    made.seed("orders")
    edge.answers_verify = False
    edge.connect()
    broken = []

    def ship():
        try:
            broken.append(made.ship("orders").events[-1])
        except Exception as error:  # the connection ends in the middle, in whatever way
            broken.append(error)

    shipping = threading.Thread(target=ship)
    shipping.start()
    edge.expect("verify")
    made.kill()
    shipping.join(20)
    assert isinstance(broken[0], Exception) or broken[0]["event"] != "done"
    edge.leave()
    edge.answers_verify = True
    made.start()
    edge.connect()
    revisions = made.get("/v1/functions/orders/revisions")["revisions"]
    assert [(r["number"], r["state"], r["active"]) for r in revisions] == [(2, "failed", False), (1, "ready", True)]
    assert "restarted" in revisions[0]["error"]
    assert len(edge.functions["orders"]["revisions"]) == 1
    assert made.ship("orders").events[-1]["event"] == "done"


def test_uploads_survive_kills_at_any_moment(made):
    """Whatever was answered with 201 is there, whole; what was not leaves nothing behind after the next start."""
    made.start()
    acknowledged = {}
    for turn in range(4):
        stop = threading.Event()

        def upload():
            while not stop.is_set():
                body = os.urandom(200_000)
                try:
                    answer = made.call("POST", "/v1/uploads", body)
                except Exception:
                    return
                if answer.status == 201:
                    acknowledged[answer.json["digest"]] = body

        before = len(acknowledged)
        threads = [threading.Thread(target=upload) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(acknowledged) >= before + 3 + turn, "uploads do not get through")
        made.kill()
        stop.set()
        for thread in threads:
            thread.join(20)
        made.start()
        assert not [p.name for p in (made.state / "control/blobs").iterdir() if p.name.startswith(".")]
    for digest, body in acknowledged.items():
        assert (made.state / "control/blobs" / digest[7:]).read_bytes() == body
    for path in (made.state / "control/blobs").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def start_and_fail(made):
    result = subprocess.run([PROGRAM, "--config", made.config], capture_output=True, text=True, timeout=30)
    assert result.returncode == 1, result.stderr
    return result.stderr


def test_a_database_that_is_none_is_named_and_kept(made):
    made.start()
    made.stop()
    path = made.state / "control/control.db"
    for leftover in made.state.glob("control/control.db-*"):
        leftover.unlink()
    path.write_bytes(b"this is not a database" * 1000)
    assert "control.db" in start_and_fail(made)
    assert path.read_bytes().startswith(b"this is not")


def test_a_master_key_that_others_can_read_is_refused(made):
    made.start()
    made.stop()
    os.chmod(made.state / "control/master.key", 0o644)
    assert "master.key" in start_and_fail(made)


def test_a_wrong_configuration_is_named(made):
    made.config.write_text(made.config.read_text() + "colour = 1\n")
    assert "colour" in start_and_fail(made)
    good = made.config.read_text().replace("colour = 1\n", "")
    for bad in ("[[[", "\u0100 = 1", "[=]"):  # toml++ is undone by these
        made.config.write_text(good + bad + "\n")
        assert str(made.config) in start_and_fail(made), bad


def certificate_that_expires_soon(made, seconds):
    """In place of the server's own, signed by the same CA: it is to be renewed `seconds` from now, 30 days before its end."""
    folder = made.state / "control"
    end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 30 * 86400 + seconds))
    work = made.folder / "ca"
    work.mkdir()
    (work / "index").touch()
    (work / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={work}/index\nnew_certs_dir={work}\nserial={work}/serial\ndefault_md=sha256\npolicy=p\nrand_serial=yes\n[p]\n"
                               "commonName=optional\n[x]\nsubjectAltName=DNS:*.skerry.localhost,DNS:skerry.localhost,DNS:localhost,IP:127.0.0.1\n")
    run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    run("req", "-new", "-key", folder / "server.key", "-subj", "/CN=skerry.localhost", "-out", work / "csr")
    run("ca", "-batch", "-config", work / "conf", "-extensions", "x", "-notext", "-cert", folder / "ca.pem", "-keyfile", folder / "ca.key", "-in", work / "csr", "-enddate", end,
        "-out", work / "pem")
    whole = (work / "pem").read_text() + (folder / "ca.pem").read_text()
    (folder / "server.pem").write_text(whole)
    return whole


def test_a_certificate_is_renewed_while_control_runs(made, edge):
    made.seed("orders")
    made.stop()
    old = certificate_that_expires_soon(made, 4)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    made.start([("api_tls", listener)])
    assert edge.connect().snapshot["tls"]["certificate"] == old
    renewed = edge.expect("snapshot", timeout=60)
    assert renewed["tls"]["certificate"] != old and [f["name"] for f in renewed["functions"]] == ["orders"]
    assert (made.state / "control" / "server.pem").read_text() == renewed["tls"]["certificate"]
    # The API serves it as well, under the CA that clients know.
    context = ssl.create_default_context(cafile=made.state / "control" / "ca.pem")
    with listener, socket.create_connection(listener.getsockname(), 10) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True)) in renewed["tls"]["certificate"]


def test_one_controls_files_are_for_control_only(control):
    assert stat.S_IMODE((control.state / "control").stat().st_mode) == 0o700
    for name in ("master.key", "ca.key", "server.key", "admin.token"):
        assert stat.S_IMODE((control.state / "control" / name).stat().st_mode) == 0o600, name


def test_usage_without_sandbox_is_empty(control):
    usage = control.get("/v1/usage")
    assert usage["functions"] == [] and usage["since"] < usage["until"]
