"""The JSON schema of UIMessages for the OpenAPI document.

Parts that no model would see are ignored, whatever their form, so the server accepts more than
this.
"""

from __future__ import annotations

from ..json_schema import ANY_OBJECT, TEXT, Components, JSONSchema, const, object_schema

_FILLED: JSONSchema = {"type": "string", "minLength": 1}

_TEXT = object_schema("A text.", type=const("text"), text=TEXT)

_REASONING = object_schema(
    "The model's reasoning.",
    "providerMetadata",
    type=const("reasoning"),
    text=TEXT,
    providerMetadata=ANY_OBJECT | {"description": "As it came: the provider needs it back."},
)

_FILE = object_schema(
    "A file: images as data: or http(s) URLs, and PDFs, texts, WAV and MP3 as data: URLs.",
    "filename",
    type=const("file"),
    mediaType=TEXT,
    url={"type": "string", "pattern": "^(data:[^,]*,|https?://)"},
    filename=TEXT,
)

_CALL: dict[str, JSONSchema] = {
    "toolCallId": _FILLED,
    "state": {
        "type": "string",
        "enum": [
            "input-streaming",
            "input-available",
            "approval-requested",
            "approval-responded",
            "output-available",
            "output-error",
            "output-denied",
        ],
    },
    "input": {"description": "The arguments of the call."},
    "output": {"description": "The result, from the client."},
    "errorText": {"type": "string", "description": "Why the client has no result."},
    "approval": {
        "type": "object",
        "description": "The user's decision.",
        "properties": {"id": TEXT, "approved": {"type": "boolean"}, "reason": TEXT},
    },
    "providerExecuted": {
        "type": "boolean",
        "description": "Whether the provider ran it; then it is ignored.",
    },
}

_OPTIONAL = ("input", "output", "errorText", "approval", "providerExecuted")

_TOOL = object_schema(
    "A tool call, with the tool's name in its type, and its result.",
    *_OPTIONAL,
    type={"type": "string", "pattern": "^tool-."},
    **_CALL,
)

_DYNAMIC_TOOL = object_schema(
    "A call of a tool that the client does not define itself, and its result.",
    *_OPTIONAL,
    type=const("dynamic-tool"),
    toolName=_FILLED,
    **_CALL,
)

_OTHERS = "custom|reasoning-file|source-document|source-url|step-start"

_OTHER = object_schema(
    "A part that is not for the model, and is ignored.",
    type={"type": "string", "pattern": f"^(data-.*|{_OTHERS})$"},
)


def message_schema(components: Components) -> JSONSchema:
    """Add the JSON schemas of a message and of its parts; return a reference."""
    text, file = (
        components.add_schema("UITextPart", _TEXT),
        components.add_schema("UIFilePart", _FILE),
    )
    items = {"type": "array", "items": {"oneOf": [text, file]}}
    steering = object_schema(
        "What the user wrote meanwhile.", type=const("steering-message"), parts=items
    )
    parts = [
        text,
        file,
        components.add_schema("UIReasoningPart", _REASONING),
        components.add_schema("UIToolPart", _TOOL),
        components.add_schema("UIDynamicToolPart", _DYNAMIC_TOOL),
        components.add_schema("UISteeringPart", steering),
        components.add_schema("UIOtherPart", _OTHER),
    ]
    message = object_schema(
        "A UIMessage.",
        "id",
        id={"type": "string", "description": "The client's own."},
        role={"type": "string", "enum": ["system", "user", "assistant"]},
        parts={"type": "array", "items": components.add_schema("UIPart", {"oneOf": parts})},
    )
    return components.add_schema("UIMessage", message)
