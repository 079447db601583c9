"""What the chat front ends' own dialects share: ``chatSettings``, and what stands beside it."""

from __future__ import annotations

from typing import Any

from marshmallow import validate

from ..core.request import ChatRequest
from .fields import (
    BoundedList,
    Object,
    StrictBoolean,
    StrictInteger,
    StrictNumber,
    StrictString,
    TokenLimit,
    Union,
)
from .schema import PresentFieldsNested, StrictSchema
from .size import MOST_TOOLS
from .tools import Tool

_FOR_HOOKS = {"description": "For the app's hooks; the provider is not told."}


ENDPOINT = {"description": "Which of the user's own endpoints, for the provider `custom`."}


class SettingsSchema(StrictSchema):
    """``chatSettings``: what the front end stores for a chat. Hooks see all of it."""

    model = StrictString(required=True, validate=validate.Length(1, 256))
    temperature = StrictNumber(allow_none=True, validate=validate.Range(0, 2))

    # What the original front end sends besides, and makes use of itself.
    prompt = StrictString(allow_none=True, metadata=_FOR_HOOKS)
    contextLength = StrictInteger(0, allow_none=True, metadata=_FOR_HOOKS)
    includeProfileContext = StrictBoolean(allow_none=True, metadata=_FOR_HOOKS)
    includeWorkspaceInstructions = StrictBoolean(allow_none=True, metadata=_FOR_HOOKS)
    embeddingsProvider = StrictString(allow_none=True, metadata=_FOR_HOOKS)

    maxTokens = TokenLimit()
    topP = StrictNumber(allow_none=True, validate=validate.Range(0, 1))
    stop = Union(
        BoundedList(StrictString(validate=validate.Length(1)), 16, least=1),
        StrictString(validate=validate.Length(1)),
        allow_none=True,
    )
    seed = StrictInteger(allow_none=True)
    reasoningEffort = StrictString(allow_none=True, validate=validate.Length(1, 32))
    responseFormat = Object(allow_none=True)
    tools = BoundedList(Tool(), MOST_TOOLS, allow_none=True)
    toolChoice = Union(Object(), StrictString(), allow_none=True)


class ChatBodySchema(StrictSchema):
    """What a body has besides its messages."""

    chatSettings = PresentFieldsNested(SettingsSchema, required=True)
    endpointId = StrictString(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)
    customModelId = StrictString(
        allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT
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
