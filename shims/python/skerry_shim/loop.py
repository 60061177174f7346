"""The shim's event loop: watches descriptors with one epoll, and runs coroutines, by itself until somebody needs asyncio.

Importing asyncio costs several times what a bare interpreter costs to start, and most small functions never touch it: `async def handle` with nothing but
`await send(...)`. So coroutines are driven by hand (HandTask) as long as asyncio has not been imported. From the moment it is, by whatever code, every
coroutine is a task of one real asyncio loop, including the one that is in the middle of the import: asyncio.current_task(), get_running_loop(), timeouts
and cancellation work from the statement after the import on. The epoll then hangs as one reader on that loop.

Owned by start.py, one for each process; single-threaded. It refuses nothing: limits are the connections' business.
"""

import contextvars
import os
import select
import sys
import _thread


class Loop:
    def __init__(self):
        self._epoll = select.epoll()
        self._handlers = {}
        self._ready = []
        self._urgent = []
        self._hand_tasks = set()
        self._stepping = None
        self._stop_asked = False
        self._tasks = set()
        self._thread = _thread.get_ident()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.watch(self._wake_read, select.EPOLLIN, self._woken)
        self._import_seen = False
        # The asyncio loop, once asyncio is in use.
        self.asyncio = None

    # Descriptors

    @property
    def wake_fd(self):
        """What is written to it wakes the loop."""
        return self._wake_write

    def watch(self, fd, events, handler):
        """`handler(events)` whenever one of `events` (level-triggered) holds."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd, events):
        self._epoll.modify(fd, events)

    def unwatch(self, fd):
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def call_from_signal(self, function):
        """Like call_soon, from a signal handler or another thread: wakes a sleeping loop."""
        self._urgent.append(function)
        self._wake()

    def _wake(self):
        try:
            os.write(self._wake_write, b"w")
        except BlockingIOError:
            pass  # full of wakes already

    def _woken(self, _events):
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            pass
        urgent, self._urgent = self._urgent, []
        for function in urgent:
            function()

    # Coroutines

    def call_soon(self, function):
        if self.asyncio is None:
            self._ready.append(function)
        else:
            self.asyncio.call_soon(function)

    def spawn(self, coroutine):
        """Runs a coroutine beside the others. It must not raise."""
        if self.asyncio is not None:
            task = self.asyncio.create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        task = HandTask(self, coroutine)
        self._hand_tasks.add(task)
        if self._stepping is None:
            task.step()
        else:
            self._ready.append(task.step)

    def complete(self, coroutine):
        """Runs until the coroutine is over; its result, or its exception raised."""
        outcome = []

        async def run():
            try:
                outcome.append((await coroutine, None))
            except BaseException as error:
                outcome.append((None, error))
            self.stop()

        self.spawn(run())
        self.run()
        if not outcome:
            raise RuntimeError("the event loop was stopped by the function")
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

    def run(self):
        """Runs until `stop()`."""
        while not self._stop_asked:
            if self.asyncio is not None:
                self.asyncio.run_forever()
                break
            ready, self._ready = self._ready, []
            for at, function in enumerate(ready):
                function()
                if self.asyncio is not None:
                    for later in ready[at + 1:]:
                        self.asyncio.call_soon(later)
                    break
            if self.asyncio is not None or self._stop_asked:
                continue
            if self._import_seen:
                self._enter_asyncio()
                continue
            self._dispatch(self._epoll.poll(0 if self._ready else None))
        self._stop_asked = False

    def stop(self):
        self._stop_asked = True
        # Not while it is not running: asyncio would remember it and end the next run at once.
        if self.asyncio is not None and self.asyncio.is_running():
            self.asyncio.stop()

    def _dispatch(self, events):
        for fd, mask in events:
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(mask)

    def _dispatch_ready(self):
        self._dispatch(self._epoll.poll(0))

    # asyncio

    def use_asyncio_when_imported(self):
        """Call once all start-up imports are done, or before: from then on the import is noticed."""
        if "asyncio" in sys.modules:
            self._enter_asyncio()
        else:
            sys.meta_path.insert(0, _AsyncioFinder(self))

    def asyncio_imported(self):
        if _thread.get_ident() != self._thread or self._stepping is None:
            self._import_seen = True
            self._wake()
            return
        self._enter_asyncio()
        self._stepping.adopt_running()

    def _enter_asyncio(self):
        if self.asyncio is not None:
            return
        self.asyncio = _current_asyncio_loop()
        self.asyncio.add_reader(self._epoll.fileno(), self._dispatch_ready)
        for task in self._hand_tasks:
            if task is not self._stepping:
                task.adopt_suspended()
        self._hand_tasks.clear()
        ready, self._ready = self._ready, []
        for function in ready:
            self.asyncio.call_soon(function)

    def close(self):
        """Cancels what the author left running, as asyncio.run does."""
        if self.asyncio is None:
            return
        import asyncio

        tasks = asyncio.all_tasks(self.asyncio)
        for task in tasks:
            task.cancel()
        if tasks:
            self.asyncio.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.asyncio.run_until_complete(self.asyncio.shutdown_asyncgens())
        self.asyncio.remove_reader(self._epoll.fileno())


def _current_asyncio_loop():
    """The loop that module code of the author already made current, else a new one: objects bound to it at import keep working."""
    import asyncio
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop_policy().get_event_loop()
        except RuntimeError:
            loop = None
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop


class Signal:
    """Something that may be awaited by any number of coroutines; `fire()` wakes those that wait now."""

    __slots__ = ("_loop", "_wakers")

    def __init__(self, loop):
        self._loop = loop
        self._wakers = []

    def fire(self):
        if self._wakers:
            wakers, self._wakers = self._wakers, []
            for wake in wakers:
                wake()

    def __await__(self):
        loop = self._loop.asyncio
        if loop is None:
            pause = _Pause()
            self._wakers.append(pause.end)
            yield pause
        else:
            future = loop.create_future()
            self._wakers.append(lambda: future.done() or future.set_result(None))
            yield from future


class _Pause:
    """What a coroutine yields to a HandTask: resume me when `end()` was called."""

    __slots__ = ("ended", "resume")

    def __init__(self):
        self.ended = False
        self.resume = None

    def end(self):
        self.ended = True
        if self.resume is not None:
            self.resume()


class HandTask:
    """Drives one coroutine without asyncio."""

    __slots__ = ("_loop", "_coroutine", "_context", "_pause", "_adopted")

    def __init__(self, loop, coroutine):
        self._loop = loop
        self._coroutine = coroutine
        self._context = contextvars.copy_context()
        self._pause = None
        self._adopted = None

    def step(self):
        if self._adopted is not None:
            return  # the asyncio task goes on from here
        loop = self._loop
        loop._stepping = self
        try:
            yielded = self._context.run(self._coroutine.send, None)
        except StopIteration:
            loop._hand_tasks.discard(self)
            yielded = None
        finally:
            loop._stepping = None
            if self._adopted is not None:
                self._leave_asyncio()
        if self._adopted is not None:
            self._adopted.first = yielded
            return
        if self._coroutine.cr_frame is None:
            return
        if type(yielded) is _Pause:
            self._pause = yielded
            yielded.resume = self._resume
            if yielded.ended:
                self._resume()
        elif yielded is None:
            loop._ready.append(self.step)
        else:
            # An awaitable of another event loop library, which cannot work here; asyncio's own task says it in the same way.
            error = RuntimeError(f"the function awaits {yielded!r}, which is not of asyncio's event loop")
            loop._ready.append(lambda: self._throw(error))

    def _throw(self, error):
        try:
            self._context.run(self._coroutine.throw, error)
        except (StopIteration, RuntimeError):
            self._loop._hand_tasks.discard(self)
        else:
            self._loop._ready.append(lambda: self._throw(error))

    def _resume(self):
        self._loop.call_soon(self.step)

    def adopt_suspended(self):
        self._adopt(self._pause)

    def adopt_running(self):
        """Called in the middle of a step, by the import of asyncio: the rest of this step runs as a step of the new task would."""
        import asyncio

        task = self._adopt(None)
        asyncio._set_running_loop(self._loop.asyncio)
        asyncio.tasks._enter_task(self._loop.asyncio, task)
        self._adopted.task = task

    def _leave_asyncio(self):
        import asyncio

        asyncio.tasks._leave_task(self._loop.asyncio, self._adopted.task)
        asyncio._set_running_loop(None)

    def _adopt(self, first):
        loop = self._loop
        self._adopted = _Adopted(loop.asyncio, self._coroutine, first)
        task = loop.asyncio.create_task(self._adopted, context=self._context)
        loop._tasks.add(task)
        task.add_done_callback(loop._tasks.discard)
        return task


class _Adopted:
    """A coroutine that has already begun, in the clothes of one that has not: what asyncio's task gets. Its first step is what was yielded last."""

    __slots__ = ("_asyncio", "_coroutine", "first", "task", "_begun")

    def __init__(self, asyncio_loop, coroutine, first):
        self._asyncio = asyncio_loop
        self._coroutine = coroutine
        self.first = first
        self.task = None
        self._begun = False

    def send(self, value):
        if not self._begun:
            self._begun = True
            if self._coroutine.cr_frame is None:
                raise StopIteration(None)
            return self._first()
        return self._coroutine.send(value)

    def _first(self):
        first, self.first = self.first, None
        if type(first) is not _Pause:
            return first
        if first.ended:
            return None
        future = self._asyncio.create_future()
        first.resume = lambda: future.done() or future.set_result(None)
        future._asyncio_future_blocking = True
        return future

    def throw(self, *error):
        self._begun = True
        return self._coroutine.throw(*error)

    def close(self):
        return self._coroutine.close()

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)


class _AsyncioFinder:
    """Notices the end of asyncio's import; finds nothing itself."""

    def __init__(self, loop):
        self._loop = loop

    def find_spec(self, name, path=None, target=None):
        if name != "asyncio":
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _AsyncioLoader(spec.loader, self._loop)
                return spec
        return None


class _AsyncioLoader:
    def __init__(self, loader, loop):
        self._loader = loader
        self._loop = loop

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._loop.asyncio_imported()
