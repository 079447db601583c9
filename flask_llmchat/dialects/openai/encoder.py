"""Streamed responses for OpenAI's SDKs: chunks, the provider's own wherever it sends some."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import ChatError
from ...core.events import (
    Chunk,
    Event,
    Finish,
    ReasoningDelta,
    StepStart,
    TextDelta,
    ToolCallDelta,
)
from ...core.finish_reasons import REASONS
from ...core.request import ChatRequest
from ...core.result import ChatResult, usage_body
from .attachments import attachments_of
from .chunk_repair import ChunkRepairer
from .envelope import dump
from .errors import error_body

_DELTAS = (TextDelta, ReasoningDelta, ToolCallDelta)


def _event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


class ChunkEncoder:
    """Encodes a response as server-sent chunks.

    :param include_usage: whether the client requested the token counts.
    """

    mimetype = "text/event-stream"
    headers: Mapping[str, str] = {}
    heartbeat = b": keep-alive\n\n"
    passes_chunks = True

    def __init__(self, chat: ChatRequest, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._repairer = ChunkRepairer(chat)
        self._held: list[bytes] | None = []  # until there is visible content
        self._has_chunks = False  # of the provider's own
        self._finish_reason = ""  # the one that was sent to the client
        self._usage_sent = False  # in the last chunk: SDKs forget the usage of an earlier one
        self._usage_chunk = b""

    def encode(self, events: list[Event]) -> bytes:
        """Encode some events; b"" until there is visible content."""
        out: list[bytes] = []
        start, visible = 0, False
        for i, event in enumerate(events):
            if event.__class__ is Chunk:
                if i:
                    out.append(self._encode_chunk(events[start:i]))
                start = i
            elif event.__class__ not in (Finish, StepStart):
                visible = True
        out.append(self._encode_chunk(events[start:]))
        if self._held is None:
            return b"".join(out)
        self._held += out
        if not visible:
            return b""
        out, self._held = self._held, None
        return b"".join(out)

    def finish(self, result: ChatResult) -> bytes:
        """Encode the end of a complete response."""
        out = self._held or []
        reason = REASONS[result.outcome]  # tool calls may have come after the provider's own
        attachments = {} if self._has_chunks else attachments_of(result)
        if attachments or reason != self._finish_reason:
            out.append(_event(self._repairer.synthesize([Finish(reason)], attachments)))
            self._usage_sent = False
        if self._usage_chunk:
            out.append(self._usage_chunk)
        elif self._include_usage and result.usage and not self._usage_sent:
            out.append(_event(self._repairer.synthesize(usage=usage_body(result.usage))))
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def fail(self, error: ChatError) -> bytes:
        """Encode that the response failed: SDKs raise what ``error`` holds."""
        return _event(dump(error_body(error)))

    def _encode_chunk(self, events: list[Event]) -> bytes:
        """Encode a chunk and its events; the last events may come without a chunk."""
        chunk = events[0]
        if not isinstance(chunk, Chunk):
            # The finish reason is sent at the end, with the attachments.
            events = [event for event in events if isinstance(event, _DELTAS)]
            return _event(self._repairer.synthesize(events)) if events else b""
        self._has_chunks = True
        usage = chunk.body.get("usage")
        if chunk.choice is not None:
            self._usage_sent = usage.__class__ is dict
            if isinstance(finish := events[-1], Finish):
                self._finish_reason = finish.reason
            return _event(self._repairer.payload(chunk, chunk.choice, events[1:]))
        if usage:
            # Kept for the end: SDKs expect the usage in the last chunk.
            if self._include_usage:
                self._usage_chunk = _event(self._repairer.choiceless(chunk))
            return b""
        return _event(self._repairer.choiceless(chunk))
