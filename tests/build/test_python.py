"""Python projects, from an upload to an answer."""

HELLO = '''
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    {imports}
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": str({value}).encode()}})
'''


def hello(value="'hello'", imports="pass"):
    return HELLO.format(value=value, imports=imports)


def test_nothing_to_install_means_no_stage(builds):
    events = builds.events("py-plain", {"main.py": hello(), "requirements.txt": "# nothing\n\n"})
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
