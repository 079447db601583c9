"""One chat request, told from top to bottom."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Response, g, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from .answer import Answer, Record
from .chat import ChatRequest
from .dialects import Dialect
from .errors import UNEXPECTED, ChatError
from .http import (
    client_socket,
    error_response,
    read_object,
    refuse_cross_site,
    server_threads,
)
from .models import find
from .profiles import clean, is_sendable
from .providers import Provider
from .providers.chunks import ChunkReader
from .signals import chat_started
from .upstream.client import Call
from .upstream.process import Place
from .upstream.stream import Stream

if TYPE_CHECKING:
    from .extension import ChatState

logger = logging.getLogger("flask_llmchat")

# What a provider may fail with that another one may do better.
_LEFT_TO_OTHERS = frozenset(
    {"upstream_error", "overloaded", "timeout", "truncated", "rate_limited", "out_of_credit"}
)

_TRY_AGAIN = 2  # seconds: chats take that long, and one of them has ended by then

# Proxies must pass every piece on as it comes, and a browser must not take it for a page.
_STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def chat_view(state: ChatState, provider: Provider) -> Callable[[], ResponseReturnValue]:
    """Return the view that serves one provider in one app."""

    def view() -> ResponseReturnValue:
        request_id = uuid.uuid4().hex
        try:
            g._llmchat_place = take_place(state)
            refuse_cross_site(request, state.config.trusted_origins)
            profile = load_profile(state)
            body = read_object(state.config.max_content_length)
            dialects = state.spoken()
            chat = dialects.reads.read(body, state.config.max_messages)
            chat.provider, chat.profile, chat.request_id = provider.name, profile, request_id
            chat.dialect = dialects.reads.name
            answer = start_answer(state, provider, dialects.answers, chat)
        except ChatError as error:
            error.provider = error.provider or provider.name
            return error_response(state.spoken().tells_errors, error, request_id)
        response = Response(answer, mimetype=answer.mimetype)
        response.headers.update({**_STREAM_HEADERS, **answer.headers, "X-Request-ID": request_id})
        response.call_on_close(answer.close)
        answer.place, g._llmchat_answer = g.pop("_llmchat_place"), answer
        return response

    view.__name__ = view.__qualname__ = f"chat_with_{provider.name}"
    return view


def load_profile(state: ChatState) -> Any:
    """Return the profile of whoever is asking.

    :raises ChatError: with status 401, when the host's loader knows none.
    """
    profile = state.load_profile()
    if profile is None:
        raise ChatError("Profile not found", "no_permission", status=401)
    return profile


def take_place(state: ChatState) -> Place:
    """Take one of the places for chats that run at once.

    :raises ChatError: with status 503, when there is none left.
    """
    try:
        return Place(state.most_streams(server_threads))
    except LookupError:
        raise ChatError(
            "Too many chats are running at the moment. Please try again.",
            "overloaded",
            retry_after=_TRY_AGAIN,
        ) from None


def close_unsent(exception: BaseException | None) -> None:
    """Close an answer that no server will: the host's own ``after_request`` failed."""
    answer: Answer | None = g.pop("_llmchat_answer", None)
    if exception is not None and answer is not None:
        answer.close()
    place: Place | None = g.pop("_llmchat_place", None)
    if place is not None:
        place.give_up()


def start_answer(
    state: ChatState, provider: Provider, dialect: Dialect, chat: ChatRequest
) -> Answer:
    """Call the provider, or a fallback, and wait until the answer begins.

    From here on the chat has started, and how it ends is told exactly once.

    :raises ChatError: when a hook or the provider refuses, or a key is missing.
    """
    record = Record(chat, state.tell_finished)
    deadline = time.monotonic() + state.config.deadline
    try:
        state.send(chat_started, chat=chat)
        if provider.public_only:
            chat.endpoint = state.load_endpoint(chat.endpoint_id)
        state.run_before_chat(chat)
        record.begin(chat)  # hooks may have changed the model
        call = prepare(state, provider, chat, deadline)
    except ChatError as error:
        record.end("refused", error)
        raise
    except HTTPException as error:
        status = error.response.status_code if error.response else error.code
        record.end("refused", ChatError.from_status(status or 500, error.description or ""))
        raise
    except BaseException:  # also a worker's being stopped
        record.end("refused", ChatError(UNEXPECTED, "internal"))
        raise
    try:
        try:
            return open_answer(state, provider, dialect, chat, call, record)
        except ChatError as error:
            if error.code not in _LEFT_TO_OTHERS:
                raise
            reader = record.reader
            answer = ask_others(state, provider, dialect, chat, deadline, record)
            if answer is None:
                record.begin(chat, reader)  # it is the first one's error that is told
                raise
            return answer
    except ChatError as error:
        record.end_broken(error)
        raise
    except BaseException:
        record.end_broken(ChatError(UNEXPECTED, "internal"))
        raise


def open_answer(
    state: ChatState,
    provider: Provider,
    dialect: Dialect,
    chat: ChatRequest,
    call: Call,
    record: Record,
) -> Answer:
    """Make one call, and wait until its answer begins.

    :raises ChatError: when it comes to nothing.
    """
    encoder = dialect.encoder(chat)
    reader = ChunkReader(inline_think=provider.inline_think, passes_chunks=encoder.passes_chunks)
    record.begin(chat, reader)
    stream = Stream(call, reader, client_socket())
    record.upstream_request_id = stream.request_id
    answer = Answer(stream, encoder, record, state.config.heartbeat)
    answer.start()
    return answer


def ask_others(
    state: ChatState,
    provider: Provider,
    dialect: Dialect,
    chat: ChatRequest,
    deadline: float,
    record: Record,
) -> Answer | None:
    """Ask the fallbacks of a provider that has failed; None when none of them answers either."""
    for name, models in state.config.fallbacks.get(provider.name, {}).items():
        other = state.providers[name]
        asked = replace(chat, provider=name, model=models.get(chat.model, chat.model))
        logger.warning("chat %s: %s failed, %s is asked", chat.request_id, provider.name, name)
        try:
            call = prepare(state, other, asked, deadline)
            return open_answer(state, other, dialect, asked, call, record)
        except ChatError as error:
            logger.warning("chat %s: %s failed too: %s", chat.request_id, name, error.code)
            if error.code in ("cancelled", "deadline"):
                raise
    return None


def prepare(state: ChatState, provider: Provider, chat: ChatRequest, deadline: float) -> Call:
    """Turn a chat into a call of its provider, with the key of this chat's user.

    :raises ChatError: when the key, or what the provider needs besides, is missing.
    """
    key = clean(state.resolve_key(provider, chat.profile))
    if provider.key_attr and provider.key_required and not key:
        raise ChatError(
            f"{provider.label} API Key not found. Please set it in your profile settings.",
            "missing_key",
            provider=provider.name,
        )
    if not is_sendable(key):
        raise ChatError(
            f"{provider.label} API Key is incorrect. Please fix it in your profile settings.",
            "bad_key",
            provider=provider.name,
        )
    base_url = state.config.base_urls.get(provider.name, provider.base_url)
    target = provider.target(provider, chat, key, base_url)
    return Call(
        provider=provider.name,
        label=provider.label,
        request_id=chat.request_id,
        url=target.url,
        headers=target.headers,
        query=target.query,
        body=provider.body(
            chat,
            target,
            find(provider.catalogue, chat.model, state.config.models.get(provider.name)),
        ),
        secrets=tuple({key, *target.secrets()} - {""}),
        connect_timeout=state.config.connect_timeout,
        read_timeout=state.config.read_timeout,
        deadline=deadline,
        max_retries=state.config.max_retries,
        tells_errors=provider.tells_errors,
        public_only=provider.public_only and not state.config.allow_private_endpoints,
    )
