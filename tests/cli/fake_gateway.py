"""A gateway with the answers of docs/api.md, kept in memory. Records every request; tests change its state and its answers."""

import gzip
import hashlib
import http.server
import io
import json
import socket
import socketserver
import tarfile
import threading
import urllib.parse

TOKEN = "tok-0123456789"
WAIT_S = 20
NOW = "2026-11-23T18:40:01.123Z"


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)


class FakeGateway:
    def __init__(self, socket_path=None, host="127.0.0.1"):
        self.requests = []
        self.functions = {}
        self.revisions = {}
        self.secrets = []
        self.not_renewed = []  # functions that do not start with a changed secret
        self.uploads = {}
        self.logs = []
        self.ca_pem = ""
        self.ship_events = None  # instead of the usual ones
        self.overrides = {}  # (method, path) -> (status, object or bytes)
        self.follow_hold = False  # a followed log stays open
        self.changed = threading.Condition()
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"gateway": self})
        if socket_path:
            self.server = _UnixServer(str(socket_path), handler)
            self.url = f"unix:{socket_path}"
        else:
            self.server = http.server.ThreadingHTTPServer((host, 0), handler)
            self.server.daemon_threads = True
            self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def add_function(self, name, url=None, revisions=1):
        made = [
            {"id": f"rev-{name}-{n}", "number": n, "tag": f"tag000{n}", "state": "ready", "created_at": NOW, "language": "python", "digest": "sha256:" + "0" * 64,
             "size": 2048, "config": {}, "url": f"https://tag000{n}--{name}-abcdefghij.skerry.localhost:8443/", "active": n == revisions}
            for n in range(1, revisions + 1)
        ]
        self.revisions[name] = list(reversed(made))
        self.functions[name] = {
            "id": f"fn-{name}", "name": name, "url": url or f"https://{name}-abcdefghij.skerry.localhost:8443/", "revision": made[-1], "revisions": revisions,
            "created_at": NOW, "updated_at": NOW, "config": {"env": {"LOG_LEVEL": "hidden-value"}, "memory_mb": 256}, "instances": {"idle": 1, "busy": 0, "starting": 0},
            "last_start": {"mode": "fork", "at": NOW, "phases": {"slot": 1}},
        }
        return self.functions[name]

    def note(self, record):
        with self.changed:
            self.requests.append(record)
            self.changed.notify_all()

    def wait_for(self, predicate):
        with self.changed:
            assert self.changed.wait_for(lambda: predicate(self.requests), WAIT_S), f"only saw {[(r['method'], r['path']) for r in self.requests]}"

    def sent(self, method, path):
        return [r for r in self.requests if r["method"] == method and r["path"] == path]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway = None

    def log_message(self, *args):
        pass

    def answer(self, status, body=None, content_type="application/json", headers=()):
        payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def error(self, status, code, message, **details):
        error = {"code": code, "message": message, "request_id": "req-1"}
        if details:
            error["details"] = details
        self.answer(status, {"error": error})

    def lines(self, objects, hold=False):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for o in objects:
            data = (o if isinstance(o, bytes) else json.dumps(o).encode()) + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if hold:
            self.gateway.closing.wait(WAIT_S)
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def dispatch(self):
        g = self.gateway
        split = urllib.parse.urlsplit(self.path)
        query = {k: v[0] for k, v in urllib.parse.parse_qs(split.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        g.note({"method": self.command, "path": split.path, "query": query, "headers": dict(self.headers), "body": body})
        if (self.command, split.path) in g.overrides:
            status, value = g.overrides[(self.command, split.path)]
            return self.answer(status, value)
        if split.path == "/v1/health":
            return self.answer(200, {"status": "ok", "version": "9.9.9"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.error(401, "unauthorized", "the token is not known")
        parts = [urllib.parse.unquote(p) for p in split.path.split("/")[2:]]
        handler = getattr(self, "on_" + parts[0], None)
        if handler is None:
            return self.error(404, "not_found", f"no call {split.path}")
        return handler(parts[1:], query, body)

    do_GET = do_POST = do_PUT = do_DELETE = dispatch

    def on_ca(self, parts, query, body):
        self.answer(200, {"pem": self.gateway.ca_pem})

    def on_status(self, parts, query, body):
        self.answer(200, {"version": "9.9.9", "gateway_id": "abcdefghij", "location": "local", "domain": "skerry.localhost", "ports": {"https": 8443, "http": 8080, "api": 8081},
                          "functions": len(self.gateway.functions), "instances": [{"id": "i1", "function": "orders", "revision": "r1", "state": "idle", "started_at": NOW}],
                          "processes": [{"name": "edge", "pid": 42, "started_at": NOW, "restarts": 1}], "machine": {}})

    def on_uploads(self, parts, query, body):
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self.gateway.uploads[digest] = body
        self.answer(201, {"digest": digest, "size": len(body), "files": 1, "expires_at": NOW})

    def on_functions(self, parts, query, body):
        g = self.gateway
        if not parts:
            return self.answer(200, {"functions": list(g.functions.values())})
        if parts == ["ship"]:
            return self.ship(json.loads(body))
        name = parts[0]
        if name not in g.functions:
            return self.error(404, "not_found", f"no function `{name}`")
        if len(parts) == 1 and self.command == "DELETE":
            del g.functions[name]
            return self.answer(204)
        if len(parts) == 1:
            return self.answer(200, g.functions[name])
        if parts[1] == "revisions":
            return self.answer(200, {"revisions": g.revisions[name]})
        if parts[1] == "rollback":
            return self.rollback(name, json.loads(body)["revision"])
        if parts[1] == "builds" and parts[2:] == ["b1", "log"]:
            return self.answer(200, b"line 1\nline \x1b[2J2\n", "text/plain")
        if parts[1] == "logs":
            lines = g.logs
            if query.get("cursor"):
                lines = [line for line in lines if line["cursor"] > query["cursor"]]
            if query.get("request_id"):
                lines = [line for line in lines if line.get("request_id") == query["request_id"]]
            return self.lines(lines, hold=g.follow_hold and query.get("follow") == "1")
        return self.error(404, "not_found", f"no call {self.path}")

    def rollback(self, name, wanted):
        for r in self.gateway.revisions[name]:
            if wanted in (r["id"], r["tag"], str(r["number"])):
                self.gateway.functions[name]["revision"] = r
                return self.answer(200, self.gateway.functions[name])
        return self.error(404, "not_found", f"no revision `{wanted}` of `{name}`")

    def ship(self, request):
        g = self.gateway
        if g.ship_events is not None:
            return self.lines(g.ship_events)
        name = request["function"]["name"]
        source = request.get("source")
        if source and "upload" in source and source["upload"] not in g.uploads:
            return self.error(400, "bad_request", "source.upload names no upload")
        f = g.functions.get(name) or g.add_function(name)
        events = [{"event": "accepted", "function": name, "revision": "r1"}]
        for stage in ("unpack", "deps", "start", "route"):
            events.append({"event": "stage", "stage": stage, "state": "begin"})
            if stage == "deps":
                events.append({"event": "log", "stage": "deps", "line": "Collecting \x1b[31mflask\x1b[0m"})
            events.append({"event": "stage", "stage": stage, "state": "cached" if stage == "deps" else "done", "ms": 12})
        events.append({"event": "warning", "message": "LOG_LEVEL stands over a secret"})
        events.append({"event": "done", "function": f, "revision": f["revision"], "url": f["url"], "ms": 321})
        return self.lines(events)

    def on_secrets(self, parts, query, body):
        g = self.gateway
        if not parts:
            return self.answer(200, {"secrets": g.secrets})
        if self.command == "PUT":
            request = json.loads(body)
            if request.get("function") and request["function"] not in g.functions:
                return self.error(404, "not_found", f"no function `{request['function']}`")
            g.secrets.append({"name": parts[0], "function": request.get("function"), "updated_at": NOW, "size": len(request["value"])})
            return self.answer(200, {"name": parts[0], "function": request.get("function"), "updated_at": NOW, "redeployed": ["orders"], "failed": g.not_renewed})
        if not any(s["name"] == parts[0] for s in g.secrets):
            return self.error(404, "not_found", f"no secret `{parts[0]}`")
        g.secrets = [s for s in g.secrets if s["name"] != parts[0]]
        return self.answer(200, {"name": parts[0], "function": None, "redeployed": ["orders"], "failed": g.not_renewed})

    def on_usage(self, parts, query, body):
        self.answer(200, {"since": query.get("since", NOW), "until": NOW, "functions": [
            {"function": "orders", "location": "local", "requests": 7, "errors": 1, "wall_ms": 1500, "cpu_ms": 200, "memory_mb_ms": 2048000, "request_bytes": 10, "response_bytes": 4096,
             "starts": {"warm": 6, "thaw": 0, "fork": 1, "prestart": 0, "boot": 0}}]})


def unpack(upload):
    """name -> TarInfo of an uploaded archive."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(upload))) as tar:
        return {m.name.rstrip("/"): m for m in tar.getmembers()}


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
