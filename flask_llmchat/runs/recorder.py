"""The recorder: collects the state of a chat, and emits its result exactly once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import chain

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError
from ..core.events import Chunk, Event, Finish, StepStart, ToolProgress, ToolResult, ToolsStart
from ..core.finish_reasons import FINISH_REASONS, effective_reason
from ..core.half_characters import replace_halves
from ..core.request import ChatRequest
from ..core.result import (
    Attempt,
    ChatResult,
    Outcome,
    PendingApproval,
    Step,
    ToolCall,
    ToolRun,
    Usage,
)
from ..protocols.base import ResponseParser, Totals

logger = logging.getLogger("flask_llmchat")

# What the model has not written.
_NO_TOKEN = Finish | Chunk | StepStart | ToolsStart | ToolProgress | ToolResult


class AttemptRecord:
    """One attempt while it runs.

    :ivar parser: the parser of its response, once that has begun.
    :ivar upstream_request_id: the provider's id of the request, once the response has begun.
    :ivar hidden_calls: ids of its tool calls that are none of the client's.
    """

    def __init__(self, provider: str, model: str) -> None:
        self.provider = provider
        self.model = model
        self.parser: ResponseParser | None = None
        self.upstream_request_id: str | None = None
        self.hidden_calls: frozenset[str] = frozenset()
        self._error: ChatError | None = None
        self._started = time.monotonic()
        self._ended: float | None = None
        self._totals: Totals | None = None

    def end(self, error: ChatError | None = None) -> None:
        """End it, with the error that it failed with. Only the first call counts."""
        if self._ended is None:
            self._ended = time.monotonic()
            self._error = error

    def totals(self) -> Totals:
        """Return what its response adds up to; read from the parser once, at the end."""
        if self._totals is None:
            self._totals = self.parser.totals() if self.parser else Totals()
            for call in self._totals.tool_calls:
                if not call.custom:
                    call.arguments = replace_halves(call.arguments)
        return self._totals

    def result(self) -> Attempt:
        """End it and return it as a value."""
        self.end()
        assert self._ended is not None
        error = self._error
        return Attempt(
            provider=self.provider,
            model=self.model,
            error=error,
            usage=self.totals().usage,
            duration=self._ended - self._started,
            upstream_request_id=self.upstream_request_id
            or (error.upstream_request_id if error else None),
        )


class ChatRecorder:
    """Collects the state of one chat from its start, and emits its result exactly once.

    :param emit: takes the result.
    :ivar result: the result, once the chat has ended.
    :ivar attempt: the attempt of the present step that counts; None before the first one.
    """

    def __init__(self, chat: ChatRequest, emit: Callable[[ChatResult], None]) -> None:
        self.request_id = chat.request_id
        self.result: ChatResult | None = None
        self.attempt: AttemptRecord | None = None
        self.update(chat)
        self._emit = emit
        self._started = time.monotonic()
        self._first_token: float | None = None
        self._steps: list[list[AttemptRecord]] = [[]]  # the attempts of each step
        self._earlier: list[AttemptRecord] = []  # responses before the present one
        self._step_start = 0  # how many of them belong to earlier steps
        self.tool_runs: Sequence[ToolRun] = ()
        self.approvals: Sequence[PendingApproval] = ()
        self.stream_id: str | None = None
        self.message_id: str | None = None

    def update(self, chat: ChatRequest) -> None:
        """Read the chat again: hooks may have changed its model or its context."""
        # Not the chat itself: its messages are not needed for as long as the response.
        self._provider, self._model = chat.provider, chat.model
        self._caller, self._conversation_id = chat.caller, chat.conversation_id
        self._context = chat.context

    def start_attempt(self, provider: str, model: str) -> None:
        """Begin an attempt of the present step. What earlier ones have brought does not count."""
        del self._earlier[self._step_start :]
        self._begin_attempt(provider, model)

    def _begin_attempt(self, provider: str, model: str) -> None:
        self.attempt = AttemptRecord(provider, model)
        self._steps[-1].append(self.attempt)

    def open_attempt(self, parser: ResponseParser, upstream_request_id: str | None) -> None:
        """Record that the response of the present attempt has begun."""
        assert self.attempt is not None
        self.attempt.parser = parser
        self.attempt.upstream_request_id = upstream_request_id

    def fail_attempt(self, error: ChatError) -> None:
        """Record the error that the present attempt failed with, if one has begun."""
        if self.attempt is not None:
            self.attempt.end(error)

    def retry_attempt(self) -> None:
        """Begin another attempt at the same provider, after the present one has failed."""
        assert self.attempt is not None
        self._begin_attempt(self.attempt.provider, self.attempt.model)

    def continue_step(self) -> None:
        """Begin another attempt of the present step, which goes on with its response."""
        assert self.attempt is not None
        self.attempt.end()
        self._earlier.append(self.attempt)
        self.retry_attempt()

    def start_step(self) -> None:
        """Begin a further step: the response so far is complete, and another one follows."""
        if self.attempt is not None:
            self.attempt.end()
            self._earlier.append(self.attempt)
        self.attempt = None
        self._steps.append([])
        self._step_start = len(self._earlier)

    @property
    def has_content(self) -> bool:
        """Whether anything has come yet: then a further response may bring nothing."""
        return self._first_token is not None or bool(self.tool_runs)

    def step_totals(self) -> Totals:
        """Return what the response of the present step adds up to, in all its parts."""
        assert self.attempt is not None
        return _joined([a.totals() for a in (*self._earlier[self._step_start :], self.attempt)])

    def earlier_usage(self) -> Usage | None:
        """Return the token counts of the steps before the present one; None for none."""
        return _joined([a.totals() for a in self._earlier[: self._step_start]]).usage

    def hide_calls(self, ids: set[str]) -> None:
        """Leave tool calls of the present response out of the result: they are not the client's."""
        assert self.attempt is not None
        self.attempt.hidden_calls |= ids

    def steps(self) -> tuple[Step, ...]:
        """Return the steps so far."""
        found, responses = [], self._responses()
        for number, attempts in enumerate(self._steps, 1):
            totals = _joined([a.totals() for a in attempts if a in responses])
            if attempts:
                step = Step(
                    attempts=tuple(a.result() for a in attempts),
                    text="".join(totals.text),
                    finish_reason=totals.finish_reason,
                    usage=totals.usage,
                    tool_runs=tuple(run for run in self.tool_runs if run.step == number),
                )
                found.append(step)
        return tuple(found)

    def _responses(self) -> list[AttemptRecord]:
        """Return the attempts whose responses are what the client has got, in their order."""
        return [a for a in (*self._earlier, self.attempt) if a is not None]

    def observe(self, events: list[Event]) -> None:
        """Record the time of the first text, reasoning or tool call."""
        if self._first_token is None and not all(isinstance(e, _NO_TOKEN) for e in events):
            self._first_token = time.monotonic() - self._started

    def finish(self, outcome: Outcome, error: ChatError | None = None) -> None:
        """Emit the result. Only the first call counts."""
        if self.result is not None:
            return
        attempt = self.attempt
        if attempt is not None:
            attempt.end(error)
        responses, steps = self._responses(), self.steps()
        whole = _joined([response.totals() for response in responses])
        self.result = ChatResult(
            provider=attempt.provider if attempt else self._provider,
            model=attempt.model if attempt else self._model,
            outcome=outcome,
            steps=steps,
            text="\n\n".join(step.text for step in steps if step.text),
            reasoning="".join(whole.reasoning),
            reasoning_details=tuple(whole.reasoning_details),
            tool_calls=self._clients_calls(responses),
            tool_runs=tuple(self.tool_runs),
            approvals=tuple(self.approvals),
            provider_tools=tuple(whole.provider_tools),
            sources=tuple(whole.sources),
            documents=tuple(whole.documents),
            images=tuple(whole.images),
            usage=whole.usage,
            error=error,
            time_to_first_token=self._first_token,
            duration=time.monotonic() - self._started,
            request_id=self.request_id,
            upstream_request_id=attempt.result().upstream_request_id if attempt else None,
            stream_id=self.stream_id,
            message_id=self.message_id,
            caller=self._caller,
            conversation_id=self._conversation_id,
            context=self._context,
        )
        self._emit(self.result)

    def _clients_calls(self, responses: Sequence[AttemptRecord]) -> tuple[ToolCall, ...]:
        """Return the tool calls that are left to the client."""
        return tuple(
            call
            for response in responses
            for call in response.totals().tool_calls
            if call.id not in response.hidden_calls
        )

    def finish_complete(self) -> ChatResult:
        """Emit the result of a complete response, and return it."""
        totals = self.attempt.totals() if self.attempt else Totals()
        # Tool calls may also come after the finish reason.
        hidden = self.attempt.hidden_calls if self.attempt else frozenset()
        calls = [call for call in totals.tool_calls if call.id not in hidden]
        reason = effective_reason(totals.finish_reason, bool(calls))
        if reason == "tool_calls" and totals.tool_calls and not (calls or self.approvals):
            reason = "stop"
        self.finish(FINISH_REASONS.get(reason, FINISH_REASONS["stop"]).outcome)
        assert self.result is not None
        return self.result

    def finish_cancelled(self) -> None:
        """Emit the result of a chat whose client left."""
        self.finish("cancelled", ChatError.of("cancelled", provider=self._provider))

    def finish_failed(self, error: ChatError) -> None:
        """Emit the result of a chat that failed after its request was sent, and log the error."""
        attempt = self.attempt
        if error.code not in ("cancelled", "stopped"):  # clients come and go: not a fault
            logger.warning(
                "chat %s with %s failed: %s (status %s, the provider's request id %s): %s",
                self.request_id,
                attempt.provider if attempt else self._provider,
                error.code,
                error.status,
                error.upstream_request_id or (attempt and attempt.upstream_request_id),
                error.detail or error.message,
            )
        # A provider that reports a time-out of its own has failed; "timeout" is for our own limit.
        ours = ERROR_CODES[error.code].outcome
        self.finish("upstream_error" if error.by_provider else ours, error)


def _joined(parts: Sequence[Totals]) -> Totals:
    """Return several responses as one; a page or an image that comes again is left out."""
    if len(parts) == 1:
        return parts[0]
    return Totals(
        text=list(chain.from_iterable(part.text for part in parts)),
        reasoning=list(chain.from_iterable(part.reasoning for part in parts)),
        reasoning_details=list(chain.from_iterable(part.reasoning_details for part in parts)),
        tool_calls=list(chain.from_iterable(part.tool_calls for part in parts)),
        provider_tools=list(chain.from_iterable(part.provider_tools for part in parts)),
        sources=list(dict.fromkeys(chain.from_iterable(part.sources for part in parts))),
        documents=list(dict.fromkeys(chain.from_iterable(part.documents for part in parts))),
        images=list(dict.fromkeys(chain.from_iterable(part.images for part in parts))),
        usage=_sum([part.usage for part in parts if part.usage is not None]),
        finish_reason=parts[-1].finish_reason if parts else None,
    )


def _sum(usages: list[Usage]) -> Usage | None:
    """Return the sum of several responses' token counts; one is returned as it is."""
    if len(usages) < 2:
        return usages[0] if usages else None
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        total_tokens=sum(usage.total_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        details=usages[-1].details,
    )
