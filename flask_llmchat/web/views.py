"""One chat request, told from top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from ..core.errors import ChatError
from ..core.server import Server
from ..providers.provider import Provider
from ..runs.run import ChatRun
from ..transport.runtime import Slot, current_runtime, is_full
from .body import forget_body, parse_body, read_body
from .request import refuse_cross_site, request_id
from .responses import error_response
from .servers import client_socket, server

if TYPE_CHECKING:
    from .state import AppState


logger = logging.getLogger("flask_llmchat")


_ANSWERS = "flask_llmchat.response"  # weak, in the environ: one that is dropped closes itself


_TRY_AGAIN = 2  # seconds: chats take that long, and one of them has ended by then


# Proxies must pass every piece on as it comes, and a browser must not take it for a page.
_STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def chat_view(state: AppState, provider: Provider) -> Callable[[], ResponseReturnValue]:
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
            return error_response(state.negotiate().error, error)

    view.__name__ = view.__qualname__ = f"chat_with_{provider.name}"
    return view


def answered(state: AppState, provider: Provider, profile: Any) -> Response:
    """Return the answer to a chat, once it has begun.

    The place it takes is the answer's from then on, and otherwise given up here.
    """
    slot = acquire_slot(state)
    try:
        body = parse_body()
        dialects = state.negotiate()
        chat = dialects.request.read(body, state.config.max_messages)
        chat.provider, chat.profile, chat.request_id = provider.name, profile, request_id()
        chat.dialect = dialects.request.name
        provider.accept_params(chat)
        answer = ChatRun(state, dialects.response, chat, client_socket()).start(provider)
    except BaseException:
        slot.release()
        raise
    answer.slot = slot
    request.environ.setdefault(_ANSWERS, WeakSet()).add(answer)
    response = Response(answer, mimetype=answer.mimetype)
    response.headers.update({**_STREAM_HEADERS, **answer.headers, "X-Request-ID": request_id()})
    response.call_on_close(answer.close)
    forget_body()
    return response


def load_profile(state: AppState) -> Any:
    """Return the profile of whoever is asking.

    :raises ChatError: with status 401, when the host's loader knows none.
    """
    profile = state.load_profile()
    if profile is None:
        raise ChatError("Profile not found", "no_permission", status=401)
    return profile


def refuse_if_full(state: AppState) -> None:
    """Refuse a chat that no place would be left for, before anything is done for it.

    :raises ChatError: with status 503.
    """
    if is_full(state.max_streams(_server())):
        raise _too_many()


def acquire_slot(state: AppState) -> Slot:
    """Take one of the places for chats that run at once.

    :raises ChatError: with status 503, when there is none left.
    """
    try:
        return Slot(state.max_streams(_server()))
    except LookupError:
        raise _too_many() from None


def _server() -> Server:
    watchdog = current_runtime().watchdog
    if watchdog.server is None:
        watchdog.server = server()
        if watchdog.server.unfit:
            logger.warning("%s", watchdog.server.unfit)
    return watchdog.server


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
