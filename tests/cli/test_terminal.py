"""What only happens on a terminal: prompts, progress, colours. And dev, which lives there."""

import json
import os
import pty
import select
import signal
import subprocess
import threading
import time

from conftest import BINARY, TIMEOUT_S
from fake_gateway import WAIT_S, unpack


class OnTerminal:
    """skerry with a pseudo terminal as all three of its standard descriptors."""

    def __init__(self, cli, *args, cwd=None):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([BINARY, *args], env=cli.env, cwd=cwd or cli.home, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.text = b""

    def read_until(self, words):
        deadline = time.monotonic() + WAIT_S
        while words not in self.text:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {words!r} in {self.text!r}"
            try:
                piece = os.read(self.master, 4096)
            except OSError:  # the other end is closed
                piece = b""
            assert piece, f"ended without {words!r}: {self.text!r}"
            self.text += piece

    def type(self, text):
        os.write(self.master, text)

    def finish(self):
        while True:
            try:
                piece = os.read(self.master, 4096)
            except OSError:
                break
            if not piece:
                break
            self.text += piece
        os.close(self.master)
        return self.process.wait(TIMEOUT_S)


def test_a_secret_is_asked_for_without_echo(cli, gateway):
    t = OnTerminal(cli, "secrets", "set", "DB")
    t.read_until(b"Value of DB (not shown)")
    t.type(b"hunter2\n")
    assert t.finish() == 0
    assert b"hunter2" not in t.text
    assert json.loads(gateway.sent("PUT", "/v1/secrets/DB")[0]["body"])["value"] == "hunter2"


def test_ctrl_c_at_the_prompt_sets_nothing(cli, gateway):
    t = OnTerminal(cli, "secrets", "set", "DB")
    t.read_until(b"Value of DB (not shown)")
    t.type(b"half\x03\n")
    assert t.finish() == 1
    assert gateway.sent("PUT", "/v1/secrets/DB") == []


def test_rm_asks_for_the_name(cli, gateway):
    gateway.add_function("orders")
    t = OnTerminal(cli, "rm", "orders")
    t.read_until(b"Type its name: ")
    t.type(b"yes\n")
    assert t.finish() == 1 and "orders" in gateway.functions
    t = OnTerminal(cli, "rm", "orders")
    t.read_until(b"Type its name: ")
    t.type(b"orders\n")
    assert t.finish() == 0 and gateway.functions == {}


def test_progress_moves_on_a_terminal_and_no_color_is_honoured(cli, gateway, project):
    t = OnTerminal(cli, "ship", str(project))
    assert t.finish() == 0
    assert b"Upload 100%" in t.text and b"\r\x1b[K" in t.text and b"\x1b[32mok" in t.text
    assert b"\x1b[31mflask" not in t.text  # the build's own escape sequences do not reach the terminal
    cli.env["NO_COLOR"] = "1"
    t = OnTerminal(cli, "ship", str(project))
    assert t.finish() == 0
    assert b"\x1b[32m" not in t.text and b"ok" in t.text


def ships(requests):
    return [r for r in requests if r["path"] == "/v1/functions/ship"]


def test_dev_ships_at_every_change_shows_the_log_and_removes(cli, gateway, project):
    gateway.follow_hold = True
    gateway.logs = [{"time": "2026-11-23T18:40:01.123Z", "stream": "stdout", "line": "from the function", "cursor": "c1"}]
    (project / "lib").mkdir()
    (project / "lib/a.py").write_text("1")
    p = cli.popen("dev", "--remote", str(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        gateway.wait_for(lambda seen: len(ships(seen)) == 1)
        assert json.loads(ships(gateway.requests)[0]["body"])["function"]["name"] == "orders-dev"
        assert "from the function" in p.stdout.readline()
        (project / "lib/a.py").write_text("22")
        gateway.wait_for(lambda seen: len(ships(seen)) == 2)
        newest = gateway.uploads[json.loads(ships(gateway.requests)[1]["body"])["source"]["upload"]]
        assert unpack(newest)["lib/a.py"].size == 2
        gateway.ship_events = [{"event": "error", "error": {"code": "build_failed", "message": "syntax error", "details": {"stage": "build", "log_tail": "line 1"}}}]
        (project / "func.py").write_text("def new(:\n")  # a failed build is told, and the next change is tried
        gateway.wait_for(lambda seen: len(ships(seen)) == 3)
        gateway.ship_events = None
        (project / "new_folder").mkdir()
        (project / "func.py").write_text("def new(): return 3\n")
        gateway.wait_for(lambda seen: len(ships(seen)) == 4)
        assert "orders-dev" in gateway.functions
    finally:
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=TIMEOUT_S)
    assert p.returncode == 0, err
    assert "syntax error" in err and "line 1" in err and "waiting for a change" in err
    assert gateway.functions == {} and not (project / ".skerry").exists()


def test_dev_does_not_ship_its_own_output(cli, gateway, project):
    gateway.follow_hold = True
    with open(project / "dev.log", "wb") as log:
        p = cli.popen("dev", "--remote", str(project), stdout=log, stderr=log)
    try:
        gateway.wait_for(lambda seen: len(ships(seen)) == 1)
        (project / "func.py").write_text("def new(): return 2\n")
        gateway.wait_for(lambda seen: len(ships(seen)) == 2)
    finally:
        p.send_signal(signal.SIGINT)
        assert p.wait(TIMEOUT_S) == 0
    assert len(ships(gateway.requests)) == 2
    assert all("dev.log" not in unpack(upload) for upload in gateway.uploads.values())
    assert "`dev.log` is not uploaded" in (project / "dev.log").read_text()


def test_dev_gives_up_on_a_file_that_never_rests(cli, gateway, project):
    gateway.follow_hold = True
    stop = threading.Event()

    def write():
        n = 0
        while not stop.wait(0.02):
            n += 1
            (project / "noise").write_text(str(n))

    writer = threading.Thread(target=write)
    writer.start()
    p = cli.popen("dev", "--remote", str(project), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for line in p.stderr:
            if "`noise` changes all the time" in line:
                break
        else:
            raise AssertionError("the restless file was never named")
        before = len(ships(gateway.requests))
        assert before <= 6
        (project / "func.py").write_text("def new(): return 2\n")  # the others are still followed
        gateway.wait_for(lambda seen: len(ships(seen)) == before + 1)
    finally:
        stop.set()
        writer.join()
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=TIMEOUT_S)
    assert p.returncode == 0


def test_dev_fails_at_once_without_a_gateway_or_project(cli, project, tmp_path):
    assert "is not a folder" in cli.run("dev", "--remote", str(tmp_path / "none"), code=2).stderr
    cli.env["SKERRY_URL"] = "unix:/no/such.sock"
    cli.run("dev", "--remote", str(project), code=5)
