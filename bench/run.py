"""python3 bench/run.py WHAT: runs one bench or all. Called by scripts/bench, which has installed and built what they need."""
import os
import sys

WHATS = ["cold", "ingress", "warm", "sandbox"]


def main():
    wanted = sys.argv[1] if len(sys.argv) == 2 else ""
    if wanted not in (*WHATS, "all"):
        sys.exit(f"WHAT is one of {', '.join(WHATS)} or all, not `{wanted}`")
    if os.geteuid() != 0:
        sys.exit("the benches make containers: run them as root")
    for what in WHATS if wanted == "all" else [wanted]:
        __import__(what).run()


main()
