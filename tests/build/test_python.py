"""Python projects, from an upload to an answer."""
import zipfile

import pytest

HELLO = '''
{imports}

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": str({value}).encode()}})
'''


def hello(value="'hello'", imports=""):
    return HELLO.format(value=value, imports=imports)


def test_nothing_to_install_means_no_stage(builds):
    for manifest in ({"requirements.txt": "# nothing\n\n"}, {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = []\n'}):
        events = builds.events("py-plain", {"main.py": hello(), **manifest})
        assert events.ok, events
        assert "deps" not in events.stages and "build" not in events.stages
        assert builds.call(events.last["url"]).text == "hello"


def test_requirements_are_installed_once(builds):
    files = {"main.py": hello("six.__version__", "import six"), "requirements.txt": "six==1.16.0\n"}
    first = builds.events("py-deps", files)
    assert first.ok, first
    assert first.stages["deps"] == "done"
    assert builds.call(first.last["url"]).text == "1.16.0"
    again = builds.events("py-deps", {**files, "main.py": hello("six.__version__ + '!'", "import six")})
    assert again.ok and again.stages["deps"] == "cached", again
    assert builds.call(again.last["url"]).text == "1.16.0!"
    assert again.seconds < 3, again


def test_a_project_file_is_read_and_the_project_is_not_built(builds):
    project = '[build-system]\nrequires = ["no-such-backend"]\nbuild-backend = "nothing"\n[project]\nname = "x"\nversion = "1"\ndependencies = [\n  "six==1.16.0",\n]\n'
    events = builds.events("py-project", {"function/func.py": hello("six.__version__", "import six"), "pyproject.toml": project})
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "1.16.0"


def test_packages_with_native_code_load(builds):
    files = {"main.py": hello("numpy.arange(4).sum()", "import numpy"), "requirements.txt": "numpy\n"}
    events = builds.events("py-native", files)
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "6"


def test_included_requirements_and_the_project_itself(builds):
    files = {"main.py": hello("six.__version__", "import six"), "requirements.txt": "-r requirements/base.txt\n-e .\n", "requirements/base.txt": "six==1.16.0\n",
             "setup.py": "raise SystemExit('the project is never built')\n"}
    events = builds.events("py-includes", files)
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "1.16.0"


def test_the_other_version(builds):
    files = {"main.py": hello("str(sys.version_info[:2]) + six.__version__", "import six, sys"), "requirements.txt": "six==1.16.0\n"}
    events = builds.events("py-other", files, version="3.13")
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "(3, 13)1.16.0"
    refused = builds.events("py-other", files, version="2.7")
    assert not refused.ok and "3.11, 3.13" in refused.error["message"]


def test_a_build_command_may_make_the_code(builds):
    command = "python3 -c \"import six; open('made.py', 'w').write('value = ' + repr(six.__version__))\" && rm unwanted.txt && echo made it"
    files = {"main.py": hello("made.value", "import made, os\nassert not os.path.exists('unwanted.txt')"), "requirements.txt": "six==1.16.0\n", "unwanted.txt": "x"}
    events = builds.events("py-command", files, build_command=command)
    assert events.ok, events
    assert "made it" in events.log
    assert builds.call(events.last["url"]).text == "1.16.0"
    again = builds.events("py-command", files, build_command=command)
    assert again.ok and again.stages["build"] == "cached", again


def test_a_server_of_its_own_with_a_command_from_a_package(builds):
    files = {"wsgi.py": "def app(environ, start):\n    start('200 OK', [])\n    return [b'served by gunicorn']\n", "requirements.txt": "gunicorn==22.0.0\n"}
    events = builds.events("py-own", files, entrypoint=["sh", "-c", "exec gunicorn -b 0.0.0.0:$PORT wsgi:app"])
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "served by gunicorn"


SERVER = """
import http.server, os, sys
known = {paths}
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers = known.get(self.path, [404])
        self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), H).serve_forever()
"""


def test_the_health_path_of_an_own_server_is_found(builds):
    for paths, found in (({"/health": [200], "/": [200]}, "/health is asked"), ({"/health/readiness": [503, 200], "/health": [200]}, "/health/readiness is asked"), ({"/": [200]}, None)):
        events = builds.events("py-health", {"server.py": SERVER.format(paths=paths)}, entrypoint=["python3", "server.py"], language="python")
        assert events.ok, events
        assert (found in events.log) if found else ("is asked" not in events.log), events
    crash = builds.events("py-crash", {"server.py": "raise SystemExit('no database')\n"}, entrypoint=["python3", "server.py"], language="python")
    assert not crash.ok and crash.error["code"] == "start_failed", crash
    assert "no database" in crash.log


def test_a_local_source_comes_first(builds):
    """The package exists nowhere else: no registry can have answered."""
    folder = builds.sources / "python"
    folder.mkdir(exist_ok=True)
    name = "skerry_only_here-1.0"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("skerry_only_here.py", "value = 'from the folder'\n")
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: skerry-only-here\nVersion: 1.0\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    events = builds.events("py-local", {"main.py": hello("s.value", "import skerry_only_here as s"), "requirements.txt": "skerry-only-here==1.0\n"})
    assert events.ok, events
    assert builds.call(events.last["url"]).text == "from the folder"


@pytest.mark.parametrize("files,stage,words", [
    ({"main.py": hello(), "requirements.txt": "skerry-there-is-no-such-package-1d7f==9\n"}, "deps", "skerry-there-is-no-such-package-1d7f"),
    ({"main.py": hello(), "pyproject.toml": "[project\n dependencies = [1]"}, "deps", "pyproject.toml"),
    ({"other.py": "x = 1\n", "requirements.txt": ""}, "detect", "function/func.py"),
    ({"README": "x"}, "detect", "package.json"),
])
def test_a_failure_names_its_stage(builds, files, stage, words):
    events = builds.events("py-bad", files)
    assert not events.ok
    assert events.error["code"] == "build_failed" and events.error["details"]["stage"] == stage, events
    assert words in str(events.error), events
