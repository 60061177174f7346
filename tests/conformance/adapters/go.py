"""Go: the project is built with the generator and the shim's sources as shims/go/build.sh does it, with this machine's go. CONFORMANCE_GO names another one."""

import os
import shutil
import subprocess

from adapters import Adapter, Failure, Program, SHIMS, Variant

GO = os.environ.get("CONFORMANCE_GO", "go")
# As build.sh records it for one CPU.
RUN_ENVIRONMENT = {"GOMAXPROCS": "1", "GOMEMLIMIT": "230MiB"}
BUILD_TIMEOUT_S = 300

HANDLE = frozenset({"request_stream", "response_stream", "duplex", "lazy_body", "told", "headers_apart", "raw_path", "stray_escapes"})


class Go(Adapter):
    language = "go"
    variants = (
        Variant("handle", HANDLE),
        Variant("context", HANDLE),
        Variant("new", HANDLE | {"start_hook", "start_cfg", "stop_hook"}),
    )
    # What does not parse, misses a package or has no handler is found at build: shims/go/generate has the tests.
    failures = (
        Failure("start_exception", "conformance start"),
        Failure("construct_panic", "conformance start"),
    )

    def absent(self):
        if shutil.which(GO) is None:
            return f"{GO} is not installed"
        return None

    def prepare(self, fixture, scratch):
        app, project, generator = scratch / "app", scratch / "project", scratch / "generate"
        app.mkdir()
        shutil.copytree(fixture, project)
        if fixture.parent.name != "failures":
            shutil.copytree(fixture.parent / "shared", project, dirs_exist_ok=True)
        self._go(SHIMS / "go", "build", "-o", generator, "./generate")
        made = subprocess.run([generator, SHIMS / "go"], cwd=project, env=self._environment(), stdout=subprocess.PIPE, text=True, check=True)
        assert made.stdout == "handle\n", made.stdout
        flags = ("-race",) if os.environ.get("CONFORMANCE_GO_RACE") else ("-trimpath",)
        self._go(project, "build", *flags, "-o", app / "function", "./skerry_main_generated")
        return Program((str(app / "function"),), app, RUN_ENVIRONMENT)

    @staticmethod
    def _environment():
        cgo = "1" if os.environ.get("CONFORMANCE_GO_RACE") else "0"
        return {**os.environ, "CGO_ENABLED": cgo, "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}

    def _go(self, folder, *arguments):
        done = subprocess.run([GO, *arguments], cwd=folder, env=self._environment(), capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
        assert done.returncode == 0, done.stderr


ADAPTER = Go()
