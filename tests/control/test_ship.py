"""Ships, rollback, secrets and logs with an edge at the other end of the watch."""
import base64
import json
import os
import subprocess
import sys
import threading

import pytest

from conftest import ulid


def names(events):
    return [e["event"] + (":" + e["stage"] if e["event"] == "stage" else "") for e in events if e.get("state") != "begin"]


def test_an_edge_gets_the_certificate_and_the_functions(made, edge):
    made.seed("orders")
    edge.connect()
    id10 = made.get("/v1/status")["gateway_id"][:10]
    assert [r["host"] for r in edge.functions["orders"]["routes"]] == [f"seeded1--orders-{id10}.skerry.localhost", f"orders-{id10}.skerry.localhost"]
    assert made.get("/v1/status")["edge_connected"] is True


def test_a_config_change_goes_live(made, edge):
    made.seed("orders")
    edge.connect()
    answer = made.ship("orders", {"memory_mb": 128, "env": {"LEVEL": "debug"}, "secrets": []})
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson"
    assert names(answer.events) == ["accepted", "stage:start", "stage:route", "done"]
    done = answer.events[-1]
    assert done["revision"]["number"] == 2 and done["revision"]["active"] and done["revision"]["state"] == "ready"
    assert done["function"]["config"]["memory_mb"] == 128 and done["function"]["url"] == done["url"]
    assert done["revision"]["created_at"] > "2020"
    active = [r for r in edge.functions["orders"]["revisions"] if r["id"] == done["revision"]["id"]]
    assert "LEVEL=debug" in active[0]["env"] and active[0]["memory_bytes"] == 128 << 20
    assert made.get("/v1/functions/orders")["revision"]["id"] == done["revision"]["id"]


def test_a_revision_that_does_not_start_never_gets_traffic(made, edge):
    function = made.seed("orders")[0]
    logs = made.state / "logs" / function
    logs.mkdir()
    edge.connect()
    before = edge.functions["orders"]

    def print_lines(revision):
        with open(logs / "000000000001.jsonl", "a") as f:
            for n, (of, line) in enumerate([(revision["id"], "starting"), ("another", "of another revision"), (revision["id"], "ImportError: no module")]):
                entry = {"time": "2026-01-01T00:00:00.000Z", "function": function, "revision": of, "line": line, "cursor": n + 1}
                f.write(json.dumps(entry, separators=(",", ":")) + "\n")

    edge.on_verify = print_lines
    edge.start_error = ("exec", "exited with status 1")
    error = made.ship("orders").events[-1]["error"]
    assert error["code"] == "start_failed" and error["details"]["phase"] == "exec" and error["message"] == "exited with status 1"
    assert error["details"]["log_tail"] == ["starting", "ImportError: no module"]
    assert edge.functions["orders"] == before
    revisions = made.get("/v1/functions/orders/revisions")["revisions"]
    assert [(r["number"], r["state"], r["active"]) for r in revisions] == [(2, "failed", False), (1, "ready", True)]
    assert "exited with status 1" in revisions[0]["error"]


def test_a_ship_with_code_needs_sandboxd_and_says_so(made, edge):
    made.start()
    edge.connect()
    digest = made.call("POST", "/v1/uploads", b"no tar at all").json["digest"]
    answer = made.ship("fresh", source={"upload": digest})
    assert answer.status == 200
    error = answer.events[-1]["error"]
    assert error["code"] in ("bad_request", "build_failed", "unavailable") and error["message"], error
    assert made.get("/v1/functions/fresh")["revision"] is None
    assert edge.functions == {}


def test_a_rollback_and_a_removal(made, edge):
    made.seed("orders")
    edge.connect()
    made.ship("orders", {"memory_mb": 64})
    back = made.call("POST", "/v1/functions/orders/rollback", {"revision": "1"})
    assert back.status == 200 and back.json["revision"]["tag"] == "seeded1"
    assert edge.traffic("orders") == back.json["revision"]["id"]
    assert made.call("POST", "/v1/functions/orders/rollback", {"revision": "99"}).status == 404
    assert made.call("POST", "/v1/functions/orders/rollback", {}).status == 400
    assert made.call("DELETE", "/v1/functions/orders").status == 204
    assert edge.functions == {}
    assert made.call("GET", "/v1/functions/orders").status == 404


def test_a_second_change_waits_for_nobody(made, edge):
    made.seed("orders")
    edge.answers_verify = False
    edge.connect()
    answers = []
    first = threading.Thread(target=lambda: answers.append(made.ship("orders")))
    first.start()
    verify = edge.expect("verify")
    second = made.ship("orders")
    assert second.events[-1]["error"]["code"] == "conflict"
    assert made.call("DELETE", "/v1/functions/orders").status == 409
    edge.send({"type": "verified", "id": verify["id"], "ok": True, "phase": "", "message": "", "ms": 1})
    first.join(20)
    assert answers[0].events[-1]["event"] == "done"


def test_an_edge_that_dies_while_it_starts_a_revision_is_asked_again(made, edge):
    made.seed("orders")
    edge.answers_verify = False
    edge.connect()
    answers = []
    shipping = threading.Thread(target=lambda: answers.append(made.ship("orders")))
    shipping.start()
    edge.expect("verify")
    edge.leave()
    edge.answers_verify = True
    edge.connect()
    shipping.join(20)
    assert answers[0].events[-1]["event"] == "done", answers[0].events


def test_a_client_that_goes_away_does_not_stop_its_ship(made, edge):
    made.seed("orders")
    edge.answers_verify = False
    edge.connect()
    connection = made.connection()
    connection.request("POST", "/v1/functions/ship", json.dumps({"function": {"name": "orders"}}), {"Authorization": f"Bearer {made.token}"})
    verify = edge.expect("verify")
    connection.close()
    edge.send({"type": "verified", "id": verify["id"], "ok": True, "phase": "", "message": "", "ms": 1})
    edge.wait(lambda: len(edge.functions["orders"]["revisions"]) == 2, "the revision did not get into traffic")


def test_sixty_ships_an_hour(made, edge):
    made.seed("orders")
    edge.connect()
    for _ in range(60):
        assert made.ship("orders").status == 200
    refused = made.ship("orders")
    assert (refused.status, refused.code) == (429, "limit_reached") and 1 <= int(refused.headers["retry-after"]) <= 3600


def test_the_two_hundred_and_fifty_first_revision_takes_the_place_of_the_oldest_that_is_not_in_traffic(made, edge):
    function = made.seed("orders")[0]
    made.stop()
    with made.database() as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(revisions)")]
        first = dict(zip(names, db.execute("SELECT * FROM revisions WHERE function=?", (function,)).fetchone()))
        for number in range(2, 250):
            row = {**first, "id": ulid(), "number": number, "tag": f"seed{number:03}"}
            db.execute(f"INSERT INTO revisions VALUES({','.join('?' * len(names))})", [row[name] for name in names])
    db.close()
    made.start()
    edge.connect()
    numbers = lambda: [r["number"] for r in made.get("/v1/functions/orders/revisions")["revisions"]]
    assert made.ship("orders").events[-1]["event"] == "done"
    assert numbers() == list(range(250, 0, -1))  # at the bound all are kept
    assert made.ship("orders").events[-1]["event"] == "done"
    assert numbers() == list(range(251, 1, -1))
    gone = made.call("POST", "/v1/functions/orders/rollback", {"revision": "1"})
    assert gone.status == 404 and "skerry revisions orders" in gone.message
    # What is in traffic stays, however old it is.
    assert made.call("POST", "/v1/functions/orders/rollback", {"revision": "2"}).status == 200
    edge.start_error = ("exec", "exited with status 1")
    for _ in range(3):  # ships that fail move no traffic, and of all of them one takes a place
        assert made.ship("orders").events[-1]["event"] == "error"
    assert numbers() == [254, *range(251, 3, -1), 2]
    assert made.get("/v1/functions/orders")["revision"]["number"] == 2


def test_only_edges_own_user_gets_the_tls_key(made, edge):
    made.config.write_text(made.config.read_text() + '[users]\nedge = "54321:54321"\n')
    made.start()
    os.chmod(made.folder, 0o755)
    for path in (made.run, made.run / "watch.sock"):
        os.chmod(path, 0o777)
    script = ("import os,socket,sys\nos.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))\ns=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(10)\n"
              "got=b''\nwhile len(got)<4:\n  piece=s.recv(4)\n  if not piece: break\n  got+=piece\nprint(len(got))")
    for user, bytes_read in (("65534", "0"), ("54321", "4")):
        result = subprocess.run([sys.executable, "-c", script, str(made.run / "watch.sock"), user], capture_output=True, text=True, timeout=30)
        assert result.stdout.strip() == bytes_read, (user, result.stderr, made.log())


# ---- secrets

def test_secrets_are_never_shown(made, edge, keeper_key):
    made.seed("orders")
    edge.connect()
    value = "correct-horse-battery"
    put = made.call("PUT", "/v1/secrets/API_KEY", {"value": value})
    assert put.status == 200 and put.json["redeployed"] == ["orders"] and put.json["failed"] == []
    listed = made.call("GET", "/v1/secrets")
    assert [(s["name"], s["function"], s["size"]) for s in listed.json["secrets"]] == [("API_KEY", None, len(value))]
    sealed = edge.verified[-1]["sealed_secrets"]
    assert base64.b64decode(sealed) and "API_KEY" not in "".join(edge.verified[-1]["env"])
    made.stop()
    everything = b"".join(p.read_bytes() for p in made.folder.rglob("*") if p.is_file())
    for form in (value.encode(), base64.b64encode(value.encode())):
        assert form not in everything, "the secret is on disk in the clear"


@pytest.mark.parametrize("name, body", [("PORT", {"value": "x"}), ("K_X", {"value": "x"}), ("SKERRY_X", {"value": "x"}), ("1A", {"value": "x"}), ("A-B", {"value": "x"}),
                                        ("A", {}), ("A", {"value": ""}), ("A", {"value": 5}), ("A", {"value": "x" * 10241}), ("A", {"value": "a\0b"}),
                                        ("A", {"value": "x", "more": 1})])
def test_secrets_that_cannot_be(control, name, body):
    answer = control.call("PUT", f"/v1/secrets/{name}", body)
    assert (answer.status, answer.code) == (400, "bad_request")
    assert "xxxx" not in answer.message and control.get("/v1/secrets")["secrets"] == []


def test_a_secret_at_the_limit_and_the_hundred_and_first(control):
    assert control.call("PUT", "/v1/secrets/LONG", {"value": "x" * 10240}).status == 200
    for n in range(99):
        assert control.call("PUT", f"/v1/secrets/S{n}", {"value": "v"}).status == 200
    refused = control.call("PUT", "/v1/secrets/ONE_MORE", {"value": "v"})
    assert (refused.status, refused.code) == (429, "limit_reached")
    assert control.call("PUT", "/v1/secrets/S0", {"value": "changed"}).status == 200, "one that is there may change"
    assert control.call("DELETE", "/v1/secrets/S1").status == 200
    assert control.call("PUT", "/v1/secrets/ONE_MORE", {"value": "v"}).status == 200


def test_a_secret_of_one_function(made, edge, keeper_key):
    made.seed("orders", "billing")
    edge.connect()
    put = made.call("PUT", "/v1/secrets/TOKEN", {"value": "x", "function": "orders"})
    assert put.json["redeployed"] == ["orders"] and put.json["function"] == "orders"
    assert [s["name"] for s in made.get("/v1/secrets?function=orders")["secrets"]] == ["TOKEN"]
    assert made.get("/v1/secrets?function=billing")["secrets"] == []
    assert made.call("PUT", "/v1/secrets/TOKEN", {"value": "x", "function": "nobody"}).status == 404
    assert made.call("DELETE", "/v1/secrets/TOKEN").status == 404, "the shared one does not exist"
    assert made.call("DELETE", "/v1/secrets/TOKEN?function=orders").status == 200


def test_a_listed_secret_that_is_missing(made, edge):
    made.seed("orders")
    edge.connect()
    error = made.ship("orders", {"secrets": [{"name": "DATABASE_URL"}]}).events[-1]["error"]
    assert error["code"] == "bad_request" and "DATABASE_URL" in error["message"]


# ---- logs

def write_lines(path, first, count, request="r"):
    with open(path, "a") as f:
        for n in range(first, first + count):
            f.write(json.dumps({"time": f"2026-01-01T00:00:{n % 60:02}.000Z", "function": "f", "request_id": f"{request}{n}", "line": f"line {n}", "cursor": n}, separators=(",", ":")) + "\n")


def test_logs_in_pages(made):
    folder = made.state / "logs" / made.seed("orders")[0]
    folder.mkdir()
    write_lines(folder / "000000000001.jsonl", 1, 5)
    write_lines(folder / "000000000002.jsonl", 6, 5)
    lines = lambda query: [e["cursor"] for e in made.call("GET", f"/v1/functions/orders/logs?{query}").events]
    assert lines("") == list(range(1, 11))
    assert lines("limit=3") == [8, 9, 10]
    assert lines("cursor=4&limit=3") == [5, 6, 7]
    assert lines("request_id=r7") == [7]
    assert lines("since=2026-01-01T00:00:09Z") == [9, 10]
    assert lines("since=2026-01-01T00:00:02.5Z&until=2026-01-01T00:00:04Z") == [3]


def test_logs_are_followed(made):
    folder = made.state / "logs" / made.seed("orders")[0]
    folder.mkdir()
    write_lines(folder / "000000000001.jsonl", 1, 2)
    connection = made.connection()
    connection.request("GET", "/v1/functions/orders/logs?follow=1", headers={"Authorization": f"Bearer {made.token}"})
    response = connection.getresponse()
    got = [json.loads(response.readline())["cursor"] for _ in range(2)]
    write_lines(folder / "000000000001.jsonl", 3, 1)
    write_lines(folder / "000000000002.jsonl", 4, 1)
    got += [json.loads(response.readline())["cursor"] for _ in range(2)]
    assert got == [1, 2, 3, 4]
    connection.close()
    assert made.stop() == 0, "a follower does not keep control from stopping"
