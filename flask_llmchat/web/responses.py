"""Error responses, in the dialect of the client."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..core.error_codes import UNEXPECTED
from ..core.errors import ChatError
from ..dialects.base import Dialect
from .body import declares_too_large, too_large_error, unread
from .request import request_id


def error_response(dialect: Dialect, error: ChatError) -> Response:
    """Answer with an error, in the words of the dialect."""
    body, mimetype, headers = dialect.error(error, request_id())
    response = Response(body, status=error.status, mimetype=mimetype, headers=dict(headers))
    response.headers["X-Request-ID"] = request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    if error.retry_after is not None:
        response.headers["Retry-After"] = error.retry_after
    if drain := unread():
        response.call_on_close(drain)
    return response


def http_error(error: HTTPException, dialect: Dialect, limit: int) -> ResponseReturnValue:
    """Answer with what the host's own guards raised on our routes: ``abort()``, a rate limit.

    :param limit: the most bytes a body may have.
    """
    if error.response is not None:
        return error.get_response()
    status = error.code or 500
    message = UNEXPECTED if status == 500 else error.description or error.name
    chat_error = ChatError.from_status(status, message)
    if isinstance(error, RequestEntityTooLarge) and declares_too_large(limit):
        chat_error = too_large_error(
            limit
        )  # whoever looked into the body before us has met our limit
    endpoint = (request.endpoint or "").rpartition(".")[2]
    chat_error.provider = None if endpoint.startswith("_") else endpoint
    answer = error_response(dialect, chat_error)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers.setdefault(name, value)
    return answer


def wrong_method(dialect: Dialect, right: str) -> Response:
    """Answer any other method than a route takes.

    :param right: those it takes, the one to use first.
    """
    allowed = {"Allow": f"{right}, OPTIONS"}
    if request.method == "OPTIONS":
        return Response(status=204, headers=allowed)
    use = right.partition(",")[0]
    error = ChatError(f"{request.method} is not allowed here; use {use}.", status=405)
    response = error_response(dialect, error)
    response.headers.update(allowed)
    return response


def no_stream(chat_id: str) -> Response:
    """Answer that there is no stream to go on with: one is closed when its reader leaves."""
    return Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS"})


def no_such_path(dialect: Dialect, rest: str) -> Response:
    """Answer for a path behind a provider that leads nowhere.

    :param rest: it, without its first slash.
    """
    hint = "Leave out the slash at the end." if rest.endswith("/") or not rest else ""
    chats = (
        f"Chats are at {dialect.path}, for clients whose base URL ends with the provider's name."
    )
    words = [f"There is no /{rest[:50]} here.", hint, chats if dialect.path else ""]
    return error_response(dialect, ChatError(" ".join(filter(None, words)), status=404))


def unknown_provider(served: Iterable[str], dialect: Dialect) -> Response:
    """Answer for a provider that is not served here."""
    names = ", ".join(served)
    error = ChatError(f"There is no provider of this name; there are {names}.", status=404)
    return error_response(dialect, error)
