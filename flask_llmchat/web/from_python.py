"""Chats that the app itself starts: in a view, a command or a job, with or without a request."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import has_request_context
from werkzeug.exceptions import HTTPException

from ..core.caller import Caller, as_caller
from ..core.request import Message
from ..dialects.chat_settings import as_conversation_id
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
    caller: Caller | str | None = None,
    conversation_id: str | None = None,
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
    chat.conversation_id = as_conversation_id(conversation_id)
    if chat.conversation_id != conversation_id:
        raise ValueError("conversation_id= has to be a string of 1 to 256 characters")
    chat.context, chat.endpoint_id = dict(context or {}), endpoint_id
    row.accept_params(chat)
    chat.profile = profile_for(state, profile)
    chat.caller = as_caller(caller, "caller=") or _load("caller", state.load_caller, chat.profile)
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
    return profile if profile is not None else _load("profile", state.require_profile)


def _load(argument: str, load: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a loader of the host returns, in place of an argument that was not given."""
    try:
        return load(*arguments)
    except Exception as error:
        if has_request_context():
            raise
        raise RuntimeError(
            f"The {argument} loader failed, and there is no request here from which it could tell"
            f" the user: pass {argument}=."
        ) from error
