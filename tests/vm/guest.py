"""Runs in the machine: the suites one after another, their reports to /run/results. Started by init.c; its output goes to the console."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

TREE, RESULTS = pathlib.Path("/run/tree"), pathlib.Path("/run/results")
BUILD = pathlib.Path("/tmp/build")
BEGAN = time.monotonic()


def say(line):
    print(f"[{time.monotonic() - BEGAN:6.0f} s] {line}", flush=True)


def environment(facts):
    return {"PATH": os.environ["PATH"], "HOME": "/tmp", "LANG": "C.UTF-8", "SKERRY_BUILD": str(BUILD), "SKERRY_BIN": str(BUILD / "bin/skerry"),
            "SKERRY_IMAGES": facts["images"], "SKERRY_SLOW": facts["slow"], "PYTHONDONTWRITEBYTECODE": "1"}


def run(number, suite, env, limit_s):
    """A suite that is late is interrupted, so that it still writes its report."""
    words = [TREE / word if (TREE / word).exists() else word for word in suite.split()]
    report = RESULTS / f"{number}.xml"
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--color=no", f"--junitxml={report}", f"--rootdir={TREE}", *words]
    with subprocess.Popen(command, cwd="/tmp", env=env, stdin=subprocess.DEVNULL) as process:
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            say("over its time")
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()


def main():
    facts = dict(line.split("=", 1) for line in (RESULTS / "facts").read_text().splitlines())
    pathlib.Path("/proc/sys/kernel/hostname").write_text("vm")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    say(f"Linux {os.uname().release}, cgroup {'v2' if pathlib.Path('/sys/fs/cgroup/cgroup.controllers').exists() else 'v1'}, {os.cpu_count()} processors")
    # On a disk as they are installed, not on a share.
    (BUILD / "bin").mkdir(parents=True)
    for program in (TREE / "build/dev/bin").glob("skerry*"):
        shutil.copy(program, BUILD / "bin")
    end = BEGAN + float(facts["limit_s"])
    for number, suite in enumerate(facts["suites"].split(",")):
        say(suite)
        status = run(number, suite, environment(facts), max(1, end - time.monotonic()))
        say(f"status {status}")
    (RESULTS / "ended").write_text("yes\n")


main()
