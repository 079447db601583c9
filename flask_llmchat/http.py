"""What HTTP asks of a chat route: reading its request safely, and answering with errors."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from flask import Request, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import parse_accept_header

from .dialects import Dialect, Spoken, choose, parse_object
from .errors import UNEXPECTED, ChatError
from .upstream.watch import Server

COMPLETIONS = "/chat/completions"
"""What follows the provider in the path of the dialect whose clients list models, too."""

SDK_ENDPOINTS = ("_models", "_not_get", "_no_such_path")

_BODY = "flask_llmchat.body"
_REQUEST_ID = "flask_llmchat.request_id"

_DISCARDED = 64 * 2**20  # bytes over the limit that are read, to be able to say so


def request_id() -> str:
    """Return our own id of this request, which is its chat's, too."""
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made


def read_body(limit: int) -> bytes:
    """Return the request's body, whatever type it says it is.

    :param limit: the most bytes it may have; the app's other routes keep their own.
    :raises ChatError: with status 413, when it has more.
    """
    content = None
    if not _says_too_large(limit):
        with contextlib.suppress(RequestEntityTooLarge):
            content = request.get_data(cache=False)
    if content is None or len(content) > limit:
        _discard_body(limit + _DISCARDED)
        raise _too_large(limit)
    return content


def _says_too_large(limit: int) -> bool:
    return request.content_length is not None and request.content_length > limit


def _too_large(limit: int) -> ChatError:
    return ChatError(f"The request body is too large; at most {limit} bytes are taken.", status=413)


def read_object(limit: int) -> dict[str, Any]:
    """Return the JSON object in the request's body.

    A second call returns the same, or {} when the first one failed: no body is read twice.

    :param limit: the most bytes the body may have.
    :raises ChatError: when it is too large, or holds something else.
    """
    # Not in g: a test that has pushed an app context shares that one among its requests.
    kept = request.environ
    if _BODY not in kept:
        kept[_BODY] = {}
        kept[_BODY] = parse_object(read_body(limit))
    body: dict[str, Any] = kept[_BODY]
    return body


def forget_body() -> None:
    """Let go of the request's body, which nobody needs while its answer is streamed."""
    request.environ.pop(_BODY, None)


def spoken(dialects: Sequence[Dialect], paths: Sequence[str], limit: int) -> Spoken:
    """Tell how to deal with this request, also with one that went wrong somewhere.

    :param paths: what may follow a provider in a route, the longest first.
    :param limit: the most bytes the body may have.
    """
    body: dict[str, Any] = {}
    if request.method == "POST":
        with contextlib.suppress(ChatError):
            body = read_object(limit)
    rule = "" if request.url_rule is None else request.url_rule.rule
    if (request.endpoint or "").rpartition(".")[2] in SDK_ENDPOINTS and COMPLETIONS in paths:
        rule = COMPLETIONS  # whoever lists models, or looks elsewhere, speaks as who chats there
    path = next(path for path in paths if rule.endswith(path))
    return choose(dialects, path, body, liking(request.headers.get("Accept", "")))


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


def guard_body(limit: int) -> None:
    """See to it that we can read the body, before anybody looks for a form in it.

    A host's CSRF protection does, in a body of any type; and what Werkzeug has begun to read
    keeps the limit it was begun with. curl says of any body that it is a form, and what has been
    parsed as a form cannot be read again: such a body is kept.

    :param limit: the most bytes it may have; a larger one is left for :func:`read_body`.
    """
    # One more, for of a chunked body Werkzeug gives as much as it may, and does not complain.
    request.max_content_length = limit + 1
    if request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        with contextlib.suppress(RequestEntityTooLarge):
            request.get_data(cache=True)


def _discard_body(most: int) -> None:
    """Read a body that is too large to its end, unless that is very far away.

    A server that closes while the client is still sending resets the connection, and the
    client never sees why.
    """
    length, stream = request.content_length, request.environ["wsgi.input"]
    if length is None:  # chunked: a server that takes it says when it ends
        left = most if request.environ.get("wsgi.input_terminated") else 0
    else:
        left = length if length <= most else 0
        # Somebody may have read of it before we could set a limit: this one knows how much.
        stream = vars(request).get("stream", stream)
    while left > 0 and (piece := stream.read(min(left, 65536))):
        left -= len(piece)


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


def client_socket() -> Any:
    """Return the client's connection where the server shows it: gunicorn and the dev server."""
    environ = request.environ
    return environ.get("gunicorn.socket") or environ.get("werkzeug.socket")


def server() -> Server:
    """Return what serves this request.

    gunicorn tells an app nothing of that, so this looks at who has called us.
    """
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        module = frame.f_globals.get("__name__", "")
        worker = frame.f_locals.get("self")
        config = getattr(worker, "cfg", None)
        if module.startswith("gunicorn.workers.") and config is not None:
            return Server(
                threads=config.threads if module.endswith(".gthread") else None,
                grace=float(config.graceful_timeout),
                is_stopping=partial(_is_stopping, worker),
            )
    return Server()


def _is_stopping(worker: Any) -> bool:
    return not worker.alive


def error_response(dialect: Dialect, error: ChatError) -> Response:
    """Answer with an error, in the words of the dialect."""
    body, mimetype, headers = dialect.error(error, request_id())
    response = Response(body, status=error.status, mimetype=mimetype, headers=dict(headers))
    response.headers["X-Request-ID"] = request_id()
    if error.retry_after is not None:
        response.headers["Retry-After"] = error.retry_after
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
    if isinstance(error, RequestEntityTooLarge) and _says_too_large(limit):
        told = _too_large(limit)  # whoever looked into the body before us has met our limit
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
    """Answer for a path behind a provider that leads nowhere."""
    error = ChatError(
        f"There is no /{rest[:50]} here. Chats are at {COMPLETIONS}, for clients whose base URL"
        " ends with the provider's name.",
        "bad_request",
        status=404,
    )
    return error_response(dialect, error)


def unknown_provider(served: Iterable[str], dialect: Dialect) -> Response:
    """Answer for a provider that is not served here."""
    names = ", ".join(served)
    error = ChatError(f"There is no provider of this name; there are {names}.", status=404)
    return error_response(dialect, error)
