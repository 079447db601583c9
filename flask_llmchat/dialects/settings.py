"""What the chat front ends' own dialects share: ``chatSettings``, and what stands beside it."""

from __future__ import annotations

from typing import Any

from marshmallow import validate

from ..chat import ChatRequest
from ..errors import ChatError
from ..limits import MOST_CALLS
from .base import Flag, Items, Number, Object, OneOf, Sparse, StrictSchema, Text, Whole

MOST_PARTS = 256
"""How many parts one message may have."""

MOST_TOOLS = MOST_CALLS
"""How many tools a chat may offer, and an answer may call."""


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

    maxTokens = Whole(1, allow_none=True)
    topP = Number(allow_none=True, validate=validate.Range(0, 1))
    stop = OneOf(
        Items(Text(validate=validate.Length(1)), 16, least=1),
        Text(validate=validate.Length(1)),
        allow_none=True,
    )
    seed = Whole(allow_none=True)
    reasoningEffort = Text(allow_none=True, validate=validate.Length(1, 32))
    responseFormat = Object(allow_none=True)
    tools = Items(Object(), MOST_TOOLS, allow_none=True)
    toolChoice = OneOf(Object(), Text(), allow_none=True)


class ChatBodySchema(StrictSchema):
    """What a body has besides its messages."""

    chatSettings = Sparse(SettingsSchema, required=True)
    endpointId = Text(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)
    customModelId = Text(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)


def check_size(messages: Any, max_messages: int, max_parts: int) -> None:
    """Refuse very many messages, or parts in all, before they are loaded.

    The errors of all of them would cost more than they tell.

    :raises ChatError: with status 422.
    """
    if not isinstance(messages, list):
        return
    if len(messages) > max_messages:
        raise ChatError(
            f"messages: {len(messages)} are too many; at most {max_messages} are taken.",
            status=422,
        )
    lists = (m.get(name) for m in messages if isinstance(m, dict) for name in ("content", "parts"))
    if sum(len(value) for value in lists if isinstance(value, list)) > max_parts:
        raise ChatError(f"messages: more than {max_parts} parts in all are not taken.", status=422)


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
