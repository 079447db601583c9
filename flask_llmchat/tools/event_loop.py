"""The event loop of ``async`` tools: one per process, in an operating-system thread of its own.

Under gevent, too, where several loops in greenlets of one thread cannot run. Its thread is not one
of :mod:`threading`'s, which gevent replaces.
"""

from __future__ import annotations

import _thread
import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from ..transport.runtime import current_runtime
from ..transport.watchdog import unpatched

logger = logging.getLogger("flask_llmchat")

Item = TypeVar("Item")


class _GreenletLoop(asyncio.SelectorEventLoop):
    """An event loop for gevent, under which every thread that a tool starts is a greenlet.

    An executor's are waited for when the process ends, by a thread that cannot wake them up, and
    name lookups use one: the process would not end.
    """

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(func(*args))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return asyncio.wrap_future(future, loop=self)


def _gevent() -> ModuleType | None:
    """Return gevent, if it has replaced threads."""
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("threading")
    return sys.modules["gevent"] if patched else None


class EventLoop:
    """A running event loop. Making it starts its thread, which ends with the process."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself refers to them weakly
        started = unpatched(_thread, "allocate_lock")()
        started.acquire()
        unpatched(_thread, "start_new_thread")(self._run, (started,))
        started.acquire()
        if self._loop is None:
            raise OSError("no event loop could be made for async tools")

    def _run(self, started: Any) -> None:
        try:
            # Here, and not by whoever starts it: gevent's belongs to the thread that makes it.
            loop = self._loop = _GreenletLoop() if _gevent() else asyncio.new_event_loop()
        finally:
            started.release()
        while True:
            try:
                loop.run_forever()
            except BaseException:  # SystemExit in a task of a tool's own: not the others' end
                logger.exception("the event loop of async tools goes on after an error")

    def start_task(self, coroutine: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Any]:
        """Run a coroutine as a task, in an empty context; return what cancels it once it runs."""
        loop, made = self._loop, list[asyncio.Task[None]]()
        assert loop is not None

        def start() -> None:
            task = loop.create_task(coroutine(), context=Context())
            made.append(task)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def cancel() -> None:
            loop.call_soon(made[0].cancel)  # after its first step: it is never cancelled unbegun

        loop.call_soon_threadsafe(start)
        return partial(loop.call_soon_threadsafe, cancel)


def event_loop() -> EventLoop:
    """Return the event loop of this process."""
    runtime = current_runtime()
    with runtime.event_loop_lock:
        if runtime.event_loop is None:
            runtime.event_loop = EventLoop()
        loop: EventLoop = runtime.event_loop
        return loop


def callable_from_any_thread(function: Callable[[Item], Any]) -> Callable[[Item], Any]:
    """Return a function that other operating-system threads can call in place of the one given.

    gevent's queues and locks wake up only greenlets of the thread that they are used in.
    """
    gevent = _gevent()
    return partial(gevent.get_hub().loop.run_callback_threadsafe, function) if gevent else function
