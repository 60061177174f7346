"""The ASGI lifespan protocol: an `app` object's start-up and shut-down code.

An application that does not know lifespan raises or returns before it answers; it is served without, as other ASGI servers do. One that says
`lifespan.startup.failed` has failed to start.
"""

import os

from skerry_shim.asgi import ASGI
from skerry_shim.failures import StartFailed, print_trace
from skerry_shim.loop import Signal


class Lifespan:
    def __init__(self, loop, app):
        self._loop = loop
        self._app = app
        self.state = {}
        self._events = [{"type": "lifespan.startup"}]
        self._arrived = Signal(loop)
        self._answered = Signal(loop)
        self._answer = None
        self._over = False
        self._trouble = None
        self.supported = False

    async def start(self):
        self._loop.spawn(self._run())
        while self._answer is None and not self._over:
            await self._answered
        if self._answer is None:
            return  # not supported
        kind, message = self._answer
        if kind == "lifespan.startup.failed":
            raise StartFailed(message or "the application said lifespan.startup.failed") from self._trouble
        self.supported = True

    async def stop(self):
        if not self.supported or self._over:
            return
        self._answer = None
        self._events.append({"type": "lifespan.shutdown"})
        self._arrived.fire()
        while self._answer is None and not self._over:
            await self._answered
        if self._answer is not None and self._answer[0] == "lifespan.shutdown.failed":
            os.write(2, f"lifespan.shutdown.failed: {self._answer[1]}\n".encode("utf-8", "replace"))

    async def _run(self):
        try:
            await self._app({"type": "lifespan", "asgi": ASGI.copy(), "state": self.state}, self._receive, self._send)
        except BaseException as error:
            self._trouble = error
            # Before the first answer this is how an application says that it does not know lifespan.
            if self._answer is not None or self.supported:
                print_trace(error)
        finally:
            self._over = True
            self._answered.fire()

    async def _receive(self):
        while not self._events:
            await self._arrived
        return self._events.pop(0)

    async def _send(self, message):
        kind = message["type"]
        if not kind.startswith("lifespan."):
            raise RuntimeError(f"the application sent {kind!r} in its lifespan")
        self._answer = (kind, str(message.get("message", "")))
        self._answered.fire()
