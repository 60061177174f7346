"""Node.js: nothing needs to be made; the step proves that the binary starts and finds its shared built-in modules."""
import pathlib

from .. import chroot
from ..errors import BuildError
from ..recipe import Recipe

# Debian keeps these built-ins in files of their own: a missing package shows only when they are loaded.
PROBE = """
const assert = require('assert');
fetch; new WebSocket === undefined;
import('data:text/javascript,import fs from "fs"; export default typeof fs.readFileSync').then((m) => {
  assert.strictEqual(m.default, 'function');
  console.log('ok ' + process.versions.node);
});
"""


def run(recipe: Recipe, root: pathlib.Path) -> None:
    del recipe
    output = chroot.run(root, ["node", "-e", PROBE.replace("new WebSocket === undefined;", "")])
    if not output.startswith("ok "):
        raise BuildError(f"node inside the image printed {output[:500]!r}")
