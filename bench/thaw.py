"""The first request to an instance that stands still between requests, through ingress over an open connection: rows of `cold`, beside the targets of their own.

One round asks each language once; before the next all are frozen again, as edge says."""
import time

import harness
from daemon import Function

TARGETS_MS = {"go": 1.2, "python": 1.2, "node": 1.2, "java": 2.5}
ROUND_S = 15  # for all to be frozen again; a quiet second of each is part of it


class Thaw:
    def __init__(self, function, caller):
        self.function, self.caller = function, caller
        self.samples, self.phases = [], {}

    def sample(self):
        time.sleep(harness.SPACE_S)
        took_ms, status, headers = self.caller.get(self.function.host)
        durations, words = harness.timing(headers.get("server-timing", ""))
        if status != 200 or words.get("start") != "thaw":
            raise RuntimeError(f"{self.function.name} answered {status}, start {words.get('start')}")
        self.samples.append(took_ms)
        for phase in ("start", "fn"):
            self.phases.setdefault(phase, []).append(durations[phase])


def contenders(report, d, languages, callers):
    """(name, Thaw), each used once: its code has run."""
    functions = {}
    for language in languages:
        try:
            functions[language] = d.deploy(f"thaw-{language}", harness.ROOT / f"examples/hello-{language}")
        except RuntimeError as e:
            report.add(f"thaw/{language}", "ms", note=f"not measured: {e}")
    for function in functions.values():
        for caller in callers.values():
            for _ in range(3):
                caller.get(function.host)
    return [(f"{language}/{scheme}", Thaw(f, caller)) for scheme, caller in callers.items() for language, f in functions.items()]


def wait_frozen(d, functions):
    time.sleep(Function.STATE_S)  # what edge said before that is no news
    ids = {f.id for f in functions}
    harness.wait_for(lambda: {i["function"] for i in d.instances() if i["state"] == "frozen"} >= ids, lambda: f"not frozen: {d.instances()}", timeout_s=ROUND_S, pause_s=0.05)


def run(report, d, languages, callers, samples):
    ours = contenders(report, d, languages, callers)
    for _ in range(samples):
        for scheme in callers:
            asked = [t for name, t in ours if name.endswith("/" + scheme)]
            wait_frozen(d, [t.function for t in asked])
            for thaw in asked:
                thaw.sample()
    for name, thaw in ours:
        report.add(f"thaw/{name}", "ms", samples=thaw.samples, note=f"frozen, first byte; target p50 <= {TARGETS_MS[name.split('/')[0]]} ms; p99 is "
                   f"{harness.percentile(thaw.samples, 99) / harness.percentile(thaw.samples, 50):.1f}x p50, target <= 3")
        for phase, values in thaw.phases.items():
            report.add(f"thaw/{name}/{phase}", "ms", samples=values, note="as Server-Timing says")
