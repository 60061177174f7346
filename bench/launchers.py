"""Peers that start a container from its command line: `crun run`, and bubblewrap. Each runs bench/upstream.c on a listening socket that was made before and already
holds the request: the cheapest way in that they offer."""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import harness

CLONE_FS, CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x200, 0x20000, 0x4000, 1 << 18, 2


class Launcher:
    """A command that starts the program; `run()` says which, `end()` what is left to do after it."""

    def __init__(self, stack):
        self.samples, self.asked = [], 0
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.folder.chmod(0o755)
        rootfs = self.folder / "rootfs"
        for name in ("proc", "dev", "sys"):
            (rootfs / name).mkdir(parents=True)
        (rootfs / "upstream").write_bytes((harness.PEERS / "upstream").read_bytes())
        (rootfs / "upstream").chmod(0o755)
        self.prepare(stack)
        self.sample()  # says at once what is wrong, and fills caches
        self.samples.clear()

    def prepare(self, stack):
        self.thread = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))

    def sample(self):
        time.sleep(harness.SPACE_S)
        self.asked += 1
        self.samples.append(self.thread.submit(self.run_once, f"bench-{os.getpid()}-{self.asked}").result(60))

    def run_once(self, name):
        command = [str(word) for word in self.command(name)]
        path = str(self.folder / "listen.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        log = os.open(self.folder / "log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
            listener.bind(path)
            listener.listen()
            caller.connect(path)
            caller.settimeout(30)
            moves = [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in ((log, 1), (log, 2), (listener.fileno(), 3), (log, 4))]
            begin = time.perf_counter_ns()
            caller.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            pid = os.posix_spawn(command[0], command, {}, file_actions=moves)
            listener.close()
            try:
                if not caller.recv(4096):
                    raise RuntimeError(f"{command[0]}: {(self.folder / 'log').read_text()}")
                return (time.perf_counter_ns() - begin) / 1e6
            finally:
                os.close(log)
                self.end(name, pid)
                os.waitpid(pid, 0)


class Crun(Launcher):
    """`crun run`. It refuses machines with both kinds of control groups, so it is started by a thread whose mounts lack the second kind."""

    def prepare(self, stack):
        subprocess.run(["crun", "spec"], cwd=self.folder, check=True)
        config = json.loads((self.folder / "config.json").read_text())
        config["process"].update(terminal=False, args=["/upstream", "fd"], cwd="/")
        config["linux"]["resources"] = {"memory": {"limit": 256 << 20}, "pids": {"limit": 1024}}  # limits as a function has them
        (self.folder / "config.json").write_text(json.dumps(config))
        self.thread = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1, initializer=self.hide_unified_groups))

    @staticmethod
    def hide_unified_groups():
        libc = ctypes.CDLL(None, use_errno=True)
        for done in (libc.unshare(CLONE_FS | CLONE_NEWNS), libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)):
            if done != 0:
                raise OSError(ctypes.get_errno(), "private mounts")
        if os.path.ismount("/sys/fs/cgroup/unified"):
            libc.umount2(b"/sys/fs/cgroup/unified", MNT_DETACH)

    def crun(self):
        return [shutil.which("crun"), "--root", self.folder / "state", "--cgroup-manager", "cgroupfs"]

    def command(self, name):
        return [*self.crun(), "run", "--preserve-fds", "2", "--bundle", self.folder, name]

    def end(self, name, pid):
        subprocess.run([*self.crun(), "delete", "--force", name], capture_output=True, timeout=30)


class Bubblewrap(Launcher):
    """bubblewrap with every namespace it has and no capability: no control group, no filter of system calls, no network but its own loopback."""

    def command(self, name):
        return [shutil.which("bwrap"), "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--bind", self.folder / "rootfs", "/", "--proc", "/proc", "--dev", "/dev",
                "/upstream", "fd"]

    def end(self, name, pid):
        os.kill(pid, 9)


def peer(report, name, make, stack):
    """A contender from outside, or None and a row with the reason."""
    try:
        if reason := harness.missing(name):
            raise RuntimeError(reason)
        return make(stack)
    except (OSError, RuntimeError, StopIteration, TimeoutError, subprocess.SubprocessError) as e:
        report.add(f"{report.what}/{name}", "ms", note=f"not measured: {e or type(e).__name__}")
        return None
