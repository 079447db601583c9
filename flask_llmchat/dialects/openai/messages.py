"""Messages as OpenAI SDKs send them: what a program writes, and answers handed back.

A program appends the answer it got, as its SDK put it together, to the next request. Such a
message holds whatever the provider put into its deltas, and is read for what can go on.
"""

from __future__ import annotations

import re
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ..fields import BoundedList, Object, StrictString, is_encodable
from ..json_schema import Components, JSONSchema, const, object_schema
from ..messages import ROLES, CallId, plain_message
from ..schema import StrictSchema
from ..size import MOST_TOOLS
from .parts import CompletionContent, NullableSchema, refuse_misplaced

# Python's SDK adds up what comes in every chunk, and many providers say the role in each.
_REPEATED = re.compile(r"(?:assistant)+")


_OTHERS = (
    " Other fields are passed over, unless their names are those of keys, addresses or headers for"
    " the provider: these are refused."
)


BESIDE = "beside"
"""Under which a loaded message keeps the fields that are not declared, for the row to take."""


def _with_beside(message: dict[str, Any], data: dict[str, Any], known: Any) -> dict[str, Any]:
    """Add what is not declared, as far as it can be sent on."""
    beside = {n: v for n, v in data.items() if n not in known and v is not None}
    if not is_encodable(beside):
        beside = {n: v for n, v in beside.items() if is_encodable([n, v])}
    return {**message, BESIDE: beside} if beside else message


class CompletionMessageSchema(NullableSchema):
    """A message of anybody but the assistant; what programs keep beside it is passed over."""

    class Meta:
        """Keeps what is not declared: some provider may take it."""

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
    def _nothing_misplaced(self, data: Any, **kwargs: Any) -> Any:
        refuse_misplaced(data)
        return data

    @ma.post_load
    def _apart(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        message = {name: value for name, value in data.items() if name in self.fields}
        return _with_beside(message, data, self.fields)

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Add which names are refused."""
        super().describe(schema, components)
        schema["description"] = "A message of anybody but the assistant." + _OTHERS


class FunctionSchema(ma.Schema):
    """Which function an earlier answer called; what SDKs add to it is passed over."""

    class Meta:
        """Passes over what SDKs add."""

        unknown = ma.EXCLUDE

    name = StrictString(required=True, validate=validate.Length(1, 256))
    arguments = StrictString(load_default="", allow_none=True)

    @ma.post_load
    def _text(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**data, "arguments": data["arguments"] or ""}


class ToolCallSchema(NullableSchema):
    """One call in an earlier answer; the index that chunks have is passed over."""

    class Meta:
        """Passes over what SDKs add."""

        unknown = ma.EXCLUDE

    id = CallId(required=True)
    type = StrictString(load_default="function", validate=validate.OneOf(("function", "custom")))
    function = fields.Nested(FunctionSchema)
    custom = Object()
    extra_content = Object()
    provider_specific_fields = Object()

    @ma.validates_schema
    def _has_what_it_says(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["type"] not in data:
            raise ma.ValidationError("Missing data for required field.", data["type"])

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Tell each type by itself."""
        fields = schema["properties"]
        extra = {name: fields[name] for name in ("extra_content", "provider_specific_fields")}
        given = {"id": fields["id"], "type": const("function"), "function": fields["function"]}
        function = object_schema("A call of a function.", "type", *extra, **given, **extra)
        given = {"id": fields["id"], "type": const("custom"), "custom": fields["custom"]}
        custom = object_schema("A call of a tool that takes free text.", *extra, **given, **extra)
        schema.clear()
        schema["oneOf"] = [
            components.add_schema("FunctionCall", function),
            components.add_schema("CustomCall", custom),
        ]


class AssistantMessageSchema(ma.Schema):
    """An earlier answer; what providers and SDKs add to one is passed over."""

    class Meta:
        """Keeps what providers and SDKs add: some of it the provider may take."""

        unknown = ma.INCLUDE

    content = CompletionContent(allow_none=True)
    name = StrictString(allow_none=True)
    refusal = StrictString(allow_none=True)
    tool_calls = BoundedList(fields.Nested(ToolCallSchema), MOST_TOOLS, allow_none=True)
    reasoning_content = StrictString(allow_none=True)
    reasoning = fields.Raw(allow_none=True)
    reasoning_details = BoundedList(Object(), 4096, allow_none=True)
    thinking_blocks = fields.Raw(allow_none=True)

    @ma.pre_load
    def _of_today(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if len(data) > StrictSchema.MOST_FIELDS:
            raise ma.ValidationError(f"Has more than {StrictSchema.MOST_FIELDS} fields.")
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
            ("thinking_blocks", _whole_blocks(data.get("thinking_blocks"))),
        ):
            if value:
                message[key] = value
        return _with_beside(message, data, {"role", *self.fields})

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Add what is looked for before the fields are."""
        schema["properties"] = {"role": const("assistant"), **schema["properties"]}
        schema["required"] = ["role", "content"]
        schema["maxProperties"] = StrictSchema.MOST_FIELDS
        schema["description"] = (
            "An earlier answer, as it came. `function_call` and `audio` are not taken: use"
            " `tool_calls`, and send what was said as `content`." + _OTHERS
        )


def _whole_blocks(blocks: Any) -> list[dict[str, Any]]:
    """Put blocks of thinking together that came, and are handed back, piece by piece.

    The signature comes with the last piece of a block; without it no block is taken back. The
    index is what Python's SDK wanted of the pieces.
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

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Add both of its forms."""
        schema["oneOf"] = [components.schema(_SENT), components.schema(_ANSWER)]


_ANSWER = AssistantMessageSchema()


_SENT = CompletionMessageSchema()
