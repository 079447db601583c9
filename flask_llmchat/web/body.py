"""The request body: how much of it is read, when, and how long the server waits for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from flask import request
from jiter import from_json
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from ..core.errors import ChatError
from ..dialects.strict_json import parse_object
from .state import current_state

# In the environ and not in g: a test that pushes an app context shares g among its requests.
_CONTENT = "flask_llmchat.content"
_BODY = "flask_llmchat.body"
_BEGINNING = "flask_llmchat.beginning"

_DISCARDED = 64 * 2**20  # bytes over the limit that are read, for the client to see the error
_BEGINNING_SIZE = 8 * 2**10  # bytes that are read of a refused request's body, for its dialect
_READ_TIMEOUT = 1.0  # seconds to wait for the next byte of a refused request
_LINGER = 2.0  # seconds in which the rest of its body is read, for the client to see the error


def read_body(limit: int) -> None:
    """Read the request's body, whatever its Content-Type; :func:`parse_body` returns it.

    :param limit: the most bytes it may have; the app's other routes keep their own limit.
    :raises ChatError: with status 413, when it has more; with 415, when it is compressed.
    """
    kept = request.environ
    if _BODY in kept or _CONTENT in kept:
        return  # a host that retries calls the view again
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise ChatError(
            f"Content-Encoding {coding[:50]} is not taken. Send the body uncompressed.", status=415
        )
    content = None
    if not declares_too_large(limit):
        with contextlib.suppress(RequestEntityTooLarge):
            content = kept.get(_BEGINNING, b"") + request.get_data(cache=False)
    if content is None or len(content) > limit:
        raise too_large_error(limit)
    kept[_CONTENT] = content


def read_optional_body(limit: int) -> dict[str, Any]:
    """Read and parse the request's body; {} when there is none.

    :raises ChatError: as :func:`read_body` and :func:`parse_body` do.
    """
    read_body(limit)
    return parse_body() if request.environ.get(_CONTENT, b"").strip() else {}


def declares_too_large(limit: int) -> bool:
    """Return whether the Content-Length is larger than the limit."""
    return request.content_length is not None and request.content_length > limit


def too_large_error(limit: int) -> ChatError:
    """Discard a body that is larger than the limit; return the error."""
    _discard_body(limit + _DISCARDED)
    return ChatError(f"The request body is too large; at most {limit} bytes are taken.", status=413)


def parse_body() -> dict[str, Any]:
    """Return the JSON object in the body that :func:`read_body` has read.

    :raises ChatError: when the body is anything else.
    """
    kept = request.environ
    if _BODY not in kept:
        kept[_BODY] = parse_object(kept[_CONTENT])
        del kept[_CONTENT]
    body: dict[str, Any] = kept[_BODY]
    return body


def forget_body() -> None:
    """Drop the request's body, so that it takes no memory while the response is streamed."""
    for name in (_BODY, _CONTENT, _BEGINNING):
        request.environ.pop(name, None)


def body_beginning() -> dict[str, Any]:
    """Return as much of the JSON object in the body as its first bytes hold; {} for anything else.

    Of a request that is refused no more is read, and parsed.
    """
    body: Any = None
    with contextlib.suppress(ValueError):
        body = from_json(_beginning(), partial_mode="trailing-strings", cache_mode="none")
    return body if isinstance(body, dict) else {}


def _beginning() -> bytes:
    """Return the first bytes of the body, and keep them for a later :func:`read_body`."""
    kept = request.environ
    if _CONTENT in kept:
        return bytes(kept[_CONTENT][:_BEGINNING_SIZE])
    if _BEGINNING not in kept:
        kept[_BEGINNING] = b""
        sock = kept.get("gunicorn.socket")
        with contextlib.suppress(HTTPException, OSError), _read_timeout(sock):
            # When nothing is left to read, the host may have read the body, and Werkzeug kept it.
            kept[_BEGINNING] = (
                _read(_stream(), _BEGINNING_SIZE) or request.get_data()[:_BEGINNING_SIZE]
            )
    beginning: bytes = kept[_BEGINNING]
    return beginning


def _stream() -> Any:
    try:
        return request.stream
    except RequestEntityTooLarge:  # raised once; the beginning can still be read
        return request.environ["wsgi.input"]


def _read(stream: Any, most: int) -> bytes:
    length = request.content_length
    most = most if length is None else min(most, length)
    content = b""
    while len(content) < most and (piece := stream.read(most - len(content))):
        content += piece
    return content


@contextlib.contextmanager
def _read_timeout(sock: Any) -> Iterator[None]:
    """Wait at most a second for the client's next bytes, so that slow uploads hold no thread."""
    if sock is None:
        yield
        return
    before = sock.gettimeout()
    sock.settimeout(_READ_TIMEOUT)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sock.settimeout(before)


def guard_body(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Keep the host's code from reading the body as a form before us.

    A host's CSRF protection looks for its token in a form, in a body of any type; curl sends any
    body with the type of a form; and a body that was parsed as a form cannot be read again. Bodies
    here are JSON and never a form: the form is always empty, and nothing is read for it.
    """
    # One more: of a chunked body Werkzeug returns as many bytes as allowed, without an error.
    request.max_content_length = current_state().config.max_content_length + 1
    request.form_data_parser_class = _NoForm


class _NoForm(FormDataParser):
    """Returns an empty form, and does not read the body."""

    def parse(self, stream: Any, *args: Any, **kwargs: Any) -> Any:
        return stream, self.cls(), self.cls()


def _discard_body(most: int) -> None:
    """Read a body that is too large to its end, unless its end is very far away.

    A server that closes while the client is still sending resets the connection, and the
    client never sees the error.
    """
    length, stream = request.content_length, request.environ["wsgi.input"]
    if length is None:  # chunked: a server that supports it marks the end
        left = most if request.environ.get("wsgi.input_terminated") else 0
    else:
        left = length - len(_beginning()) if length <= most else 0
        # The host may have read some of it before our limit was set: Werkzeug's stream counts that.
        stream = vars(request).get("stream", stream)
    while left > 0 and (piece := stream.read(min(left, 65536))):
        left -= len(piece)


def drain_for_unread_body() -> Callable[[], None] | None:
    """Return a function that reads an unread body to its end, once the error has been sent.

    gunicorn's threads close on a client that is still sending, which then sees a reset connection
    and never the error; its greenlets read the rest 1 KiB at a time, which takes a second of CPU
    for 16 MiB. Other servers need no help: for them it is None.
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
    with contextlib.suppress(HTTPException, OSError), _read_timeout(sock):
        while time.monotonic() < until and stream.read(65536):
            pass
