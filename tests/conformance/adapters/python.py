"""Python: nothing to build; the shim is started by the interpreter that the builder records, python3."""

import os
import shutil
import subprocess
from pathlib import Path

from adapters import Adapter, Failure, Program, SHIMS, Variant

# The run images have /usr/bin/python3; a machine's own first python3 may be a wrapper script that costs more than the shim.
# CONFORMANCE_PYTHON names another version's.
INTERPRETER = os.environ.get("CONFORMANCE_PYTHON", "/usr/bin/python3")

ASGI = frozenset({"request_stream", "response_stream", "duplex", "lazy_body", "told", "headers_apart", "raw_path", "start_hook", "stop_hook", "stray_escapes"})


class Python(Adapter):
    language = "python"
    spares = True
    variants = (
        Variant("new", ASGI | {"start_cfg"}),
        Variant("asgi", ASGI | {"websocket"}),
        Variant("wsgi", frozenset({"request_stream", "response_stream", "duplex", "lazy_body", "raw_path", "stray_escapes"})),
    )
    failures = (
        Failure("syntax_error", "SyntaxError"),
        Failure("missing_module", "conformance_missing"),
        Failure("import_exception", "conformance import"),
        Failure("start_exception", "conformance start"),
        Failure("init_exception", "conformance start"),
        Failure("lifespan_exception", "conformance start"),
        Failure("no_handler", "new()"),
        Failure("no_entry", "function/func.py"),
    )

    def absent(self):
        if not Path(INTERPRETER).exists():
            return f"{INTERPRETER} is not installed"
        return None

    def prepare(self, fixture, scratch):
        app, shim = scratch / "app", scratch / "shim"
        shutil.copytree(fixture, app)
        if fixture.name in ("new", "asgi"):
            shutil.copytree(fixture.parent / "shared", app, dirs_exist_ok=True)
        # Compiled ahead, as where it is installed: the mount is read-only there.
        shutil.copytree(SHIMS / "python" / "skerry_shim", shim / "skerry_shim", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(SHIMS / "python" / "main.py", shim)
        subprocess.run([INTERPRETER, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", shim / "skerry_shim"], check=True)
        return Program((INTERPRETER, "-B", str(shim / "main.py")), app)


ADAPTER = Python()
