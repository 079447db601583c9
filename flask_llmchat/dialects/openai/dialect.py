"""The ``openai`` dialect: chat completions, for OpenAI's SDKs and the programs made with them.

https://platform.openai.com/docs/api-reference/chat defines both request and response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.error_codes import ERROR_CODES
from ...core.errors import ChatError
from ...core.request import ChatRequest
from ..base import Encoder
from ..json_schema import CODES, Components, DialectSpec, const
from ..size import MAX_RICH_PARTS, MAX_TOTAL_PARTS, check_size
from .completion import COMPLETION_SCHEMA, CompletionEncoder
from .encoder import ChunkEncoder
from .envelope import dump
from .errors import error_body, error_schema
from .models import MODELS_ROUTES
from .request import BODY, chat_request


class OpenAIDialect:
    """Reads chat completion requests; responds with chunks, or with a whole completion."""

    name = "openai"
    path = "/chat/completions"
    mimetype = "text/event-stream"
    routes = MODELS_ROUTES

    def recognises(self, body: dict[str, Any]) -> bool:
        """Return True: this path has no other dialect."""
        return True

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields that are wrong and why.
        """
        check_size(body.get("messages"), max_messages, MAX_TOTAL_PARTS, MAX_RICH_PARTS)
        return chat_request(body)

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return a new encoder for the response to this chat."""
        if chat.raw.get("stream"):
            options = chat.raw.get("stream_options") or {}
            return ChunkEncoder(chat, include_usage=bool(options.get("include_usage")))
        # The upstream response is a stream here too: one way to count, to time out and to end.
        return CompletionEncoder(chat)

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Encode an error, in the form of which SDKs make an exception."""
        # By default SDKs repeat a request twice on each of these statuses.
        retried = error.status in (408, 409, 429) or error.status >= 500
        may_pass = ERROR_CODES[error.code].retryable and error.status != 501
        permanent = not (may_pass and error.may_repeat)
        headers = {"x-should-retry": "false"} if retried and permanent else {}
        return dump(error_body(error)), "application/json", headers

    def describe(self, components: Components) -> DialectSpec:
        """Return what an OpenAPI document says of this dialect."""
        chunks = {
            "type": "string",
            "description": "With `stream`: chunks as server-sent events, the provider's own where"
            " it sends some, each the JSON of a `chat.completion.chunk`, and `[DONE]`. A response"
            " that fails ends with an event that holds `error`.",
            "examples": [_CHUNKS],
        }
        retry = {"description": "`false` where a retry would fail too.", "schema": const("false")}
        error = error_schema(components.add_schema("ErrorCode", CODES))
        return DialectSpec(
            body=components.body_schema(BODY),
            example=_example,
            responses={
                "application/json": components.add_schema("Completion", COMPLETION_SCHEMA),
                "text/event-stream": chunks,
            },
            errors={"application/json": components.add_schema("CompletionError", error)},
            error_headers={"x-should-retry": retry},
            takes_extra_params=True,
        )


def _example(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "stream": True}


_CHUNKS = "".join(
    f'data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
    f'"model":"gpt-6-luna","choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]}}\n\n'
    for delta, reason in (('{"role":"assistant","content":"Hi!"}', "null"), ("{}", '"stop"'))
)

_CHUNKS += "data: [DONE]\n\n"
