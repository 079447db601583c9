"""The ``ui`` dialect: what the AI SDK's front ends speak, ``useChat`` and its transports.

UIMessages come in, with ``chatSettings`` beside them; a UI message stream goes out.
https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import marshmallow as ma

from ..answer import Encoder
from ..chat import ChatRequest
from ..errors import ChatError
from .base import Sparse, Text, load
from .describing import CODES, Book, Description, word
from .settings import ChatBodySchema, SettingsSchema, chat_request, check_size
from .ui_messages import UIMessages
from .ui_stream import UIEncoder

_MOST_PARTS_IN_ALL = 16_384
"""More than elsewhere: the steps of an answer, its sources and its tools are parts here, and no
schema reads them."""

_LOOKED_AT = 1024
"""How many messages, and parts of one, are looked at to tell whether they are UIMessages."""

# Looked for in names without their case, "_" and "-".
_SECRETIVE = re.compile(
    r".*(apikey|secret|password|authorization|bearer|credential|accesstoken|authtoken)"
    r"|.*(baseurl|apiurl|apibase|endpoint|endpointurl|headers)\Z"
    r"|(header|key|token|auth|url|uri|host|api|proxy)\Z",
    re.DOTALL,
)

# Doubled braces: marshmallow formats its messages.
_NO_SETTINGS = (
    "Missing data for required field. Send it as the transport's body:"
    " new DefaultChatTransport({{api, body: {{chatSettings: {{model}}}}}})."
)

_NO_MESSAGES = (
    "Missing data for required field. Send the whole conversation, or"
    " {{messages: [message]}} from prepareSendMessagesRequest for the last one alone."
)


class UIBodySchema(ChatBodySchema):
    """What the transports post. A page may add fields of its own, for the host's hooks."""

    class Meta:
        """Keeps fields it does not know out of what is loaded; hooks find them in ``raw``."""

        unknown = ma.EXCLUDE
        description = (
            "UIMessages, as the AI SDK's transports post them. Fields that are not listed are the"
            " page's own, for the app's hooks; one whose name is that of a key, an address or"
            " headers for the provider is refused."
        )

    chatSettings = Sparse(SettingsSchema, required=True, error_messages={"required": _NO_SETTINGS})
    messages = UIMessages(
        required=True,
        error_messages={"required": _NO_MESSAGES, "null": _NO_MESSAGES},
        metadata={
            "description": f"Oldest first; at most {_MOST_PARTS_IN_ALL} parts in all, and"
            " something in them has to be fit to be sent to a model."
        },
    )
    id = Text(allow_none=True, metadata={"description": "The chat's id on the page."})
    trigger = Text(allow_none=True, metadata={"description": "Why the transport asks."})
    messageId = Text(allow_none=True, metadata={"description": "The message that is made anew."})

    @ma.validates_schema(pass_original=True, skip_on_field_errors=False)
    def _holds_no_secret(
        self, data: dict[str, Any], original: dict[str, Any], **kwargs: Any
    ) -> None:
        found = [
            name
            for name in original
            if name not in self.fields and _SECRETIVE.match(re.sub(r"[\W_]", "", name[:99].lower()))
        ]
        if found:
            reason = "A key, an address or headers for the provider are not taken from a page."
            raise ma.ValidationError({name: [reason] for name in found})


_BODY = UIBodySchema()


class UIDialect:
    """UIMessages in, a UI message stream out."""

    name = "ui"
    path = ""
    mimetype = UIEncoder.mimetype

    def recognises(self, body: dict[str, Any]) -> bool:
        """Tell by a message that has parts with types; those of Gemini's form have none.

        Pages that send the last message alone are told how, in words that they show.
        """
        messages = body.get("messages")
        if not messages:
            return "trigger" in body or _is_ui_message(body.get("message"))
        return isinstance(messages, list) and any(map(_is_ui_message, messages[:_LOOKED_AT]))

    def read(self, body: dict[str, Any], max_messages: int) -> ChatRequest:
        """Make a chat of a request body.

        :raises ChatError: with status 422, naming the fields and parts that are wrong and why.
        """
        check_size(body.get("messages"), max_messages, _MOST_PARTS_IN_ALL, _MOST_PARTS_IN_ALL)
        return chat_request(load(_BODY, body), body)

    def encoder(self, chat: ChatRequest) -> Encoder:
        """Return what writes the answer to this chat down."""
        return UIEncoder(chat)

    def error(self, error: ChatError, request_id: str) -> tuple[bytes, str, Mapping[str, str]]:
        """Write down an error as its bare message: these clients show the body as it is."""
        message = error.message.encode("utf-8", "replace")
        return message, "text/plain", {"X-LLMChat-Error": error.code}

    def describe(self, book: Book) -> Description:
        """Return what an OpenAPI document tells of this dialect."""
        stream = {
            "type": "string",
            "description": "A UI message stream, as server-sent events:"
            " https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol",
            "examples": [_STREAM],
        }
        version = {
            "description": "Of the protocol of a UI message stream; other answers have none.",
            "schema": word("v1"),
        }
        code = {
            "description": "For programs; JSON has it in the body.",
            "schema": book.add("ErrorCode", CODES),
        }
        message = {"type": "string", "description": "A sentence for people."}
        return Description(
            body=book.body(_BODY),
            example=_example,
            answers={"text/event-stream": stream},
            headers={"x-vercel-ai-ui-message-stream": version},
            errors={"text/plain": message},
            error_headers={"X-LLMChat-Error": code},
        )


def _example(model: str) -> dict[str, Any]:
    said = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hello!"}]}
    return {"chatSettings": {"model": model}, "messages": [said], "id": "chat-1"}


_STREAM = "".join(
    f"data: {part}\n\n"
    for part in (
        '{"type":"start","messageId":"msg_1"}',
        '{"type":"start-step"}',
        '{"type":"text-start","id":"txt-0"}',
        '{"type":"text-delta","id":"txt-0","delta":"Hi!"}',
        '{"type":"text-end","id":"txt-0"}',
        '{"type":"finish-step"}',
        '{"type":"finish","finishReason":"stop"}',
        "[DONE]",
    )
)


def _is_ui_message(message: Any) -> bool:
    parts = message.get("parts") if isinstance(message, dict) else None
    if not isinstance(parts, list):
        return False
    if not parts:
        return bool(message.get("role") != "model")
    return any(isinstance(part, dict) and "type" in part for part in parts[:_LOOKED_AT])
