"""What HTTP asks of a chat route: who may post, in which dialect, and how errors are told."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from flask import Request, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import parse_accept_header

from .body import known_object, says_too_large, too_large, unread
from .dialects import Dialect, Spoken, choose
from .errors import UNEXPECTED, ChatError

COMPLETIONS = "/chat/completions"
"""What follows the provider in the path of the dialect whose clients list models, too."""

_REQUEST_ID = "flask_llmchat.request_id"


def request_id() -> str:
    """Return our own id of this request, which is its chat's, too."""
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made


def spoken(dialects: Sequence[Dialect], paths: Sequence[str]) -> Spoken:
    """Tell how to deal with this request, also with one that is refused unread.

    :param paths: what may follow a provider in a route, the longest first.
    """
    path = _dialect_path(paths)
    there = [dialect for dialect in dialects if dialect.path == path]
    body: dict[str, Any] = {}
    if request.method == "POST" and len(there) > 1:
        body = known_object()
    return choose(dialects, path, body, liking(request.headers.get("Accept", "")))


def _dialect_path(paths: Sequence[str]) -> str:
    """Return what follows the provider in the request's path, as the dialects name it."""
    endpoint = (request.endpoint or "").rpartition(".")[2]
    tails = ["" if request.url_rule is None else request.url_rule.rule]
    if endpoint in ("_models", "_not_get"):
        tails = [COMPLETIONS]
    elif endpoint == "_no_such_path":
        # A client that looks for something else behind a provider is one of those that chat there.
        rest = (request.view_args or {}).get("rest", "").rstrip("/")
        tails = [f"/{rest}", COMPLETIONS] if rest else []
    return next((path for tail in tails for path in paths if path and tail.endswith(path)), "")


@lru_cache(256)  # the same few come again and again
def liking(header: str) -> Callable[[str], tuple[float, bool]]:
    """Return what tells how much a client wants a media type; of equals, the one it names.

    :param header: what it says in ``Accept``.
    """
    accept = parse_accept_header(header, MIMEAccept)
    named = {name.partition(";")[0].strip().lower(): q for name, q in reversed(list(accept))}

    def like(mimetype: str) -> tuple[float, bool]:
        if mimetype in named:  # with a charset or without
            return named[mimetype], named[mimetype] > 0
        return accept.quality(mimetype) if accept else 1.0, False

    return like


def refuse_cross_site(request: Request, trusted: frozenset[str]) -> None:
    """Refuse what another site's page posted with the user's cookies.

    A browser asks first before it sends JSON to another site, but not for a body of another
    type; and ours is read whatever its type is, for the original front end says none.

    :raises ChatError: with status 403.
    """
    if request.mimetype == "application/json":
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if origin is not None and origin.lower() in trusted:
        return
    if site is None:
        foreign = origin is not None and _host_of(origin) != request.host.lower()
    else:
        foreign = site == "cross-site"
    if foreign:
        raise ChatError(
            "This request comes from another site. Send it as application/json, or name the"
            " site in LLMCHAT_TRUSTED_ORIGINS.",
            "no_permission",
        )


def _host_of(origin: str) -> str:
    """Return the host, and port if there is one, that an origin names; "" for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


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
    told = ChatError.from_status(status, message)
    if isinstance(error, RequestEntityTooLarge) and says_too_large(limit):
        told = too_large(limit)  # whoever looked into the body before us has met our limit
    endpoint = (request.endpoint or "").rpartition(".")[2]
    told.provider = None if endpoint.startswith("_") else endpoint
    answer = error_response(dialect, told)
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
