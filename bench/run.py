"""python3 bench/run.py WHAT: runs one bench or all. Called by scripts/bench, which has installed and built what they need."""
import importlib
import os
import signal
import sys
import traceback

MODULES = {"cold": "cold", "ingress": "ingress", "warm": "warm", "sandbox": "containers"}  # `sandbox` is the client of tests/sandbox


def run(what):
    """False when it could not go to its end."""
    try:
        importlib.import_module(MODULES[what]).run()
        return True
    except Exception:  # the other benches still have something to say
        traceback.print_exc()
        return False


def main():
    wanted = sys.argv[1] if len(sys.argv) == 2 else ""
    if wanted not in (*MODULES, "all"):
        sys.exit(f"WHAT is one of {', '.join(MODULES)} or all, not `{wanted}`")
    if os.geteuid() != 0:
        sys.exit("the benches make containers: run them as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    if not all([run(what) for what in (MODULES if wanted == "all" else [wanted])]):
        sys.exit(1)


main()
