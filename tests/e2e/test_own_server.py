"""An own server may listen at either loopback address: CONTRACT.md section 2. `localhost` is ::1 to Node.js, where hosts names both."""
import json
import os
import re
import signal

import pytest

SERVER = '''
const http = require('http');
const server = http.createServer((req, res) => {
  let n = 0;
  req.on('data', (piece) => { n += piece.length; });
  req.on('end', () => res.end(JSON.stringify({ n, ...server.address() })));
});
server.listen(process.env.PORT, '%s');
'''


def ship(skerry, name, address):
    package = json.dumps({"name": name, "version": "1.0.0", "main": "index.js"})
    result = skerry.ship(None, **{"package.json": package, "index.js": SERVER % address, "func.toml": f'[edge_compute]\nfunc_name = "{name}"\n'})
    assert result.returncode == 0, result.stderr
    return skerry.get(name)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::", "0.0.0.0"])
def test_it_is_found_and_answers(skerry, address):
    f = ship(skerry, "at-" + "".join(c if c.isdigit() else "x" for c in address), address)
    for _ in range(3):
        answer = skerry.call(f["url"], method="POST", body=b"x" * 300_000)
        assert answer.status == 200 and json.loads(answer.body)["n"] == 300_000 and json.loads(answer.body)["address"] == address


def test_the_next_edge_finds_it_again(skerry):
    f = ship(skerry, "at-colon-again", "::1")
    assert skerry.call(f["url"]).status == 200
    mine = lambda: {i["id"] for i in skerry.instances() if i["function"] == f["id"]}
    skerry.wait(mine, "no instance")
    before, old = mine(), skerry.processes()["edge"]
    os.kill(old, signal.SIGKILL)
    skerry.wait(lambda: skerry.processes().get("edge") not in (None, old), "no other edge")
    skerry.wait(skerry.healthy, "edge did not come back")
    skerry.wait(lambda: before & mine(), "the instance was not adopted")
    for _ in range(2):
        answer = skerry.call(f["url"])
        assert answer.status == 200 and re.search('desc="(warm|thaw)"', answer.headers["server-timing"]) and json.loads(answer.body)["address"] == "::1"
