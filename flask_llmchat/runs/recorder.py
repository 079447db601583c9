"""The recorder: collects the state of a chat and emits its result exactly once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..core.error_codes import ERROR_CODES
from ..core.errors import ChatError
from ..core.events import Chunk, Event, Finish
from ..core.request import ChatRequest
from ..core.result import ChatResult, Outcome
from ..protocols.chat_completions.parser import ChatCompletionParser

logger = logging.getLogger("flask_llmchat")


_OUTCOME_OF_FINISH: dict[str | None, Outcome] = {
    "length": "length",
    "content_filter": "content_filtered",
    "tool_calls": "tool_calls",
}


class ChatRecorder:
    """What is kept of one chat from its start, and told exactly once at its end."""

    def __init__(self, chat: ChatRequest, tell: Callable[[ChatResult], None]) -> None:
        self.request_id = chat.request_id
        self._tell = tell
        self._started = time.monotonic()
        self._first: float | None = None
        self._asked: dict[str, None] = {}
        self.result: ChatResult | None = None
        self.start_attempt(chat)

    def start_attempt(self, chat: ChatRequest, reader: ChatCompletionParser | None = None) -> None:
        """Note of whom a chat is asked, or is going to be, and what reads the answer."""
        self._provider = chat.provider
        self._model = chat.model
        self._context = chat.context
        self.reader = reader or ChatCompletionParser()
        self._asked[chat.provider] = None
        self.upstream_request_id: str | None = None

    @property
    def finished(self) -> bool:
        """Tell whether the chat is over."""
        return self.result is not None

    def observe(self, events: list[Event]) -> None:
        """Note the time when the first text, reasoning or tool call comes."""
        if self._first is None and not all(isinstance(event, Finish | Chunk) for event in events):
            self._first = time.monotonic() - self._started

    def finish(self, outcome: Outcome, error: ChatError | None = None) -> None:
        """Tell how the chat ended. Only the first call counts."""
        if self.result is not None:
            return
        self.result = ChatResult(
            provider=self._provider,
            model=self._model,
            outcome=outcome,
            tried=tuple(name for name in self._asked if name != self._provider),
            text="".join(self.reader.text),
            reasoning="".join(self.reader.reasoning),
            reasoning_details=tuple(self.reader.reasoning_details),
            tool_calls=tuple(call for _, call in sorted(self.reader.tool_calls.items())),
            sources=tuple(self.reader.sources.values()),
            images=tuple(self.reader.images),
            usage=self.reader.usage,
            error=error,
            time_to_first_token=self._first,
            duration=time.monotonic() - self._started,
            request_id=self.request_id,
            upstream_request_id=self.upstream_request_id
            or (error.upstream_request_id if error else None),
            context=self._context,
        )
        self._tell(self.result)

    def finish_complete(self) -> ChatResult:
        """Tell that the provider ended the chat itself; return how it went."""
        outcome = _OUTCOME_OF_FINISH.get(self.reader.finish_reason, "ok")
        if outcome == "ok" and self.reader.tool_calls:
            outcome = "tool_calls"  # some providers say "stop" then, some say nothing
        self.finish(outcome)
        assert self.result is not None
        return self.result

    def finish_cancelled(self) -> None:
        """Tell that the client left."""
        self.finish("cancelled", ChatError.of("cancelled", provider=self._provider))

    def finish_failed(self, error: ChatError) -> None:
        """Tell that the chat broke off after the provider was called."""
        if error.code != "cancelled":  # readers come and go: nothing to look into
            logger.warning(
                "chat %s with %s failed: %s (status %s, the provider's request id %s): %s",
                self.request_id,
                self._provider,
                error.code,
                error.status,
                error.upstream_request_id or self.upstream_request_id,
                error.detail or error.message,
            )
        # A provider that says it timed out has failed; it is we who stop waiting in a timeout.
        ours = ERROR_CODES[error.code].outcome
        self.finish("upstream_error" if error.detail else ours, error)
