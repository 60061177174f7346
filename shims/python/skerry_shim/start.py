"""The start of a Python function, in order: descriptors, status, the author's code, its start-up code, serving, its stop hook.

Called by main.py. Everything costs time before a first answer, so nothing is imported that this path does not need: no asyncio, socket, json, logging,
threading or re unless the author's code or its shape wants them.
"""

import os
import sys
import _signal

from skerry_shim.failures import StartFailed, one_line, print_trace
from skerry_shim.load import NO_HANDLER, app_folder, find_entry, import_entry, shape_of
from skerry_shim.status import DESCRIPTOR, Status

LISTENER = 3


def main():
    # SECURITY: a child process of the author's code must not be able to accept our requests or to speak for us on the status pipe.
    os.set_inheritable(LISTENER, False)
    os.set_inheritable(DESCRIPTOR, False)
    status = Status()
    assignment = os.environ.get("SKERRY_ASSIGNMENT_FD")
    if assignment:
        _become(int(assignment), status)
    status.phase("runtime")
    # As process 1 of a container SIGTERM is ignored without a handler; before ready there is nothing to finish.
    _signal.signal(_signal.SIGTERM, lambda _number, _frame: os._exit(0))
    _flush_by_line()
    app = app_folder()
    # In the place of this script's own folder.
    sys.path[0] = app
    try:
        module = import_entry(app, find_entry(app))
        status.phase("code")
        serve = prepare(*shape_of(module))
    except BaseException as error:
        if not isinstance(error, StartFailed):
            print_trace(error)
        else:
            os.write(2, f"start failed: {error}\n".encode("utf-8", "replace"))
            if error.__cause__ is not None:
                print_trace(error.__cause__)
        status.start_failed(one_line(error))
        sys.exit(1)
    serve(lambda: status.phase("ready"))


def _become(descriptor, status):
    from skerry_shim.spare import wait

    os.set_inheritable(descriptor, False)
    try:
        wait(descriptor)
    except StartFailed as error:
        status.start_failed(one_line(error))
        sys.exit(1)


def _flush_by_line():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.reconfigure(line_buffering=True)
        except (AttributeError, ValueError):
            pass  # not open


def prepare(shape, target):
    """Runs start-up code; returns serve(ready), which says ready, serves until SIGTERM and runs the stop hook."""
    if shape == "wsgi":
        from skerry_shim.wsgi import WsgiServer

        return WsgiServer(target, LISTENER).serve

    from skerry_shim.loop import Loop

    loop = Loop()
    if shape == "asgi":
        from skerry_shim.lifespan import Lifespan

        loop.use_asyncio_when_imported()
        lifespan = Lifespan(loop, target)
        loop.complete(lifespan.start())
        state = lifespan.state if lifespan.supported else None
        return lambda ready: _serve_asgi(loop, target, True, state, lifespan.stop, ready)

    # new() runs outside the loop, where it may run loops of its own.
    function = target() if shape == "new" else target
    handle = getattr(function, "handle", None)
    if not callable(handle):
        raise StartFailed(f"{NO_HANDLER}; new() returned a {type(function).__qualname__} without handle")
    loop.use_asyncio_when_imported()
    loop.complete(_start(function))
    return lambda ready: _serve_asgi(loop, handle, False, None, lambda: _call(function, "stop"), ready)


async def _start(function):
    await _call(function, "start", dict(os.environ))
    await _until_ready(function)


async def _call(function, name, *arguments):
    """Calls an optional method, sync or async."""
    method = getattr(function, name, None)
    if callable(method):
        result = method(*arguments)
        if hasattr(result, "__await__"):
            return await result
        return result
    return None


READY_WAIT_FIRST_S = 0.005
READY_WAIT_MAX_S = 0.1


async def _until_ready(function):
    """Asks the optional ready() until it says yes; the platform's start_timeout ends it. Knative's ready() answers (bool, message)."""
    if not callable(getattr(function, "ready", None)):
        return
    wait_s = READY_WAIT_FIRST_S
    while True:
        answer = await _call(function, "ready")
        if isinstance(answer, tuple):
            answer = answer[0] if answer else False
        if answer or answer is None:
            return
        import asyncio

        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, READY_WAIT_MAX_S)


def _serve_asgi(loop, app, websockets, state, stop, ready):
    from skerry_shim.serve import Server

    server = Server(loop, app, websockets, state)
    server.serve(ready)
    try:
        loop.complete(stop())
    except BaseException as error:
        print_trace(error)
    end_signals()
    loop.close()
    sys.exit(0)


def end_signals():
    """Before the exit: a second SIGTERM changes nothing. The interpreter takes a handler away before it has ended, but lets this stand."""
    _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)
    _signal.set_wakeup_fd(-1)
