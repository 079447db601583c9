"""Whole responses for OpenAI's SDKs: one completion, assembled from the response's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import ChatError
from ...core.events import Chunk, Event, TextDelta
from ...core.finish_reasons import REASONS
from ...core.request import ChatRequest
from ...core.result import ChatResult, ToolCall, usage_body
from ..json_schema import ANY_OBJECT, JSONSchema, const
from .attachments import attachments_of
from .envelope import ChunkEnvelope, dump

# Fields beside the choices that clients read.
_FURTHER_FIELDS = (
    "system_fingerprint",
    "service_tier",
    "moderation",
    "provider",
    "citations",
    "search_results",
)


class CompletionEncoder:
    """Encodes a response as one completion, when it is complete.

    The upstream request is a stream all the same. So endings, usage, deadlines and disconnects are
    handled in one way; and as nothing is sent before the end, every error has a status.
    """

    mimetype = "application/json"
    headers: Mapping[str, str] = {}
    heartbeat = b""
    passes_chunks = True
    whole = True

    def __init__(self, chat: ChatRequest) -> None:
        self._envelope = ChunkEnvelope(chat)
        self._further: dict[str, Any] = {}
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._annotations: list[Any] | None = None  # those of the chunks, if there are any
        self._logprobs: dict[str, list[Any]] = {}
        self._audio: dict[str, Any] = {}

    def encode(self, events: list[Event]) -> bytes:
        """Collect what the result does not hold; returns b"" always."""
        for event in events:
            if isinstance(event, Chunk):
                self._collect(event.body, event.choice or {})
            elif isinstance(event, TextDelta):
                (self._refusal if event.refusal else self._content).append(event.text)
        return b""

    def _collect(self, body: dict[str, Any], choice: dict[str, Any]) -> None:
        self._annotations = self._annotations or []
        self._envelope.last = self._envelope.of(body)
        for name in _FURTHER_FIELDS:
            if body.get(name) is not None:
                self._further[name] = body[name]
        logprobs, delta = choice.get("logprobs"), choice.get("delta")
        if isinstance(logprobs, dict):
            for name in ("content", "refusal"):
                if isinstance(logprobs.get(name), list):
                    self._logprobs.setdefault(name, []).extend(logprobs[name])
        if not isinstance(delta, dict):
            return
        if isinstance(delta.get("annotations"), list):
            self._annotations += delta["annotations"]
        if isinstance(delta.get("audio"), dict):
            self._collect_audio(delta["audio"])

    def _collect_audio(self, audio: dict[str, Any]) -> None:
        for name, value in audio.items():
            if name in ("data", "transcript") and isinstance(value, str):
                self._audio.setdefault(name, []).append(value)
            elif value is not None and name in ("id", "expires_at"):
                self._audio[name] = value

    def finish(self, result: ChatResult) -> bytes:
        """Encode the completion."""
        logprobs = {"content": None, "refusal": None, **self._logprobs} if self._logprobs else None
        choice = {
            "index": 0,
            "message": self._message(result),
            "finish_reason": REASONS[result.outcome],
            "logprobs": logprobs,
        }
        completion = {**self._envelope.of({}), "object": "chat.completion", "choices": [choice]}
        if result.usage:
            completion["usage"] = usage_body(result.usage)
        return dump({**completion, **self._further})

    def _message(self, result: ChatResult) -> dict[str, Any]:
        content, refusal = "".join(self._content), "".join(self._refusal)
        audio = {n: "".join(v) if isinstance(v, list) else v for n, v in self._audio.items()}
        attachments = attachments_of(result)
        if self._annotations is not None:
            attachments["annotations"] = self._annotations
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content or (None if result.tool_calls or refusal else ""),
            "refusal": refusal or None,
        }
        for name, value in (
            ("reasoning_content", result.reasoning),
            ("audio", audio),
            ("tool_calls", [self._call(call) for call in result.tool_calls]),
            *attachments.items(),
        ):
            if value:
                message[name] = value
        return message

    def _call(self, call: ToolCall) -> dict[str, Any]:
        if call.custom:
            custom_call = {"name": call.name, "input": call.arguments}
            return {"id": call.id, "type": "custom", "custom": custom_call}
        function = {"name": call.name, "arguments": call.arguments}
        extra = {"extra_content": call.extra_content} if call.extra_content else {}
        return {"id": call.id, "type": "function", "function": function, **extra}

    def fail(self, error: ChatError) -> None:
        """Return None: the status has not been sent, so it reports the error."""
        return None


_STRING_OR_NULL: JSONSchema = {"type": ["string", "null"]}

_OBJECTS: JSONSchema = {"type": "array", "items": ANY_OBJECT}

_CALL: JSONSchema = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "type": {"type": "string", "enum": ["function", "custom"]},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "arguments": {"type": "string"}},
            "required": ["name", "arguments"],
        },
        "custom": ANY_OBJECT,
    },
    "required": ["id", "type"],
}

COMPLETION_SCHEMA: JSONSchema = {
    "type": "object",
    "description": "A whole response. The provider's further fields are kept.",
    "properties": {
        "id": {"type": "string"},
        "object": const("chat.completion"),
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "const": 0},
                    "message": {
                        "type": "object",
                        "properties": {
                            "role": const("assistant"),
                            "content": _STRING_OR_NULL,
                            "refusal": _STRING_OR_NULL,
                            "reasoning_content": {"type": "string"},
                            "reasoning_details": _OBJECTS,
                            "annotations": _OBJECTS,
                            "tool_calls": {"type": "array", "items": _CALL},
                            "images": _OBJECTS,
                        },
                        "required": ["role", "content", "refusal"],
                    },
                    "finish_reason": {"type": "string"},
                    "logprobs": {**ANY_OBJECT, "type": ["object", "null"]},
                },
                "required": ["index", "message", "finish_reason", "logprobs"],
            },
        },
        "usage": {
            "type": "object",
            "properties": {
                "prompt_tokens": {"type": "integer"},
                "completion_tokens": {"type": "integer"},
                "total_tokens": {"type": "integer"},
            },
        },
    },
    "required": ["id", "object", "created", "model", "choices"],
}
