"""The request body of the ``text`` dialect."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ..chat_settings import ChatBodySchema, ConversationId
from ..fields import BoundedList, StrictInteger, StrictString, Union, is_encodable_text
from ..json_schema import TEXT, Components, JSONSchema, closed_object
from ..messages import MessageSchema, plain_message
from ..schema import StrictSchema
from ..size import MAX_PARTS, MAX_TOOLS, MAX_TOTAL_PARTS, is_plain_text


class InlineDataSchema(StrictSchema):
    """An image in Gemini's form."""

    mimeType = StrictString(
        required=True,
        validate=validate.Regexp(r"image/[\w.+-]+\Z", re.ASCII),
        metadata={"pattern": r"^image/[\w.+-]+$"},
    )
    data = StrictString(required=True)


class GeminiPartSchema(StrictSchema):
    """One part of a message in Gemini's form."""

    text = StrictString()
    inlineData = fields.Nested(InlineDataSchema)

    @ma.validates_schema
    def _has_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if len(data) != 1:
            raise ma.ValidationError("Must have either text or inlineData.")

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe text and image as schemas of their own."""
        text = closed_object("A text in Gemini's form.", text=TEXT)
        image = closed_object(
            "An image in Gemini's form.", inlineData=schema["properties"]["inlineData"]
        )
        schema.clear()
        schema["oneOf"] = [
            components.add_schema("GeminiTextPart", text),
            components.add_schema("GeminiImagePart", image),
        ]


class GeminiPart(fields.Nested):
    """A part in Gemini's form; a text is loaded without the schema, which is slow."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if is_plain_text(value) and len(value) == 1 and is_encodable_text(value["text"]):
            return {**value}
        return super()._deserialize(value, *args, **kwargs)


class GeminiMessageSchema(StrictSchema):
    """One message in Gemini's form, which chatbot-ui sends to ``google``."""

    role = StrictString(required=True, validate=validate.OneOf(("user", "model")))
    parts = BoundedList(GeminiPart(GeminiPartSchema), MAX_PARTS, least=1, required=True)

    @ma.post_load
    def _to_completions_form(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        parts = data["parts"]
        role = "assistant" if data["role"] == "model" else "user"
        if all("text" in part for part in parts):
            return {"role": role, "content": "".join(part["text"] for part in parts)}
        return {"role": role, "content": [_completions_part(part) for part in parts]}


def _completions_part(part: dict[str, Any]) -> dict[str, Any]:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    inline = part["inlineData"]
    # chatbot-ui puts whole data: URLs there, with their prefix.
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

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe both forms."""
        schema["oneOf"] = [components.schema(_MESSAGE), components.schema(_GEMINI_MESSAGE)]


_MESSAGE = MessageSchema()

_GEMINI_MESSAGE = GeminiMessageSchema()


class SelectedToolSchema(StrictSchema):
    """A tool of the user, as chatbot-ui posts its row. Everything but the id is ignored."""

    class Meta:
        """Leaves other fields out: what a tool is, only the app says."""

        unknown = ma.EXCLUDE

    id = Union(StrictInteger(), StrictString(validate=validate.Length(1, 256)), required=True)


class TextBodySchema(ChatBodySchema):
    """Messages in OpenAI's form or in Gemini's, as chatbot-ui posts them."""

    selectedTools = BoundedList(
        fields.Nested(SelectedToolSchema),
        MAX_TOOLS,
        allow_none=True,
        metadata={"description": "Tools of the user, which the app has. Only their ids are read."},
    )
    conversationId = ConversationId(attribute="conversation_id")

    messages = BoundedList(
        AnyMessage(),
        None,
        least=1,
        required=True,
        metadata={"description": f"Oldest first; at most {MAX_TOTAL_PARTS} parts in all."},
    )
