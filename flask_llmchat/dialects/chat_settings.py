"""What the dialects of chat front ends share: ``chatSettings``, and the fields beside it."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from ..core.parameters import BY_SETTING, parameters_of
from ..core.request import ChatRequest
from .fields import BoundedList, StrictBoolean, StrictInteger, StrictString
from .parameters import with_parameters
from .schema import PresentFieldsNested, StrictSchema
from .size import MAX_TOOLS

_FOR_HOOKS = {"description": "For the app's hooks; not sent to the provider."}

ENDPOINT = {"description": "Which of the user's own endpoints, for the provider `custom`."}


class ConversationId(StrictString):
    """The id of a conversation in the client; null is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            allow_none=True,
            validate=validate.Length(1, 256),
            metadata={"description": "The id of the conversation, for the app."},
            **kwargs,
        )


_CONVERSATION_ID = ConversationId()


def as_conversation_id(value: Any) -> str | None:
    """Return a value that can be the id of a conversation; None for any other."""
    try:
        found: str | None = _CONVERSATION_ID.deserialize(value)
    except ma.ValidationError:
        return None
    return found


class _SettingsSchema(StrictSchema):
    """``chatSettings``: what the front end stores for a chat. Hooks see all of it."""

    model = StrictString(required=True, validate=validate.Length(1, 256))

    serverTools = BoundedList(
        StrictString(validate=validate.Length(max=64)),
        MAX_TOOLS,
        allow_none=True,
        metadata={"description": "Which of the app's tools may be used; null for all it offers."},
    )

    # What chatbot-ui sends besides, and uses itself.
    prompt = StrictString(allow_none=True, metadata=_FOR_HOOKS)
    contextLength = StrictInteger(0, allow_none=True, metadata=_FOR_HOOKS)
    includeProfileContext = StrictBoolean(allow_none=True, metadata=_FOR_HOOKS)
    includeWorkspaceInstructions = StrictBoolean(allow_none=True, metadata=_FOR_HOOKS)
    embeddingsProvider = StrictString(allow_none=True, metadata=_FOR_HOOKS)


SettingsSchema = with_parameters(_SettingsSchema, BY_SETTING, "SettingsSchema")


class ChatBodySchema(StrictSchema):
    """The fields of a body besides its messages."""

    chatSettings = PresentFieldsNested(SettingsSchema, required=True)
    endpointId = StrictString(allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT)
    customModelId = StrictString(
        allow_none=True, validate=validate.Length(max=256), metadata=ENDPOINT
    )


def chat_request(loaded: dict[str, Any], body: dict[str, Any]) -> ChatRequest:
    """Make a chat request from a loaded body.

    :param loaded: what a :class:`ChatBodySchema` with ``messages`` has loaded.
    :param body: the body as the client sent it.
    """
    settings = loaded["chatSettings"]
    return ChatRequest(
        provider="",
        model=settings["model"],
        messages=loaded["messages"],
        **parameters_of(settings, BY_SETTING),
        tool_ids=tuple(str(tool["id"]) for tool in loaded.get("selectedTools") or ()),
        settings=settings,
        conversation_id=loaded.get("conversation_id"),
        endpoint_id=loaded.get("endpointId") or loaded.get("customModelId") or None,
        raw=body,
    )
