"""Views for wrong paths and methods: errors in the dialect of the client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Response, request

from ..core.errors import ChatError
from .negotiation import negotiate
from .responses import error_response
from .state import AppState


def wrong_method_view(state: AppState, allowed: Sequence[str]) -> Callable[..., Response]:
    """Return the view for all other methods than a route takes; OPTIONS lists those it takes.

    :param allowed: the methods that the route takes, the one to use first.
    """
    names = [*allowed, *(["HEAD"] if "GET" in allowed else [])]
    allow = {"Allow": ", ".join([*names, "OPTIONS"])}

    def wrong_method(**values: Any) -> Response:
        if request.method == "OPTIONS":
            return Response(status=204, headers=allow)
        message = f"{request.method} is not allowed here; use {names[0]}."
        response = error_response(negotiate(state).error, ChatError(message, status=405))
        response.headers.update(allow)
        return response

    return wrong_method


def no_such_path_view(state: AppState) -> Callable[..., Response]:
    """Return the view for the paths behind a provider that have no route."""

    def no_such_path(rest: str = "", **values: Any) -> Response:
        dialect = negotiate(state).error
        sentences = [f"There is no /{rest[:50]} here."]
        if rest.endswith("/") or not rest:
            sentences.append("Leave out the slash at the end.")
        if dialect.path:
            sentences.append(
                f"Chats are at {dialect.path}, for clients whose base URL ends with the provider's"
                " name."
            )
        return error_response(dialect, ChatError(" ".join(sentences), status=404))

    return no_such_path


def unknown_provider_view(state: AppState) -> Callable[..., Response]:
    """Return the view for the routes of a provider that is not served."""

    def unknown_provider(provider: str, **values: Any) -> Response:
        return error_response(negotiate(state).error, state.unknown_provider(provider))

    return unknown_provider
