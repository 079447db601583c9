"""The fake provider's chat completions: chunks with a delta."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .steps import Part, event


class ChatCompletions:
    """The writer for ``/chat/completions``."""

    def __init__(self, request_body: bytes) -> None:
        """Begin before the first chunk."""
        self._head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1}
        self._call = -1

    def write(self, part: Part) -> Iterator[bytes]:
        """Write the next part as one HTTP chunk or several."""
        match part:
            case ("start", model, _):
                self._head["model"] = model
                yield self._chunk({"role": "assistant", "content": ""})
            case ("reasoning", piece):
                yield self._chunk({"reasoning_content": piece})
            case ("text", piece):
                yield self._chunk({"content": piece})
            case ("call", call_id, name):
                self._call += 1
                call = {"id": call_id, "type": "function"}
                call |= {"function": {"name": name, "arguments": ""}}
                yield self._chunk({"tool_calls": [{"index": self._call, **call}]})
            case ("arguments", piece):
                call = {"index": self._call, "function": {"arguments": piece}}
                yield self._chunk({"tool_calls": [call]})
            case ("finish", reason, usage, done):
                if reason is not None:
                    yield self._chunk({}, reason)
                if usage is not None:
                    yield event({**self._head, "choices": [], "usage": dict(usage)})
                if done:
                    yield b"data: [DONE]\n\n"
            case ("error", message):
                yield event({"error": {"message": message, "type": "server_error"}})
            case ("error body", _, error):
                yield json.dumps({"error": error}).encode()

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event({**self._head, "choices": [choice]})
