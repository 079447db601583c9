"""The ``text`` dialect: what the original chat front end speaks.

A body of ``{chatSettings, messages}`` comes in; the text of the answer goes out as it is
written, with nothing around it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...core.errors import ChatError
from ...core.request import ChatRequest
from ..base import Encoder
from ..chat_settings import chat_request
from ..json_schema import (
    CODES,
    Components,
    DialectSpec,
    object_schema,
)
from ..messages import MOST_PARTS_IN_ALL
from ..schema import load
from ..size import MOST_ELABORATE, check_size
from .encoder import TextEncoder
from .request import TextBodySchema

_BODY = TextBodySchema()


# What programs post that were written for OpenAI's API.
_COMPLETION = (
    "chatSettings: Missing data for required field. Send the model in it; or post what you have"
    " to this address with /chat/completions behind it, where OpenAI's own form is taken."
)


class TextDialect:
    """JSON with ``chatSettings`` in, plain text out."""

    name = "text"
    path = ""
    mimetype = "text/plain"

    def recognises(self, body: dict[str, Any]) -> bool:
        """Tell that it is: whatever no other dialect knows is read as this one."""
        return True

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields that are wrong and why.
        """
        if "chatSettings" not in body and "model" in body:
            raise ChatError(_COMPLETION, status=422)
        check_size(body.get("messages"), max_messages, MOST_PARTS_IN_ALL, MOST_ELABORATE)
        return chat_request(load(_BODY, body), body)

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return what writes the answer to this chat down."""
        return TextEncoder()

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Write down an error as JSON, with the message first."""
        body = {
            "message": error.message,
            "code": error.code,
            "provider": error.provider,
            "request_id": request_id,
        }
        return json.dumps(body).encode(), "application/json", {}

    def describe(self, components: Components) -> DialectSpec:
        """Return what an OpenAPI document tells of this dialect."""
        text = {
            "type": "string",
            "description": "The text of the answer as it is written, and nothing else."
            " One that breaks off breaks the connection.",
            "examples": ["Hi!"],
        }
        error = object_schema(
            "Why there is no answer.",
            message={"type": "string", "description": "A sentence for people."},
            code=components.add_schema("ErrorCode", CODES),
            provider={"type": ["string", "null"]},
            request_id={"type": "string", "description": "As in the app's log."},
        )
        return DialectSpec(
            body=components.body_schema(_BODY),
            example=_example,
            answers={"text/plain": text},
            errors={"application/json": components.add_schema("Error", error)},
        )


def _example(model: str) -> dict[str, Any]:
    said = {"role": "user", "content": "Hello!"}
    return {"chatSettings": {"model": model}, "messages": [said]}
