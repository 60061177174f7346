"""How the kit learns to start one language's shim.

Each language has one module here, `<language>.py`, with one object named `ADAPTER`. The kit calls `absent()` first (a reason skips the whole
language), then `prepare()` once per fixture and session, then starts what it returned as often as it likes. An adapter only builds and names a
command: descriptors, environment, working directory, waiting and killing belong to kit/process.py.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path

LANGUAGES = ("python", "node", "go", "java")

CAPABILITIES = frozenset({
    "request_stream", "response_stream", "duplex", "lazy_body", "told", "headers_apart", "raw_path",
    "start_hook", "start_cfg", "stop_hook", "websocket", "stray_escapes",
})

HERE = Path(__file__).resolve().parent
FUNCTIONS = HERE.parent / "functions"
REPOSITORY = HERE.parent.parent.parent
SHIMS = REPOSITORY / "shims"


@dataclass(frozen=True)
class Variant:
    """One shape of the conformance function: `functions/<language>/<name>/`."""

    name: str
    capabilities: frozenset

    def __post_init__(self):
        unknown = self.capabilities - CAPABILITIES
        if unknown:
            raise ValueError(f"variant {self.name}: unknown capabilities {sorted(unknown)}")


@dataclass(frozen=True)
class Failure:
    """One project that must not start: `functions/<language>/failures/<kind>/`. `message` is a part of the status line's message."""

    kind: str
    message: str


@dataclass(frozen=True)
class Program:
    """What to start. `app` stands for /app: it is the working directory, and SKERRY_APP_DIR for the shim. `env` is added to the kit's."""

    argv: tuple
    app: Path
    env: dict = field(default_factory=dict)


class Adapter:
    """Base of the four. `start_timeout_s` bounds the wait for ready: a JVM needs longer than a Go binary."""

    language = ""
    variants: tuple = ()
    failures: tuple = ()
    start_timeout_s = 10.0
    # Whether the shim can be started as a spare (shims/README.md): every case then runs once more on one.
    spares = False

    def absent(self):
        """Why this language cannot be tested on this machine, or None."""
        raise NotImplementedError

    def prepare(self, fixture: Path, scratch: Path) -> Program:
        """Builds the project in `fixture` (below functions/<language>/) using only `scratch`, an empty folder of its own, and says how to start it.

        Never writes into the fixture. Called once per fixture and session; a build failure raises.
        """
        raise NotImplementedError


def load(language: str) -> Adapter | None:
    """The adapter of a language, or None while nobody has written it."""
    if not (HERE / f"{language}.py").exists():
        return None
    return importlib.import_module(f"adapters.{language}").ADAPTER


def why_absent(language):
    """Why a language cannot be tested here, or None. test_kit.py turns it into the one skip of that language."""
    adapter = load(language)
    return f"tests/conformance/adapters/{language}.py does not exist" if adapter is None else adapter.absent()
