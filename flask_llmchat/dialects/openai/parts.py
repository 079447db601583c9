"""Parts of messages as OpenAI's SDKs send them, and provider-specific parts."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ...providers.parts import PARTS
from ..fields import Object, StrictString, URLString, is_encodable
from ..json_schema import Components, JSONSchema, closed_object, const
from ..messages import Content, ImageUrlSchema
from ..schema import StrictSchema, TypedSchema

# Names that no program means to put into a message: they are in the wrong place.
_MISPLACED = re.compile(
    r"^key$|api.?key|base.?url|authorization|header|password|secret", re.IGNORECASE
)


class NullableSchema(StrictSchema):
    """Treats null as absent: programs send all fields of their SDK's classes."""

    @ma.pre_load
    def _without_nulls(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            return data
        required = {name for name, field in self.fields.items() if field.required}
        return {n: value for n, value in data.items() if value is not None or n in required}


class InputAudioSchema(StrictSchema):
    """Sound, in base64."""

    data = StrictString(required=True, validate=validate.Length(1))
    format = StrictString(required=True, validate=validate.Length(1, 32))


class FileSchema(NullableSchema):
    """A file: its content in `file_data` as a data: URL, or the provider's id of it."""

    file_data = StrictString()
    file_id = StrictString(validate=validate.Length(max=256))
    filename = StrictString(validate=validate.Length(max=1024))

    @ma.validates_schema
    def _has_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not (data.get("file_data") or data.get("file_id")):
            raise ma.ValidationError("Must have file_data or file_id.")


class VideoUrlSchema(StrictSchema):
    """The URL of a video, for providers that accept videos."""

    url = URLString("data:video/|https?://", "Not a data: or http(s) URL of a video.")


class CompletionImageUrlSchema(NullableSchema, ImageUrlSchema):
    """The URL of an image."""


class CompletionPartSchema(NullableSchema, TypedSchema):
    """One part of a message, of any type in chat completions."""

    type = StrictString(required=True, validate=validate.OneOf(PARTS))
    text = StrictString()
    image_url = fields.Nested(CompletionImageUrlSchema)
    input_audio = fields.Nested(InputAudioSchema)
    file = fields.Nested(FileSchema)
    video_url = fields.Nested(VideoUrlSchema)
    refusal = StrictString()
    # How long the provider may cache the conversation up to here: OpenAI's and Anthropic's field.
    prompt_cache_breakpoint = Object()
    cache_control = Object()

    @ma.validates_schema
    def _has_no_other(self, data: dict[str, Any], **kwargs: Any) -> None:
        for name in PARTS:
            if name in data and name != data["type"]:
                raise ma.ValidationError(f"Does not belong to type {data['type']!r}.", name)

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe each type as a schema of its own."""
        fields = schema["properties"]
        shared = {name: fields[name] for name in fields if name not in (*PARTS, "type")}
        schema.clear()
        schema["oneOf"] = []
        for kind, description in PARTS.items():
            name = kind.title().replace("_", "")
            content = {"type": const(kind), kind: fields[kind]}
            part = closed_object(description, *shared, **content, **shared)
            schema["oneOf"].append(components.add_schema(f"Completion{name}Part", part))

    @ma.post_load
    def _supported_everywhere(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if data["type"] == "refusal":  # only OpenAI knows refusals
            refusal = data.pop("refusal")
            data |= {"type": "text", "text": refusal}
        return data


class CompletionContent(Content):
    """The content of a message; provider-specific parts stay unchanged.

    The provider's row says which of them it accepts.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(CompletionPartSchema(), **kwargs)

    def _load_part(self, part: Any) -> Any:
        if not _is_specific(part):
            return super()._load_part(part)
        if errors := _refused_in(part):
            raise ma.ValidationError(errors)
        return part


_SPECIFIC_TYPE = re.compile(r"[A-Za-z][\w.:-]{0,63}")

_FETCHABLE = re.compile(r"data:|https?://", re.IGNORECASE)


def _is_specific(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind not in PARTS and bool(_SPECIFIC_TYPE.fullmatch(kind))


def _refused_in(part: dict[str, Any]) -> dict[str, list[str]]:
    """Return the errors in a provider-specific part, by field."""
    kind = part["type"]
    inner = part.get(kind)
    errors: dict[str, list[str]] = {}
    for holder in (part, inner if isinstance(inner, dict) else {}):
        if len(holder) > StrictSchema.MAX_FIELDS:
            return {kind: [f"Has more than {StrictSchema.MAX_FIELDS} fields."]}
        errors |= {name: ["Unknown field."] for name in holder if _MISPLACED.search(name[:99])}
    url = inner.get("url", inner) if isinstance(inner, dict) else inner
    if kind.endswith("_url") and not (isinstance(url, str) and _FETCHABLE.match(url)):
        errors[kind] = ["Not a data: or http(s) URL."]
    if not errors and not is_encodable(part):
        errors[kind] = ["Holds half a character (a lone surrogate), or is nested too deeply."]
    return errors


def refuse_misplaced(data: Any) -> None:
    """Refuse a message with a key, an address or headers: none of these go to a provider."""
    for name in data if isinstance(data, dict) else ():
        if _MISPLACED.search(name[:99]):
            raise ma.ValidationError("Unknown field.", name)
