"""Parts of messages as OpenAI SDKs send them, and those that are some provider's own."""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ..fields import Object, StrictString, URLString, is_encodable
from ..json_schema import Components, JSONSchema, closed_object, const
from ..messages import Content, ImageUrlSchema
from ..schema import StrictSchema

# The types of parts, which are also the names of what they hold, and how documents call them.
_PLACES = {
    "text": ("Text", "A text."),
    "image_url": ("Image", "An image."),
    "input_audio": ("Audio", "Sound."),
    "file": ("File", "A file."),
    "video_url": ("Video", "A video."),
    "refusal": ("Refusal", "What an earlier answer refused with."),
}


# In a message no program puts these: somebody put them in the wrong place.
_MISPLACED = re.compile(
    r"^key$|api.?key|base.?url|authorization|header|password|secret", re.IGNORECASE
)


class NullableSchema(StrictSchema):
    """Takes null for not given: programs send what their SDK's classes hold, with all of it."""

    @ma.pre_load
    def _given(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            return data
        needed = {name for name, field in self.fields.items() if field.required}
        return {n: value for n, value in data.items() if value is not None or n in needed}


class InputAudioSchema(StrictSchema):
    """Sound, in base64."""

    data = StrictString(required=True, validate=validate.Length(1))
    format = StrictString(required=True, validate=validate.Length(1, 32))


class FileSchema(NullableSchema):
    """A file: its content in `file_data` as a data: URL, or its id with the provider."""

    file_data = StrictString()
    file_id = StrictString(validate=validate.Length(max=256))
    filename = StrictString(validate=validate.Length(max=1024))

    @ma.validates_schema
    def _has_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        if not (data.get("file_data") or data.get("file_id")):
            raise ma.ValidationError("Must have file_data or file_id.")


class VideoUrlSchema(StrictSchema):
    """Where a video is, for the providers that watch them."""

    url = URLString("data:video/|https?://", "Not a data: or http(s) URL of a video.")


class CompletionImageUrlSchema(NullableSchema, ImageUrlSchema):
    """Where an image is."""


class CompletionPartSchema(NullableSchema):
    """One part of a message, of any type that chat completions know."""

    type = StrictString(required=True, validate=validate.OneOf(_PLACES))
    text = StrictString()
    image_url = fields.Nested(CompletionImageUrlSchema)
    input_audio = fields.Nested(InputAudioSchema)
    file = fields.Nested(FileSchema)
    video_url = fields.Nested(VideoUrlSchema)
    refusal = StrictString()
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

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Tell each type by itself."""
        fields = schema["properties"]
        beside = {name: fields[name] for name in fields if name not in (*_PLACES, "type")}
        schema.clear()
        schema["oneOf"] = []
        for place, (name, what) in _PLACES.items():
            own = {"type": const(place), place: fields[place]}
            part = closed_object(what, *beside, **own, **beside)
            schema["oneOf"].append(components.add_schema(f"Completion{name}Part", part))

    @ma.post_load
    def _taken_everywhere(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if data["type"] == "refusal":  # to every provider but OpenAI it is text
            refusal = data.pop("refusal")
            data |= {"type": "text", "text": refusal}
        return data


class CompletionContent(Content):
    """What a message says; parts of types that are some provider's own stay as they are.

    Whether this provider takes them its row says.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(CompletionPartSchema(), **kwargs)

    def _load_part(self, part: Any) -> Any:
        if not _is_own(part):
            return super()._load_part(part)
        if errors := _refused_in(part):
            raise ma.ValidationError(errors)
        return part


_OWN_TYPE = re.compile(r"[A-Za-z][\w.:-]{0,63}")


_FETCHED = re.compile(r"data:|https?://", re.IGNORECASE)


def _is_own(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind not in _PLACES and bool(_OWN_TYPE.fullmatch(kind))


def _refused_in(part: dict[str, Any]) -> dict[str, list[str]]:
    """Return what is wrong with a part of a provider's own, by field."""
    kind = part["type"]
    inner = part.get(kind)
    told: dict[str, list[str]] = {}
    for holder in (part, inner if isinstance(inner, dict) else {}):
        if len(holder) > StrictSchema.MOST_FIELDS:
            return {kind: [f"Has more than {StrictSchema.MOST_FIELDS} fields."]}
        told |= {name: ["Unknown field."] for name in holder if _MISPLACED.search(name[:99])}
    url = inner.get("url", inner) if isinstance(inner, dict) else inner
    if kind.endswith("_url") and not (isinstance(url, str) and _FETCHED.match(url)):
        told[kind] = ["Not a data: or http(s) URL."]
    if not told and not is_encodable(part):
        told[kind] = ["Holds half a character (a lone surrogate), or is nested too deeply."]
    return told


def refuse_misplaced(data: Any) -> None:
    """Refuse a message that holds a key, an address or headers: no provider is sent them."""
    for name in data if isinstance(data, dict) else ():
        if _MISPLACED.search(name[:99]):
            raise ma.ValidationError("Unknown field.", name)
