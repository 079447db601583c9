"""The ``ui`` dialect: the format of the AI SDK's front ends, ``useChat`` and its transports.

It reads UIMessages, with ``chatSettings`` beside them. The response is a UI message stream.
https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.errors import ChatError
from ...core.request import ChatRequest
from ..base import Encoder, Route, RouteRequest, RouteResponse
from ..chat_settings import chat_request
from ..json_schema import CODES, Components, DialectSpec, RouteSpec, const
from ..schema import load
from ..size import MAX_UI_PARTS, check_size
from .approvals import approvals_in, continued_message
from .encoder import UIEncoder
from .prelude import prelude_of
from .request import UIBodySchema

_BODY = UIBodySchema()

_LOOKED_AT = 1024  # most messages, and parts of one, that are checked to recognise UIMessages


def _no_stream(request: RouteRequest) -> RouteResponse:
    # 204 means "no stream to resume" to the AI SDK: a stream ends when its client disconnects.
    return RouteResponse(status=204, headers={"Allow": "GET, HEAD, OPTIONS"})


def _describe_resume(components: Components) -> RouteSpec:
    return RouteSpec(
        summary="No stream to resume",
        description="For pages that look for a response that is still being streamed. A stream ends"
        " when its client disconnects.",
        status=204,
        response="There is no such stream, whatever the chat.",
    )


class UIDialect:
    """Reads UIMessages; responds with a UI message stream."""

    name = "ui"
    path = ""
    asks_approval = True
    mimetype = UIEncoder.mimetype
    # The AI SDK requests it when the page is set to resume streams. Where they are kept, the
    # extension's own route takes its place.
    routes = (
        Route(
            "/<llmchat_id:name>/stream",
            "stream",
            _no_stream,
            needs_profile=False,
            describe=_describe_resume,
        ),
    )

    def recognises(self, body: dict[str, Any]) -> bool:
        """Return whether a message has parts with types; parts of Gemini's form have none.

        A body with the last message alone is recognised too: its page then shows the error that
        says how to send all of them.
        """
        messages = body.get("messages")
        if not messages:
            return "trigger" in body or _is_ui_message(body.get("message"))
        return isinstance(messages, list) and any(map(_is_ui_message, messages[:_LOOKED_AT]))

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields and parts that are wrong and why.
        """
        check_size(body.get("messages"), max_messages, MAX_UI_PARTS, MAX_UI_PARTS)
        chat = chat_request(load(_BODY, body), body)
        chat.approvals = approvals_in(body)
        return chat

    def prelude(self, chat: ChatRequest) -> bytes:
        """Return the parts of the message that the response continues."""
        return prelude_of(continued_message(chat.raw).get("parts", ()))

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return a new encoder for the response to this chat."""
        return UIEncoder(chat)

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Encode an error as its bare message: these clients show the body as it is."""
        message = error.message.encode("utf-8", "replace")
        return message, "text/plain", {"X-LLMChat-Error": error.code}

    def describe(self, components: Components) -> DialectSpec:
        """Return what an OpenAPI document says of this dialect."""
        stream = {
            "type": "string",
            "description": "A UI message stream, as server-sent events:"
            " https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol",
            "examples": [_STREAM],
        }
        version = {
            "description": "Version of the UI message stream protocol; other responses have none.",
            "schema": const("v1"),
        }
        code = {
            "description": "The error code, for programs; JSON errors have it in the body.",
            "schema": components.add_schema("ErrorCode", CODES),
        }
        message = {"type": "string", "description": "A sentence for people."}
        return DialectSpec(
            body=components.body_schema(_BODY),
            example=_example,
            responses={"text/event-stream": stream},
            headers={"x-vercel-ai-ui-message-stream": version},
            errors={"text/plain": message},
            error_headers={"X-LLMChat-Error": code},
        )


def _example(model: str) -> dict[str, Any]:
    message = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hello!"}]}
    return {"chatSettings": {"model": model}, "messages": [message], "id": "chat-1"}


_STREAM = "".join(
    f"data: {part}\n\n"
    for part in (
        '{"type":"start","messageId":"msg_1"}',
        '{"type":"start-step"}',
        '{"type":"text-start","id":"txt-0"}',
        '{"type":"text-delta","id":"txt-0","delta":"Hi!"}',
        '{"type":"text-end","id":"txt-0"}',
        '{"type":"finish-step"}',
        '{"type":"finish","finishReason":"stop"}',
        "[DONE]",
    )
)


def _is_ui_message(message: Any) -> bool:
    parts = message.get("parts") if isinstance(message, dict) else None
    if not isinstance(parts, list):
        return False
    if not parts:
        return bool(message.get("role") != "model")
    return any(isinstance(part, dict) and "type" in part for part in parts[:_LOOKED_AT])
