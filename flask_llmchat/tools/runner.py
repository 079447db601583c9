"""``Runner``: runs the tool calls of one chat, within the limits of the settings."""

from __future__ import annotations

import contextlib
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
from ..core.request import Approval, ChatRequest
from ..core.result import PendingApproval, ToolCall, ToolRun
from ..runs.tool_runner import ToolEvent, ToolRunner, ToolStep
from ..transport.runtime import Slot, current_runtime
from .admission import Admission, Admitted
from .approvals import Approvals, Pending
from .context import ToolContext
from .event_loop import callable_from_any_thread
from .tool import Tool
from .worker import ENDED, FAILED, Ending, Worker

logger = logging.getLogger("flask_llmchat")

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
    :param approvals: how its calls are approved.
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
        approvals: Approvals,
        enter: Callable[[], AbstractContextManager[Any]],
        finished: Callable[[ToolRun], None],
        deadline: float,
    ) -> None:
        self.runs: list[ToolRun] = []
        self.approvals: list[PendingApproval] = []
        self._admission = Admission(tools, config.tool_calls, approvals)
        # Not the chat itself: its messages are not needed.
        self._profile, self._context = chat.profile, chat.context
        self._caller, self._request_id = chat.caller, chat.request_id
        self._config = config
        self._approvals = approvals
        self._enter = enter
        self._finished = finished
        self._deadline = deadline
        self._step = ToolStep(1, chat.provider, chat.model)
        self._waiting: deque[Worker] = deque()
        self._running: list[Worker] = []
        self._events: list[ToolEvent] = []
        self._texts: dict[str, str] = {}
        self._mailbox: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._waits_until = math.inf  # for a thread

    def text_of(self, call_id: str) -> str:
        """Return the result of a call as the model gets it."""
        return self._texts[call_id]

    def start(self, calls: Sequence[ToolCall], step: ToolStep) -> None:
        """Begin to run the calls of one step, of which none is running any more."""
        self._step = step
        for call in calls:
            self._queue(call, self._admission.admit(call, self._context_of(call)))
        self._begin()

    def resume(self, approvals: Sequence[Approval], step: ToolStep) -> None:
        """Begin to run the calls of an earlier chat, those that the user has approved."""
        self._step = step
        for approval in approvals:
            context = self._context_of(approval.call)
            self._queue(approval.call, self._admission.admit_approved(approval, context))
        self._begin()

    def _queue(self, call: ToolCall, admitted: Admitted | Ending | Pending) -> None:
        if isinstance(admitted, Ending):
            self._finish(call, admitted)
        elif isinstance(admitted, Pending):
            self.approvals.append(admitted.record)
            self._events.append(admitted.request)
        else:
            post = callable_from_any_thread(self._mailbox.put)
            limit = self._config.tool_result
            self._waiting.append(
                Worker(*admitted, call=call, limit=limit, enter=self._enter, post=post)
            )

    def read(self, timeout: float | None = None) -> list[ToolEvent] | None:
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

    def _context_of(self, call: ToolCall, **more: Any) -> ToolContext:
        return ToolContext(
            profile=self._profile,
            context=self._context,
            caller=self._caller,
            provider=self._step.provider,
            model=self._step.model,
            request_id=self._request_id,
            call_id=call.id,
            step=self._step.number,
            **more,
        )

    def _start(self, worker: Worker, slot: Slot | None) -> None:
        # Only now: a call that never began can still be approved.
        if worker.grant and (reason := self._approvals.claim(worker.grant)):
            if slot is not None:
                slot.release()
            self._finish(worker.call, Ending("refused", reason))
            return
        worker.started = time.monotonic()
        timeout = worker.tool.timeout or self._config.tool_timeout
        context = self._context_of(
            worker.call,
            approved=worker.grant is not None,
            approval_key=worker.grant.key if worker.grant else "",
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
            approved=worker is not None and worker.grant is not None,
            duration=time.monotonic() - worker.started if worker else 0.0,
            size=len(ending.text),
            arguments=call.arguments,
            result=ending.text,
        )
        self.runs.append(run)
        self._texts[call.id] = ending.text
        error = "" if ending.outcome == "ok" else ending.text
        invalid, denied = ending.invalid, ending.by_user
        self._events.append(
            ToolResult(call.id, call.name, ending.output, error, invalid=invalid, denied=denied)
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
