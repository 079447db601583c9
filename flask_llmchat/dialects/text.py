"""The ``text`` dialect: what the original chat front end speaks.

A body of ``{chatSettings, messages}`` comes in; the text of the answer goes out as it is
written, with nothing around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ..answer import Encoder
from ..chat import ChatRequest, ChatResult, Event, TextDelta
from ..errors import ChatError
from .base import Items, StrictSchema, Text, is_whole, load
from .describing import CODES, TEXT, Book, Description, JSONSchema, has, has_only
from .messages import MOST_PARTS_IN_ALL, MessageSchema, plain_message
from .settings import (
    MOST_ELABORATE,
    MOST_PARTS,
    ChatBodySchema,
    chat_request,
    check_size,
    is_plain_text,
)


class InlineDataSchema(StrictSchema):
    """An image in Gemini's form."""

    mimeType = Text(
        required=True,
        validate=validate.Regexp(r"image/[\w.+-]+\Z", re.ASCII),
        metadata={"pattern": r"^image/[\w.+-]+$"},
    )
    data = Text(required=True)


class GeminiPartSchema(StrictSchema):
    """One part of a message in Gemini's form."""

    text = Text()
    inlineData = fields.Nested(InlineDataSchema)

    @ma.validates_schema
    def _has_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if len(data) != 1:
            raise ma.ValidationError("Must have either text or inlineData.")

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Tell the two by themselves."""
        text = has_only("A text in Gemini's form.", text=TEXT)
        image = has_only("An image in Gemini's form.", inlineData=told["properties"]["inlineData"])
        told.clear()
        told["oneOf"] = [book.add("GeminiTextPart", text), book.add("GeminiImagePart", image)]


class GeminiPart(fields.Nested):
    """A part in Gemini's form; a text is read without a schema, which takes long."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if is_plain_text(value) and len(value) == 1 and is_whole(value["text"]):
            return {**value}
        return super()._deserialize(value, *args, **kwargs)


class GeminiMessageSchema(StrictSchema):
    """One message in Gemini's form, in which the original front end writes to ``google``."""

    role = Text(required=True, validate=validate.OneOf(("user", "model")))
    parts = Items(GeminiPart(GeminiPartSchema), MOST_PARTS, least=1, required=True)

    @ma.post_load
    def _in_the_usual_form(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        parts = data["parts"]
        role = "assistant" if data["role"] == "model" else "user"
        if all("text" in part for part in parts):
            return {"role": role, "content": "".join(part["text"] for part in parts)}
        return {"role": role, "content": [_usual_part(part) for part in parts]}


def _usual_part(part: dict[str, Any]) -> dict[str, Any]:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    inline = part["inlineData"]
    # The front end puts whole data: URLs there, with their own head.
    data = inline["data"].rpartition("base64,")[2]
    return {"type": "image_url", "image_url": {"url": f"data:{inline['mimeType']};base64,{data}"}}


class AnyMessage(fields.Field[dict[str, Any]]):
    """A message in either form."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        if (plain := plain_message(value)) is not None:
            return plain
        gemini = isinstance(value, dict) and "parts" in value
        loaded: dict[str, Any] = (_GEMINI_MESSAGE if gemini else _MESSAGE).load(value)
        return loaded

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add both of its forms."""
        told["oneOf"] = [book.tell(_MESSAGE), book.tell(_GEMINI_MESSAGE)]


_MESSAGE = MessageSchema()
_GEMINI_MESSAGE = GeminiMessageSchema()


class TextBodySchema(ChatBodySchema):
    """Messages in OpenAI's form or in Gemini's, as the original front end posts them."""

    messages = Items(
        AnyMessage(),
        None,
        least=1,
        required=True,
        metadata={"description": f"Oldest first; at most {MOST_PARTS_IN_ALL} parts in all."},
    )


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
        return _TextEncoder()

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Write down an error as JSON, with the message first."""
        body = {
            "message": error.message,
            "code": error.code,
            "provider": error.provider,
            "request_id": request_id,
        }
        return json.dumps(body).encode(), "application/json", {}

    def describe(self, book: Book) -> Description:
        """Return what an OpenAPI document tells of this dialect."""
        text = {
            "type": "string",
            "description": "The text of the answer as it is written, and nothing else."
            " One that breaks off breaks the connection.",
            "examples": ["Hi!"],
        }
        error = has(
            "Why there is no answer.",
            message={"type": "string", "description": "A sentence for people."},
            code=book.add("ErrorCode", CODES),
            provider={"type": ["string", "null"]},
            request_id={"type": "string", "description": "As in the app's log."},
        )
        return Description(
            body=book.body(_BODY),
            example=_example,
            answers={"text/plain": text},
            errors={"application/json": book.add("Error", error)},
        )


def _example(model: str) -> dict[str, Any]:
    said = {"role": "user", "content": "Hello!"}
    return {"chatSettings": {"model": model}, "messages": [said]}


class _TextEncoder:
    mimetype = "text/plain"
    headers: Mapping[str, str] = {}
    heartbeat = b""  # whatever is written is the answer's
    passes_chunks = False

    def encode(self, events: list[Event]) -> bytes:
        return "".join([e.text for e in events if isinstance(e, TextDelta)]).encode()

    def finish(self, result: ChatResult) -> bytes:
        return b""

    def fail(self, error: ChatError) -> None:
        return None  # any words would be read as the answer's
