"""The fake provider's Messages, as Anthropic has them: events of content blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .steps import Part, detailed, event

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Messages:
    """The writer for ``/messages``."""

    def __init__(self, request_body: bytes) -> None:
        """Begin before the first event."""
        self._index = -1
        self._open = ""  # the type of the block that is being written

    def write(self, part: Part) -> Iterator[bytes]:
        """Write the next part as one HTTP chunk or several."""
        match part:
            case ("start", model, usage):
                message: dict[str, Any] = {"id": "msg_fake", "type": "message"}
                message |= {"role": "assistant", "model": model, "content": []}
                message |= {"stop_reason": None, "stop_sequence": None}
                message |= _usage(usage, started=True)
                yield self._event("message_start", message=message)
                yield self._event("ping")
            case ("reasoning", piece):
                yield from self._begin("thinking", thinking="", signature="")
                yield self._delta("thinking_delta", thinking=piece)
            case ("text", piece):
                yield from self._begin("text", text="")
                yield self._delta("text_delta", text=piece)
            case ("call", call_id, name):
                yield from self._end()
                yield from self._begin("tool_use", id=call_id, name=name, input={})
            case ("arguments", piece):
                yield self._delta("input_json_delta", partial_json=piece)
            case ("finish", str(reason), usage, _):
                yield from self._end()
                delta = {"stop_reason": _STOP_REASONS.get(reason, reason), "stop_sequence": None}
                yield self._event("message_delta", delta=delta, **_usage(usage))
                yield self._event("message_stop")
            case ("error", message):
                yield self._event("error", error={"type": "overloaded_error", "message": message})
            case ("error body", status, error):
                kind = "api_error" if status >= 500 else "invalid_request_error"
                kind = error["type"] or _ERROR_TYPES.get(status, kind)
                error = {"type": kind, "message": error["message"]}
                body = {"type": "error", "error": error, "request_id": "req_fake"}
                yield json.dumps(body).encode()

    def _begin(self, kind: str, **members: Any) -> Iterator[bytes]:
        if self._open != kind:
            yield from self._end()
            self._open = kind
            self._index += 1
            block = {"type": kind, **members}
            yield self._event("content_block_start", index=self._index, content_block=block)

    def _end(self) -> Iterator[bytes]:
        if self._open == "thinking":
            yield self._delta("signature_delta", signature="fake-signature")
        if self._open:
            yield self._event("content_block_stop", index=self._index)
        self._open = ""

    def _delta(self, kind: str, **data: str) -> bytes:
        delta = {"type": kind, **data}
        return self._event("content_block_delta", index=self._index, delta=delta)

    def _event(self, kind: str, **data: Any) -> bytes:
        return event({"type": kind, **data}, kind)


def _usage(usage: Mapping[str, Any] | None, *, started: bool = False) -> dict[str, Any]:
    if usage is None:
        return {}
    prompt, completion, cached, written, reasoning = detailed(usage)
    counts = {
        "input_tokens": prompt - cached - written,  # unlike OpenAI, which counts them in
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": 1 if started else completion,
        "output_tokens_details": {"thinking_tokens": 0 if started else reasoning},
    }
    return {"usage": counts}
