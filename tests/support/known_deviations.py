"""Where the OpenAPI document and the routes are not of one mind, and may be.

The document says what to send. Programs also hand back what SDKs made of an answer, and pages what
the AI SDK kept of one: more is taken than it tells. And some is refused for reasons that it tells
in words, or not at all.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from flask_llmchat.providers.parts import PARTS

# Why a body is refused that the schemas let pass.
UNTELLABLE = re.compile(
    r"half a character|Nothing in them can be sent"
    r"|base64 that cannot be read|The file is empty|Files of this type|Only images may be http"
    r"|Must have file_data or file_id|less than or equal to 9223372036854775807"
    # A page and a program may put fields of their own into these, but no such ones.
    r"|are not accepted from clients|providerReference is not supported"
    r"|messages\.\d+\.(function_call|audio): Not supported"
    r"|messages\.\d+\..*(?i:key|base.?url|authorization|header|password|secret).*: Unknown field"
)

# Of these only the type is looked at where a model would not see them.
_PARTS = ("UIFilePart", "UIReasoningPart", "UISteeringPart", "UIToolPart", "UIDynamicToolPart")


def forgiving(document: Any) -> Any:
    """Return the document as the routes take it."""
    document = deepcopy(document)
    schemas = document["components"]["schemas"]
    for name in _PARTS:
        part = schemas[f"LLMChat{name}"]
        part |= {"properties": {"type": part["properties"]["type"]}, "required": ["type"]}
    del schemas["LLMChatUIMessage"]["properties"]["id"]
    return document


def as_told(body: Any) -> Any:
    """Return a body without what is forgiven.

    That is null for what is not there, a role said twice, and parts of an earlier response that
    only another provider knows.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        return _given(body)
    return {**_given(body), "messages": [_message(message) for message in messages]}


def _message(message: Any) -> Any:
    if not isinstance(message, dict) or "parts" in message:
        return message
    role, content = message.get("role"), _given(message.get("content"))
    told = {**_given(message), "content": content}
    if isinstance(role, str) and role and not role.replace("assistant", ""):
        told["role"] = "assistant"
        if isinstance(content, list):
            told["content"] = [part for part in content if not _is_another_providers(part)] or ""
    elif content is None:
        del told["content"]
    return told


def _is_another_providers(part: Any) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind not in PARTS


def _given(value: Any) -> Any:
    """Return JSON without the names that stand for null."""
    if isinstance(value, dict):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    return [_given(inner) for inner in value] if isinstance(value, list) else value
