"""The request body of the ``openai`` dialect."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ...core.errors import ChatError
from ...core.parameters import BY_WIRE_NAME, parameters_of
from ...core.request import ChatRequest
from ..chat_settings import ENDPOINT, ConversationId
from ..fields import BoundedList, StrictBoolean, StrictString, is_encodable
from ..json_schema import Components, JSONSchema
from ..parameters import with_parameters
from ..schema import StrictSchema, load
from ..size import MAX_TOTAL_PARTS
from .messages import UNDECLARED, MessageField


class Only(fields.Raw):
    """One value, null or nothing; the error for any other says what to do instead.

    :param error: that message.
    :param metadata: for the OpenAPI document.
    """

    def __init__(self, *value: Any, error: str, **metadata: Any) -> None:
        super().__init__(allow_none=True, metadata=metadata)
        self._value, self._error = value, error

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value not in self._value or value is True:  # which equals 1
            raise ma.ValidationError(self._error)
        return value


class StreamOptionsSchema(StrictSchema):
    """What a stream holds besides, as OpenAI defines it."""

    include_usage = StrictBoolean(allow_none=True)
    include_obfuscation = StrictBoolean(allow_none=True)


class ChatSchema(StrictSchema):
    """The fields of a chat-completion request that the dialect reads itself.

    A provider may accept further ones: its row lists them.
    """

    class Meta:
        """Keeps undeclared fields."""

        unknown = ma.INCLUDE
        description = (
            "Parameters of chat completions. The provider decides which of them it supports."
        )

    model = StrictString(required=True, validate=validate.Length(1, 256))
    messages = BoundedList(
        MessageField(),
        None,
        least=1,
        required=True,
        metadata={"description": f"Oldest first; at most {MAX_TOTAL_PARTS} parts in all."},
    )
    stream = StrictBoolean(
        allow_none=True, metadata={"description": "Whether to stream the response in chunks."}
    )
    stream_options = fields.Nested(StreamOptionsSchema, allow_none=True)
    conversationId = ConversationId()
    endpointId = StrictString(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)

    # What is not supported says what to do instead.
    n = Only(
        1,
        error="Only 1 choice is supported; leave it out.",
        **{"type": "integer", "minimum": 1, "maximum": 1, "description": "There is one choice."},
    )
    modalities = fields.Raw(  # others than text are specific to some providers
        allow_none=True,
        metadata={"type": "array", "items": {"const": "text"}, "minItems": 1, "maxItems": 1},
    )
    audio = Only(error="Only text responses are supported; leave it out.")
    functions = Only(error="Not supported; use tools.")
    function_call = Only(error="Not supported; use tool_choice.")

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Forbid other fields; those of a provider's row are added elsewhere."""
        for name in ("audio", "functions", "function_call"):  # null alone
            del schema["properties"][name]
        schema["additionalProperties"] = False


BODY = with_parameters(ChatSchema, BY_WIRE_NAME, "CompletionBodySchema")()


def chat_request(body: dict[str, Any]) -> ChatRequest:
    """Make a chat request from a body.

    :raises ChatError: with status 422, naming the invalid fields and the reasons.
    """
    loaded = load(BODY, body)
    unknown = {n: v for n, v in loaded.items() if n not in BODY.fields and v is not None}
    if loaded.get("modalities") not in (None, ["text"]):
        unknown["modalities"] = loaded["modalities"]
    if not is_encodable(unknown):
        raise ChatError(
            "An unknown field holds half a character (a lone surrogate), or is nested too deeply.",
            status=422,
        )
    messages = loaded["messages"]
    chat = ChatRequest(
        provider="",
        model=loaded["model"],
        messages=messages,
        **parameters_of(loaded, BY_WIRE_NAME),
        unknown=unknown,
        unknown_in_messages={
            i: m.pop(UNDECLARED) for i, m in enumerate(messages) if UNDECLARED in m
        },
        conversation_id=loaded.get("conversationId"),
        endpoint_id=loaded.get("endpointId") or None,
        raw=body,
    )
    options = loaded.get("stream_options") or {}
    if options.get("include_obfuscation") is not None:
        chat.extra["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
    return chat
