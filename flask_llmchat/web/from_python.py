"""Chats that the app itself starts: in a view, a command or a job, with or without a request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from flask import has_request_context
from werkzeug.exceptions import HTTPException

from ..core.request import Message
from ..dialects.openai import OPENAI
from ..runs.from_python import ChatStream
from .capacity import acquire_slot, max_streams
from .state import AppState


def open_chat(
    state: AppState,
    provider: str,
    messages: str | Sequence[Message],
    parameters: Mapping[str, Any],
    *,
    profile: Any,
    context: Mapping[str, Any] | None = None,
    endpoint_id: str | None = None,
    whole: bool = False,
) -> ChatStream:
    """Start a chat and return it as a stream of events; see :meth:`LLMChat.stream`."""
    row = state.provider_named(provider)
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    given = {name: value for name, value in parameters.items() if value is not None}
    chat = OPENAI.read({**given, "messages": list(messages)}, state.config.max_messages)
    chat.provider, chat.dialect, chat.request_id = row.name, "python", uuid.uuid4().hex
    chat.context, chat.endpoint_id = dict(context or {}), endpoint_id
    row.accept_params(chat)
    chat.profile = profile_for(state, profile)
    slot = acquire_slot(max_streams(state.config))
    try:
        return ChatStream(state, row, chat, slot, whole=whole)
    except BaseException as error:
        slot.release()
        if isinstance(error, HTTPException):  # a hook has called abort()
            raise state.refusal(error) from error
        raise


def profile_for(state: AppState, profile: Any) -> Any:
    """Return the profile that was given, or else the one that the host's loader returns.

    :raises RuntimeError: when the loader fails where there is no request.
    """
    if profile is not None:
        return profile
    if has_request_context():
        return state.require_profile()
    try:
        return state.require_profile()
    except Exception as error:
        raise RuntimeError(
            "There is no request here from which the profile loader could tell the user:"
            " pass profile=."
        ) from error
