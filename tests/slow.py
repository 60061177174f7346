"""How long tests wait on a slow machine. SKERRY_SLOW says how many times slower than usual it is: an emulated one (tests/vm) is 20 times."""
import os
import time

SLOW = float(os.environ.get("SKERRY_SLOW", "1"))


def in_time(seconds):
    """When a wait of so many seconds, on a machine of usual speed, is over here (time.monotonic())."""
    return time.monotonic() + seconds * SLOW
