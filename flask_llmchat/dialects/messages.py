"""Messages in the chat-completions form, shared by several dialects."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from .fields import BoundedList, Object, StrictString, URLString, is_encodable_text
from .json_schema import TEXT, Components, JSONSchema, closed_object, const
from .schema import StrictSchema, TypedSchema, load_each
from .size import MAX_PARTS, MAX_TOOLS, is_plain_text

ROLES = ("system", "developer", "user", "assistant", "tool")


class ImageUrlSchema(StrictSchema):
    """An image: a data: URL, or a URL that the provider can fetch."""

    url = URLString("data:image/|https?://", "Not a data: or http(s) URL of an image.")
    detail = StrictString(validate=validate.OneOf(("auto", "low", "high", "original")))


class PartSchema(TypedSchema):
    """One part of a message: a text or an image."""

    type = StrictString(required=True, validate=validate.OneOf(("text", "image_url")))
    text = StrictString()
    image_url = fields.Nested(ImageUrlSchema)

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe each type as a schema of its own."""
        image_url = schema["properties"]["image_url"]
        text = closed_object("A text.", type=const("text"), text=TEXT)
        image = closed_object("An image.", type=const("image_url"), image_url=image_url)
        schema.clear()
        schema["oneOf"] = [
            components.add_schema("TextPart", text),
            components.add_schema("ImagePart", image),
        ]


class CallId(StrictString):
    """The id of a tool call, of any length.

    Gateways store signatures of thousands of characters in it, and clients send them back. The size
    of the body bounds it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(1), **kwargs)


class Content(fields.Field[Any]):
    """The content of a message: text, or a list of parts.

    :param part: schema of one part.
    """

    def __init__(self, part: ma.Schema, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._part = part
        self._text = StrictString(error_messages={"invalid": "Not a string or a list of parts."})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            return self._text.deserialize(value)
        if not 1 <= len(value) <= MAX_PARTS:
            raise ma.ValidationError(f"Must have 1 to {MAX_PARTS} parts.")
        return load_each(self._load_part, value)

    def _load_part(self, part: Any) -> Any:
        # marshmallow would need more time for one than the JSON parser for a hundred.
        if is_plain_text(part) and "type" in part and is_encodable_text(part["text"]):
            return {"type": "text", "text": part["text"]}
        if (url := _plain_image(part)) is not None:
            return {"type": "image_url", "image_url": {"url": url}}
        return self._part.load(part)

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe both forms."""
        part = components.schema(self._part)
        parts = {"type": "array", "minItems": 1, "maxItems": MAX_PARTS, "items": part}
        schema["anyOf"] = [TEXT, parts]


def _plain_image(part: Any) -> str | None:
    """Return the URL of a part that is only an image, as most parts other than text are."""
    if not (isinstance(part, dict) and len(part) == 2 and part.get("type") == "image_url"):
        return None
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) and len(image) == 1 else None
    if not (isinstance(url, str) and url.startswith(("data:image/", "https://", "http://"))):
        return None
    return url if is_encodable_text(url) else None


def plain_message(message: Any) -> dict[str, Any] | None:
    """Return a message that is only a text, as nearly all are; None for any other.

    marshmallow would need more time for one than the JSON parser for a hundred.
    """
    if not (isinstance(message, dict) and len(message) == 2):
        return None
    role, content = message.get("role"), message.get("content")
    if not (isinstance(role, str) and role in ROLES and isinstance(content, str)):
        return None
    return {"role": role, "content": content} if is_encodable_text(content) else None


class MessageSchema(StrictSchema):
    """One message in the chat-completions form."""

    role = StrictString(required=True, validate=validate.OneOf(ROLES))
    content = Content(PartSchema(), allow_none=True)
    name = StrictString(validate=validate.Length(1, 256))
    tool_calls = BoundedList(Object(), MAX_TOOLS, least=1)
    tool_call_id = CallId()

    @ma.validates_schema
    def _has_content(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("content") is None and "tool_calls" not in data:
            raise ma.ValidationError("Missing data for required field.", "content")

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe messages with tool calls as a schema of their own: they need no content."""
        fields = schema["properties"]
        text, parts, _null = fields["content"]["anyOf"]
        plain_fields = {**fields, "content": {"anyOf": [text, parts]}}
        del plain_fields["tool_calls"]
        optional = ("name", "tool_call_id")
        plain = closed_object("A message.", *optional, **plain_fields)
        calling = closed_object("A message with tool calls.", "content", *optional, **fields)
        schema.clear()
        schema["oneOf"] = [
            components.add_schema("PlainMessage", plain),
            components.add_schema("CallingMessage", calling),
        ]
