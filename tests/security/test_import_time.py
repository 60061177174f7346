"""Hostile code at import time, in a runtime that waited as a spare and could have become any function: it looks for what the platform and other functions left
there, before any request. Another function of the same language, whose environment and code hold a word, was served from a spare of the same kind before it."""
import json

import pytest

WORD = "a-word-of-the-victim"
PYTHON = '''
import json, os, re, sys
WORD = re.compile(rb"%(pattern)s")
def text(path):
    with open(path) as f:
        return f.read()
def search():
    found = 0
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in text("/proc/self/maps").splitlines():
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or "[v" in line:
                continue
            for at in range(low, high, 1 << 20):
                try:
                    memory.seek(at)
                    found += len(WORD.findall(memory.read(min(1 << 20, high - at))))
                except (OSError, OverflowError):
                    break
    return found
def look():
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            pass
    return {"fds": fds, "status": text("/proc/self/status"), "begun-with": text("/proc/self/environ").split("\\0"), "env": dict(os.environ), "mounts": text("/proc/self/mountinfo"),
            "pids": [p for p in os.listdir("/proc") if p.isdigit()], "app": os.listdir("/app"), "tmp": os.listdir("/tmp"), "found": search(),
            "modules": sorted(m.__file__ for m in list(sys.modules.values()) if str(getattr(m, "__file__", None)).startswith("/app"))}
SEEN = look()
class F:
    async def handle(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(SEEN).encode()})
def new():
    return F()
'''
NODE = '''
const fs = require('fs');
const text = (path) => fs.readFileSync(path, 'latin1');
function search() {
  const memory = fs.openSync('/proc/self/mem', 'r');
  const piece = Buffer.alloc(1 << 20);
  let found = 0;
  for (const line of text('/proc/self/maps').split('\\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line);
    if (!match || line.includes('[v')) continue;
    const [low, high] = [parseInt(match[1], 16), parseInt(match[2], 16)];
    try {
      for (let at = low; at < high; at += piece.length) {
        const n = fs.readSync(memory, piece, 0, Math.min(piece.length, high - at), at);
        found += (piece.toString('latin1', 0, n).match(/%(pattern)s/g) || []).length;
      }
    } catch { /* what cannot be read */ }
  }
  fs.closeSync(memory);
  return found;
}
const fds = {};
for (const fd of fs.readdirSync('/proc/self/fd')) try { fds[fd] = fs.readlinkSync('/proc/self/fd/' + fd); } catch { /* the folder's own */ }
const SEEN = { fds, status: text('/proc/self/status'), 'begun-with': text('/proc/self/environ').split('\\0'), env: { ...process.env }, mounts: text('/proc/self/mountinfo'),
  pids: fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)), app: fs.readdirSync('/app'), tmp: fs.readdirSync('/tmp'), found: search(),
  modules: Object.keys(require.cache).filter((name) => name.startsWith('/app')).sort() };
exports.handle = () => SEEN;
'''
PATTERN = WORD.replace("w", "[w]")  # so that the search is no finding
SOURCES = {"python": {"func.py": PYTHON % {"pattern": PATTERN}}, "node": {"package.json": '{"name": "x", "version": "1.0.0", "main": "index.js"}', "index.js": NODE % {"pattern": PATTERN}}}


@pytest.fixture(scope="module", params=sorted(SOURCES))
def seen(skerry, request):
    """What the victim saw of itself, and the attacker of the victim."""
    language, found = request.param, {}
    for name in ("victim", "intruder"):
        own = f'[env_vars]\nWORD = "{WORD}"\n' if name == "victim" else ""
        result = skerry.ship(None, **{"func.toml": f'[edge_compute]\nfunc_name = "{name}-{language}"\n[runtime]\nidle_timeout = "1s"\n{own}', **SOURCES[language]})
        assert result.returncode == 0, result.stdout + result.stderr
        described = skerry.get(f"{name}-{language}")
        found[name] = started_from_a_spare(skerry, described)
    return found


def started_from_a_spare(skerry, described):
    seen = []

    def ask():
        # Warm, or booted because no spare was ready: its instance goes after a second without requests, and the next one is new.
        skerry.wait(lambda: not [i for i in skerry.instances() if i["function"] == described["id"]], "its instance stays")
        answer = skerry.call(described["url"])
        assert answer.status == 200, answer.text
        seen.extend([json.loads(answer.text)] if 'desc="prestart"' in answer.headers["server-timing"] else [])
        return seen
    skerry.wait(ask, "no start from a spare", 60)
    return seen[0]


def test_it_holds_no_descriptor_of_the_platform(seen):
    for target in seen["intruder"]["fds"].values():
        assert target.startswith(("pipe:", "socket:", "anon_inode:", "/dev/null", "/proc/", "/app/")), seen["intruder"]["fds"]


def test_it_has_no_capability_and_all_filters(seen):
    fields = dict(line.split(":\t", 1) for line in seen["intruder"]["status"].splitlines() if ":\t" in line)
    assert {fields[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2") and fields["Uid"].split() == ["1000"] * 4


def test_it_finds_nothing_of_another_function(seen):
    assert seen["victim"]["env"]["WORD"] == WORD and seen["victim"]["found"] > 0, "the search finds nothing where there is something"  # CONTROL
    intruder = seen["intruder"]
    assert intruder["found"] == 0
    assert "WORD" not in intruder["env"] and not any("victim" in value for value in intruder["env"].values())
    assert intruder["tmp"] == [] and all("victim" not in name for name in intruder["app"] + intruder["modules"])


def test_it_finds_nothing_of_the_time_before(skerry, seen):
    """What the runtime began with is the same for all functions, and the environment is the function's alone."""
    intruder = seen["intruder"]
    names = {entry.partition("=")[0] for entry in intruder["begun-with"] if entry}
    assert names <= {"PATH", "SKERRY_ASSIGNMENT_FD", "HOME", "USER", "TMPDIR", "LANG", "TZ", "PYTHONUNBUFFERED", "NODE_ENV"}, names
    assert "SKERRY_ASSIGNMENT_FD" not in intruder["env"] and intruder["env"]["SKERRY_FUNCTION"].startswith("intruder-")
    assert str(skerry.folder) not in intruder["mounts"] and "layers" not in intruder["mounts"]
    assert len(intruder["pids"]) <= 2, intruder["pids"]
