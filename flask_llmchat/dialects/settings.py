"""What the chat front ends' own dialects share: ``chatSettings``, and what stands beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marshmallow import ValidationError, validate

from ..chat import ChatRequest
from ..errors import ChatError
from ..limits import MOST_CALLS
from .base import Flag, Items, Limit, Number, Object, OneOf, Sparse, StrictSchema, Text, Whole
from .describing import ANY_OBJECT, Book, JSONSchema, has_only, word

MOST_PARTS = 256
"""How many parts one message may have."""

MOST_TOOLS = MOST_CALLS
"""How many tools a chat may offer, and an answer may call."""

MOST_ELABORATE = 1024
"""How many tool calls, and parts that are more than a plain text, one request may have.

Each takes marshmallow thirty times as long as it took to parse.
"""


class Tool(Object):
    """What the model may call, and the page carries out: a tool of type function or custom.

    All others are carried out by the provider, for money, and some are reached at an address and
    with headers that stand in the tool. Some gateways know them by any further field.
    """

    default_error_messages = {
        "type": "Only tools of type 'function' and 'custom' are taken from a page; the provider's"
        " own tools are the app's to add, in before_chat.",
        "field": "Unknown field {name!r}. The provider's own tools, addresses and headers are the"
        " app's to add, in before_chat.",
        "missing": "Must have what its type says.",
    }
    _FIELDS = frozenset({"type", "function", "custom", "cache_control"})

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        tool = super()._deserialize(value, attr, data, **kwargs)
        kind = tool.get("type", "function")
        if kind not in ("function", "custom"):
            raise self.make_error("type")
        if unknown := tool.keys() - self._FIELDS:
            raise self.make_error("field", name=min(unknown)[:50])
        if not isinstance(tool.get(kind), dict):
            raise self.make_error("missing")
        return tool

    def describe(self, told: JSONSchema, book: Book) -> None:
        """Add both types."""
        function = has_only("A function.", type=word("function"), function=ANY_OBJECT)
        custom = has_only("A tool that takes free text.", type=word("custom"), custom=ANY_OBJECT)
        told["oneOf"] = [book.add("FunctionTool", function), book.add("CustomTool", custom)]


class TemplateArguments(Object):
    """What a model server fills its chat template with.

    vLLM and SGLang pass all of it on to ``apply_chat_template``, whose own parameters replace the
    template, and with it the app's system prompt: https://github.com/vllm-project/vllm/pull/25794
    """

    _OWN = frozenset(
        {
            "chat_template",
            "conversation",
            "tokenize",
            "padding",
            "truncation",
            "max_length",
            "return_tensors",
            "return_dict",
            "return_assistant_tokens_mask",
            "tokenizer_kwargs",
        }
    )

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> dict[str, Any]:
        given = super()._deserialize(value, attr, data, **kwargs)
        if refused := given.keys() & self._OWN:
            raise ValidationError({name: ["Not taken from a page."] for name in sorted(refused)})
        return given


_FOR_HOOKS = {"description": "For the app's hooks; the provider is not told."}
ENDPOINT = {"description": "Which of the user's own endpoints, for the provider `custom`."}


class SettingsSchema(StrictSchema):
    """``chatSettings``: what the front end stores for a chat. Hooks see all of it."""

    model = Text(required=True, validate=validate.Length(1, 256))
    temperature = Number(allow_none=True, validate=validate.Range(0, 2))

    # What the original front end sends besides, and makes use of itself.
    prompt = Text(allow_none=True, metadata=_FOR_HOOKS)
    contextLength = Whole(0, allow_none=True, metadata=_FOR_HOOKS)
    includeProfileContext = Flag(allow_none=True, metadata=_FOR_HOOKS)
    includeWorkspaceInstructions = Flag(allow_none=True, metadata=_FOR_HOOKS)
    embeddingsProvider = Text(allow_none=True, metadata=_FOR_HOOKS)

    maxTokens = Limit()
    topP = Number(allow_none=True, validate=validate.Range(0, 1))
    stop = OneOf(
        Items(Text(validate=validate.Length(1)), 16, least=1),
        Text(validate=validate.Length(1)),
        allow_none=True,
    )
    seed = Whole(allow_none=True)
    reasoningEffort = Text(allow_none=True, validate=validate.Length(1, 32))
    responseFormat = Object(allow_none=True)
    tools = Items(Tool(), MOST_TOOLS, allow_none=True)
    toolChoice = OneOf(Object(), Text(), allow_none=True)


class ChatBodySchema(StrictSchema):
    """What a body has besides its messages."""

    chatSettings = Sparse(SettingsSchema, required=True)
    endpointId = Text(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)
    customModelId = Text(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)


def check_size(messages: Any, max_messages: int, max_parts: int, elaborate: int) -> None:
    """Refuse very many messages, or parts in all, before they are loaded.

    Whatever is a list in a message is counted, for it is loaded item by item.

    :param elaborate: how many of the parts may be tool calls, or more than a plain text.
    :raises ChatError: with status 422.
    """
    if not isinstance(messages, list):
        return
    if len(messages) > max_messages:
        raise ChatError(
            f"messages: {len(messages)} are too many; at most {max_messages} are taken.",
            status=422,
        )
    parts = more = 0
    for items in _lists_in(messages):
        parts += len(items)
        if parts > max_parts:
            raise ChatError(
                f"messages: more than {max_parts} parts in all are not taken.", status=422
            )
        more += sum([not is_plain_text(item) for item in items])
        if more > elaborate:
            raise ChatError(
                f"messages: more than {elaborate} parts that are no plain text, and tool calls,"
                " are not taken.",
                status=422,
            )


# The last two are of version 4 of the AI SDK.
_LISTS = ("content", "parts", "tool_calls", "toolInvocations", "experimental_attachments")


def _lists_in(messages: list[Any]) -> Iterator[list[Any]]:
    """Give the lists of a conversation that are read item by item."""
    for message in messages:
        if not isinstance(message, dict):
            continue
        for name in _LISTS:
            items = message.get(name)
            if not isinstance(items, list):
                continue
            yield items
            for item in items:
                # A steering message of the AI SDK's is a part that has parts itself.
                if isinstance(item, dict) and isinstance(inner := item.get("parts"), list):
                    yield inner


def is_plain_text(part: Any) -> bool:
    """Tell whether a part is a text and nothing else, as nearly all parts are."""
    return (
        part.__class__ is dict
        and part.get("text").__class__ is str
        and (len(part) == 1 or (len(part) == 2 and part.get("type") == "text"))
    )


def chat_request(loaded: dict[str, Any], body: dict[str, Any]) -> ChatRequest:
    """Make a chat of what a :class:`ChatBodySchema` with ``messages`` has loaded.

    :param body: what it was loaded from.
    """
    settings = loaded["chatSettings"]
    return ChatRequest(
        provider="",
        model=settings["model"],
        messages=loaded["messages"],
        temperature=settings.get("temperature"),
        max_tokens=settings.get("maxTokens"),
        top_p=settings.get("topP"),
        stop=settings.get("stop"),
        seed=settings.get("seed"),
        reasoning_effort=settings.get("reasoningEffort"),
        response_format=settings.get("responseFormat"),
        tools=settings.get("tools"),
        tool_choice=settings.get("toolChoice"),
        settings=settings,
        endpoint_id=loaded.get("endpointId") or loaded.get("customModelId") or None,
        raw=body,
    )
