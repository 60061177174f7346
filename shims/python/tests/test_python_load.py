import functools
import json
import types

import pytest

from skerry_shim.failures import StartFailed
from skerry_shim.load import find_entry, is_asgi, shape_of
from skerry_shim.status import LINE_MAX, MESSAGE_MAX, escape

HELLO = """
class F:
    async def handle(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": %s})
def new():
    return F()
"""


async def asgi(scope, receive, send):
    pass


def wsgi(environ, start_response):
    pass


class AsgiObject:
    async def __call__(self, scope, receive, send):
        pass


class WsgiObject:
    def __call__(self, environ, start_response):
        pass

    def method(self, environ, start_response):
        pass

    async def async_method(self, scope, receive, send):
        pass


class SyncCallOfThree:
    def __call__(self, scope, receive, send):
        return asgi(scope, receive, send)


@functools.wraps(asgi)
def wrapped_asgi(*arguments):
    return asgi(*arguments)


@functools.wraps(wsgi)
def wrapped_wsgi(*arguments):
    return wsgi(*arguments)


@pytest.mark.parametrize("app", (
    asgi, AsgiObject(), SyncCallOfThree(), WsgiObject().async_method, functools.partial(asgi), wrapped_asgi, lambda s, r, t: asgi(s, r, t),
    functools.partial(lambda extra, s, r, t: asgi(s, r, t), 1),
))
def test_asgi_is_told(app):
    assert is_asgi(app)


@pytest.mark.parametrize("app", (
    wsgi, WsgiObject(), WsgiObject().method, functools.partial(wsgi), wrapped_wsgi, lambda e, s: [], lambda e, s, extra=None: [], lambda *a: [],
    functools.partial(lambda extra, e, s: [], 1),
))
def test_wsgi_is_told(app):
    assert not is_asgi(app)


def module(**values):
    made = types.ModuleType("made")
    made.__file__ = "/app/made.py"
    made.__dict__.update(values)
    return made


def test_new_comes_before_app_and_app_before_handle():
    def new():
        pass

    assert shape_of(module(new=new, app=wsgi, handle=asgi)) == ("new", new)
    assert shape_of(module(app=wsgi, handle=asgi)) == ("wsgi", wsgi)
    assert shape_of(module(app=asgi)) == ("asgi", asgi)
    assert shape_of(module(handle=asgi))[0] == "handle"


def test_what_cannot_be_a_handler_is_named():
    with pytest.raises(StartFailed, match="made.py"):
        shape_of(module())
    with pytest.raises(StartFailed, match="a dict"):
        shape_of(module(app={}))


def test_first_entry_that_exists_is_taken(tmp_path, monkeypatch):
    monkeypatch.delenv("SKERRY_ENTRY", raising=False)
    with pytest.raises(StartFailed, match="function/func.py, func.py, main.py, app.py"):
        find_entry(str(tmp_path))
    for entry in ("app.py", "main.py", "func.py", "function/func.py"):
        (tmp_path / entry).parent.mkdir(exist_ok=True)
        (tmp_path / entry).write_text("")
        assert find_entry(str(tmp_path)) == entry
    monkeypatch.setenv("SKERRY_ENTRY", "main.py")
    assert find_entry(str(tmp_path)) == "main.py"
    monkeypatch.setenv("SKERRY_ENTRY", "gone.py")
    with pytest.raises(StartFailed, match="gone.py"):
        find_entry(str(tmp_path))


@pytest.mark.parametrize("entry, name", (("function/func.py", "function.func"), ("func.py", "func"), ("main.py", "main"), ("app.py", "app")))
def test_entry_is_imported_under_its_name_with_the_app_first_on_the_path(run, entry, name):
    shim = run({entry: HELLO % "(__name__ + ' ' + __import__('sys').path[0]).encode()"})
    imported, path = shim.ask().decode().split(" ")
    assert imported == name
    assert path.endswith("/app")


def test_neighbours_of_the_entry_are_importable(run):
    shim = run({"function/func.py": "from function.near import A\nfrom top import B\nfrom . import near\n" + HELLO % "A + B",
                "function/near.py": "A = b'a'", "top.py": "B = b'b'"})
    assert shim.ask() == b"ab"


def test_recorded_entry_with_a_name_that_is_no_module(run):
    assert run({"src/my.handler.py": HELLO % "b'odd'"}, SKERRY_ENTRY="src/my.handler.py").ask() == b"odd"


def test_names_of_the_shim_do_not_hide_the_authors(run):
    files = {"func.py": "import load, start, head\n" + HELLO % "load.V + start.V + head.V"}
    files |= {f"{name}.py": f"V = b'{name} '" for name in ("load", "start", "head")}
    assert run(files).ask() == b"load start head "


@pytest.mark.parametrize("text", ("plain", 'quote " back \\ slash', "line\nbreak\t\0", "ü€", "𝄞", "\ud800"))
def test_status_text_survives_json(text):
    assert json.loads(f'"{escape(text)}"') == text


def test_longest_message_fits_a_line():
    assert len('{"error":"start_failed","message":"%s"}\n' % escape("𝄞" * MESSAGE_MAX)) <= LINE_MAX
