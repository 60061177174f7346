"""The plainest container: an own server that tells what it was given and what it may do. It gives up no descriptor and changes nothing before it looks."""
import grp
import http.server
import json
import os
import pwd
import stat
import sys

FIRST = {"stdin": os.read(0, 1).decode(), "cwd": os.getcwd(), "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in ("0", "1", "2")}, "terminal": any(map(os.isatty, range(3)))}
READY = 0


def attempt(work):
    try:
        return work()
    except OSError as error:
        return type(error).__name__


def write(path):
    with open(path, "w") as file:
        file.write("x")
    os.unlink(path)
    return "ok"


def kind(path):
    mode = os.lstat(path).st_mode
    return "link to " + os.readlink(path) if stat.S_ISLNK(mode) else "folder" if stat.S_ISDIR(mode) else "device" if stat.S_ISCHR(mode) else "file"


def piped():
    read, end = os.pipe()
    if os.fork() == 0:
        os.write(end, b"from a process of the same container")
        os._exit(0)
    os.close(end)
    os.wait()
    with os.fdopen(read) as pipe:
        return pipe.read()


def tell(handler):
    mounts = [line.split() for line in open("/proc/self/mounts")]
    return {**FIRST, "argv": sys.argv, "env": dict(os.environ), "headers": [[name.lower(), value] for name, value in handler.headers.items()], "version": handler.request_version,
            "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "user": attempt(lambda: pwd.getpwuid(os.getuid()).pw_name), "group": attempt(lambda: grp.getgrgid(os.getgid()).gr_name),
            "kinds": {path: attempt(lambda: kind(path)) for path in json.loads(handler.headers.get("x-look", "[]"))},
            "write": {path: attempt(lambda: write(path)) for path in json.loads(handler.headers.get("x-write", "[]"))},
            "mounts": {point: {"type": type_, "options": options.split(",")} for _, point, type_, options, *_ in mounts}, "pipe": piped(), "hostname": os.uname().nodename,
            "files": {path: attempt(lambda: open(path).read()) for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/proc/self/cgroup")}}


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global READY
        body = b""
        status = 200
        if self.path == "/health/readiness":
            READY += 1
            status = 503 if READY < 3 else 200  # the first two times it asks for patience
        elif self.path == "/die":
            print("the server gives up", file=sys.stderr, flush=True)
            os._exit(3)
        else:
            print("said on standard output", flush=True)
            print("said on standard error", file=sys.stderr, flush=True)
            body = json.dumps({**tell(self), "asked": READY}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Server).serve_forever()
