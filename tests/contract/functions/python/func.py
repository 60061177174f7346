"""What an ordinary Python program does: each is "ok", or what went wrong."""
import json
import mmap
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading


def threads():
    total, lock = [], threading.Lock()

    def work():
        with lock:
            total.append(1)
    running = [threading.Thread(target=work) for _ in range(50)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(total) == 50


def subprocesses():
    told = subprocess.run("read word; echo $word $((6 * 7)); exit 3", shell=True, input="hello\n", capture_output=True, text=True)
    killed = subprocess.run(["sh", "-c", "kill -9 $$"])
    return (told.stdout, told.returncode, killed.returncode) == ("hello 42\n", 3, -9)


def temporary_files():
    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as folder:
        file.write(b"x" * (1 << 20))
        file.flush()
        os.symlink(file.name, folder + "/link")
        os.rename(folder + "/link", folder + "/moved")
        return os.stat(folder + "/moved").st_size == 1 << 20 and file.name.startswith("/tmp/")


def tls():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain("/app/cert.pem", "/app/key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(2):
            connection, _ = listener.accept()
            try:
                with server.wrap_socket(connection, server_side=True) as one:
                    one.sendall(b"over tls")
            except OSError:
                pass  # the second caller does not trust it
    threading.Thread(target=serve, daemon=True).start()

    def fetch(context):
        with socket.create_connection(listener.getsockname()) as plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
            return secure.recv(100)
    good = fetch(ssl.create_default_context(cafile="/app/cert.pem"))
    try:
        fetch(ssl.create_default_context())
    except ssl.SSLCertVerificationError:
        return good == b"over tls"
    return "a stranger's certificate was taken"


def sqlite():
    with sqlite3.connect("/tmp/a.db") as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table t (x)")
        db.executemany("insert into t values (?)", [(n,) for n in range(1000)])
        return db.execute("select sum(x) from t").fetchone() == (499500,)


def maps():
    with mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[0], memory[-1] = 1, 2
        return memory[0] + memory[-1] == 3


HEARD = []
signal.signal(signal.SIGUSR1, lambda *_: HEARD.append("usr1"))


def signals():
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return HEARD == ["usr1"]


def attempt(work):
    try:
        answer = work()
        return "ok" if answer is True else str(answer)
    except Exception as error:
        return repr(error)


class Function:
    async def handle(self, scope, receive, send):
        work = [threads, subprocesses, temporary_files, tls, sqlite, maps, signals]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps({each.__name__: attempt(each) for each in work}).encode()})


def new():
    return Function()
