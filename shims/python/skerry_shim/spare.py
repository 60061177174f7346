"""A spare: an interpreter that has started and imported what functions usually need, and waits for the function that it is to serve (shims/README.md)."""

import os
import sys

from skerry_shim.failures import StartFailed
from skerry_shim.load import app_folder

CHUNK = 65536

# What authors' code and the shim's shapes import most: together 60 ms that a start does not pay. Not asyncio itself: the shim's loop is lighter until the
# author wants it. Nothing here opens a descriptor or starts a thread.
MODULES = """
skerry_shim.asgi skerry_shim.loop skerry_shim.lifespan skerry_shim.serve skerry_shim.wsgi skerry_shim.wsgi_input skerry_shim.connection skerry_shim.body
base64 bisect collections concurrent.futures contextlib copy dataclasses datetime decimal email.message enum functools hashlib heapq hmac html http inspect
io itertools json logging math os.path pathlib random re selectors signal socket ssl string struct subprocess threading time traceback types typing
urllib.parse urllib.request uuid weakref zlib
""".split()


def wait(descriptor):
    """Returns when this process has become an instance: its code is at /app and its environment is os.environ."""
    import gc
    import importlib
    import site

    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # not in this interpreter
    gc.collect()
    # What is here now lives as long as the process: no collection looks at it again.
    gc.freeze()
    os.write(4, b'{"phase":"waiting"}\n')
    assigned = _read(descriptor)
    os.environ.clear()
    os.environ.update(_environment(assigned))
    os.chdir(app_folder())
    # The function's packages were not there when the interpreter looked.
    for folder in site.getsitepackages():
        if folder not in sys.path and os.path.isdir(folder):
            site.addsitedir(folder)
    importlib.invalidate_caches()


def _read(descriptor):
    pieces = []
    while piece := os.read(descriptor, CHUNK):
        pieces.append(piece)
    os.close(descriptor)
    if not pieces:
        os._exit(0)  # nobody wants it any more
    return b"".join(pieces)


def _environment(assigned):
    """{name: value} of "S" or "N", NAME=value entries, an empty one, and after "S" the secrets."""
    plain, _, secret = assigned[1:].partition(b"\0\0") if assigned[1:2] != b"\0" else (b"", b"", assigned[2:])
    if assigned[:1] == b"S" and (not secret or secret.startswith(b"\x01")):
        raise StartFailed("the secrets were not delivered")
    found = {}
    # What the plan itself says wins over a secret of the same name.
    for entry in (secret if assigned[:1] == b"S" else b"").split(b"\0") + plain.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            found[os.fsdecode(name)] = os.fsdecode(value)
    return found
