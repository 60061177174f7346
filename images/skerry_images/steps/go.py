"""Go: the command, and a build cache that already holds the standard library.

Since Go 1.20 a toolchain brings no compiled packages: the first build of a program with net/http would compile for 18 s on two cores.
"""
import os
import pathlib
import re

from .. import chroot, rootfs
from ..errors import BuildError
from ..npm_registry import NpmRegistry
from ..recipe import Recipe

# The flags that the contract names for builds of functions; other flags would miss the cache.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOCACHE": "/var/cache/go-build", "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath", "GOPATH": "/tmp/go"}
# What functions use; and go/*, of which the generator of the shim is made, in every build.
WARMED = ["bufio", "bytes", "compress/gzip", "context", "crypto/hmac", "crypto/rand", "crypto/sha256", "crypto/tls", "database/sql", "embed",
          "encoding/base64", "encoding/csv", "encoding/hex", "encoding/json", "encoding/xml", "errors", "expvar", "flag", "fmt", "go/ast", "go/parser", "go/token", "hash/fnv",
          "html/template", "io", "log", "log/slog", "maps", "math/rand/v2", "mime/multipart", "net", "net/http", "net/http/httptest",
          "net/http/httputil", "net/http/pprof", "os", "os/exec", "os/signal", "path/filepath", "regexp", "runtime/debug", "slices", "sort",
          "strconv", "strings", "sync", "sync/atomic", "testing", "text/tabwriter", "text/template", "time", "unicode/utf8"]
# An action entry of the cache: version, action, output, size and the time of writing, which nothing but test results uses.
ENTRY = re.compile(rb"(v1 [0-9a-f]{64} [0-9a-f]{64} [ 0-9]{20}) ([ 0-9]{20})\n")


def run(recipe: Recipe, root: pathlib.Path, registry: NpmRegistry) -> None:
    del recipe, registry
    homes = [path for path in (root / "usr/lib").glob("go-*") if not path.is_symlink()]
    if len(homes) != 1:
        raise BuildError(f"expected one Go in /usr/lib, found {[path.name for path in homes]}")
    link = root / "usr/bin/go"
    if not link.exists():
        link.symlink_to(f"../lib/{homes[0].name}/bin/go")
    chroot.run(root, ["go", "build", *WARMED], environment=ENVIRONMENT)
    _fix_times(root / ENVIRONMENT["GOCACHE"].lstrip("/"))


def _fix_times(cache: pathlib.Path) -> None:
    """Makes the cache the same bytes in every build of the image."""
    fixed = b"%20d" % (rootfs.FIXED_MTIME * 1_000_000_000)
    entries = list(cache.glob("*/*-a"))
    for entry in entries:
        match = ENTRY.fullmatch(entry.read_bytes())
        if not match:
            raise BuildError(f"{entry}: not an entry of Go's build cache as this recipe knows it")
        entry.write_bytes(match[1] + b" " + fixed + b"\n")
    if not entries:
        raise BuildError(f"{cache} is empty after go build")
    for name in ("trim.txt", "testexpire.txt"):
        if (cache / name).exists():
            os.unlink(cache / name)
