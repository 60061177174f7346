"""Node.js projects, from an upload to an answer."""
import json


def manifest(**extra):
    return json.dumps({"name": "project", "version": "1.0.0", **extra})


def test_dependencies_are_installed_once_and_are_a_layer_of_their_own(builds):
    files = {"package.json": manifest(main="index.js", dependencies={"ms": "2.1.3"}), "index.js": "exports.handle = () => require('ms')('2 days') + '';\n"}
    first = builds.events("node-deps", files)
    assert first.ok, first
    assert first.stages["deps"] == "done"
    assert builds.call(first.last["url"]).text == "172800000"
    again = builds.events("node-deps", {**files, "index.js": "exports.handle = () => require('ms')('1 day') + '';\n"})
    assert again.ok and again.stages["deps"] == "cached", again
    assert builds.call(again.last["url"]).text == "86400000"
    assert again.seconds < 3, again
    assert again.last["revision"]["size"] < 100_000  # the code alone
    same = builds.events("node-deps", {**files, "index.js": "exports.handle = () => require('ms')('1 day') + '';\n"})
    assert same.ok and same.stages["build"] == "cached", same


def test_typescript_is_compiled_and_its_compiler_stays_behind(builds):
    project = manifest(scripts={"build": "tsc", "start": "node dist/index.js"}, dependencies={"ms": "2.1.3"}, devDependencies={"typescript": "5.6.3", "@types/node": "20.16.0", "@types/ms": "0.7.34"})
    source = """
import ms from 'ms';
import { existsSync } from 'node:fs';
export async function handle(): Promise<object> {
  return { day: ms('1 day'), compiler: existsSync('/app/node_modules/typescript') };
}
"""
    config = json.dumps({"compilerOptions": {"target": "es2022", "module": "commonjs", "outDir": "dist", "strict": True, "esModuleInterop": True}, "include": ["src"]})
    files = {"package.json": project, "src/index.ts": source, "tsconfig.json": config}
    events = builds.events("node-ts", files)
    assert events.ok, events
    assert json.loads(builds.call(events.last["url"]).text) == {"day": 86400000, "compiler": False}
    wrong = builds.events("node-ts", {**files, "src/index.ts": source.replace("'1 day'", "1n")})
    assert not wrong.ok and wrong.error["details"]["stage"] == "build", wrong
    assert wrong.stages["deps"] == "cached" and "src/index.ts" in wrong.log


def test_a_lock_file_is_followed(builds):
    """npm ci refuses a lock file that does not fit; npm install would have gone on."""
    lock = json.dumps({"name": "project", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "project", "version": "1.0.0", "dependencies": {"ms": "2.0.0"}}}})
    events = builds.events("node-lock", {"package.json": manifest(dependencies={"ms": "2.1.3"}), "package-lock.json": lock, "index.js": "exports.handle = () => 'x'\n"})
    assert not events.ok and events.error["details"]["stage"] == "deps", events
    assert "npm ci" in events.log


def test_a_lifecycle_script_sees_the_code(builds):
    files = {"package.json": manifest(scripts={"postinstall": "node make.js"}, dependencies={"ms": "2.1.3"}), "make.js": "require('fs').writeFileSync('node_modules/made.js', 'module.exports = 7')\n",
             "index.js": "exports.handle = () => require('made.js') + require('ms')('1s') + ''\n"}
    events = builds.events("node-hook", files)
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "1007"


def test_what_the_build_writes_among_dependencies_is_kept(builds):
    files = {"package.json": manifest(scripts={"build": "mkdir -p node_modules/generated && echo 'module.exports = 9' > node_modules/generated/index.js"}, dependencies={"ms": "2.1.3"}),
             "index.js": "exports.handle = () => require('generated') + require('ms')('1s') + ''\n"}
    events = builds.events("node-generated", files)
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "1009"


def test_an_unknown_package_is_named(builds):
    events = builds.events("node-bad", {"package.json": manifest(dependencies={"skerry-there-is-no-such-package-1d7f": "9"}), "index.js": "exports.handle = () => 'x'\n"})
    assert not events.ok and events.error["details"]["stage"] == "deps", events
    assert "skerry-there-is-no-such-package-1d7f" in str(events.error["details"]["log_tail"])


def test_no_handler_names_the_three(builds):
    events = builds.events("node-none", {"package.json": manifest(main="index.js"), "index.js": "exports.other = 1\n"})
    assert not events.ok and events.error["details"]["stage"] == "build", events
    assert "fetch" in events.log and "handle" in events.log and "$PORT" in events.log


def test_a_server_of_its_own_is_started_as_the_author_says(builds):
    files = {"package.json": manifest(dependencies={"ms": "2.1.3"}), "server.js": "require('http').createServer((q, s) => s.end('own ' + require('ms')('1s'))).listen(process.env.PORT)\n"}
    events = builds.events("node-own", files, entrypoint=["node", "server.js"])
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "own 1000"
