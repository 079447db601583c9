"""What HTTP asks of a chat route: reading its request safely, and answering with errors."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from flask import Request, Response, request
from flask.typing import ResponseReturnValue
from jiter import from_json
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_accept_header

from .dialects import Dialect, Spoken, choose, parse_object
from .errors import UNEXPECTED, ChatError

COMPLETIONS = "/chat/completions"
"""What follows the provider in the path of the dialect whose clients list models, too."""

_CONTENT = "flask_llmchat.content"
_BODY = "flask_llmchat.body"
_BEGINNING = "flask_llmchat.beginning"
_REQUEST_ID = "flask_llmchat.request_id"

_DISCARDED = 64 * 2**20  # bytes over the limit that are read, to be able to say so

_SNIFFED = 8 * 2**10
"""Bytes that are read of the body of a request that is refused: they tell its dialect."""

_PATIENCE = 1.0  # seconds without a byte of a request that is refused

_LINGER = 2.0  # seconds in which the rest of its body is read, for its client to see the error


def request_id() -> str:
    """Return our own id of this request, which is its chat's, too."""
    made: str = request.environ.setdefault(_REQUEST_ID, uuid.uuid4().hex)
    return made


def read_body(limit: int) -> bytes:
    """Return the request's body, whatever type it says it is.

    :param limit: the most bytes it may have; the app's other routes keep their own.
    :raises ChatError: with status 413, when it has more; with 415, when it is compressed.
    """
    kept = request.environ
    if _BODY in kept:
        return b""  # :func:`parse_body` has it: the view is called again, by a host that retries
    if _CONTENT in kept:
        return bytes(kept[_CONTENT])
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise ChatError(
            f"Content-Encoding {coding[:50]} is not taken. Send the body uncompressed.", status=415
        )
    content = None
    if not _says_too_large(limit):
        with contextlib.suppress(RequestEntityTooLarge):
            content = bytes(kept.get(_BEGINNING, b"")) + request.get_data(cache=False)
    if content is None or len(content) > limit:
        _discard_body(limit + _DISCARDED)
        raise _too_large(limit)
    kept[_CONTENT] = content
    return content


def _says_too_large(limit: int) -> bool:
    return request.content_length is not None and request.content_length > limit


def _too_large(limit: int) -> ChatError:
    return ChatError(f"The request body is too large; at most {limit} bytes are taken.", status=413)


def parse_body(content: bytes) -> dict[str, Any]:
    """Return the JSON object that is the request's body, and keep it to choose the dialect by.

    :raises ChatError: when it is something else.
    """
    # Not in g: a test that has pushed an app context shares that one among its requests.
    kept = request.environ
    if _BODY not in kept:
        kept[_BODY] = parse_object(content)
        del kept[_CONTENT]
    body: dict[str, Any] = kept[_BODY]
    return body


def forget_body() -> None:
    """Let go of the request's body, which nobody needs while its answer is streamed."""
    for name in (_BODY, _CONTENT, _BEGINNING):
        request.environ.pop(name, None)


def spoken(dialects: Sequence[Dialect], paths: Sequence[str]) -> Spoken:
    """Tell how to deal with this request, also with one that is refused unread.

    :param paths: what may follow a provider in a route, the longest first.
    """
    path = _dialect_path(paths)
    there = [dialect for dialect in dialects if dialect.path == path]
    body: dict[str, Any] = {}
    if request.method == "POST" and len(there) > 1:
        # Of what is refused no more is read, and parsed, than its first bytes.
        kept = request.environ
        body = kept[_BODY] if _BODY in kept else _parsed_beginning()
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


def _parsed_beginning() -> dict[str, Any]:
    """Return as much of the body as its first bytes hold; {} when they begin no object."""
    body = None
    with contextlib.suppress(ValueError):
        body = from_json(_beginning(), partial_mode="trailing-strings", cache_mode="none")
    return body if isinstance(body, dict) else {}


def _beginning() -> bytes:
    """Return the first bytes of the body, which are kept for a later :func:`read_body`."""
    kept = request.environ
    if _CONTENT in kept:
        return bytes(kept[_CONTENT][:_SNIFFED])
    if _BEGINNING not in kept:
        kept[_BEGINNING] = b""
        sock = kept.get("gunicorn.socket")
        with contextlib.suppress(HTTPException, OSError), _patience(sock):
            # Where nothing is left to be read, the host may have read it, and Werkzeug kept it.
            kept[_BEGINNING] = _read(_stream(), _SNIFFED) or request.get_data()[:_SNIFFED]
    beginning: bytes = kept[_BEGINNING]
    return beginning


def _stream() -> Any:
    try:
        return request.stream
    except RequestEntityTooLarge:  # it has said so; the beginning can be read all the same
        return request.environ["wsgi.input"]


def _read(stream: Any, most: int) -> bytes:
    length = request.content_length
    most = most if length is None else min(most, length)
    content = b""
    while len(content) < most and (piece := stream.read(most - len(content))):
        content += piece
    return content


@contextlib.contextmanager
def _patience(sock: Any) -> Iterator[None]:
    """Wait no longer than a second for the client's next bytes: no slow upload is waited for."""
    if sock is None:
        yield
        return
    before = sock.gettimeout()
    sock.settimeout(_PATIENCE)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sock.settimeout(before)


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
    """See to it that nobody reads the body before us, to look for a form in it.

    A host's CSRF protection looks for its token in a form, in a body of any type; curl says of
    any body that it is a form; and what has been parsed as a form cannot be read again. What is
    posted here is JSON and never a form: none is found, and nothing is read to find none.

    :param limit: the most bytes it may have; a larger one is left for :func:`read_body`.
    """
    # One more, for of a chunked body Werkzeug gives as much as it may, and does not complain.
    request.max_content_length = limit + 1
    request.form_data_parser_class = _NoForm


class _NoForm(FormDataParser):
    """Finds no form, and leaves the body where it is."""

    def parse(self, stream: Any, *args: Any, **kwargs: Any) -> Any:
        return stream, self.cls(), self.cls()


def _discard_body(most: int) -> None:
    """Read a body that is too large to its end, unless that is very far away.

    A server that closes while the client is still sending resets the connection, and the
    client never sees why.
    """
    length, stream = request.content_length, request.environ["wsgi.input"]
    if length is None:  # chunked: a server that takes it says when it ends
        left = most if request.environ.get("wsgi.input_terminated") else 0
    else:
        left = length - len(_beginning()) if length <= most else 0
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


def error_response(dialect: Dialect, error: ChatError) -> Response:
    """Answer with an error, in the words of the dialect."""
    body, mimetype, headers = dialect.error(error, request_id())
    response = Response(body, status=error.status, mimetype=mimetype, headers=dict(headers))
    response.headers["X-Request-ID"] = request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    if error.retry_after is not None:
        response.headers["Retry-After"] = error.retry_after
    if drain := _unread():
        response.call_on_close(drain)
    return response


def _unread() -> Callable[[], None] | None:
    """Return what reads an unread body to its end once the error has been sent.

    gunicorn's threads close on a client that is still sending, which then sees a reset connection
    and never the error; its greenlets read the rest 1 KiB at a time, which takes a second of CPU
    for 16 MiB. The other servers read it well themselves.
    """
    kept = request.environ
    sock = kept.get("gunicorn.socket")
    if sock is None or request.method != "POST" or _CONTENT in kept or _BODY in kept:
        return None
    with contextlib.suppress(RequestEntityTooLarge):
        return partial(_drain, request.stream, sock)
    return None


def _drain(stream: Any, sock: Any) -> None:
    until = time.monotonic() + _LINGER
    with contextlib.suppress(HTTPException, OSError), _patience(sock):
        while time.monotonic() < until and stream.read(65536):
            pass


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
        _discard_body(limit + _DISCARDED)
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
