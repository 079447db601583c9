"""Streamed answers for OpenAI's SDKs: the provider's chunks, untouched wherever they can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..chat import ChatRequest, ChatResult, Chunk, Event, Finish
from ..errors import ChatError
from ..providers.usage import usage_body
from .describing import TEXT, JSONSchema, has
from .openai_mending import Mender, dump

# How OpenAI sorts errors. What is not here is the provider's failure, or ours.
_TYPES = {
    "missing_key": "invalid_request_error",
    "bad_key": "authentication_error",
    "no_permission": "permission_error",
    "out_of_credit": "insufficient_quota",
    "rate_limited": "rate_limit_error",
    "context_too_long": "invalid_request_error",
    "content_filtered": "invalid_request_error",
    "model_not_found": "invalid_request_error",
    "bad_request": "invalid_request_error",
}


def error_body(error: ChatError) -> dict[str, Any]:
    """Return an error in the form that SDKs raise one of."""
    type_ = "authentication_error" if error.status == 401 else _TYPES.get(error.code, "api_error")
    return {"error": {"message": error.message, "type": type_, "code": error.code, "param": None}}


def error_schema(code: JSONSchema) -> JSONSchema:
    """Return the JSON schema of an error.

    :param code: that of our codes.
    """
    message = {"type": "string", "description": "A sentence for people."}
    null = {"type": "null"}
    error = has("What went wrong.", message=message, type=TEXT, code=code, param=null)
    return has("Why there is no answer, as OpenAI's SDKs raise it.", error=error)


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
        self._mender = Mender(chat)
        self._held: list[bytes] | None = []  # until there is something to see
        self._finish_reason = ""  # the one that the client has
        self._usage_told = False  # by the last chunk: SDKs forget what an earlier one told
        self._usage_chunk = b""

    def encode(self, events: list[Event]) -> bytes:
        """Write some events down; b"" until there is something to see."""
        told: list[bytes] = []
        start, visible = 0, False
        for i, event in enumerate(events):
            if event.__class__ is Chunk:
                if i:
                    told.append(self._written(events[start:i]))
                start = i
            elif event.__class__ is not Finish:
                visible = True
        told.append(self._written(events[start:]))
        if self._held is None:
            return b"".join(told)
        self._held += told
        if not visible:
            return b""
        told, self._held = self._held, None
        return b"".join(told)

    def finish(self, result: ChatResult) -> bytes:
        """Write down that the answer is complete."""
        told = self._held or []
        reason = self._finish_reason or "stop"
        if reason == "stop" and result.tool_calls:  # they may come after a finish reason, too
            reason = "tool_calls"
        if reason != self._finish_reason:
            told.append(_event(self._mender.made([Finish(reason)])))
            self._usage_told = False
        if self._usage_chunk:
            told.append(self._usage_chunk)
        elif self._tells_usage and result.usage and not self._usage_told:
            told.append(_event(self._mender.made(usage=usage_body(result.usage))))
        told.append(b"data: [DONE]\n\n")
        return b"".join(told)

    def fail(self, error: ChatError) -> bytes:
        """Write down that it broke off: SDKs raise what stands under ``error``."""
        return _event(dump(error_body(error)))

    def _written(self, events: list[Event]) -> bytes:
        """Write down a chunk and the events it brings; the last events may come without one."""
        chunk = events[0]
        if not isinstance(chunk, Chunk):
            return _event(self._mender.made(events))
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
