import json
import os
import re
import signal
import socket
import stat
import subprocess

import pytest
from conftest import BINARY, ROOT, TIMEOUT_S
from fake_gateway import NOW, TOKEN, FakeGateway, unused_port

VERBS = ["init", "ship", "ls", "get", "invoke", "logs", "env", "revisions", "rollback", "rm", "secrets set", "secrets ls", "secrets rm", "usage", "dev", "status", "doctor",
         "trust", "config", "completion", "version"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example_and_json(cli, verb):
    help_text = cli.run(*verb.split(), "--help").stdout
    assert f"Examples:\n  " in help_text and f"skerry {verb}" in help_text.split("Examples:")[1]
    assert "--json" in help_text


def test_the_table_of_exit_codes_is_the_same_everywhere(cli):
    text = cli.run("--help").stdout
    table = text[text.index("Exit codes:"):].strip().splitlines()
    readme = [line.strip() for line in (ROOT / "src/cli/README.md").read_text().splitlines()]
    assert len(table) == 11
    for line in table:
        assert line.strip() in readme


def test_ls(cli, gateway):
    assert "nothing is shipped yet" in cli.run("ls").stderr
    gateway.add_function("orders", revisions=2)
    gateway.add_function("billing")
    out = cli.run("ls").stdout
    assert re.search(r"^orders +python +2 \(tag0002\) +1 ", out, re.M)
    assert cli.run("ls", "-q").stdout == "orders\nbilling\n"
    assert [f["name"] for f in cli.json("ls")["functions"]] == ["orders", "billing"]


def test_a_function_without_a_revision_in_traffic_is_not_invoked(cli, gateway):
    gateway.add_function("orders")
    gateway.functions["orders"]["revision"] = None
    error = cli.error("invoke", "orders", code=3)
    assert "no revision in traffic" in error["message"] and "skerry revisions orders" in error["hint"]


def test_get_shows_names_of_variables_but_not_values(cli, gateway):
    gateway.add_function("orders")
    out = cli.run("get", "orders").stdout
    assert "LOG_LEVEL" in out and "hidden-value" not in out and "fork" in out
    assert cli.json("get", "orders")["config"]["env"] == {"LOG_LEVEL": "hidden-value"}


@pytest.mark.parametrize("args", [["get"], ["logs"], ["revisions"], ["env"], ["rm", "--yes"], ["invoke"]])
def test_a_mistyped_function_is_found_and_exits_3(cli, gateway, args):
    gateway.add_function("orders")
    done = cli.run(*args, "ordres", code=3)
    assert "no function `ordres`" in done.stderr and "did you mean `orders`?" in done.stderr
    assert "orders" in gateway.functions


def test_a_linked_folder_names_its_function(cli, gateway, project):
    assert "not linked" in cli.run("get", code=2, cwd=project).stderr
    cli.run("ship", cwd=project)
    assert cli.json("get", cwd=project)["name"] == "orders"
    cli.run("logs", cwd=project)
    (project / ".skerry/link.json").write_text('{"version":1,"gateway":"https://elsewhere:8081","function":"orders","function_id":"","url":""}')
    assert "on another gateway" in cli.run("get", code=2, cwd=project).stderr
    (project / ".skerry/link.json").write_text("[]")
    assert "not linked" in cli.run("get", code=2, cwd=project).stderr


def test_revisions_and_rollback(cli, gateway):
    gateway.add_function("orders", revisions=3)
    out = cli.run("revisions", "orders").stdout.splitlines()
    assert re.match(r"\* +3 +tag0003 +ready", out[1]) and re.match(r"  +2 +tag0002", out[2])
    assert len(cli.json("revisions", "orders")["revisions"]) == 3
    done = cli.run("rollback", "orders", "tag0001")
    assert "orders is at revision 1 (tag0001)" in done.stderr
    assert cli.json("rollback", "orders", "2")["revision"]["number"] == 2
    missing = cli.run("rollback", "orders", "99", code=3)
    assert "no revision `99`" in missing.stderr and "skerry revisions orders" in missing.stderr


def test_rm_without_a_terminal_does_not_ask(cli, gateway):
    gateway.add_function("orders")
    cli.run("rm", "orders")
    assert gateway.functions == {}
    assert cli.error("rm", "orders", code=3)["code"] == "not_found"


def log_line(number, text, stream="stdout", request="req-a"):
    return {"time": NOW, "function": "orders", "revision": "r", "instance": "i", "location": "local", "stream": stream, "request_id": request, "line": text, "cursor": f"c{number:04}"}


def test_logs(cli, gateway):
    gateway.add_function("orders")
    gateway.logs = [log_line(1, "hello \x1b]0;owned\x07 \u00e9"), log_line(2, "bad", "stderr", "req-b")]
    out = cli.run("logs", "orders").stdout.splitlines()
    assert out[0] == "18:40:01.123 stdout req-a hello \\x1b]0;owned\\x07 \u00e9"
    assert out[1] == "18:40:01.123 stderr req-b bad"
    assert cli.run("logs", "orders", "--request-id", "req-b").stdout.count("\n") == 1
    assert [json.loads(line)["line"] for line in cli.run("logs", "orders", "--json").stdout.splitlines()][1] == "bad"
    cli.run("logs", "orders", "--since", "10m", "--until", "2026-11-23T18:40:00Z", "--limit", "5")
    query = gateway.sent("GET", "/v1/functions/orders/logs")[-1]["query"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", query["since"]) and query["until"] == "2026-11-23T18:40:00.000Z" and query["limit"] == "5"


def test_the_log_of_a_build(cli, gateway):
    gateway.add_function("orders")
    assert cli.run("logs", "orders", "--build", "b1").stdout == "line 1\nline \\x1b[2J2\n"
    assert cli.json("logs", "orders", "--build", "b1")["log"] == "line 1\nline \x1b[2J2\n"
    cli.run("logs", "orders", "--build", "b2", code=3)


@pytest.mark.parametrize("args", [["--since", "yesterday"], ["--limit", "many"]])
def test_logs_refuses_bad_values(cli, gateway, args):
    assert args[1] in cli.run("logs", "orders", *args, code=2).stderr


def test_follow_takes_a_broken_stream_up_after_the_last_line(cli, gateway):
    gateway.add_function("orders")
    gateway.logs = [log_line(1, "one"), log_line(2, "two")]
    p = cli.popen("logs", "orders", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert "one" in p.stdout.readline() and "two" in p.stdout.readline()
        gateway.logs.append(log_line(3, "three"))  # the stream has ended: only a new request brings this line
        assert "three" in p.stdout.readline()
        calls = gateway.sent("GET", "/v1/functions/orders/logs")
        assert calls[0]["query"]["follow"] == "1" and calls[1]["query"]["cursor"] == "c0002"
    finally:
        p.send_signal(signal.SIGTERM)  # a shell without job control starts what runs in the background with SIGINT ignored
        assert p.wait(TIMEOUT_S) == -signal.SIGTERM
        p.communicate()


def test_follow_ends_when_its_reader_does(cli, gateway):
    gateway.add_function("orders")
    gateway.logs = [log_line(n, "x" * 4000) for n in range(400)]
    p = cli.popen("logs", "orders", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.readline()
    p.stdout.close()
    p.stderr.close()
    p.wait(TIMEOUT_S)


def test_usage(cli):
    out = cli.run("usage", "--since", "24h").stdout
    assert re.search(r"^orders +local +7 +1 +1\.5 s +200 ms +2\.000 GB s +10 B +4\.0 KB +warm 6, fork 1", out, re.M)
    assert cli.json("usage")["functions"][0]["requests"] == 7
    assert "--since" in cli.run("usage", "--since", "soon", code=2).stderr


def test_status_and_version(cli, gateway):
    out = cli.run("status").stdout
    assert "skerry 9.9.9" in out and re.search(r"^edge +42 ", out, re.M) and re.search(r"^i1 +orders", out, re.M)
    assert cli.json("status")["processes"][0]["pid"] == 42
    assert cli.json("version")["gateway"] == "9.9.9"
    gateway.close()
    del cli.env["SKERRY_TOKEN"]
    cli.env["SKERRY_URL"] = "unix:/no/such.sock"
    assert cli.json("version")["gateway"] is None
    gateway.__init__(host="127.0.0.1")


# ---- secrets


def test_secrets_come_from_standard_input_or_a_file(cli, gateway, tmp_path):
    gateway.add_function("orders")
    done = cli.run("secrets", "set", "DATABASE_URL", stdin="postgres://x\n")
    assert "in use at once by orders" in done.stderr
    assert json.loads(gateway.sent("PUT", "/v1/secrets/DATABASE_URL")[0]["body"]) == {"value": "postgres://x"}
    key = tmp_path / "key.pem"
    key.write_text("line\n")
    cli.run("secrets", "set", "KEY", "--from-file", str(key), "--only", "orders")
    assert json.loads(gateway.sent("PUT", "/v1/secrets/KEY")[0]["body"]) == {"value": "line\n", "function": "orders"}
    assert "list processes" in cli.run("secrets", "set", "PLAIN", "--value", "v1").stderr
    out = cli.run("secrets", "ls").stdout
    assert re.search(r"^DATABASE_URL +all functions +12 B", out, re.M) and re.search(r"^KEY +orders", out, re.M)
    assert "postgres" not in out and [s["name"] for s in cli.json("secrets", "ls")["secrets"]] == ["DATABASE_URL", "KEY", "PLAIN"]
    cli.run("secrets", "rm", "KEY")
    missing = cli.run("secrets", "rm", "DATABSE_URL", code=3)
    assert "did you mean `DATABASE_URL`?" in missing.stderr


def test_a_function_that_does_not_start_with_a_changed_secret_is_named(cli, gateway):
    gateway.not_renewed = [{"function": "billing", "message": "ModuleNotFoundError: No module named 'x'"}]
    for args, stdin, words in ((("set", "A"), "v", "goes on with the value it had"), (("rm", "A"), None, "goes on with the value of before")):
        done = cli.run("secrets", *args, stdin=stdin, code=6)
        assert f"billing does not start with it and {words}: ModuleNotFoundError" in done.stderr and "skerry logs billing" in done.stderr, done.stderr
        assert "at once by orders" in done.stderr
    assert cli.json("secrets", "set", "A", stdin="v", code=6)["failed"] == gateway.not_renewed
    assert cli.json("secrets", "rm", "A", code=6) == {"removed": "A", "redeployed": ["orders"], "failed": gateway.not_renewed}


def test_a_secret_in_the_place_of_what_the_platform_sets_is_warned_of(cli, gateway):
    assert "every function has a `PATH`" in cli.run("secrets", "set", "PATH", stdin="v").stderr
    assert "warning" not in cli.run("secrets", "set", "PATHS", stdin="v").stderr


def test_secrets_refuse_bad_names_and_values(cli, gateway, tmp_path):
    for name in ("PORT", "SKERRY_X", "K_X", "a-b", "9x"):
        cli.run("secrets", "set", name, stdin="v", code=2)
    assert "is empty" in cli.run("secrets", "set", "A", stdin="\n", code=2).stderr
    cli.run("secrets", "set", "A", stdin="x" * 10240)
    assert "10240 is the most" in cli.run("secrets", "set", "A", stdin="x" * 10241, code=7).stderr
    raw = tmp_path / "raw"
    raw.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in cli.run("secrets", "set", "A", "--from-file", str(raw), code=2).stderr
    cli.run("secrets", "set", "A", "--from-file", str(tmp_path / "none"), code=2)
    cli.run("secrets", "set", "A", "--from-file", str(raw), "--value", "x", code=2)
    assert "did you mean `orders`?" in (gateway.add_function("orders") and cli.run("secrets", "set", "A", "--only", "order", stdin="x", code=3)).stderr
    assert len(gateway.sent("PUT", "/v1/secrets/A")) == 2


# ---- reaching the gateway


def test_a_group_of_verbs_has_examples_and_names_its_verbs(cli):
    helped = cli.run("secrets", "--help").stdout
    assert "skerry secrets set DATABASE_URL" in helped and "Exit codes" not in helped
    assert "secrets wants one of set, ls, rm" in cli.run("secrets", code=2).stderr


def test_unreachable_gateways(cli, tmp_path):
    cli.env["SKERRY_URL"] = f"unix:{tmp_path}/none.sock"
    error = cli.error("ls", code=5)
    assert "No such file" in error["message"] and "make up" in error["hint"]
    cli.env["SKERRY_URL"] = f"http://127.0.0.1:{unused_port()}"
    assert "Connection refused" in cli.error("ls", code=5)["message"]
    cli.env["SKERRY_URL"] = "https://gateway.invalid:8081"
    assert cli.error("ls", code=5)["code"] == "unreachable"


@pytest.mark.parametrize("url", ["ftp://x", "unix:relative", "https://", "https://u@h", "https://h/path", "http://192.0.2.1:8081", "nonsense"])
def test_bad_gateway_urls(cli, url):
    cli.env["SKERRY_URL"] = url
    assert cli.error("ls", code=2)["code"] == "usage"


@pytest.mark.parametrize("status, code", [(404, "no_such_function"), (421, "misdirected")])
def test_the_port_where_functions_answer_is_not_taken_for_the_gateway(cli, gateway, status, code):
    gateway.overrides[("GET", "/v1/functions")] = (status, json.dumps({"error": {"code": code, "message": "no function answers at this host", "request_id": "r"}}).encode())
    error = cli.error("ls", code=5)
    assert "not the gateway's API" in error["message"] and "8081" in error["hint"], error


def test_a_ca_file_that_cannot_be_read_is_wrong_use(cli, gateway, tmp_path):
    cli.env["SKERRY_URL"] = "https://localhost:1"
    cli.env["SKERRY_CA"] = str(tmp_path / "none.pem")
    error = cli.error("ls", code=2)
    assert "none.pem" in error["message"] and "SKERRY_CA" in error["message"]


def test_tokens(cli, gateway):
    cli.env["SKERRY_TOKEN"] = "wrong"
    assert cli.error("ls", code=4)["code"] == "unauthorized"
    del cli.env["SKERRY_TOKEN"]
    done = cli.run("ls", code=4)
    assert "no token" in done.stderr and "skerry config set token" in done.stderr
    before = len(gateway.requests)
    cli.env["SKERRY_TOKEN"] = "a\r\nX-Evil: 1"
    cli.run("ls", code=2)
    assert len(gateway.requests) == before


def test_answers_that_are_not_the_apis(cli, gateway):
    for answer, code in (((500, b"<html>oops</html>"), 1), ((200, b"[]"), 1), ((200, b"not json"), 1), ((503, b""), 5), ((302, b""), 1)):
        gateway.overrides[("GET", "/v1/functions")] = answer
        assert cli.error("ls", code=code)["code"] == "unexpected_answer"


def test_http_on_loopback_works_and_ignores_proxies(cli, tmp_path):
    g = FakeGateway()
    try:
        cli.env.update(SKERRY_URL=g.url, http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
        g.add_function("orders")
        assert cli.run("ls", "-q").stdout == "orders\n"
    finally:
        g.close()


# ---- configuration


def test_config_is_kept_private_and_the_token_is_never_shown(cli, gateway):
    url = cli.env.pop("SKERRY_URL")
    del cli.env["SKERRY_TOKEN"]
    cli.run("config", "set", "url", url)
    cli.run("config", "set", "token", stdin=TOKEN + "\n")
    path = cli.home / ".config/skerry/config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    out = cli.run("config").stdout
    assert url in out and TOKEN not in out
    assert TOKEN not in cli.run("config", "--json").stdout
    cli.run("ls")
    path.chmod(0o644)
    assert f"chmod 600 {path}" in cli.run("ls").stderr
    cli.env["SKERRY_TOKEN"] = "wrong"  # the environment wins
    cli.run("ls", code=4)
    del cli.env["SKERRY_TOKEN"]
    cli.run("config", "unset", "token")
    cli.run("ls", code=4)


def test_config_refuses_bad_input(cli):
    cli.run("config", "set", "colour", "red", code=2)
    cli.run("config", "frobnicate", code=2)
    cli.run("config", "set", "url", "nonsense", code=2)
    path = cli.home / ".config/skerry/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("\ntokn = 'x'\n")
    assert f"{path}:2: unknown key `tokn`; did you mean `token`?" in cli.run("ls", code=2).stderr


# ---- the command line


def test_typing_mistakes(cli):
    assert "did you mean `ship`?" in cli.run("shp", code=2).stderr
    assert "did you mean `--json`?" in cli.run("ls", "--jsn", code=2).stderr
    assert "did you mean `set`?" in cli.run("secrets", "sett", code=2).stderr
    assert "one word too many" in cli.run("ls", "extra", code=2).stderr
    assert cli.error("get", code=2)["code"] == "usage"
    assert "Usage: skerry" in cli.run().stdout
    assert cli.run("--version").stdout.startswith("skerry ")


def test_init_writes_a_project_of_each_language(cli, tmp_path):
    for lang, shipped_as in (("python", "python"), ("node", "node"), ("ts", "node"), ("go", "go"), ("java", "java")):
        out = cli.json("init", "--lang", lang, f"first-{lang}")
        folder = cli.home / f"first-{lang}"
        assert all((cli.home / f).is_file() for f in out["files"]) and (folder / ".gitignore").is_file()
        assert f'func_name = "first-{lang}"' in (folder / "func.toml").read_text()
        assert not any("{{" in p.read_text() for p in folder.rglob("*") if p.is_file())
        checked = cli.json("ship", "--check", cwd=folder)
        assert checked["ok"] and checked["language"] == shipped_as and checked["diagnostics"] == []


def test_init_refuses(cli):
    cli.run("init", "--lang", "python", "hello")
    before = (cli.home / "hello/func.py").read_text()
    assert "is there already" in cli.run("init", "--lang", "python", "hello", code=1).stderr
    assert (cli.home / "hello/func.py").read_text() == before
    assert "did you mean `python`?" in cli.run("init", "--lang", "pyton", "x", code=2).stderr
    assert "`hello-world` would do" in cli.run("init", "--lang", "go", "Hello_World", code=2).stderr
    assert "--lang" in cli.run("init", "x", code=2).stderr


def test_doctor_knows_the_ports_of_the_gateway_of_this_machine(cli, gateway):
    taken = []
    try:
        for port in (8443, 8080):  # one that the gateway names, and one that it does not
            try:
                taken.append(socket.create_server(("127.0.0.1", port)))
            except OSError:
                pass  # in use already, which is as good
        gateway.overrides[("GET", "/v1/status")] = (200, json.dumps({"ports": {"https": 8443, "http": 1, "api": 2}}).encode())
        done = subprocess.run([BINARY, "doctor", "--json"], env=cli.env, capture_output=True, text=True, timeout=TIMEOUT_S)
        findings = {f["name"]: f for f in json.loads(done.stdout)["findings"]}
        assert (findings["port 8443"]["health"], findings["port 8443"]["found"]) == ("ok", "in use, by Skerry")
        assert findings["port 8080"]["health"] == "warning" and "ss -ltnp" in findings["port 8080"]["fix"]
    finally:
        for server in taken:
            server.close()


def test_doctor_works_without_a_gateway(cli):
    cli.env["SKERRY_URL"] = "unix:/no/such.sock"
    done = subprocess.run([BINARY, "doctor", "--json"], env=cli.env, capture_output=True, text=True, timeout=TIMEOUT_S)
    report = json.loads(done.stdout)
    findings = {f["name"]: f for f in report["findings"]}
    assert done.returncode == (0 if report["ok"] else 1)
    assert findings["gateway"]["health"] == "warning"
    for name in ("kernel", "namespaces", "cgroup memory", "favordynmods", "veth", "nf_tables", "program nft", "port 8443", "disk"):
        assert findings[name]["found"]
    assert all(f["fix"] for f in findings.values() if f["health"] != "ok")
    cli.env["PATH"] = "/nowhere"
    lines = subprocess.run([BINARY, "doctor"], env=cli.env, capture_output=True, text=True, timeout=TIMEOUT_S).stdout
    assert "apt-get install mmdebstrap" in lines
