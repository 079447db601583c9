"""Streamed answers for OpenAI's SDKs: the provider's chunks, untouched wherever they can be."""

from __future__ import annotations

from collections.abc import Mapping

from ...core.errors import ChatError
from ...core.events import Chunk, Event, Finish, StepStart
from ...core.finish_reasons import effective_reason
from ...core.request import ChatRequest
from ...core.result import ChatResult, usage_body
from .chunk_repair import ChunkRepairer, dump
from .errors import error_body


def _event(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


class ChunkEncoder:
    """Writes an answer as server-sent chunks.

    :param tells_usage: whether the client asked for the token count.
    """

    mimetype = "text/event-stream"
    headers: Mapping[str, str] = {}
    heartbeat = b": keep-alive\n\n"
    passes_chunks = True

    def __init__(self, chat: ChatRequest, *, tells_usage: bool) -> None:
        self._tells_usage = tells_usage
        self._mender = ChunkRepairer(chat)
        self._held: list[bytes] | None = []  # until there is something to see
        self._finish_reason = ""  # the one that the client has
        self._usage_told = False  # by the last chunk: SDKs forget what an earlier one told
        self._usage_chunk = b""

    def encode(self, events: list[Event]) -> bytes:
        """Write some events down; b"" until there is something to see."""
        out: list[bytes] = []
        start, visible = 0, False
        for i, event in enumerate(events):
            if event.__class__ is Chunk:
                if i:
                    out.append(self._written(events[start:i]))
                start = i
            elif event.__class__ not in (Finish, StepStart):
                visible = True
        out.append(self._written(events[start:]))
        if self._held is None:
            return b"".join(out)
        self._held += out
        if not visible:
            return b""
        out, self._held = self._held, None
        return b"".join(out)

    def finish(self, result: ChatResult) -> bytes:
        """Write down that the answer is complete."""
        out = self._held or []
        # The outcome also counts tool calls that came after the finish reason.
        reason = effective_reason(self._finish_reason, result.outcome == "tool_calls")
        if reason != self._finish_reason:
            out.append(_event(self._mender.made([Finish(reason)])))
            self._usage_told = False
        if self._usage_chunk:
            out.append(self._usage_chunk)
        elif self._tells_usage and result.usage and not self._usage_told:
            out.append(_event(self._mender.made(usage=usage_body(result.usage))))
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def fail(self, error: ChatError) -> bytes:
        """Write down that it broke off: SDKs raise what stands under ``error``."""
        return _event(dump(error_body(error)))

    def _written(self, events: list[Event]) -> bytes:
        """Write down a chunk and the events it brings; the last events may come without one."""
        chunk = events[0]
        if not isinstance(chunk, Chunk):
            events = [event for event in events if not isinstance(event, StepStart)]
            if events and isinstance(ending := events[-1], Finish):
                self._finish_reason = ending.reason
            return _event(self._mender.made(events)) if events else b""
        usage = chunk.body.get("usage")
        if chunk.choice is not None:
            self._usage_told = usage.__class__ is dict
            if isinstance(ending := events[-1], Finish):
                self._finish_reason = ending.reason
            return _event(self._mender.payload(chunk, chunk.choice, events[1:]))
        if usage:
            # Kept for the end: SDKs take it for what the last chunk told.
            if self._tells_usage:
                self._usage_chunk = _event(self._mender.without_choice(chunk))
            return b""
        return _event(self._mender.without_choice(chunk))
