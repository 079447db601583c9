"""Responses: streaming bodies, and errors in the dialect of the client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from weakref import WeakSet

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..core.error_codes import UNEXPECTED
from ..core.errors import ChatError
from ..dialects.base import Dialect
from .body import declares_too_large, drain_for_unread_body, too_large_error
from .negotiation import negotiate
from .request import request_id
from .state import current_state

# In the environ. Weak references: a body that nothing refers to closes itself.
_BODIES = "flask_llmchat.response"

# Proxies must pass every chunk on as it comes, and a browser must not take the body for a page.
_STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class Body(Protocol):
    """The body of a response that is sent while it is written."""

    @property
    def mimetype(self) -> str:
        """Its media type."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of the response."""

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over its bytes."""

    def close(self) -> None:
        """End it. The server always calls this."""


def streaming_response(body: Body) -> Response:
    """Return the response to a chat whose first bytes have come, or that is read again."""
    request.environ.setdefault(_BODIES, WeakSet()).add(body)
    response = Response(body, mimetype=body.mimetype)
    response.headers.update({**_STREAM_HEADERS, **body.headers, "X-Request-ID": request_id()})
    response.call_on_close(body.close)
    return response


def close_unsent(exception: BaseException | None) -> None:
    """Close bodies that no server will close, after the host's own ``after_request`` failed."""
    if exception is not None:
        for body in list(request.environ.get(_BODIES, ())):
            body.close()


def close_failed(sender: Flask, exception: BaseException, **_: Any) -> None:
    """Close such bodies also before any function of the host's runs, which could fail.

    Receives ``got_request_exception``, which is also sent for a route of the host's own that
    calls one of our views.
    """
    close_unsent(exception)


def error_response(dialect: Dialect, error: ChatError) -> Response:
    """Return the response for an error, in the dialect's format."""
    body, mimetype, headers = dialect.error(error, request_id())
    response = Response(body, status=error.status, mimetype=mimetype, headers=dict(headers))
    response.headers["X-Request-ID"] = request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    if error.retry_after is not None:
        response.headers["Retry-After"] = error.retry_after
    if drain := drain_for_unread_body():
        response.call_on_close(drain)
    return response


def http_error(error: HTTPException) -> ResponseReturnValue:
    """Return the response for what the host's guards raised on our routes: ``abort()``, a limit."""
    if error.response is not None:
        return error.get_response()
    state = current_state()
    status, limit = error.code or 500, state.config.max_content_length
    message = UNEXPECTED if status == 500 else error.description or error.name
    chat_error = ChatError.from_status(status, message)
    # A host that reads the body before us meets our limit.
    if isinstance(error, RequestEntityTooLarge) and declares_too_large(limit):
        chat_error = too_large_error(limit)
    entry = state.current_route()
    chat_error.provider = entry.provider.name if entry and entry.provider else None
    response = error_response(negotiate(state).error, chat_error)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers.setdefault(name, value)
    return response
