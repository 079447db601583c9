"""Messages in the chat-completions form, as more than one dialect reads them."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from .base import Address, Items, Object, StrictSchema, Text, is_whole, load_each
from .describing import TEXT, Book, JSONSchema, has_only, word
from .settings import MOST_PARTS, MOST_TOOLS, is_plain_text

MOST_PARTS_IN_ALL = 4096
"""How many parts the messages of one request may have together."""

ROLES = ("system", "developer", "user", "assistant", "tool")


class ImageUrlSchema(StrictSchema):
    """Where an image is: in the URL itself, or where the provider can fetch it."""

    url = Address("data:image/|https?://", "Not a data: or http(s) URL of an image.")
    detail = Text(validate=validate.OneOf(("auto", "low", "high", "original")))


class PartSchema(StrictSchema):
    """One part of a message: text, or an image."""

    type = Text(required=True, validate=validate.OneOf(("text", "image_url")))
    text = Text()
    image_url = fields.Nested(ImageUrlSchema)

    @ma.validates_schema
    def _has_what_it_says(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["type"] not in data:
            raise ma.ValidationError("Missing data for required field.", data["type"])

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Tell each type by itself."""
        image_url = told["properties"]["image_url"]
        text = has_only("A text.", type=word("text"), text=TEXT)
        image = has_only("An image.", type=word("image_url"), image_url=image_url)
        told.clear()
        told["oneOf"] = [book.add("TextPart", text), book.add("ImagePart", image)]


class CallId(Text):
    """The id of a tool call. Gateways keep signatures of thousands of characters in it.

    What we handed out is taken back, however long: the body's size is bounded.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(1), **kwargs)


class Content(fields.Field[Any]):
    """What a message says: text, or a list of parts.

    :param part: what reads one part.
    """

    def __init__(self, part: ma.Schema, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._part = part
        self._text = Text(error_messages={"invalid": "Not a string or a list of parts."})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            return self._text.deserialize(value)
        if not 1 <= len(value) <= MOST_PARTS:
            raise ma.ValidationError(f"Must have 1 to {MOST_PARTS} parts.")
        return load_each(self._load_part, value)

    def _load_part(self, part: Any) -> Any:
        # marshmallow would spend more on this than on parsing a hundred of them.
        if is_plain_text(part) and "type" in part and is_whole(part["text"]):
            return {"type": "text", "text": part["text"]}
        if (url := _plain_image(part)) is not None:
            return {"type": "image_url", "image_url": {"url": url}}
        return self._part.load(part)

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add both of its forms."""
        part = book.tell(self._part)
        parts = {"type": "array", "minItems": 1, "maxItems": MOST_PARTS, "items": part}
        told["anyOf"] = [TEXT, parts]


def _plain_image(part: Any) -> str | None:
    """Return the URL of a part that is an image and nothing else, as most that are no text are."""
    if not (isinstance(part, dict) and len(part) == 2 and part.get("type") == "image_url"):
        return None
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) and len(image) == 1 else None
    if not (isinstance(url, str) and url.startswith(("data:image/", "https://", "http://"))):
        return None
    return url if is_whole(url) else None


def plain_message(message: Any) -> dict[str, Any] | None:
    """Return a message that is a text and nothing else, as nearly all are; None for any other.

    marshmallow would spend more on it than on parsing a hundred of them.
    """
    if not (isinstance(message, dict) and len(message) == 2):
        return None
    role, content = message.get("role"), message.get("content")
    if not (isinstance(role, str) and role in ROLES and isinstance(content, str)):
        return None
    return {"role": role, "content": content} if is_whole(content) else None


class MessageSchema(StrictSchema):
    """One message in the chat-completions form."""

    role = Text(required=True, validate=validate.OneOf(ROLES))
    content = Content(PartSchema(), allow_none=True)
    name = Text(validate=validate.Length(1, 256))
    tool_calls = Items(Object(), MOST_TOOLS, least=1)
    tool_call_id = CallId()

    @ma.validates_schema
    def _has_content(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("content") is None and "tool_calls" not in data:
            raise ma.ValidationError("Missing data for required field.", "content")

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Tell those by themselves that call tools: they need no content."""
        fields = told["properties"]
        text, parts, _null = fields["content"]["anyOf"]
        said = {**fields, "content": {"anyOf": [text, parts]}}
        del said["tool_calls"]
        beside = ("name", "tool_call_id")
        plain = has_only("A message.", *beside, **said)
        calling = has_only("A message that calls tools.", "content", *beside, **fields)
        told.clear()
        told["oneOf"] = [book.add("PlainMessage", plain), book.add("CallingMessage", calling)]
