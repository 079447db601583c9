"""One chat request, told from top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from .asking import Asking
from .body import forget_body, parse_body, read_body
from .errors import ChatError
from .hosting import client_socket, server
from .http import error_response, refuse_cross_site, request_id
from .providers import Provider
from .upstream.process import Place, current, is_full
from .upstream.watch import Server

if TYPE_CHECKING:
    from .state import ChatState

logger = logging.getLogger("flask_llmchat")

_ANSWERS = "flask_llmchat.answers"  # weak, in the environ: one that is dropped closes itself

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
        try:
            # Nothing is read of a request that is refused by what its head alone tells.
            refuse_if_full(state)
            refuse_cross_site(request, state.config.trusted_origins)
            profile = load_profile(state)
            read_body(state.config.max_content_length)
            return answered(state, provider, profile)
        except ChatError as error:
            error.provider = error.provider or provider.name
            return error_response(state.spoken().tells_errors, error)

    view.__name__ = view.__qualname__ = f"chat_with_{provider.name}"
    return view


def answered(state: ChatState, provider: Provider, profile: Any) -> Response:
    """Return the answer to a chat, once it has begun.

    The place it takes is the answer's from then on, and otherwise given up here.
    """
    place = take_place(state)
    try:
        body = parse_body()
        dialects = state.spoken()
        chat = dialects.reads.read(body, state.config.max_messages)
        chat.provider, chat.profile, chat.request_id = provider.name, profile, request_id()
        chat.dialect = dialects.reads.name
        provider.take(chat)
        answer = Asking(state, dialects.answers, chat, client_socket()).answer(provider)
    except BaseException:
        place.give_up()
        raise
    answer.place = place
    request.environ.setdefault(_ANSWERS, WeakSet()).add(answer)
    response = Response(answer, mimetype=answer.mimetype)
    response.headers.update({**_STREAM_HEADERS, **answer.headers, "X-Request-ID": request_id()})
    response.call_on_close(answer.close)
    forget_body()
    return response


def load_profile(state: ChatState) -> Any:
    """Return the profile of whoever is asking.

    :raises ChatError: with status 401, when the host's loader knows none.
    """
    profile = state.load_profile()
    if profile is None:
        raise ChatError("Profile not found", "no_permission", status=401)
    return profile


def refuse_if_full(state: ChatState) -> None:
    """Refuse a chat that no place would be left for, before anything is done for it.

    :raises ChatError: with status 503.
    """
    if is_full(state.most_streams(_server())):
        raise _too_many()


def take_place(state: ChatState) -> Place:
    """Take one of the places for chats that run at once.

    :raises ChatError: with status 503, when there is none left.
    """
    try:
        return Place(state.most_streams(_server()))
    except LookupError:
        raise _too_many() from None


def _server() -> Server:
    watcher = current().watcher
    if watcher.server is None:
        watcher.server = server()
        if watcher.server.unfit:
            logger.warning("%s", watcher.server.unfit)
    return watcher.server


def _too_many() -> ChatError:
    return ChatError(
        "Too many chats are running at the moment. Please try again.",
        "overloaded",
        retry_after=_TRY_AGAIN,
    )


def close_unsent(exception: BaseException | None) -> None:
    """Close answers that no server will: the host's own ``after_request`` failed."""
    if exception is not None:
        for answer in list(request.environ.get(_ANSWERS, ())):
            answer.close()


def close_failed(sender: Flask, exception: BaseException, **_: Any) -> None:
    """Close them before any function of the host's runs that could fail, too.

    Receives ``got_request_exception``, which is also sent for a route of the host's own that
    calls one of our views.
    """
    close_unsent(exception)
