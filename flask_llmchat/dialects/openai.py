"""The ``openai`` dialect: what OpenAI's SDKs speak, and with them most programs there are.

https://platform.openai.com/docs/api-reference/chat is the form of both request and answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ..answer import Encoder
from ..chat import ChatRequest
from ..errors import ChatError
from .base import (
    Flag,
    Items,
    Limit,
    Number,
    Object,
    OneOf,
    StrictSchema,
    Text,
    Whole,
    is_sendable,
    load,
)
from .describing import CODES, Book, Description, JSONSchema, word
from .messages import MOST_PARTS_IN_ALL
from .openai_chunks import ChunkEncoder, error_body, error_schema
from .openai_completion import COMPLETION_SCHEMA, CompletionEncoder
from .openai_mending import dump
from .openai_messages import BESIDE, MessageField
from .settings import (
    ENDPOINT,
    MOST_ELABORATE,
    MOST_TOOLS,
    TemplateArguments,
    Tool,
    check_size,
)


def _text() -> Text:
    return Text(allow_none=True, validate=validate.Length(max=4096))


def _object() -> Object:
    return Object(allow_none=True)


def _number() -> Number:
    return Number(allow_none=True)


# What goes to the provider as it is. Whether it takes it is the provider's to say. None of it
# switches on what costs more: `service_tier` and `web_search_options` are for a row to take.
_PASSED_ON: dict[str, ma.fields.Field[Any]] = {
    "frequency_penalty": _number(),
    "presence_penalty": _number(),
    "logit_bias": _object(),
    "logprobs": Flag(allow_none=True),
    "top_logprobs": Whole(0, allow_none=True),
    "metadata": _object(),
    "moderation": _object(),
    "parallel_tool_calls": Flag(allow_none=True),
    "prediction": _object(),
    "prompt_cache_key": _text(),
    "prompt_cache_options": _object(),
    "prompt_cache_retention": _text(),
    "safety_identifier": _text(),
    "store": Flag(allow_none=True),
    "user": _text(),
    "verbosity": _text(),
    # Of servers that are compatible with OpenAI's.
    "top_k": Whole(allow_none=True),
    "top_a": _number(),
    "min_p": _number(),
    "repetition_penalty": _number(),
    "reasoning": _object(),
    "thinking": OneOf(Flag(), Object(), allow_none=True),
    "enable_thinking": Flag(allow_none=True),
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

    include_usage = Flag(allow_none=True)
    include_obfuscation = Flag(allow_none=True)


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

    model = Text(required=True, validate=validate.Length(1, 256))
    messages = Items(
        MessageField(),
        None,
        least=1,
        required=True,
        metadata={"description": f"Oldest first; at most {MOST_PARTS_IN_ALL} parts in all."},
    )
    stream = Flag(
        allow_none=True, metadata={"description": "Whether to answer in chunks, as they come."}
    )
    stream_options = fields.Nested(StreamOptionsSchema, allow_none=True)
    temperature = Number(allow_none=True, validate=validate.Range(0, 2))
    top_p = Number(allow_none=True, validate=validate.Range(0, 1))
    max_tokens = Limit()
    max_completion_tokens = Limit()
    stop = OneOf(
        Items(Text(validate=validate.Length(1)), 16),
        Text(validate=validate.Length(1)),
        allow_none=True,
    )
    seed = Whole(allow_none=True)
    reasoning_effort = Text(allow_none=True, validate=validate.Length(1, 32))
    response_format = _object()
    tools = Items(Tool(), MOST_TOOLS, allow_none=True)
    tool_choice = OneOf(Object(), Text(), allow_none=True)
    endpointId = Text(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)

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

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Tell that nothing else is taken; what a provider's row says is added elsewhere."""
        for name in ("audio", "functions", "function_call"):  # null alone
            del told["properties"][name]
        told["additionalProperties"] = False


_BODY = ChatSchema.from_dict(dict(_PASSED_ON), name="CompletionBodySchema")()

# SDKs ask again, twice, whenever the status allows it. Of other errors than these it is in vain.
_MAY_PASS = {"rate_limited", "timeout", "overloaded", "upstream_error", "truncated", "internal"}


class OpenAIDialect:
    """Chat completions in and out: as chunks, or whole."""

    name = "openai"
    path = "/chat/completions"
    mimetype = "text/event-stream"

    def recognises(self, body: dict[str, Any]) -> bool:
        """Tell that it is: nothing else is spoken on this path."""
        return True

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields that are wrong and why.
        """
        check_size(body.get("messages"), max_messages, MOST_PARTS_IN_ALL, MOST_ELABORATE)
        loaded = load(_BODY, body)
        extra = {name: loaded[name] for name in _PASSED_ON if loaded.get(name) is not None}
        unknown = {n: v for n, v in loaded.items() if n not in _BODY.fields and v is not None}
        if loaded.get("modalities") not in (None, ["text"]):
            unknown["modalities"] = loaded["modalities"]
        if not is_sendable(unknown):
            raise ChatError("An unknown field holds what cannot be sent.", status=422)
        messages = loaded["messages"]
        beside = {i: m.pop(BESIDE) for i, m in enumerate(messages) if BESIDE in m}
        options = loaded.get("stream_options") or {}
        if options.get("include_obfuscation") is not None:
            extra["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
        return ChatRequest(
            provider="",
            model=loaded["model"],
            messages=messages,
            temperature=loaded.get("temperature"),
            max_tokens=loaded.get("max_completion_tokens") or loaded.get("max_tokens"),
            top_p=loaded.get("top_p"),
            stop=loaded.get("stop") or None,
            seed=loaded.get("seed"),
            reasoning_effort=loaded.get("reasoning_effort"),
            response_format=loaded.get("response_format"),
            tools=loaded.get("tools"),
            tool_choice=loaded.get("tool_choice"),
            extra=extra,
            unknown=unknown,
            unknown_in_messages=beside,
            endpoint_id=loaded.get("endpointId") or None,
            raw=body,
        )

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return what writes the answer to this chat down."""
        if chat.raw.get("stream"):
            options = chat.raw.get("stream_options") or {}
            return ChunkEncoder(chat, tells_usage=bool(options.get("include_usage")))
        # From a streamed answer too: one way to count, to time out and to end.
        return CompletionEncoder(chat)

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Write down an error, in the form that SDKs raise one of."""
        asked_again = error.status in (408, 409, 429) or error.status >= 500
        hopeless = error.code not in _MAY_PASS or error.status == 501
        headers = {"x-should-retry": "false"} if asked_again and hopeless else {}
        return dump(error_body(error)), "application/json", headers

    def describe(self, book: Book) -> Description:
        """Return what an OpenAPI document tells of this dialect."""
        chunks = {
            "type": "string",
            "description": "With `stream`: the provider's chunks as server-sent events, each the"
            " JSON of a `chat.completion.chunk`, and `[DONE]`. One that breaks off ends with an"
            " event that holds `error`.",
            "examples": [_CHUNKS],
        }
        told = "Says `false` where asking again is in vain."
        retry = {"description": told, "schema": word("false")}
        error = error_schema(book.add("ErrorCode", CODES))
        return Description(
            body=book.body(_BODY),
            example=_example,
            answers={
                "application/json": book.add("Completion", COMPLETION_SCHEMA),
                "text/event-stream": chunks,
            },
            errors={"application/json": book.add("CompletionError", error)},
            error_headers={"x-should-retry": retry},
            takes_own=True,
        )


def _example(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "stream": True}


_CHUNKS = "".join(
    f'data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
    f'"model":"gpt-4.1","choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}\n\n'
    for delta, reason in (('{"role":"assistant","content":"Hi!"}', "null"), ("{}", '"stop"'))
)
_CHUNKS += "data: [DONE]\n\n"
