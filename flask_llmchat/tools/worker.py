"""One tool call: what it is told, where it runs, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractContextManager
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal

from ..core.result import ToolCall
from ..transport.gevent_wait import yield_now
from ..transport.runtime import Slot
from .approvals import Grant
from .context import ToolContext, ToolError
from .event_loop import event_loop
from .results import read_result, shortened
from .tool import Tool

logger = logging.getLogger("flask_llmchat")

ToolOutcome = Literal["ok", "error", "timeout", "refused", "denied", "repeated", "abandoned"]

FAILED = "The tool failed."
ENDED = "The chat ended before the tool did."


@dataclass(frozen=True, slots=True)
class Ending:
    """How a tool call ended.

    :param text: the result, or why there is none, as the model gets it.
    :param output: the result as the page gets it.
    :param invalid: whether the call itself was wrong.
    :param by_user: whether the user has denied it.
    """

    outcome: ToolOutcome
    text: str
    output: Any = None
    invalid: bool = False
    by_user: bool = False


class _Stopped(Exception):
    """A generator was stopped because nobody wants its values any more."""


class Worker:
    """One tool call of a chat, in a thread or a task of its own.

    :param grant: the user's approval of it, if it needed one.
    :param limit: characters of its result.
    :param enter: makes the app context that it runs in.
    :param post: is called, from any thread, with the worker that has progressed or ended.
    :ivar progress: the latest preliminary result that has not been read. Not all of them: a
        generator may be endless.
    :ivar ending: how it ended; None while it runs.
    """

    def __init__(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        grant: Grant | None,
        *,
        call: ToolCall,
        limit: int,
        enter: Callable[[], AbstractContextManager[Any]],
        post: Callable[[Worker], Any],
    ) -> None:
        self.tool = tool
        self.call = call
        self.grant = grant
        self.progress: deque[Any] = deque(maxlen=1)
        self.ending: Ending | None = None
        self.context = ToolContext()
        self.started = 0.0
        self._arguments = arguments
        self._limit = limit
        self._enter = enter
        self._post = post
        self._has_posted = False
        self._result: Ending | None = None
        self._failure: BaseException | None = None
        self._slot: Slot | None = None
        self._cancel_task: Callable[[], Any] | None = None

    def start(self, context: ToolContext, slot: Slot | None) -> None:
        """Begin.

        :param slot: the permission to use a thread, which is given back when the tool ends; None
            for an ``async`` tool.
        :raises Exception: when the system has no more threads.
        """
        self.context = context
        self._slot = slot
        if slot is None:
            self._cancel_task = event_loop().start_task(self._run_async)
            return
        name = f"flask_llmchat-tool-{self.tool.name}"
        # A daemon: a tool that hangs must not keep the process from ending.
        thread = threading.Thread(target=Context().run, args=(self._run,), name=name, daemon=True)
        try:
            thread.start()
        except BaseException:
            slot.release()
            raise

    def cancel(self) -> None:
        """Tell the tool that its result is no longer wanted."""
        self.context.cancelled.set()
        if self._cancel_task is not None:
            self._cancel_task()

    def on_progress(self, value: Any) -> None:
        """Take a preliminary result."""
        self.progress.append(read_result(value, self._limit)[0])
        if not self._has_posted:
            self._has_posted = True
            self._post(self)

    def read_progress(self) -> list[Any]:
        """Return the preliminary result that has not been read, if there is one."""
        self._has_posted = False  # before it is taken: the next one is posted again
        with contextlib.suppress(IndexError):
            return [self.progress.popleft()]
        return []

    def _run(self) -> None:
        with self._recording(), self._entered():
            value = self.tool.call(self._arguments, self.context)
            if isinstance(value, Generator):
                value = self._last_of(value)
            self._result = self._ending_of(value)

    async def _run_async(self) -> None:
        with self._recording(), self._entered():
            value = self.tool.call(self._arguments, self.context)
            if isinstance(value, AsyncGenerator):
                value = await self._last_of_async(value)
            else:
                value = await value
            self._result = self._ending_of(value)

    def _last_of(self, values: Generator[Any, None, Any]) -> Any:
        last = None
        with contextlib.closing(values):
            try:
                while not self.context.cancelled.is_set():
                    last = next(values)
                    self.on_progress(last)
                    yield_now()  # some wait for nothing, and gevent has others to run
            except StopIteration as stop:
                return last if stop.value is None else stop.value
        raise _Stopped

    async def _last_of_async(self, values: AsyncGenerator[Any, None]) -> Any:
        last = None
        async with contextlib.aclosing(values):
            async for last in values:
                self.on_progress(last)
                await asyncio.sleep(0)  # as above
        return last

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """Report the end, whatever is raised: by the tool, or by the app context around it."""
        try:
            yield
        except BaseException as error:  # SystemExit and GreenletExit, too
            if self._result is None:
                self._result = self._ending_after(error)
            elif error is not self._failure:  # the tool itself has done its work
                logger.exception("a teardown function of the app failed after a tool")
        finally:
            if self._slot is not None:
                self._slot.release()
            self.ending = self._result  # only now: the next tool may rely on the teardown
            self._post(self)

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """Enter the app context, whose teardown functions are told of an exception of the tool."""
        with self._enter():
            try:
                yield
            except BaseException as error:
                self._failure = error
                self._result = self._ending_after(error)
                raise

    def _ending_of(self, value: Any) -> Ending:
        try:
            output, text = read_result(value, self._limit)
        except Exception:
            logger.exception("%s returned what is not JSON", self)
            return Ending("error", "The tool's result is not JSON.")
        return Ending("ok", text, output)

    def _ending_after(self, error: BaseException) -> Ending:
        if isinstance(error, ToolError):
            return Ending("error", shortened(str(error), self._limit) or FAILED)
        cancelled = isinstance(error, asyncio.CancelledError | _Stopped)
        if cancelled and self.context.cancelled.is_set():
            return Ending("abandoned", ENDED)
        logger.error("%s failed", self, exc_info=error)
        return Ending("error", FAILED)

    def __str__(self) -> str:
        """Name the call for the log, without its arguments."""
        return f"chat {self.context.request_id}: tool {self.tool.name} ({self.call.id[:64]!r})"
