"""Messages as OpenAI's SDKs send them: those a program writes, and earlier responses.

A program appends the response, as its SDK accumulated it, to the next request. Such a message holds
everything that the provider put into its deltas; what can be sent again is read from it.
"""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ..fields import BoundedList, Object, StrictString, is_encodable
from ..json_schema import Components, JSONSchema, const, object_schema
from ..messages import ROLES, CallId, plain_message
from ..schema import StrictSchema, TypedSchema
from ..size import MAX_TOOLS
from .parts import CompletionContent, NullableSchema, refuse_misplaced

# Python's SDK concatenates the role of every chunk, and many providers repeat it in each.
_REPEATED = re.compile(r"(?:assistant)+")

_OTHERS = (
    " Other fields are ignored, except those with the name of a key, an address or headers for the"
    " provider, which are refused."
)

UNDECLARED = "undeclared"
"""Key in a loaded message for its undeclared fields, some of which a row may accept."""


def _with_undeclared(message: dict[str, Any], data: dict[str, Any], known: Any) -> dict[str, Any]:
    """Add the undeclared fields that can be sent."""
    undeclared = {n: v for n, v in data.items() if n not in known and v is not None}
    if not is_encodable(undeclared):
        undeclared = {n: v for n, v in undeclared.items() if is_encodable([n, v])}
    return {**message, UNDECLARED: undeclared} if undeclared else message


class CompletionMessageSchema(NullableSchema):
    """A message of any role but assistant; a program's own fields are ignored."""

    class Meta:
        """Keeps undeclared fields: a provider may accept them."""

        unknown = ma.INCLUDE

    role = StrictString(
        required=True,
        validate=validate.OneOf(
            ROLES, error="Must be one of: {choices}; for 'function', send 'tool' with tool_call_id."
        ),
        metadata={"enum": [role for role in ROLES if not _REPEATED.fullmatch(role)]},
    )
    content = CompletionContent(required=True)
    name = StrictString(validate=validate.Length(1, 256))
    tool_call_id = CallId()

    @ma.pre_load
    def _refuse_misplaced(self, data: Any, **kwargs: Any) -> Any:
        refuse_misplaced(data)
        return data

    @ma.post_load
    def _separate(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        message = {name: value for name, value in data.items() if name in self.fields}
        return _with_undeclared(message, data, self.fields)

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe which names are refused."""
        super().describe(schema, components)
        schema["description"] = "A message of any role but assistant." + _OTHERS


class FunctionSchema(ma.Schema):
    """The function in a tool call of an earlier response; fields that SDKs add are ignored."""

    class Meta:
        """Ignores fields that SDKs add."""

        unknown = ma.EXCLUDE

    name = StrictString(required=True, validate=validate.Length(1, 256))
    arguments = StrictString(load_default="", allow_none=True)

    @ma.post_load
    def _text(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**data, "arguments": data["arguments"] or ""}


class ToolCallSchema(NullableSchema, TypedSchema):
    """One tool call in an earlier response; the index from its chunks is ignored."""

    class Meta:
        """Ignores fields that SDKs add."""

        unknown = ma.EXCLUDE

    id = CallId(required=True)
    type = StrictString(load_default="function", validate=validate.OneOf(("function", "custom")))
    function = fields.Nested(FunctionSchema)
    custom = Object()
    extra_content = Object()
    provider_specific_fields = Object()

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe each type as a schema of its own."""
        fields = schema["properties"]
        extra = {name: fields[name] for name in ("extra_content", "provider_specific_fields")}
        given = {"id": fields["id"], "type": const("function"), "function": fields["function"]}
        function = object_schema("A call of a function.", "type", *extra, **given, **extra)
        given = {"id": fields["id"], "type": const("custom"), "custom": fields["custom"]}
        custom = object_schema("A call of a tool with free-text input.", *extra, **given, **extra)
        schema.clear()
        schema["oneOf"] = [
            components.add_schema("FunctionCall", function),
            components.add_schema("CustomCall", custom),
        ]


class AssistantMessageSchema(ma.Schema):
    """An earlier response; fields that providers and SDKs add are ignored."""

    class Meta:
        """Keeps fields that providers and SDKs add: the provider may accept some."""

        unknown = ma.INCLUDE

    content = CompletionContent(allow_none=True)
    name = StrictString(allow_none=True)
    refusal = StrictString(allow_none=True)
    tool_calls = BoundedList(fields.Nested(ToolCallSchema), MAX_TOOLS, allow_none=True)
    reasoning_content = StrictString(allow_none=True)
    reasoning = fields.Raw(allow_none=True)
    reasoning_details = BoundedList(Object(), 4096, allow_none=True)
    thinking_blocks = fields.Raw(allow_none=True)

    @ma.pre_load
    def _check(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if len(data) > StrictSchema.MAX_FIELDS:
            raise ma.ValidationError(f"Has more than {StrictSchema.MAX_FIELDS} fields.")
        if data.get("function_call") is not None:
            raise ma.ValidationError("Not supported; use tool_calls.", "function_call")
        if data.get("audio") is not None:
            raise ma.ValidationError("Not supported; send the transcript as content.", "audio")
        refuse_misplaced(data)
        if not any(data.get(name) for name in ("content", "tool_calls", "refusal")) and (
            "content" not in data
        ):
            raise ma.ValidationError("Missing data for required field.", "content")
        return data

    @ma.post_load
    def _to_message(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        details = [_without_repetition(d) for d in data.get("reasoning_details") or ()]
        calls, reasoning = data.get("tool_calls"), data.get("reasoning_content")
        content, name = data.get("content"), data.get("name")
        if content is None and not calls:
            content = data.get("refusal") or ""  # the response may have been reasoning alone
        if reasoning is None and isinstance(data.get("reasoning"), str):
            reasoning = data["reasoning"]
        message = {"role": "assistant", "content": content}
        for key, value in (
            ("name", name if name and len(name) <= 256 and not _REPEATED.fullmatch(name) else None),
            ("tool_calls", calls),
            ("reasoning_content", reasoning),
            ("reasoning_details", details),
            ("thinking_blocks", _whole_blocks(data.get("thinking_blocks"))),
        ):
            if value:
                message[key] = value
        return _with_undeclared(message, data, {"role", *self.fields})

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe what is checked before the fields are loaded."""
        schema["properties"] = {"role": const("assistant"), **schema["properties"]}
        schema["required"] = ["role", "content"]
        schema["maxProperties"] = StrictSchema.MAX_FIELDS
        schema["description"] = (
            "An earlier response, unchanged. `function_call` and `audio` are not supported: use"
            " `tool_calls`, and send the transcript as `content`." + _OTHERS
        )


def _whole_blocks(blocks: Any) -> list[dict[str, Any]]:
    """Join thinking blocks that were streamed, and come back, as fragments.

    The signature comes with the last fragment of a block; providers refuse a block without it. The
    index was added to the fragments for Python's SDK.
    """
    if not isinstance(blocks, list) or not is_encodable(blocks):
        return []
    whole: list[dict[str, Any]] = []
    pieces: list[str] = []
    for block in blocks:
        if not isinstance(block, dict):
            return []
        block = {name: value for name, value in block.items() if name != "index"}
        if not isinstance(block.get("thinking"), str):
            whole.append(block)
            continue
        pieces.append(block["thinking"])
        if block.get("signature"):
            whole.append({**block, "thinking": "".join(pieces)})
            pieces = []
    return whole


def _without_repetition(detail: dict[str, Any]) -> dict[str, Any]:
    """Undo the repetition in a format that stood in every chunk: Python's SDK joins them all."""
    format_ = detail.get("format")
    if not isinstance(format_, str):
        return detail
    begin = format_[: min(64, (len(format_) + 1) // 2)]
    period = format_.find(begin, 1)
    if period > 0 and format_ == format_[:period] * (len(format_) // period):
        return {**detail, "format": format_[:period]}
    return detail


class MessageField(fields.Field[dict[str, Any]]):
    """A message of any role."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        if (plain := plain_message(value)) is not None:
            return plain
        role = value.get("role") if isinstance(value, dict) else None
        is_response = isinstance(role, str) and _REPEATED.fullmatch(role) is not None
        loaded: dict[str, Any] = (_RESPONSE if is_response else _OTHER).load(value)
        return loaded

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Describe both forms."""
        schema["oneOf"] = [components.schema(_OTHER), components.schema(_RESPONSE)]


_RESPONSE = AssistantMessageSchema()

_OTHER = CompletionMessageSchema()
