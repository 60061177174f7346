"""Contenders that proxy to bench/upstream.c: our edge to it in a container, nginx and HAProxy to it as bare processes. Same work in all: Host routing,
forwarding headers, a request id, one access log line a request; TLS 1.3 AES-128-GCM with an ECDSA P-256 certificate; one worker."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import harness

TRANSPORTS = ("tcp", "unix")
PROXY_CPU, LOAD_CPU = 0, 1
# A function whose instance becomes the upstream program and speaks the shims' protocol with what the shim was given: that is how the unix transport reaches C.
EXEC_PY = """import fcntl
import os


def new():
    for fd in (3, 4):
        fcntl.fcntl(fd, fcntl.F_SETFD, 0)
    os.execv("/app/upstream", ["upstream", "fd"])
"""

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error warn;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  log_format line escape=json '{{"time":"$time_iso8601","request_id":"$request_id","method":"$request_method","host":"$host","path":"$uri","status":$status,"took":$request_time,"upstream":"$upstream_response_time","request_bytes":$request_length,"response_bytes":$bytes_sent,"peer":"$remote_addr"}}';
  access_log {folder}/nginx.access line buffer=64k flush=1s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_timeout 300s; keepalive_requests 1000000000; tcp_nodelay on; server_tokens off;
  ssl_certificate {folder}/both.pem; ssl_certificate_key {folder}/both.pem;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519; ssl_session_cache shared:tls:16m; ssl_buffer_size 16k;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Request-Id $request_id;
  proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;
  add_header X-Request-Id $request_id;
  upstream tcp {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 300s; }}
  upstream unix {{ server unix:{upstream_path}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 300s; }}
  server {{ listen 127.0.0.1:{plain} default_server; listen 127.0.0.1:{tls} ssl http2 default_server; server_name _; return 404; }}
  server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl http2; server_name tcp.test; location / {{ proxy_pass http://tcp; }} }}
  server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl http2; server_name unix.test; location / {{ proxy_pass http://unix; }} }}
}}
"""

HAPROXY = """
ring lines
  format raw
  maxlen 1200
  size 1048576
  backing-file {folder}/haproxy.ring
global
  nbthread 1
  maxconn 8192
  log ring@lines len 1200 local0
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-curves X25519
defaults
  mode http
  log global
  log-format '{{"time":"%tr","request_id":"%ID","method":"%HM","host":"%[capture.req.hdr(0)]","path":"%HP","status":%ST,"took":%Ta,"upstream":%Tr,"response_bytes":%B,"peer":"%ci"}}'
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:{plain}
  bind 127.0.0.1:{tls} ssl crt {folder}/both.pem ssl-min-ver TLSv1.3 alpn h2,http/1.1
  capture request header Host len 64
  unique-id-format %{{+X}}o%ci%cp%Ts%rt
  unique-id-header X-Request-Id
  http-response set-header X-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
  http-request set-header X-Forwarded-Host %[hdr(host)]
  option forwardfor
  use_backend %[hdr(host),field(1,.)]
backend tcp
  server one 127.0.0.1:{upstream_port}
backend unix
  server one unix@{upstream_path}
"""


class Contender:
    """Something that takes requests: where for each scheme, with which Host for each transport of its upstream, and whose CPU time is its."""

    def __init__(self, name, plain, tls, hosts, pids):
        self.name, self.addresses, self.hosts, self.pids = name, {"plain": plain, "tls": tls}, hosts, pids

    def load(self, transport, scheme, **options):
        return harness.load(self.addresses[scheme], host=self.hosts[transport], tls=scheme == "tls", **options)


class Bench:
    """The upstreams and whoever could be started in front of them, ours first."""

    def __init__(self, stack, report, daemon, pinned):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.chmod(self.folder, 0o755)
        self.load_cpu, self.proxy_cpu = (LOAD_CPU, PROXY_CPU) if pinned and (os.cpu_count() or 1) > 1 else (None, None)
        port, path = harness.free_port(), str(self.folder / "upstream.sock")
        self.direct = {"tcp": f"127.0.0.1:{port}", "unix": f"unix:{path}"}
        for where, ready in ((f"tcp:{port}", ("127.0.0.1", port)), (f"unix:{path}", path)):
            stack.enter_context(harness.process([harness.PEERS / "upstream", where], cpu=self.load_cpu, ready=ready))
        os.chmod(path, 0o777)  # nginx's worker is another user
        self.values = {"folder": self.folder, "upstream_port": port, "upstream_path": path}
        self.certificate()
        self.contenders = [self.ours(daemon)]
        for name, start in (("nginx", self.nginx), ("haproxy", self.haproxy)):
            try:
                if reason := harness.missing(name):
                    raise RuntimeError(reason)
                self.contenders.append(start(stack))
            except (OSError, RuntimeError, TimeoutError) as e:
                report.add(f"{report.what}/{name}", "", note=f"not measured: {e}")

    def certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=*.test",
                        "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"], check=True, capture_output=True)
        (self.folder / "both.pem").write_text((self.folder / "cert.pem").read_text() + (self.folder / "key.pem").read_text())

    def ours(self, d):
        options = {"idle_timeout": "1h", "min_instances": 1, "max_instances": 1, "concurrency": 256, "language": "python"}
        program = harness.PEERS / "upstream"
        functions = {"tcp": d.deploy("up-tcp", files={"upstream": program}, entrypoint=["/app/upstream"], **options),
                     "unix": d.deploy("up-unix", files={"upstream": program, "func.py": EXEC_PY}, **options)}
        edge = d.processes()["edge"]
        if self.load_cpu is not None:
            harness.pin([edge], self.proxy_cpu)
            for function in functions.values():
                harness.wait_for(function.processes, f"no instance of {function.name}")
                harness.pin(function.processes(), self.load_cpu)
        return Contender("ours", f"127.0.0.1:{d.http}", f"127.0.0.1:{d.https}", {t: f.host for t, f in functions.items()}, [edge])

    def nginx(self, stack):
        return self.peer(stack, "nginx", NGINX, lambda file: [shutil.which("nginx"), "-c", file, "-p", self.folder])

    def haproxy(self, stack):
        return self.peer(stack, "haproxy", HAPROXY, lambda file: [shutil.which("haproxy"), "-db", "-f", file])

    def peer(self, stack, name, template, command):
        plain, tls = harness.free_port(), harness.free_port()
        file = self.folder / f"{name}.conf"
        file.write_text(template.format(plain=plain, tls=tls, **self.values))
        p = stack.enter_context(harness.process(command(file), cpu=self.proxy_cpu, ready=("127.0.0.1", tls)))
        return Contender(name, f"127.0.0.1:{plain}", f"127.0.0.1:{tls}", {t: f"{t}.test" for t in TRANSPORTS}, harness.children(p.pid))

    def load(self, contender, transport, scheme, **options):
        return contender.load(transport, scheme, cpu=self.load_cpu, cpu_of=contender.pids, **options)

    def load_direct(self, transport, **options):
        return harness.load(self.direct[transport], host="direct.test", cpu=self.load_cpu, **options)
