"""make fuzz: every target of tests/fuzz for FUZZ_TIME seconds (an hour), as many at a time as there are processors. Called by scripts/fuzz.

An input that breaks one stays in build/fuzz/found, and this ends with status 1. FUZZ_KEEP=yes writes what was found to reach new code, reduced to
the fewest inputs that reach all of it, to tests/fuzz/corpus."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/fuzz"
INPUTS, FOUND, CORPUS = BUILD / "inputs", BUILD / "found", ROOT / "tests/fuzz/corpus"
SECONDS = int(os.environ.get("FUZZ_TIME", "3600"))
MAX_INPUT, MAX_KEPT, MAX_KEPT_INPUT = 65536, 120, 2048


def fuzz(name):
    """True when nothing was found."""
    log = FOUND / f"{name}.log"
    command = [BUILD / "bin" / f"fuzz_{name}", f"-max_total_time={SECONDS}", f"-max_len={MAX_INPUT}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={FOUND}/{name}-", INPUTS / name]
    with open(log, "wb") as out:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode
    text = log.read_text(errors="replace")
    runs = re.findall(r"stat::number_of_executed_units: (\d+)", text)
    covered = re.findall(r"cov: (\d+)", text)
    print(f"{name:20} {runs[-1] if runs else '?':>12} inputs, {covered[-1] if covered else '?':>6} edges  {'ok' if status == 0 else f'FAILED: {log}'}", flush=True)
    return status == 0


def keep(name):
    reduced = BUILD / "reduced" / name
    reduced.mkdir(parents=True, exist_ok=True)
    for old in reduced.iterdir():
        old.unlink()
    subprocess.run([BUILD / "bin" / f"fuzz_{name}", "-merge=1", f"-max_len={MAX_KEPT_INPUT}", reduced, INPUTS / name], check=True, capture_output=True)
    inputs = sorted((path.read_bytes() for path in reduced.iterdir()), key=lambda raw: (len(raw), raw))[:MAX_KEPT]
    (CORPUS / f"{name}.hex").write_text("".join(raw.hex() + "\n" for raw in inputs))


def main():
    for folder in (INPUTS, FOUND, CORPUS):
        folder.mkdir(parents=True, exist_ok=True)
    names = subprocess.run([BUILD / "bin/fuzz_seeds", INPUTS], check=True, capture_output=True, text=True).stdout.split()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        good = list(pool.map(fuzz, names))
    if os.environ.get("FUZZ_KEEP") == "yes":
        for name in names:
            keep(name)
    print(f"{sum(good)} of {len(names)} targets without a finding, {SECONDS} s each")
    sys.exit(0 if all(good) else 1)


main()
