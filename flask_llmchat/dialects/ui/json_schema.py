"""What an OpenAPI document tells of UIMessages: the form in which the AI SDK keeps them.

What a model would not see is passed over, whatever its form; so more is taken than this.
"""

from __future__ import annotations

from ..json_schema import TEXT, Components, JSONSchema, const, object_schema

_FILLED: JSONSchema = {"type": "string", "minLength": 1}


_TEXT = object_schema("A text.", type=const("text"), text=TEXT)


_REASONING = object_schema("What the model thought.", type=const("reasoning"), text=TEXT)


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
    "input": {"description": "What the model called it with."},
    "output": {"description": "What the page made of it."},
    "errorText": {"type": "string", "description": "Why the page could make nothing of it."},
    "approval": {
        "type": "object",
        "description": "What the user said to it.",
        "properties": {"id": TEXT, "approved": {"type": "boolean"}, "reason": TEXT},
    },
    "providerExecuted": {
        "type": "boolean",
        "description": "Whether the provider has carried it out: then it is passed over.",
    },
}


_OPTIONAL = ("input", "output", "errorText", "approval", "providerExecuted")


_TOOL = object_schema(
    "A call of a tool, named in its type, and its result.",
    *_OPTIONAL,
    type={"type": "string", "pattern": "^tool-."},
    **_CALL,
)


_DYNAMIC_TOOL = object_schema(
    "A call of a tool that the page does not know beforehand, and its result.",
    *_OPTIONAL,
    type=const("dynamic-tool"),
    toolName=_FILLED,
    **_CALL,
)


_OTHERS = "custom|reasoning-file|source-document|source-url|step-start"


_OTHER = object_schema(
    "What is not for the model, and is passed over.",
    type={"type": "string", "pattern": f"^(data-.*|{_OTHERS})$"},
)


def message_schema(components: Components) -> JSONSchema:
    """Add the JSON schema of a message, and of all parts that it may have; return a reference."""
    text, file = (
        components.add_schema("UITextPart", _TEXT),
        components.add_schema("UIFilePart", _FILE),
    )
    said = {"type": "array", "items": {"oneOf": [text, file]}}
    steering = object_schema(
        "What the user said meanwhile.", type=const("steering-message"), parts=said
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
        id={"type": "string", "description": "The page's own."},
        role={"type": "string", "enum": ["system", "user", "assistant"]},
        parts={"type": "array", "items": components.add_schema("UIPart", {"oneOf": parts})},
    )
    return components.add_schema("UIMessage", message)
