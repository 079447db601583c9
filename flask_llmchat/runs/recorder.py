"""The recorder: collects the state of a chat and emits its result exactly once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import chain

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError
from ..core.events import Chunk, Event, Finish
from ..core.finish_reasons import FINISH_REASONS, effective_reason
from ..core.request import ChatRequest
from ..core.result import Attempt, ChatResult, Outcome, Step, Usage
from ..protocols.base import ResponseParser, Totals

logger = logging.getLogger("flask_llmchat")


class AttemptRecord:
    """One attempt while it runs.

    :ivar upstream_request_id: the provider's id of the call, once its response has begun.
    """

    def __init__(self, provider: str, model: str) -> None:
        self.provider = provider
        self.model = model
        self.upstream_request_id: str | None = None
        self._started = time.monotonic()
        self._ended: float | None = None
        self._error: ChatError | None = None
        self._parser: ResponseParser | None = None
        self._totals: Totals | None = None

    def opened(self, parser: ResponseParser, upstream_request_id: str | None) -> None:
        """Take the parser of the response that has begun: it knows what comes of it."""
        self._parser = parser
        self.upstream_request_id = upstream_request_id

    def failed(self, error: ChatError) -> None:
        """Take the error that the attempt ended with."""
        self._error = error
        self._ended = time.monotonic()

    def totals(self) -> Totals:
        """Return what has come of it; read once, when the chat is over."""
        if self._totals is None:
            self._totals = self._parser.totals() if self._parser else Totals()
        return self._totals

    def result(self) -> Attempt:
        """Return it as a value."""
        error = self._error
        return Attempt(
            provider=self.provider,
            model=self.model,
            error=error,
            usage=self.totals().usage,
            duration=(self._ended or time.monotonic()) - self._started,
            upstream_request_id=self.upstream_request_id
            or (error.upstream_request_id if error else None),
        )


class ChatRecorder:
    """Collects the state of one chat from its start, and emits its result exactly once.

    :param emit: takes the result.
    :ivar result: the result, once the chat has ended.
    :ivar attempt: the attempt that counts in the present step; None before the first one.
    """

    def __init__(self, chat: ChatRequest, emit: Callable[[ChatResult], None]) -> None:
        self.request_id = chat.request_id
        self.result: ChatResult | None = None
        self.attempt: AttemptRecord | None = None
        self.update(chat)
        self._emit = emit
        self._started = time.monotonic()
        self._first_token: float | None = None
        self._attempts: list[list[AttemptRecord]] = [[]]  # of each step
        self._steps: list[AttemptRecord] = []  # the attempts that counted in earlier steps

    def update(self, chat: ChatRequest) -> None:
        """Read the chat again: hooks may have changed the model, or put a context there."""
        # Not the chat itself: its messages are not needed for as long as the response.
        self._provider, self._model, self._context = chat.provider, chat.model, chat.context

    def start_attempt(self, provider: str, model: str) -> AttemptRecord:
        """Begin an attempt of the present step."""
        self.attempt = AttemptRecord(provider, model)
        self._attempts[-1].append(self.attempt)
        return self.attempt

    def opened(self, parser: ResponseParser, upstream_request_id: str | None) -> None:
        """Take what parses the response of the present attempt, now that it has begun."""
        assert self.attempt is not None
        self.attempt.opened(parser, upstream_request_id)

    def fail_attempt(self, error: ChatError) -> None:
        """Take the error that the present attempt ended with."""
        assert self.attempt is not None
        self.attempt.failed(error)

    def retry_attempt(self, error: ChatError) -> None:
        """Begin the present attempt anew, after it failed in a way that may pass."""
        assert self.attempt is not None
        self.fail_attempt(error)
        self.start_attempt(self.attempt.provider, self.attempt.model)

    def start_step(self) -> None:
        """Begin a further step: the response so far stands, and another one follows."""
        if self.attempt is not None:
            self._steps.append(self.attempt)
        self.attempt = None
        self._attempts.append([])

    def observe(self, events: list[Event]) -> None:
        """Take the time when the first text, reasoning or tool call comes."""
        if self._first_token is None and not all(isinstance(e, Finish | Chunk) for e in events):
            self._first_token = time.monotonic() - self._started

    def finish(self, outcome: Outcome, error: ChatError | None = None) -> None:
        """Emit how the chat ended. Only the first call counts."""
        if self.result is not None:
            return
        attempt = self.attempt
        counted = [*self._steps, *([attempt] if attempt else [])]
        parts = [record.totals() for record in counted]
        self.result = ChatResult(
            provider=attempt.provider if attempt else self._provider,
            model=attempt.model if attempt else self._model,
            outcome=outcome,
            steps=tuple(
                Step(tuple(a.result() for a in tried)) for tried in self._attempts if tried
            ),
            text="".join(chain.from_iterable(part.text for part in parts)),
            reasoning="".join(chain.from_iterable(part.reasoning for part in parts)),
            reasoning_details=tuple(chain.from_iterable(p.reasoning_details for p in parts)),
            tool_calls=tuple(chain.from_iterable(part.tool_calls for part in parts)),
            sources=tuple(dict.fromkeys(chain.from_iterable(part.sources for part in parts))),
            images=tuple(dict.fromkeys(chain.from_iterable(part.images for part in parts))),
            usage=_sum([part.usage for part in parts if part.usage is not None]),
            error=error,
            time_to_first_token=self._first_token,
            duration=time.monotonic() - self._started,
            request_id=self.request_id,
            upstream_request_id=attempt.result().upstream_request_id if attempt else None,
            context=self._context,
        )
        self._emit(self.result)

    def finish_complete(self) -> ChatResult:
        """Emit that the provider ended the chat itself; return the result."""
        totals = self.attempt.totals() if self.attempt else Totals()
        # Tool calls may also come after the finish reason.
        reason = effective_reason(totals.finish_reason, bool(totals.tool_calls))
        self.finish(FINISH_REASONS.get(reason, FINISH_REASONS["stop"]).outcome)
        assert self.result is not None
        return self.result

    def finish_cancelled(self) -> None:
        """Emit that the client left."""
        self.finish("cancelled", ChatError.of("cancelled", provider=self._provider))

    def finish_failed(self, error: ChatError) -> None:
        """Emit that the chat broke off after the provider was called."""
        attempt = self.attempt
        if error.code != "cancelled":  # clients come and go: no fault to look into
            logger.warning(
                "chat %s with %s failed: %s (status %s, the provider's request id %s): %s",
                self.request_id,
                attempt.provider if attempt else self._provider,
                error.code,
                error.status,
                error.upstream_request_id or (attempt and attempt.upstream_request_id),
                error.detail or error.message,
            )
        # A provider that reports a time-out of its own has failed; "timeout" is our own limit.
        ours = ERROR_CODES[error.code].outcome
        self.finish("upstream_error" if error.detail else ours, error)


def _sum(usages: list[Usage]) -> Usage | None:
    """Return what several responses used together; one is returned as it is."""
    if len(usages) < 2:
        return usages[0] if usages else None
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        total_tokens=sum(usage.total_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        details=usages[-1].details,
    )
