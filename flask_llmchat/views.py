"""One chat request, told from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Response, g, request
from flask.typing import ResponseReturnValue

from .answer import Answer
from .asking import Asking
from .errors import ChatError
from .http import (
    client_socket,
    error_response,
    forget_body,
    read_object,
    refuse_cross_site,
    request_id,
    server,
)
from .providers import Provider
from .upstream.process import Place, current

if TYPE_CHECKING:
    from .state import ChatState

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
            g._llmchat_place = take_place(state)
            refuse_cross_site(request, state.config.trusted_origins)
            profile = load_profile(state)
            body = read_object(state.config.max_content_length)
            dialects = state.spoken()
            chat = dialects.reads.read(body, state.config.max_messages)
            chat.provider, chat.profile, chat.request_id = provider.name, profile, request_id()
            chat.dialect = dialects.reads.name
            provider.take(chat)
            answer = Asking(state, dialects.answers, chat, client_socket()).answer(provider)
        except ChatError as error:
            error.provider = error.provider or provider.name
            return error_response(state.spoken().tells_errors, error)
        response = Response(answer, mimetype=answer.mimetype)
        response.headers.update({**_STREAM_HEADERS, **answer.headers, "X-Request-ID": request_id()})
        response.call_on_close(answer.close)
        forget_body()
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
    watcher = current().watcher
    if watcher.server is None:
        watcher.server = server()
    try:
        return Place(state.most_streams(watcher.server))
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
