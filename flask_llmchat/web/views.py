"""The chat view, from request to streaming response, and the view of a dialect's own route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, request

from ..core.errors import ChatError
from ..dialects.base import Dialect, Route, RouteRequest, asks_approval
from ..providers import Provider
from ..runs.run import ChatRun
from .body import forget_body, parse_body, read_body
from .capacity import acquire_slot, max_streams, refuse_if_full
from .negotiation import negotiate
from .request import refuse_cross_site, request_id
from .responses import error_response, streaming_response
from .servers import client_socket
from .state import AppState
from .stream_views import Start, replay
from .streams import AlreadyOpen, not_kept


def chat_view(state: AppState, provider: Provider) -> Callable[..., Response]:
    """Return the view for the chats of one provider in one app."""
    config = state.config

    def view() -> Response:
        try:
            # A request that is refused for its head or its user costs little: its body is unread.
            limit = max_streams(config)
            refuse_if_full(limit)
            refuse_cross_site(config.trusted_origins)
            profile = state.require_profile()
            read_body(config.max_content_length)
            slot = acquire_slot(limit)
            try:
                body = parse_body()
                dialects = negotiate(state, body)
                chat = dialects.request.read(body, config.max_messages)
                chat.provider, chat.profile, chat.request_id = provider.name, profile, request_id()
                chat.dialect = dialects.request.name
                provider.accept_params(chat)
                chat.caller = state.load_caller(profile)
                kept = None
                if config.resumable:
                    state.streams.watch()
                    try:
                        kept = state.streams.open(chat, dialects.response, body)
                    except AlreadyOpen as found:
                        if response := replay(state, found.info, slot, Start()):
                            return response
                        raise not_kept() from None
                run = ChatRun(
                    state,
                    dialects.response.encoder,
                    chat,
                    client_socket(),
                    may_ask=asks_approval(dialects.request) and asks_approval(dialects.response),
                    kept=kept,
                )
                try:
                    streaming = run.start(provider)
                except ChatError:
                    # The client that began it is told of a stop like all who read its response.
                    if not (kept and kept.tells_stop):
                        raise
                    if response := replay(state, kept.info, slot, Start()):
                        return response
                    raise
            except BaseException:
                slot.release()
                raise
            streaming.slot = slot  # which the body releases when it is closed
            response = streaming_response(streaming)
            forget_body()
            return response
        except ChatError as error:
            error.provider = error.provider or provider.name
            return error_response(negotiate(state).error, error)

    view.__name__ = view.__qualname__ = f"chat_with_{provider.name}"
    return view


def route_view(state: AppState, dialect: Dialect, route: Route) -> Callable[..., Response]:
    """Return the view for a dialect's own route."""
    handler = route.handler
    assert handler is not None

    def view(provider: str, **values: Any) -> Response:
        try:
            row = state.provider_named(provider)
            if request.method not in ("GET", "HEAD"):
                refuse_cross_site(state.config.trusted_origins)
            if route.needs_profile:
                state.require_profile()
            models = state.config.models.get(provider, {})
            found = handler(RouteRequest(row, models, values, request_id()))
        except ChatError as error:
            return error_response(dialect, error)
        return Response(
            found.body, status=found.status, mimetype=found.mimetype, headers=dict(found.headers)
        )

    view.__name__ = view.__qualname__ = f"{dialect.name}_{route.name}"
    return view
