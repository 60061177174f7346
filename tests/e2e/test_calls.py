"""What a function reaches of its host: names (whatever the host's resolver is) and other functions by their public URLs, with TLS that verifies. And nothing else of it."""
import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.parse

import pytest
from conftest import BIN, Skerry, free_port
from fake_resolver import ADDRESS, Resolver

MANIFEST = '[edge_compute]\nfunc_name = "{0}"\n[runtime]\n{1}\n'
PROLOGUE = '''
import asyncio, json, socket, struct, threading, time, urllib.error, urllib.parse, urllib.request
def fetch(url, headers={}):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode()}
    except OSError as error:
        return {"error": str(error)}
class F:
    async def handle(self, scope, receive, send):
        query = {k: v[0] for k, v in urllib.parse.parse_qs(scope["query_string"].decode()).items()}
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        result = await asyncio.get_running_loop().run_in_executor(None, act, query, headers)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(result).encode()})
def new():
    return F()
'''
CALLER = PROLOGUE + '''
def act(query, headers):
    return fetch(query["url"])
'''
SEEN = PROLOGUE + '''
def act(query, headers):
    return headers
'''
# Calls itself and strips, or forges, what would tell how deep it stands.
LOOP = PROLOGUE + '''
def act(query, headers):
    inner = fetch(query["url"] + "?" + urllib.parse.urlencode(query), {"x-skerry-hops": "0"} if "forge" in query else {})
    if inner.get("status") != 200:
        return {"calls": 1, **inner}
    inner = json.loads(inner["body"])
    return {**inner, "calls": inner["calls"] + 1}
'''
# Answers first and calls itself afterwards.
AFTERWARDS = PROLOGUE + '''
def later(query):
    time.sleep(0.2)
    print("later", fetch(query["url"] + "?" + urllib.parse.urlencode(query)).get("status"), flush=True)
def act(query, headers):
    threading.Thread(target=later, args=(query,)).start()
'''
ASKER = PROLOGUE + '''
GATEWAY = open("/etc/resolv.conf").read().split()[1]
def question(name, kind, id_=7):
    return struct.pack(">HHHHHH", id_, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0" + struct.pack(">HH", kind, 1)
def ask(name, kind, tcp):
    if tcp:
        with socket.create_connection((GATEWAY, 53), 8) as s:
            message = question(name, kind)
            s.sendall(struct.pack(">H", len(message)) + message)
            size = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
            return s.recv(size, socket.MSG_WAITALL)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(8)
        s.connect((GATEWAY, 53))
        s.send(question(name, kind))
        return s.recv(4096)
def connects(port):
    try:
        socket.create_connection((GATEWAY, port), 1).close()
        return True
    except OSError:
        return False
def act(query, headers):
    if "connect" in query:
        return {port: connects(int(port)) for port in query["connect"].split(",")}
    if "name" in query:
        try:
            return sorted({entry[4][0] for entry in socket.getaddrinfo(query["name"], 443)})
        except OSError as error:
            return str(error)
    if "flood" in query:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((GATEWAY, 53))
            s.settimeout(1)
            for n in range(int(query["flood"])):
                s.send(question("silent.flood.example.org", 1, n % 65536))
            codes = {}
            try:
                while True:
                    code = s.recv(4096)[3] & 15
                    codes[code] = codes.get(code, 0) + 1
            except OSError:
                return codes
    began = time.monotonic()
    answer = ask(query["ask"], int(query.get("kind", 1)), "tcp" in query)
    return {"code": answer[3] & 15, "answers": answer[7], "bytes": len(answer), "end": answer[-4:].hex(), "took": time.monotonic() - began}
'''


@pytest.fixture(scope="module")
def resolver():
    r = Resolver()
    yield r
    r.close()


@pytest.fixture(scope="module")
def dead():
    """A port of the loopback where nobody answers and nobody refuses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


@pytest.fixture(scope="module")
def here(resolver, dead):
    """A Skerry that asks a silent resolver first, then one of the loopback that answers."""
    s = Skerry(settings=f'[dns]\nresolvers = ["127.0.0.1:{dead}", "127.0.0.1:{resolver.port}"]\n')
    for name, source, runtime in (("caller", CALLER, ""), ("seen", SEEN, ""), ("loop", LOOP, 'timeout = "30s"'), ("asker", ASKER, ""), ("bystander", ASKER, ""), ("afterwards", AFTERWARDS, "background = true"),
                                  ("alone", LOOP, 'timeout = "3s"\nmax_instances = 1')):
        result = s.ship(None, **{"func.toml": MANIFEST.format(name, runtime), "func.py": source})
        assert result.returncode == 0, (result.stdout, result.stderr, s.log())
    yield s
    s.close()


def url_of(skerry, name):
    return skerry.get(name)["url"]


def invoke(skerry, function, /, **query):
    answer = skerry.call(url_of(skerry, function), "?" + urllib.parse.urlencode(query))
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def requests_of(skerry, name):
    usage = json.loads(skerry.cli("usage", "--json").stdout)
    return sum(f["requests"] for f in usage["functions"] if f["function"] == name)


# ---- names

def test_names_resolve_by_a_resolver_of_the_hosts_loopback_behind_a_dead_one(here):
    assert invoke(here, "asker", name="www.example.org") == [ADDRESS]


def test_names_resolve_over_tcp_with_what_does_not_fit_udp(here, resolver):
    udp = invoke(here, "asker", ask="long.example.org")
    assert udp["code"] == 0 and udp["answers"] == 0
    tcp = invoke(here, "asker", ask="long.example.org", tcp=1)
    assert tcp["answers"] == 100 and tcp["bytes"] > 512
    assert ("tcp", "long.example.org") in [entry[:2] for entry in resolver.asked]
    assert invoke(here, "asker", name="long.example.org") == [ADDRESS]


def test_a_spoofed_answer_is_ignored(here):
    answer = invoke(here, "asker", ask="spoofed.example.org")
    assert answer["end"] == socket.inet_aton(ADDRESS).hex(), answer


def test_each_question_has_a_source_port_and_an_id_of_its_own(here, resolver):
    for _ in range(6):
        invoke(here, "asker", ask="again.example.org")
    asked = [entry[2:] for entry in resolver.asked if entry[1] == "again.example.org"]
    assert len(asked) >= 6 and len({port for port, _ in asked}) >= 5 and len({id_ for _, id_ in asked}) >= 5


def test_without_an_answer_a_name_fails_after_five_seconds(here):
    answer = invoke(here, "asker", ask="silent.example.org")
    assert answer["code"] == 2 and 4.9 < answer["took"] < 8, answer


def test_platform_names_lead_to_the_gateway_and_are_asked_of_nobody(here, resolver):
    gateway = here.subnet.split(".0.0/")[0] + ".0.1"
    assert invoke(here, "asker", name="any-0123456789.skerry.localhost") == [gateway]
    for kind in (28, 65):
        answer = invoke(here, "asker", ask="skerry.localhost", kind=kind)
        assert answer["code"] == 0 and answer["answers"] == 0
    assert not [entry for entry in resolver.asked if "localhost" in entry[1]]


@pytest.mark.parametrize("kind", [251, 252])
def test_zone_transfers_are_refused(here, resolver, kind):
    assert invoke(here, "asker", ask="zone.example.org", kind=kind, tcp=1)["code"] == 5
    assert not [entry for entry in resolver.asked if entry[1] == "zone.example.org"]


def test_a_flood_of_questions_is_refused_and_others_are_served(here, resolver):
    """Of one container: past its rate and its number in flight, each is told so. Another container has its own share meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        flood = pool.submit(invoke, here, "asker", flood=2000)
        here.wait(lambda: [entry for entry in resolver.asked if entry[1] == "silent.flood.example.org"], "no flood came")
        assert invoke(here, "bystander", name="www.example.net") == [ADDRESS]
        codes = flood.result()
    assert codes.get("5", 0) >= 100, codes  # as many as its own socket holds
    assert len([entry for entry in resolver.asked if entry[1] == "silent.flood.example.org"]) < 200


def test_build_jobs_resolve_names(here):
    source = 'import socket\nprint(socket.getaddrinfo("build.example.org", 443)[0][4][0])\n'
    result = here.ship(None, **{"func.toml": MANIFEST.format("built", "") + '[build]\ncommand = "python3 resolve.py > found.txt"\n', "resolve.py": source,
                                "func.py": PROLOGUE + '\ndef act(query, headers):\n    return open("/app/found.txt").read()\n'})
    assert result.returncode == 0, (result.stdout, result.stderr)
    assert invoke(here, "built") == ADDRESS + "\n"


@pytest.mark.parametrize("resolvers,words", [('["nowhere"]', "`nowhere` is not a numeric IP address"), ('["10.0.0.1:0"]', "`10.0.0.1:0` has no port from 1 to 65535"), ('"10.0.0.1"', "must be a list of strings"),
                                             ('["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]', "has 4 entries, at most 3")])
def test_a_resolver_that_is_none_stops_the_daemon_with_its_line(tmp_path, resolvers, words):
    config = tmp_path / "skerry.toml"
    config.write_text(f"[dns]\nresolvers = {resolvers}\n")
    result = subprocess.run([BIN / "skerryd", "--config", config], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1 and f"{config} line 2: `dns.resolvers` {words}" in result.stderr, result.stderr


def test_another_program_at_the_port_for_names_is_told_of_with_what_to_do(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("starts skerryd: needs root")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        taken.bind(("100.95.0.1", 53))
        config = tmp_path / "skerry.toml"
        config.write_text(f'state_dir = "{tmp_path}/s"\nrun_dir = "{tmp_path}/r"\ntag = "n{os.getpid() % 10**6}"\nsubnet = "100.95.0.0/16"\n[ports]\n'
                          + "".join(f"{name} = {free_port()}\n" for name in ("https", "http", "api")))
        result = subprocess.run([BIN / "skerryd", "--config", config], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1, result.stderr
    assert "100.95.0.1 port 53 is in use by another program" in result.stderr and "name those that it shall serve" in result.stderr, result.stderr


# ---- what is closed

def test_nothing_but_names_and_ingress_of_the_host_is_reached(here):
    with socket.socket() as open_to_all:
        open_to_all.bind(("0.0.0.0", 0))
        open_to_all.listen()
        ports = [53, here.https, here.http, here.api, open_to_all.getsockname()[1]]
        assert list(invoke(here, "asker", connect=",".join(map(str, ports))).values()) == [True, True, False, False, False]


# ---- calls

def test_a_python_function_calls_another_with_tls_that_verifies(here):
    before = requests_of(here, "seen")
    answer = invoke(here, "caller", url=url_of(here, "seen"))
    assert answer["status"] == 200, answer
    headers = json.loads(answer["body"])
    assert headers["x-skerry-hops"] == "2" and headers["x-forwarded-proto"] == "https" and headers["x-forwarded-for"].startswith(here.subnet.split(".0.0/")[0])
    assert requests_of(here, "seen") == before + 1


NODE = '''
const https = require('https');
module.exports = { async handle(context) {
  const url = context.query.url;
  const byFetch = await fetch(url).then((r) => r.status, (e) => String(e.cause || e));
  const byHttps = await new Promise((resolve) => https.get(url, (r) => { r.resume(); resolve(r.statusCode); }).on('error', (e) => resolve(String(e))));
  return { byFetch, byHttps };
} };
'''
GO = '''package calls

import (
	"fmt"
	"net/http"
)

func Handle(w http.ResponseWriter, r *http.Request) {
	answer, err := http.Get(r.URL.Query().Get("url"))
	if err != nil {
		fmt.Fprintf(w, "%q", err.Error())
		return
	}
	answer.Body.Close()
	fmt.Fprintf(w, "%d", answer.StatusCode)
}
'''


def ship(skerry, name, **files):
    result = skerry.ship(None, **{"func.toml": MANIFEST.format(name, ""), **files})
    assert result.returncode == 0, (result.stdout, result.stderr, skerry.log())


def test_a_node_function_calls_another_with_tls_that_verifies(here):
    ship(here, "node", **{"index.js": NODE, "package.json": '{"name": "node", "version": "1.0.0", "main": "index.js"}'})
    assert invoke(here, "node", url=url_of(here, "seen")) == {"byFetch": 200, "byHttps": 200}


def test_a_go_function_calls_another_with_tls_that_verifies(here):
    ship(here, "go", **{"calls.go": GO, "go.mod": "module calls\n\ngo 1.24\n"})
    assert invoke(here, "go", url=url_of(here, "seen")) == 200


JAVA = '''package functions;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;

/** Calls the URL that the body names. */
public class Function {
    public void handle(HttpExchange exchange) throws IOException {
        String said;
        try {
            String url = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            HttpRequest request = HttpRequest.newBuilder(URI.create(url)).build();
            said = String.valueOf(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding()).statusCode());
        } catch (Exception error) {
            said = error.toString();
        }
        byte[] body = said.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
    }
}
'''


def test_a_java_function_calls_another_with_tls_that_verifies(here):
    example = pathlib.Path(__file__).resolve().parents[2] / "examples/hello-java"
    result = here.ship(example, **{"func.toml": MANIFEST.format("java", ""), "src/main/java/functions/Function.java": JAVA})
    assert result.returncode == 0, (result.stdout, result.stderr, here.log())
    answer = here.call(url_of(here, "java"), method="POST", body=url_of(here, "seen"))
    assert answer.status == 200 and answer.text == "200", answer.text


def test_a_function_that_calls_itself_is_stopped_at_the_ninth_call(here):
    for query in ({}, {"forge": 1}):
        before = requests_of(here, "loop")
        answer = invoke(here, "loop", url=url_of(here, "loop"), **query)
        assert answer["calls"] == 9 and answer["status"] == 508 and "loop_detected" in answer["body"], answer
        assert requests_of(here, "loop") == before + 9


def test_a_function_that_answers_before_it_calls_gets_no_further(here):
    before = requests_of(here, "afterwards")
    assert here.call(url_of(here, "afterwards"), "?" + urllib.parse.urlencode({"url": url_of(here, "afterwards")})).status == 200
    here.wait(lambda: "later 508" in here.cli("logs", "afterwards", "--json").stdout, "it was not stopped")
    assert requests_of(here, "afterwards") == before + 9


def test_a_hop_count_from_outside_counts_for_nothing(here):
    answer = here.call(url_of(here, "seen"), headers={"x-skerry-hops": "8"})
    assert json.loads(answer.text)["x-skerry-hops"] == "1"


def test_a_function_that_waits_for_itself_ends_by_its_deadline(here):
    began = time.monotonic()
    answer = here.call(url_of(here, "alone"), "?" + urllib.parse.urlencode({"url": url_of(here, "alone")}))
    assert answer.status == 504 and time.monotonic() - began < 20, answer.text
    # Whoever comes next is served.
    answer = here.call(url_of(here, "alone"), "?" + urllib.parse.urlencode({"url": "https://nobody.skerry.localhost:%d/" % here.https}))
    assert answer.status == 200 and json.loads(answer.text)["status"] == 404, answer.text
