"""Node.js: nothing to build for plain JavaScript; the shim is started as the build records it, with the entry that the shim finds by the contract's rules."""

import shutil
from pathlib import Path

from adapters import Adapter, Failure, Program, SHIMS, Variant

INTERPRETER = "/usr/bin/node"


class Node(Adapter):
    language = "node"
    spares = True
    variants = (
        # The whole body is given to the handler, so nothing of it can be streamed, or left unread.
        Variant("handle", frozenset({"response_stream", "told", "start_hook", "stop_hook", "stray_escapes"})),
        # The Web API has no hooks, joins repeated request headers, and has no path but the URL's.
        Variant("fetch", frozenset({"request_stream", "response_stream", "duplex", "lazy_body", "told", "stray_escapes"})),
    )
    failures = (
        Failure("syntax_error", "SyntaxError"),
        Failure("missing_module", "conformance_missing"),
        Failure("import_exception", "conformance import"),
        Failure("start_exception", "conformance start"),
        Failure("no_handler", "handle(context, body)"),
        Failure("no_entry", "index.js"),
    )

    def absent(self):
        if not Path(INTERPRETER).exists():
            return f"{INTERPRETER} is not installed"
        return None

    def prepare(self, fixture, scratch):
        app = scratch / "app"
        shutil.copytree(fixture, app)
        if fixture.name in ("handle", "fetch"):
            shutil.copytree(fixture.parent / "shared", app, dirs_exist_ok=True)
        return Program((INTERPRETER, str(SHIMS / "node" / "main.js")), app, {"NODE_ENV": "production"})


ADAPTER = Node()
