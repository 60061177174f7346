"""Python: nothing to build; the shim is started by the interpreter that the builder records, python3."""

import shutil
from pathlib import Path

from adapters import Adapter, Failure, Program, SHIMS, Variant

# The run images have /usr/bin/python3; a machine's own first python3 may be a wrapper script that costs more than the shim.
INTERPRETER = "/usr/bin/python3"

ASGI = frozenset({"request_stream", "response_stream", "duplex", "lazy_body", "told", "headers_apart", "raw_path", "start_hook", "stop_hook"})


class Python(Adapter):
    language = "python"
    variants = (
        Variant("new", ASGI | {"start_cfg"}),
        Variant("asgi", ASGI | {"websocket"}),
        Variant("wsgi", frozenset({"request_stream", "response_stream", "duplex", "lazy_body", "raw_path"})),
    )
    failures = (
        Failure("syntax_error", "SyntaxError"),
        Failure("missing_module", "conformance_missing"),
        Failure("import_exception", "conformance import"),
        Failure("start_exception", "conformance start"),
        Failure("lifespan_exception", "conformance start"),
        Failure("no_handler", "new()"),
        Failure("no_entry", "function/func.py"),
    )

    def absent(self):
        if not Path(INTERPRETER).exists():
            return f"{INTERPRETER} is not installed"
        return None

    def prepare(self, fixture, scratch):
        app = scratch / "app"
        shutil.copytree(fixture, app)
        return Program((INTERPRETER, "-s", "-P", str(SHIMS / "python" / "main.py")), app)


ADAPTER = Python()
