"""Parses the events of a Messages stream into events of this package.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import EmptyResponse, StreamErrorEvent
from ...core.events import Event, Finish
from ...core.finish_reasons import effective_reason
from ...core.limits import Budget
from ...core.reasoning import details_format
from ..base import Totals
from ..json_values import as_list, read_json, word
from .content import Content
from .usage import usage_of

_PAUSED = "pause_turn"

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    _PAUSED: "length",  # unless a further request goes on with it
}


class MessageParser:
    """Parses the events of one response, and keeps what they add up to.

    :param provider: name of the provider's row, for the format of its reasoning.
    :ivar goes_on: whether the response goes on with one that was paused.
    """

    def __init__(self, provider: str) -> None:
        self.finish_reason: str | None = None
        self.done = self.goes_on = False
        self._budget = Budget()
        self._content = Content(details_format("messages", provider), self._budget)
        self._add_text = self._content.add_text
        self._counts: dict[str, Any] = {}
        self._stop_reason = ""  # the provider's own word
        self._container = ""  # in which the provider runs code
        self._readers: dict[str, Callable[[dict[str, Any], bytes], list[Event]]] = {
            "message_start": self._read_start,
            "content_block_start": self._read_block,
            "content_block_stop": self._read_block_end,
            "message_delta": self._read_end,
            "message_stop": self._read_stop,
        }

    def totals(self) -> Totals:
        """Return what all events so far add up to."""
        totals = self._content.totals()
        if self.goes_on:  # its reasoning is bound to the tools that the provider ran
            totals.reasoning_details = []
        totals.usage = usage_of(self._counts) if self._counts else None
        totals.finish_reason = self.finish_reason
        return totals

    def parse(self, name: str, data: bytes) -> list[Event] | None:
        """Take the next server-sent event; return the events it brings.

        :return: None for a heartbeat.
        :raises StreamErrorEvent: when it reports an error, or exceeds a limit.
        :raises ValueError: when it is not JSON.
        """
        try:
            event = read_json(data)
        except (ValueError, RecursionError):
            if name == "ping" or data.strip() in (b"", b"[DONE]"):
                return None
            raise
        if not event:  # null, [], {}
            return None
        if event.__class__ is not dict:
            raise StreamErrorEvent(event)
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event.get("delta")
            if delta.__class__ is not dict:
                return []
            if delta.get("type") == "text_delta":  # as nearly always
                return self._add_text(delta.get("text"))
            return self._content.read_delta(event.get("index"), delta, data)
        if kind == "ping":
            return None
        if kind.__class__ is not str or kind == "error" or event.get("error"):
            raise StreamErrorEvent(event)
        reader = self._readers.get(kind)
        return reader(event, data) if reader else []

    def parse_whole(self, body: Any, data: bytes) -> list[Event] | None:
        """Parse a whole message as the stream it would have been; None for anything else."""
        if not isinstance(body, dict) or body.get("type") != "message":
            return None
        events = self._read_start({"message": body}, data)
        for index, block in enumerate(as_list(body.get("content"))):
            events += self._content.begin(index, block, b"")
            events += self._content.end(index)
        events += self._read_end({"delta": body}, data)
        events += self._read_stop({}, data)
        if not self.done:
            raise StreamErrorEvent({"detail": "The message has no stop_reason."})
        return events

    def finish(self) -> list[Event]:
        """Return nothing: all events came with the stream.

        :raises StreamErrorEvent: when what came is not a complete response.
        """
        if not self.done:
            raise StreamErrorEvent(None)
        if self.finish_reason in ("stop", "tool_calls") and self._content.is_empty():
            detail = "The answer had nothing in it."
            raise EmptyResponse({"detail": detail, "stop_reason": self._stop_reason})
        return []

    def continue_body(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Return the request that goes on with a paused response; None for any other response."""
        if self._stop_reason != _PAUSED or not self.done:
            return None
        messages = list(body["messages"])
        blocks = self._content.sent_back()
        if messages[-1]["role"] == "assistant":  # paused before
            blocks = [*messages.pop()["content"], *blocks]
        if blocks:
            messages.append({"role": "assistant", "content": blocks})
        body = {**body, "messages": messages}
        if self._container:
            given = body.get("container")
            with_id = {**given, "id": self._container} if isinstance(given, dict) else None
            body["container"] = with_id or self._container
        return body

    def _read_start(self, event: dict[str, Any], data: bytes) -> list[Event]:
        message = event.get("message")
        if isinstance(message, dict):
            self._count(message.get("usage"), data)
        return []

    def _count(self, usage: Any, data: bytes) -> None:
        """Take token counts; those that come later are the totals."""
        if isinstance(usage, dict):
            self._budget.keep(data)
            self._budget.spend(len(data))
            self._counts |= {name: count for name, count in usage.items() if count is not None}

    def _read_block(self, event: dict[str, Any], data: bytes) -> list[Event]:
        return self._content.begin(event.get("index"), event.get("content_block"), data)

    def _read_block_end(self, event: dict[str, Any], data: bytes) -> list[Event]:
        return self._content.end(event.get("index"))

    def _read_end(self, event: dict[str, Any], data: bytes) -> list[Event]:
        """Read what precedes the last event: the stop reason, and the token counts."""
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return []
        self._count(event.get("usage"), data)
        if isinstance(container := delta.get("container"), dict):
            self._container = word(container, "id")
        reason = delta.get("stop_reason")
        if not reason:
            return []
        if not isinstance(reason, str) or reason not in _REASONS:
            shown = reason[:200] if isinstance(reason, str) else reason.__class__.__name__
            detail = f"The response ended with {shown!r}."
            raise StreamErrorEvent({"detail": detail, "stop_reason": shown})
        self._stop_reason = reason
        return []

    def _read_stop(self, event: dict[str, Any], data: bytes) -> list[Event]:
        if not self._stop_reason:
            return []  # it broke off
        events = self._content.end_all()
        if self._stop_reason == _PAUSED and self._content.has_calls:
            self._stop_reason = "tool_use"  # they have to be carried out first
        reason = effective_reason(_REASONS[self._stop_reason], self._content.has_calls)
        self.finish_reason, self.done = reason, True
        return events if self._stop_reason == _PAUSED else [*events, Finish(reason)]
