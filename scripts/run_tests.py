#!/usr/bin/env python3
"""Runs the suites one after another, each program with a time limit, and ends with every skip's reason, the ten slowest and the counts."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "dev"
UNIT_LIMIT_S = 300
PYTEST_LIMIT_S = 1500
SUITES = ["lint", "unit", "integration", "conformance", "security", "e2e", "sim"]
PYTEST = {
    "integration": ["tests/sandbox", "tests/control", "tests/cli", "tests/images", "shims/python/tests", "shims/node/tests", "shims/go/tests"],
    "conformance": ["tests/conformance", "tests/contract"],
    "security": ["tests/security"],
    "e2e": ["tests/e2e", "tests/build"],
    "sim": ["tests/sim"],
}


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.skips, self.failures, self.times = [], [], []

    def add(self, name, seconds, outcome, detail=""):
        self.times.append((seconds, name))
        if outcome == "passed":
            self.passed += 1
        elif outcome == "skipped":
            self.skipped += 1
            self.skips.append(f"{name}: {detail}")
        else:
            self.failed += 1
            self.failures.append(f"{name}: {detail}")

    def read_junit(self, path, prefix):
        for case in xml.parse(path).getroot().iter("testcase"):
            name = f"{prefix} {case.get('classname', '')}.{case.get('name')}"
            seconds = float(case.get("time") or 0)
            bad = case.find("failure") if case.find("failure") is not None else case.find("error")
            skip = case.find("skipped")
            if bad is not None:
                self.add(name, seconds, "failed", (bad.get("message") or "").split("\n")[0][:300])
            elif skip is not None or case.get("status") == "notrun":
                self.add(name, seconds, "skipped", (skip.get("message") if skip is not None else "not run") or "")
            else:
                self.add(name, seconds, "passed")

    def tell(self, seconds):
        """The last words of a run, and the end of the process."""
        for title, lines in (("skipped", self.skips), ("failed", self.failures)):
            if lines:
                print(f"\n{title}:")
                for line in lines:
                    print("  " + line)
        print("\nten slowest:")
        for each, name in sorted(self.times, reverse=True)[:10]:
            print(f"  {each:7.2f} s  {name}")
        print(f"\n{seconds:.0f} s in all")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.exit(1 if self.failed or not self.passed else 0)


def run(command, limit_s, **options):
    """The exit status; 124 when the limit passed and the process was ended."""
    process = subprocess.Popen([str(c) for c in command], cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return 124


def build(totals):
    begin = time.monotonic()
    print("building (preset dev)", flush=True)
    status = run([ROOT / "scripts/build", "dev"], 2400)
    if status != 0:
        totals.add("build", time.monotonic() - begin, "failed", f"status {status}")
    return status == 0


def lint(totals):
    begin = time.monotonic()
    status = run([ROOT / "scripts/lint"], 120)
    totals.add("lint", time.monotonic() - begin, "passed" if status == 0 else "failed", "see above")


def unit(totals, folder):
    for program in sorted((BUILD / "bin").glob("*_test")):
        report = folder / (program.name + ".xml")
        log = folder / (program.name + ".log")
        with open(log, "wb") as out:
            status = run([program, f"--gtest_output=xml:{report}"], UNIT_LIMIT_S, stdout=out, stderr=subprocess.STDOUT)
        if report.exists():
            totals.read_junit(report, program.name)
        if status != 0:
            print(log.read_text(errors="replace")[-6000:])
            if not report.exists():
                totals.add(program.name, 0, "failed", f"ended with status {status}")


def pytest(totals, suite, folder):
    paths = [p for p in PYTEST[suite] if (ROOT / p).exists()]
    if not paths:
        totals.add(suite, 0, "skipped", "this suite comes with a later issue")
        return
    for path in paths:
        report = folder / (path.replace("/", "_") + ".xml")
        environment = dict(os.environ, SKERRY_BUILD=str(BUILD), SKERRY_BIN=str(BUILD / "bin" / "skerry"), PYTHONDONTWRITEBYTECODE="1")
        print(f"{suite}: {path}", flush=True)
        begin = time.monotonic()
        status = run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report, path], PYTEST_LIMIT_S, env=environment)
        if report.exists():
            totals.read_junit(report, suite)
        if not report.exists() or status not in (0, 1, 5):
            totals.add(f"{suite} {path}", time.monotonic() - begin, "failed", f"pytest ended with status {status}")


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else "all"
    if wanted not in ("all", *SUITES):
        sys.exit(f"no suite `{wanted}`; there are {', '.join(SUITES)}")
    suites = SUITES if wanted == "all" else [wanted]
    totals = Totals()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="skerry-test") as name:
        folder = pathlib.Path(name)
        if suites == ["lint"] or build(totals):
            if {"integration", "conformance", "security", "e2e"} & set(suites):  # these start containers
                print("base images", flush=True)
                status = run([ROOT / "images/build"], 1800)
                if status != 0:
                    totals.add("base images", 0, "failed", f"status {status}")
            for suite in suites:
                print(f"--- {suite}", flush=True)
                if suite == "lint":
                    lint(totals)
                elif suite == "unit":
                    unit(totals, folder)
                else:
                    pytest(totals, suite, folder)
    totals.tell(time.monotonic() - begin)


if __name__ == "__main__":
    main()
