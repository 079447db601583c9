"""Messages as OpenAI SDKs send them: what a program writes, and answers handed back.

A program appends the answer it got, as its SDK put it together, to the next request. Such a
message holds whatever the provider put into its deltas, and is read for what can go on.
"""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from .base import Address, Items, Object, StrictSchema, Text
from .describing import Book, JSONSchema, has, has_only, word
from .messages import ROLES, Content, ImageUrlSchema, plain_message
from .settings import MOST_TOOLS

# The types of parts, which are also the names of what they hold, and how documents call them.
_PLACES = {
    "text": ("Text", "A text."),
    "image_url": ("Image", "An image."),
    "input_audio": ("Audio", "Sound."),
    "file": ("File", "A file."),
    "video_url": ("Video", "A video."),
    "refusal": ("Refusal", "What an earlier answer refused with."),
}

# Python's SDK adds up what comes in every chunk, and many providers say the role in each.
_REPEATED = re.compile(r"(?:assistant)+")

# In a message no program puts these: somebody put them in the wrong place.
_MISPLACED = re.compile(
    r"^key$|api.?key|base.?url|authorization|header|password|secret", re.IGNORECASE
)
_OTHERS = (
    " Other fields are passed over, unless their names are those of keys, addresses or headers for"
    " the provider: these are refused."
)


class GivenSchema(StrictSchema):
    """Takes null for not given: programs send what their SDK's classes hold, with all of it."""

    @ma.pre_load
    def _given(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            return data
        needed = {name for name, field in self.fields.items() if field.required}
        return {n: value for n, value in data.items() if value is not None or n in needed}


class InputAudioSchema(StrictSchema):
    """Sound, in base64."""

    data = Text(required=True, validate=validate.Length(1))
    format = Text(required=True, validate=validate.Length(1, 32))


class FileSchema(GivenSchema):
    """A file: its content in `file_data` as a data: URL, or its id with the provider."""

    file_data = Text()
    file_id = Text(validate=validate.Length(max=256))
    filename = Text(validate=validate.Length(max=1024))

    @ma.validates_schema
    def _has_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not (data.get("file_data") or data.get("file_id")):
            raise ma.ValidationError("Must have file_data or file_id.")


class VideoUrlSchema(StrictSchema):
    """Where a video is, for the providers that watch them."""

    url = Address("data:video/|https?://", "Not a data: or http(s) URL of a video.")


class CompletionImageUrlSchema(GivenSchema, ImageUrlSchema):
    """Where an image is."""


class CompletionPartSchema(GivenSchema):
    """One part of a message, of any type that chat completions know."""

    type = Text(required=True, validate=validate.OneOf(_PLACES))
    text = Text()
    image_url = fields.Nested(CompletionImageUrlSchema)
    input_audio = fields.Nested(InputAudioSchema)
    file = fields.Nested(FileSchema)
    video_url = fields.Nested(VideoUrlSchema)
    refusal = Text()
    # How long a provider may remember the conversation up to here: OpenAI's and Anthropic's.
    prompt_cache_breakpoint = Object()
    cache_control = Object()

    @ma.validates_schema
    def _has_what_it_says(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["type"] not in data:
            raise ma.ValidationError("Missing data for required field.", data["type"])
        for place in _PLACES:
            if place in data and place != data["type"]:
                raise ma.ValidationError(f"Does not belong to type {data['type']!r}.", place)

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Tell each type by itself."""
        fields = told["properties"]
        beside = {name: fields[name] for name in fields if name not in (*_PLACES, "type")}
        told.clear()
        told["oneOf"] = []
        for place, (name, what) in _PLACES.items():
            own = {"type": word(place), place: fields[place]}
            part = has_only(what, *beside, **own, **beside)
            told["oneOf"].append(book.add(f"Completion{name}Part", part))

    @ma.post_load
    def _taken_everywhere(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if data["type"] == "refusal":  # to every provider but OpenAI it is text
            refusal = data.pop("refusal")
            data |= {"type": "text", "text": refusal}
        return data


class CompletionMessageSchema(GivenSchema):
    """A message of anybody but the assistant; what programs keep beside it is passed over."""

    class Meta:
        """Passes over what is not declared."""

        unknown = ma.EXCLUDE

    role = Text(
        required=True,
        validate=validate.OneOf(
            ROLES, error="Must be one of: {choices}; for 'function', send 'tool' with tool_call_id."
        ),
        metadata={"enum": [role for role in ROLES if not _REPEATED.fullmatch(role)]},
    )
    content = Content(CompletionPartSchema(), required=True)
    name = Text(validate=validate.Length(1, 256))
    tool_call_id = Text(validate=validate.Length(1, 256))

    @ma.pre_load
    def _nothing_misplaced(self, data: Any, **kwargs: Any) -> Any:
        _refuse_misplaced(data)
        return data

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add which names are refused."""
        super().describe(told, book)
        told["description"] = "A message of anybody but the assistant." + _OTHERS


def _refuse_misplaced(data: Any) -> None:
    for name in data if isinstance(data, dict) else ():
        if _MISPLACED.search(name[:99]):
            raise ma.ValidationError("Unknown field.", name)


class FunctionSchema(ma.Schema):
    """Which function an earlier answer called; what SDKs add to it is passed over."""

    class Meta:
        """Passes over what SDKs add."""

        unknown = ma.EXCLUDE

    name = Text(required=True, validate=validate.Length(1, 256))
    arguments = Text(load_default="", allow_none=True)

    @ma.post_load
    def _text(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**data, "arguments": data["arguments"] or ""}


class ToolCallSchema(GivenSchema):
    """One call in an earlier answer; the index that chunks have is passed over."""

    class Meta:
        """Passes over what SDKs add."""

        unknown = ma.EXCLUDE

    id = Text(required=True, validate=validate.Length(1, 256))
    type = Text(load_default="function", validate=validate.OneOf(("function", "custom")))
    function = fields.Nested(FunctionSchema)
    custom = Object()
    extra_content = Object()

    @ma.validates_schema
    def _has_what_it_says(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["type"] not in data:
            raise ma.ValidationError("Missing data for required field.", data["type"])

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Tell each type by itself."""
        fields = told["properties"]
        extra = {"extra_content": fields["extra_content"]}
        given = {"id": fields["id"], "type": word("function"), "function": fields["function"]}
        function = has("A call of a function.", "type", *extra, **given, **extra)
        given = {"id": fields["id"], "type": word("custom"), "custom": fields["custom"]}
        custom = has("A call of a tool that takes free text.", *extra, **given, **extra)
        told.clear()
        told["oneOf"] = [book.add("FunctionCall", function), book.add("CustomCall", custom)]


class AssistantMessageSchema(ma.Schema):
    """An earlier answer; what providers and SDKs add to one is passed over."""

    class Meta:
        """Passes over what providers and SDKs add."""

        unknown = ma.EXCLUDE

    content = Content(CompletionPartSchema(), allow_none=True)
    name = Text(allow_none=True)
    refusal = Text(allow_none=True)
    tool_calls = Items(fields.Nested(ToolCallSchema), MOST_TOOLS, allow_none=True)
    reasoning_content = Text(allow_none=True)
    reasoning = fields.Raw(allow_none=True)
    reasoning_details = Items(Object(), 4096, allow_none=True)

    @ma.pre_load
    def _of_today(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if len(data) > StrictSchema.MOST_FIELDS:
            raise ma.ValidationError(f"Has more than {StrictSchema.MOST_FIELDS} fields.")
        if data.get("function_call") is not None:
            raise ma.ValidationError("Not taken; use tool_calls.", "function_call")
        if data.get("audio") is not None:
            raise ma.ValidationError("Not taken; send what was said as content.", "audio")
        _refuse_misplaced(data)
        if not any(data.get(name) for name in ("content", "tool_calls", "refusal")) and (
            "content" not in data
        ):
            raise ma.ValidationError("Missing data for required field.", "content")
        return data

    @ma.post_load
    def _to_go_on(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        calls, thought = data.get("tool_calls"), data.get("reasoning_content")
        content, name = data.get("content"), data.get("name")
        if content is None and not calls:
            content = data.get("refusal") or ""  # an answer may have been reasoning alone
        if thought is None and isinstance(data.get("reasoning"), str):
            thought = data["reasoning"]
        message = {"role": "assistant", "content": content}
        for key, value in (
            ("name", name if name and len(name) <= 256 and not _REPEATED.fullmatch(name) else None),
            ("tool_calls", calls),
            ("reasoning_content", thought),
            ("reasoning_details", [_said_once(d) for d in data.get("reasoning_details") or ()]),
        ):
            if value:
                message[key] = value
        return message

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add what is looked for before the fields are."""
        told["properties"] = {"role": word("assistant"), **told["properties"]}
        told["required"] = ["role", "content"]
        told["maxProperties"] = StrictSchema.MOST_FIELDS
        told["description"] = (
            "An earlier answer, as it came. `function_call` and `audio` are not taken: use"
            " `tool_calls`, and send what was said as `content`." + _OTHERS
        )


def _said_once(detail: dict[str, Any]) -> dict[str, Any]:
    """Undo what Python's SDK makes of a format that stands in every piece: it joins them all."""
    said = detail.get("format")
    if not isinstance(said, str):
        return detail
    begin = said[: min(64, (len(said) + 1) // 2)]
    period = said.find(begin, 1)
    if period > 0 and said == said[:period] * (len(said) // period):
        return {**detail, "format": said[:period]}
    return detail


class MessageField(fields.Field[dict[str, Any]]):
    """A message of whatever role."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        if (plain := plain_message(value)) is not None:
            return plain
        role = value.get("role") if isinstance(value, dict) else None
        answer = isinstance(role, str) and _REPEATED.fullmatch(role) is not None
        loaded: dict[str, Any] = (_ANSWER if answer else _SENT).load(value)
        return loaded

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add both of its forms."""
        told["oneOf"] = [book.tell(_SENT), book.tell(_ANSWER)]


_ANSWER = AssistantMessageSchema()
_SENT = CompletionMessageSchema()
