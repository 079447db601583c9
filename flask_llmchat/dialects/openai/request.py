"""The request body of the ``openai`` dialect."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ..chat_settings import ENDPOINT
from ..fields import (
    BoundedList,
    Object,
    StrictBoolean,
    StrictInteger,
    StrictNumber,
    StrictString,
    TokenLimit,
    Union,
)
from ..json_schema import Components, JSONSchema
from ..messages import MOST_PARTS_IN_ALL
from ..schema import StrictSchema
from ..size import MOST_TOOLS
from ..tools import TemplateArguments, Tool
from .messages import MessageField


def _text() -> StrictString:
    return StrictString(allow_none=True, validate=validate.Length(max=4096))


def _object() -> Object:
    return Object(allow_none=True)


def _number() -> StrictNumber:
    return StrictNumber(allow_none=True)


# What goes to the provider as it is. Whether it takes it is the provider's to say. None of it
# switches on what costs more: `service_tier` and `web_search_options` are for a row to take.
PASSTHROUGH: dict[str, ma.fields.Field[Any]] = {
    "frequency_penalty": _number(),
    "presence_penalty": _number(),
    "logit_bias": _object(),
    "logprobs": StrictBoolean(allow_none=True),
    "top_logprobs": StrictInteger(0, allow_none=True),
    "metadata": _object(),
    "moderation": _object(),
    "parallel_tool_calls": StrictBoolean(allow_none=True),
    "prediction": _object(),
    "prompt_cache_key": _text(),
    "prompt_cache_options": _object(),
    "prompt_cache_retention": _text(),
    "safety_identifier": _text(),
    "store": StrictBoolean(allow_none=True),
    "user": _text(),
    "verbosity": _text(),
    # Of servers that are compatible with OpenAI's.
    "top_k": StrictInteger(allow_none=True),
    "top_a": _number(),
    "min_p": _number(),
    "repetition_penalty": _number(),
    "reasoning": _object(),
    "thinking": Union(StrictBoolean(), Object(), allow_none=True),
    "enable_thinking": StrictBoolean(allow_none=True),
    "chat_template_kwargs": TemplateArguments(allow_none=True),
}


class Only(fields.Raw):
    """One value, or null, or nothing; any other is told what to do instead."""

    def __init__(self, *value: Any, error: str, **metadata: Any) -> None:
        super().__init__(allow_none=True, metadata=metadata)
        self._value, self._error = value, error

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value not in self._value or value is True:  # which equals 1
            raise ma.ValidationError(self._error)
        return value


class StreamOptionsSchema(StrictSchema):
    """What a stream tells besides, as OpenAI has it."""

    include_usage = StrictBoolean(allow_none=True)
    include_obfuscation = StrictBoolean(allow_none=True)


class ChatSchema(StrictSchema):
    """What we read ourselves of a request for a chat completion.

    What else there is some provider may take: its row says so.
    """

    class Meta:
        """Keeps what is not declared."""

        unknown = ma.INCLUDE
        description = (
            "Parameters of chat completions. Whether a provider has a use for all of them is for"
            " it to say."
        )

    model = StrictString(required=True, validate=validate.Length(1, 256))
    messages = BoundedList(
        MessageField(),
        None,
        least=1,
        required=True,
        metadata={"description": f"Oldest first; at most {MOST_PARTS_IN_ALL} parts in all."},
    )
    stream = StrictBoolean(
        allow_none=True, metadata={"description": "Whether to answer in chunks, as they come."}
    )
    stream_options = fields.Nested(StreamOptionsSchema, allow_none=True)
    temperature = StrictNumber(allow_none=True, validate=validate.Range(0, 2))
    top_p = StrictNumber(allow_none=True, validate=validate.Range(0, 1))
    max_tokens = TokenLimit()
    max_completion_tokens = TokenLimit()
    stop = Union(
        BoundedList(StrictString(validate=validate.Length(1)), 16),
        StrictString(validate=validate.Length(1)),
        allow_none=True,
    )
    seed = StrictInteger(allow_none=True)
    reasoning_effort = StrictString(allow_none=True, validate=validate.Length(1, 32))
    response_format = _object()
    tools = BoundedList(Tool(), MOST_TOOLS, allow_none=True)
    tool_choice = Union(Object(), StrictString(), allow_none=True)
    endpointId = StrictString(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)

    # What cannot be had here says what to do instead.
    n = Only(
        1,
        error="Only 1 answer is given to a request; leave it out.",
        **{"type": "integer", "minimum": 1, "maximum": 1, "description": "There is one answer."},
    )
    modalities = fields.Raw(  # others than text are some providers' own
        allow_none=True,
        metadata={"type": "array", "items": {"const": "text"}, "minItems": 1, "maxItems": 1},
    )
    audio = Only(error="Only text is answered; leave it out.")
    functions = Only(error="Not taken any more; use tools.")
    function_call = Only(error="Not taken any more; use tool_choice.")

    def describe(self, schema: JSONSchema, components: Components) -> None:
        """Tell that nothing else is taken; what a provider's row says is added elsewhere."""
        for name in ("audio", "functions", "function_call"):  # null alone
            del schema["properties"][name]
        schema["additionalProperties"] = False


BODY = ChatSchema.from_dict(dict(PASSTHROUGH), name="CompletionBodySchema")()
