"""Finds the author's entry, imports it, and says what kind of handler it has (CONTRACT.md section 2)."""

import os
import sys

from skerry_shim.failures import StartFailed

APP = "/app"
ENTRIES = ("function/func.py", "func.py", "main.py", "app.py")
NO_HANDLER = "no handler: the contract wants new() returning an object with async handle(scope, receive, send), or `app` (ASGI or WSGI)"

_CO_COROUTINE = 0x80


def app_folder():
    """/app; the conformance kit names another."""
    return os.environ.get("SKERRY_APP_DIR") or APP


def find_entry(app):
    """The entry's path below `app`: what the build recorded, else the first that exists."""
    recorded = os.environ.get("SKERRY_ENTRY")
    entries = (recorded,) if recorded else ENTRIES
    for entry in entries:
        if os.path.isfile(os.path.join(app, entry)):
            return entry
    raise StartFailed("no entry file: looked for " + ", ".join(entries))


def import_entry(app, entry):
    """Imports `function/func.py` as `function.func`, `func.py` as `func`."""
    if entry.endswith(".py") and "." not in entry[:-3] and not entry.startswith("/"):
        name = entry[:-3].replace("/", ".")
        __import__(name)
        return sys.modules[name]
    # A recorded entry whose path is no module name.
    from importlib import util

    spec = util.spec_from_file_location("function", os.path.join(app, entry))
    if spec is None:
        raise StartFailed(f"the entry {entry} is no Python file")
    module = sys.modules["function"] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shape_of(module):
    """("new", callable), ("asgi", app), ("wsgi", app) or ("handle", function)."""
    new = getattr(module, "new", None)
    if callable(new):
        return "new", new
    app = getattr(module, "app", None)
    if app is not None:
        if not callable(app):
            raise StartFailed(f"`app` is a {type(app).__qualname__}, which cannot be called: it must be an ASGI or WSGI application")
        return ("asgi" if is_asgi(app) else "wsgi"), app
    # Knative's static form: the module is the object.
    handle = getattr(module, "handle", None)
    if callable(handle):
        return "handle", module
    raise StartFailed(f"{NO_HANDLER}; {os.path.basename(module.__file__ or 'the entry')} has neither")


def is_asgi(app):
    """Whether a callable is ASGI. A coroutine function is; else three parameters are ASGI and two are WSGI."""
    function = _function_behind(app)
    code = getattr(function, "__code__", None)
    if code is not None:
        if code.co_flags & _CO_COROUTINE:
            return True
        if not hasattr(function, "__wrapped__"):
            count = _parameters(function, code, app)
            if count is not None:
                return count == 3
    import inspect

    function = inspect.unwrap(function)
    if inspect.iscoroutinefunction(function):
        return True
    try:
        inspect.signature(app).bind(None, None)
    except TypeError:
        return True  # not callable as (environ, start_response)
    except ValueError:
        return False
    return False


def _function_behind(app):
    """The plain function that a call ends in: through partials, bound methods and `__call__`."""
    while True:
        if type(app).__name__ == "partial" and hasattr(app, "func"):
            app = app.func
        elif hasattr(app, "__func__"):
            app = app.__func__
        elif hasattr(app, "__code__") or isinstance(app, type):
            return app
        elif hasattr(type(app), "__call__") and hasattr(type(app).__call__, "__code__"):
            return type(app).__call__
        else:
            return app


def _parameters(function, code, app):
    """How many positional arguments a caller gives, or None where only a full signature can tell."""
    if code.co_flags & 0x04 or function.__defaults__ or type(app).__name__ == "partial":
        return None
    bound = 0 if app is function else 1
    return code.co_argcount - bound
