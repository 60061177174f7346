"""DESIGN.md's keeper: the processes that read hostile bytes or plans never hold a secret's value. Read is all of their memory, after a load of requests and
starts of a function that uses its secret and prints it."""
import concurrent.futures
import hashlib
import os
import pathlib

import pytest

VALUE = "tr0ub4dor-" + os.urandom(12).hex()
USES_IT = '''
import hashlib, os
class F:
    async def handle(self, scope, receive, send):
        print("the secret is", os.environ["PASSPHRASE"], flush=True)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": hashlib.sha256(os.environ["PASSPHRASE"].encode()).hexdigest().encode()})
def new():
    return F()
'''
PIECE = 16 << 20


def memory_holds(pid, needle):
    """Whether the bytes are anywhere in what the process has mapped."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, permissions, *_, = line.split()
            if not permissions.startswith("r") or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(part, 16) for part in addresses.split("-"))
            tail = b""
            for at in range(start, end, PIECE):
                try:
                    memory.seek(at)
                    piece = memory.read(min(PIECE, end - at))
                except OSError:
                    break  # a guard, or past the end of a mapped file
                if needle in tail + piece:
                    return True
                tail = piece[-len(needle):]
    return False


def descendants(pid):
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))


@pytest.fixture(scope="module")
def loaded(skerry):
    skerry.cli("secrets", "set", "PASSPHRASE", input=VALUE)
    manifest = '[edge_compute]\nfunc_name = "uses-it"\n[[secrets]]\nbinding = "PASSPHRASE"\nname = "PASSPHRASE"\n'
    result = skerry.ship(None, **{"func.toml": manifest, "func.py": USES_IT})
    assert result.returncode == 0, (result.stdout, result.stderr)
    f = skerry.get("uses-it")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = [a.text for a in pool.map(lambda _: skerry.call(f["url"]), range(120))]
    assert set(answers) == {hashlib.sha256(VALUE.encode()).hexdigest()}  # the function has it
    logged = skerry.cli("logs", "uses-it").stdout
    assert "the secret is [secret PASSPHRASE]" in logged and VALUE not in logged  # and it was printed, past keeper
    return f


def test_a_program_that_has_the_value_is_found_by_the_same_look(skerry, loaded):
    """Control."""
    pids = [int((skerry.run / "instances" / f"{i['id']}.state").read_text().split()[2]) for i in skerry.instances() if i["function"] == loaded["id"]]
    assert pids and any(memory_holds(pid, VALUE.encode()) for init in pids for pid in descendants(init))


@pytest.mark.parametrize("name", ["edge", "starter", "filler", "reaper", "skerryd"])
def test_no_process_but_keepers_and_controls_holds_a_secret(skerry, loaded, name):
    pid = skerry.process.pid if name == "skerryd" else skerry.processes()[name]
    assert memory_holds(pid, name.encode())  # its memory was read: its own name is there
    assert not memory_holds(pid, VALUE.encode())
