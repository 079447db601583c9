"""``Runner``: runs the tool calls of one chat, within the limits of the settings."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any

from ..core.config import Config
from ..core.events import ToolProgress, ToolResult
from ..core.request import ChatRequest
from ..core.result import ToolCall, ToolRun
from ..runs.tool_runner import ToolRunner, ToolStep
from ..transport.runtime import Slot, current_runtime
from .arguments import InvalidArguments, parse_arguments
from .context import ToolContext
from .event_loop import callable_from_any_thread
from .tool import Tool
from .worker import ENDED, FAILED, Ending, Worker

logger = logging.getLogger("flask_llmchat")

_SAME_IN_A_ROW = 2
_POLL = 0.05  # seconds between two looks for a free thread
# Seconds that a stopping server waits for tools. Shorter than the watchdog's notice: within that
# the client has to be told, once they are over, or it gets a cut in place of the error.
_STOP_GRACE = 0.25


class Runner(ToolRunner):
    """Runs the tool calls of one chat, within the limits of the settings.

    Each call runs in an empty :mod:`contextvars` context and an app context of its own, so a
    database session is that of one call. ``async`` tools run as tasks of one event loop, the others
    in a thread each, or a greenlet under gevent. A thread cannot be ended: the tool that times out
    in one is told so by ``cancelled``, and its thread counts until it ends.

    :param tools: those offered to the model.
    :param enter: makes an app context.
    :param finished: called with each :class:`~flask_llmchat.ToolRun`, in an app context of its own.
    :param deadline: :func:`time.monotonic` at which the chat has to be over.
    :raises ValueError: when two tools have the same name.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        chat: ChatRequest,
        config: Config,
        *,
        enter: Callable[[], AbstractContextManager[Any]],
        finished: Callable[[ToolRun], None],
        deadline: float,
    ) -> None:
        self.runs: list[ToolRun] = []
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if self._tools.setdefault(tool.name, tool) is not tool:
                raise ValueError(f"two tools are called {tool.name!r}")
        # Not the chat itself: its messages are not needed.
        self._profile, self._context = chat.profile, chat.context
        self._caller, self._request_id = chat.caller, chat.request_id
        self._config = config
        self._enter = enter
        self._finished = finished
        self._deadline = deadline
        self._step = ToolStep(1, chat.provider, chat.model)
        self._waiting: deque[Worker] = deque()
        self._running: list[Worker] = []
        self._events: list[ToolProgress | ToolResult] = []
        self._texts: dict[str, str] = {}
        self._mailbox: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._calls = 0
        self._last_call = ("", "")
        self._same_calls = 0
        self._waits_until = math.inf  # for a thread

    def text_of(self, call_id: str) -> str:
        """Return the result of a call as the model gets it."""
        return self._texts[call_id]

    def start(self, calls: Sequence[ToolCall], step: ToolStep) -> None:
        """Begin to run the calls of one step, of which none is running any more."""
        self._step = step
        post = callable_from_any_thread(self._mailbox.put)
        for call in calls:
            admitted = self._admit(call)
            if isinstance(admitted, Ending):
                self._finish(call, admitted)
            else:
                limit = self._config.tool_result
                self._waiting.append(Worker(*admitted, limit=limit, enter=self._enter, post=post))
        self._begin()

    def read(self, timeout: float | None = None) -> list[ToolProgress | ToolResult] | None:
        """Wait for what comes next from the calls that are running."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            for _ in range(self._mailbox.qsize()):
                self._receive(0)
            self._expire()
            self._begin()
            events, self._events = self._events, []
            if events or not (self._running or self._waiting):
                return events
            now = time.monotonic()
            if now >= until:
                return None
            deadlines = [worker.context.deadline for worker in self._running]
            poll = now + _POLL if self._waits_until < math.inf else math.inf
            self._receive(min(until, poll, *deadlines) - now)

    def close(self) -> None:
        """Tell the tools that are running to stop, and wait for them up to their own timeouts."""
        try:
            for worker in self._running:
                worker.cancel()
            until = max((worker.context.deadline for worker in self._running), default=0.0)
            while self._running and (left := until - time.monotonic()) > 0:
                self._receive(min(left, 0.25))
                if current_runtime().watchdog.server_is_stopping():
                    until = min(until, time.monotonic() + _STOP_GRACE)
        finally:
            while self._running:
                worker = self._running.pop()
                self._finish(worker.call, Ending("abandoned", ENDED), worker)
            while self._waiting:
                text = "The chat ended before the tool was run."
                self._finish(self._waiting.popleft().call, Ending("refused", text))
            self._events = []

    def _admit(self, call: ToolCall) -> tuple[Tool, ToolCall, dict[str, Any]] | Ending:
        """Return what a call runs, or why it is not run."""
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(self._tools)
            text = f"There is no tool {call.name[:64]!r}. The tools are: {names}."
            return Ending("refused", text, invalid=True)
        try:
            arguments = parse_arguments(call.arguments)
            this = (call.name, json.dumps(arguments, sort_keys=True))
        except (InvalidArguments, RecursionError) as error:
            return Ending("refused", str(error), invalid=True)
        self._same_calls = self._same_calls + 1 if this == self._last_call else 1
        self._last_call = this
        if self._same_calls > _SAME_IN_A_ROW:
            text = "This call was not run: it repeats the last two. Use their results."
            return Ending("repeated", text)
        if self._calls >= self._config.tool_calls:
            text = "This call was not run: the chat has no tool calls left. Answer without."
            return Ending("refused", text)
        self._calls += 1
        try:
            # Before the call begins, so that a client is never shown one that cannot. The request,
            # which is there in the first step alone, is not seen.
            return tool, call, Context().run(tool.load, arguments)
        except InvalidArguments as error:
            return Ending("refused", str(error), invalid=True)
        except Exception:
            logger.exception("the arguments of tool %r could not be checked", tool.name)
            return Ending("error", FAILED)

    def _begin(self) -> None:
        """Begin as many of the waiting calls as may run."""
        while self._waiting and len(self._running) < self._config.tool_concurrency:
            worker = self._waiting[0]
            tool, now = worker.tool, time.monotonic()
            if self._running and (tool.sequential or self._running[-1].tool.sequential):
                return
            slot = None
            if now >= self._deadline:
                self._finish(worker.call, Ending("refused", "The time of the chat is over."))
            elif tool.is_async or (slot := self._thread()) is not None:
                self._start(worker, slot)
            elif now < self._waits_until:
                self._waits_until = min(self._waits_until, now + self._config.tool_timeout)
                return
            else:
                text = "This call was not run: the server runs too many tools. Try again later."
                self._finish(worker.call, Ending("refused", text))
            self._waiting.popleft()
            self._waits_until = math.inf

    def _thread(self) -> Slot | None:
        """Take the slot of a thread; None when there is none."""
        with contextlib.suppress(LookupError):
            return Slot(self._config.tool_threads, current_runtime().tool_slots)
        return None

    def _start(self, worker: Worker, slot: Slot | None) -> None:
        worker.started = time.monotonic()
        timeout = worker.tool.timeout or self._config.tool_timeout
        context = ToolContext(
            profile=self._profile,
            context=self._context,
            caller=self._caller,
            provider=self._step.provider,
            model=self._step.model,
            request_id=self._request_id,
            call_id=worker.call.id,
            step=self._step.number,
            deadline=min(worker.started + timeout, self._deadline),
            cancelled=threading.Event(),
            on_progress=worker.on_progress,
        )
        try:
            worker.start(context, slot)
        except Exception:
            logger.exception("%s could not be started", worker)
            self._finish(worker.call, Ending("error", FAILED), worker)
        else:
            self._running.append(worker)

    def _receive(self, seconds: float) -> None:
        """Wait for news of one call."""
        try:
            worker = self._mailbox.get(timeout=None if seconds == math.inf else max(seconds, 0))
        except queue.Empty:
            return
        if worker not in self._running:
            return  # it has timed out
        for output in worker.read_progress():
            self._events.append(ToolProgress(worker.call.id, worker.call.name, output))
        if worker.ending is not None:
            self._running.remove(worker)
            self._finish(worker.call, worker.ending, worker)

    def _expire(self) -> None:
        """End the calls whose time is over."""
        now = time.monotonic()
        for worker in [w for w in self._running if now >= w.context.deadline]:
            worker.cancel()
            self._running.remove(worker)
            seconds = worker.context.deadline - worker.started
            text = f"The tool timed out after {seconds:.3g} seconds."
            self._finish(worker.call, Ending("timeout", text), worker)

    def _finish(self, call: ToolCall, ending: Ending, worker: Worker | None = None) -> None:
        """Record how a call ended. No call comes here twice."""
        run = ToolRun(
            call_id=call.id,
            name=call.name,
            step=self._step.number,
            outcome=ending.outcome,
            duration=time.monotonic() - worker.started if worker else 0.0,
            size=len(ending.text),
            arguments=call.arguments,
            result=ending.text,
        )
        self.runs.append(run)
        self._texts[call.id] = ending.text
        error = "" if ending.outcome == "ok" else ending.text
        self._events.append(
            ToolResult(call.id, call.name, ending.output, error=error, invalid=ending.invalid)
        )
        logger.info(
            "chat %s, step %s: tool %.64r (call %.64r) %s after %.0f ms;"
            " %s characters of arguments, %s of the result",
            self._request_id,
            run.step,
            run.name,
            run.call_id,
            run.outcome,
            run.duration * 1000,
            len(run.arguments),
            run.size,
        )
        # In an empty context: what runs before the first byte would see the request otherwise.
        Context().run(self._tell, run)

    def _tell(self, run: ToolRun) -> None:
        try:
            with self._enter():
                self._finished(run)
        except Exception:
            logger.exception("a receiver, or a teardown function, failed after a tool")
