"""Java: the project is compiled with this machine's javac, the shim by the script that the builder runs; the command is the one that shims/java/build.sh records."""

import shutil
import subprocess

from adapters import Adapter, Failure, Program, SHIMS, Variant

COMPILE_TIMEOUT_S = 120
COMPILER = "clang++-19"


class Java(Adapter):
    language = "java"
    spares = True
    _made = None
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
        for program in ("java", "javac", COMPILER):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        return None

    def prepare(self, fixture, scratch):
        app = scratch / "app"
        app.mkdir()
        self._compile(app / "classes", *fixture.rglob("*.java"))
        runtime = self._runtime(scratch)
        java = ("java", "-Xmx153m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", f"-XX:SharedArchiveFile={runtime}/shim.jsa", "-jar", f"{runtime}/shim.jar")
        return Program(("/bin/sh", "-c", 'exec "$@" <&3 3<&-', "sh", *java), app)

    def _runtime(self, scratch):
        """What the builder makes once for a version of Java, by the same script; one for all fixtures."""
        if self._made is None:
            self._made = scratch / "runtime"
            self._made.mkdir()
            self._run([COMPILER, "-shared", "-fPIC", "-o", self._made / "skerry-java.so", SHIMS / "java/native/process.cc"])
            self._run(["sh", SHIMS / "java/runtime.sh", self._made])
        return self._made

    def _compile(self, target, *sources):
        self._run(["javac", "-d", target, *sources])

    @staticmethod
    def _run(command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
        assert done.returncode == 0, done.stderr


ADAPTER = Java()
