"""Java: the project and the shim are compiled with this machine's javac; the command is the one that shims/java/build.sh records."""

import shutil
import subprocess

from adapters import Adapter, Failure, Program, SHIMS, Variant

COMPILE_TIMEOUT_S = 120


class Java(Adapter):
    language = "java"
    variants = (
        # java.net.URI holds no stray escape. HttpExchange has no way to tell of a disconnect, no start hook but the constructor, which is given nothing, and no WebSocket.
        Variant("handler", frozenset({"request_stream", "response_stream", "duplex", "lazy_body", "headers_apart", "raw_path", "stop_hook"})),
    )
    failures = (
        Failure("import_exception", "conformance import"),
        Failure("start_exception", "conformance start"),
        Failure("missing_module", "ConformanceMissing"),
        Failure("no_handler", "void handle(HttpExchange)"),
    )

    def absent(self):
        for program in ("java", "javac"):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        return None

    def prepare(self, fixture, scratch):
        app, shim = scratch / "app", scratch / "shim"
        app.mkdir()
        self._compile(app / "classes", *fixture.rglob("*.java"))
        self._compile(shim, *(SHIMS / "java" / "skerry").glob("*.java"))
        java = ("java", "-Xmx153m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "--add-opens=java.base/java.io=ALL-UNNAMED",
                "-cp", f"{app}/classes:{shim}", "skerry.Shim")
        return Program(("/bin/sh", "-c", 'exec "$@" <&3 3<&-', "sh", *java), app)

    @staticmethod
    def _compile(target, *sources):
        done = subprocess.run(["javac", "-XDstringConcat=inline", "-XDignore.symbol.file", "-d", target, *sources], capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
        assert done.returncode == 0, done.stderr


ADAPTER = Java()
