"""The ``text`` dialect: the form of mckaywrigley's chatbot-ui.

It reads a body of ``{chatSettings, messages}``. The response is the model's text as it comes, with
nothing around it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...core.errors import ChatError
from ...core.request import ChatRequest
from ..base import Encoder
from ..chat_settings import chat_request
from ..json_schema import CODES, Components, DialectSpec, object_schema
from ..schema import load
from ..size import MAX_RICH_PARTS, MAX_TOTAL_PARTS, check_size
from .encoder import TextEncoder
from .request import TextBodySchema

_BODY = TextBodySchema()

# Programs that were written for OpenAI's API post a body with "model" here.
_COMPLETION = (
    "chatSettings: Missing data for required field. Send the model in it. For a body in OpenAI's"
    " own form, add /chat/completions to this address."
)


class TextDialect:
    """Reads JSON with ``chatSettings``; responds with plain text."""

    name = "text"
    path = ""
    mimetype = "text/plain"

    def recognises(self, body: dict[str, Any]) -> bool:
        """Return True: this is the default, for every body that no other dialect recognises."""
        return True

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields that are wrong and why.
        """
        if "chatSettings" not in body and "model" in body:
            raise ChatError(_COMPLETION, status=422)
        check_size(body.get("messages"), max_messages, MAX_TOTAL_PARTS, MAX_RICH_PARTS)
        return chat_request(load(_BODY, body), body)

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return a new encoder for the response to this chat."""
        return TextEncoder()

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Encode an error as JSON, with the message first."""
        body = {
            "message": error.message,
            "code": error.code,
            "provider": error.provider,
            "request_id": request_id,
        }
        return json.dumps(body).encode(), "application/json", {}

    def describe(self, components: Components) -> DialectSpec:
        """Return what an OpenAPI document says of this dialect."""
        text = {
            "type": "string",
            "description": "The text of the response as it comes, and nothing else."
            " When the response fails, the connection breaks off.",
            "examples": ["Hi!"],
        }
        error = object_schema(
            "The error that is sent in place of a response.",
            message={"type": "string", "description": "A sentence for people."},
            code=components.add_schema("ErrorCode", CODES),
            provider={"type": ["string", "null"]},
            request_id={"type": "string", "description": "As in the app's log."},
        )
        return DialectSpec(
            body=components.body_schema(_BODY),
            example=_example,
            responses={"text/plain": text},
            errors={"application/json": components.add_schema("Error", error)},
        )


def _example(model: str) -> dict[str, Any]:
    message = {"role": "user", "content": "Hello!"}
    return {"chatSettings": {"model": model}, "messages": [message]}
