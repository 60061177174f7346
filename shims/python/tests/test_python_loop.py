"""Coroutines run without asyncio until it is imported, and under it from that statement on."""

import json

PRELUDE = """
import sys
async def say(send, data):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": data})
"""


def func(body, more=""):
    return PRELUDE + more + "\nclass F:\n    async def handle(self, scope, receive, send):\n" + \
        "".join(f"        {line}\n" for line in body.strip("\n").split("\n")) + "\ndef new():\n    return F()\n"


def test_small_function_starts_and_answers_with_few_modules(run):
    """Each of these would cost more to import than the shim itself."""
    shim = run({"func.py": func("await receive()\nawait say(send, ' '.join(sys.modules).encode())")})
    shim.ask()
    loaded = shim.ask().decode().split()
    assert not set(loaded) & {"asyncio", "socket", "ssl", "json", "re", "enum", "logging", "threading", "traceback", "typing", "inspect", "urllib.parse", "subprocess"}


def test_asyncio_imported_in_a_handler_works_at_once(run):
    shim = run({"func.py": func("""
import asyncio
task = asyncio.current_task()
loop = asyncio.get_running_loop()
steps = [task is not None]
async with asyncio.timeout(10):
    await asyncio.sleep(0)
    steps.append(asyncio.current_task() is task)
    steps += await asyncio.gather(asyncio.sleep(0.001, True), asyncio.sleep(0.002, True))
try:
    async with asyncio.timeout(0.001):
        await asyncio.Event().wait()
except TimeoutError:
    steps.append(True)
steps.append(await loop.run_in_executor(None, lambda: True))
steps.append(asyncio.get_running_loop() is loop)
await say(send, repr(steps).encode())
""")})
    assert shim.ask() == b"[True, True, True, True, True, True, True]"
    assert shim.ask() == b"[True, True, True, True, True, True, True]"
    assert shim.end()[0] == 0


def test_cancel_in_the_very_step_of_the_import_is_delivered(run):
    shim = run({"func.py": func("""
import asyncio
asyncio.current_task().cancel()
try:
    await asyncio.sleep(0)
except asyncio.CancelledError:
    asyncio.current_task().uncancel()
    await say(send, b"cancelled")
""")})
    assert shim.ask() == b"cancelled"


def test_import_after_an_await_and_answer_in_the_same_step(run):
    shim = run({"func.py": func("await receive()\nimport asyncio\nawait say(send, str(asyncio.current_task() is not None).encode())")})
    assert shim.ask(method="POST", body=b"x") == b"True"
    assert shim.ask() == b"True"


def test_context_variables_survive_the_change(run):
    shim = run({"func.py": func("""
v.set(scope["path"])
import asyncio
await asyncio.sleep(0)
await say(send, v.get().encode())
""", "import contextvars\nv = contextvars.ContextVar('v')")})
    assert [shim.ask("/one"), shim.ask("/two")] == [b"/one", b"/two"]


def test_import_in_start_and_sync_hooks(run):
    shim = run({"func.py": PRELUDE + """
class F:
    def start(self, cfg):
        import asyncio
        self.task = asyncio.get_running_loop().create_task(self.tick())
        self.name = cfg["NAME"]
        self.asked = 0
    async def tick(self):
        return b" ticked"
    def ready(self):
        self.asked += 1
        return self.asked > 2, "message"
    async def handle(self, scope, receive, send):
        await say(send, self.name.encode() + await self.task + b" %d" % self.asked)
    def stop(self):
        print("stopped")
def new():
    return F()
"""}, NAME="given")
    assert shim.status[-1] == '{"phase":"ready"}'
    assert shim.ask() == b"given ticked 3"
    assert shim.end() == (0, "stopped\n", "")


def test_asyncio_run_in_new_is_allowed(run):
    shim = run({"func.py": PRELUDE + """
async def load():
    return b"loaded"
class F:
    def __init__(self):
        import asyncio
        self.value = asyncio.run(load())
    async def handle(self, scope, receive, send):
        import asyncio
        await asyncio.sleep(0)
        await say(send, self.value)
def new():
    return F()
"""})
    assert shim.ask() == b"loaded"


def test_objects_bound_to_the_current_loop_at_import_work(run):
    shim = run({"func.py": func("await say(send, str(asyncio.get_running_loop() is loop).encode())",
                                "import asyncio, warnings\nwarnings.simplefilter('ignore')\nloop = asyncio.get_event_loop()")})
    assert shim.ask() == b"True"


def test_lifespan_that_waits_without_asyncio_is_carried_over(run):
    shim = run({"app.py": PRELUDE + """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["n"] = "kept"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        import asyncio
        print("shutdown", asyncio.current_task() is not None)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/import":
        import asyncio
        await asyncio.sleep(0)
    await say(send, scope["state"]["n"].encode())
"""})
    assert [shim.ask("/"), shim.ask("/import"), shim.ask("/")] == [b"kept"] * 3
    assert shim.end() == (0, "shutdown True\n", "")


def test_app_without_lifespan_is_served(run):
    shim = run({"app.py": PRELUDE + "async def app(scope, receive, send):\n    assert scope['type'] == 'http'\n    await say(send, str('state' in scope).encode())\n"})
    assert shim.ask() == b"False"
    assert shim.end() == (0, "", "")


def test_bare_yield_and_foreign_awaitables_without_asyncio(run):
    shim = run({"func.py": func("""
if scope["path"] == "/foreign":
    await Foreign()
for _ in range(3):
    await Turn()
await say(send, b"turned")
""", """
class Turn:
    def __await__(self):
        yield
class Foreign:
    def __await__(self):
        yield "something"
""")})
    assert shim.ask() == b"turned"
    assert json.loads(shim.ask("/foreign"))["error"]["code"] == "function_error"
    assert shim.ask() == b"turned"
    assert "not of asyncio's event loop" in shim.end()[2]


def test_exit_in_a_handler_is_a_failure_of_that_request_only(run):
    shim = run({"func.py": func("sys.exit(3)")})
    assert b"function_error" in shim.ask()
    assert b"function_error" in shim.ask()
    assert shim.end()[0] == 0


def test_tasks_left_running_are_cancelled_at_the_end(run):
    shim = run({"func.py": func("""
import asyncio
async def for_ever():
    try:
        await asyncio.Event().wait()
    finally:
        print("cancelled")
global left
left = asyncio.create_task(for_ever())
await asyncio.sleep(0)
await say(send, b"left")
""")})
    assert shim.ask() == b"left"
    assert shim.end() == (0, "cancelled\n", "")
