"""What an OpenAPI document tells of UIMessages: the form in which the AI SDK keeps them.

What a model would not see is passed over, whatever its form; so more is taken than this.
"""

from __future__ import annotations

from .describing import TEXT, Book, JSONSchema, has, word

_FILLED: JSONSchema = {"type": "string", "minLength": 1}

_TEXT = has("A text.", type=word("text"), text=TEXT)
_REASONING = has("What the model thought.", type=word("reasoning"), text=TEXT)
_FILE = has(
    "A file: images as data: or http(s) URLs, and PDFs, texts, WAV and MP3 as data: URLs.",
    "filename",
    type=word("file"),
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
_TOOL = has(
    "A call of a tool, named in its type, and its result.",
    *_OPTIONAL,
    type={"type": "string", "pattern": "^tool-."},
    **_CALL,
)
_DYNAMIC_TOOL = has(
    "A call of a tool that the page does not know beforehand, and its result.",
    *_OPTIONAL,
    type=word("dynamic-tool"),
    toolName=_FILLED,
    **_CALL,
)
_OTHERS = "custom|reasoning-file|source-document|source-url|step-start"
_OTHER = has(
    "What is not for the model, and is passed over.",
    type={"type": "string", "pattern": f"^(data-.*|{_OTHERS})$"},
)


def message_schema(book: Book) -> JSONSchema:
    """Add the JSON schema of a message, and of all parts that it may have; return a reference."""
    text, file = book.add("UITextPart", _TEXT), book.add("UIFilePart", _FILE)
    said = {"type": "array", "items": {"oneOf": [text, file]}}
    steering = has("What the user said meanwhile.", type=word("steering-message"), parts=said)
    parts = [
        text,
        file,
        book.add("UIReasoningPart", _REASONING),
        book.add("UIToolPart", _TOOL),
        book.add("UIDynamicToolPart", _DYNAMIC_TOOL),
        book.add("UISteeringPart", steering),
        book.add("UIOtherPart", _OTHER),
    ]
    message = has(
        "A UIMessage.",
        "id",
        id={"type": "string", "description": "The page's own."},
        role={"type": "string", "enum": ["system", "user", "assistant"]},
        parts={"type": "array", "items": book.add("UIPart", {"oneOf": parts})},
    )
    return book.add("UIMessage", message)
