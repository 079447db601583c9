"""The body of a request: how much of it is read, when, and for how long."""

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

_CONTENT = "flask_llmchat.content"


_BODY = "flask_llmchat.body"


_BEGINNING = "flask_llmchat.beginning"


_DISCARDED = 64 * 2**20  # bytes over the limit that are read, to be able to say so


_SNIFFED = 8 * 2**10
"""Bytes that are read of the body of a request that is refused: they tell its dialect."""


_PATIENCE = 1.0  # seconds without a byte of a request that is refused


_LINGER = 2.0  # seconds in which the rest of its body is read, for its client to see the error


def read_body(limit: int) -> None:
    """Read the request's body, whatever type it says it is; :func:`parse_body` returns it.

    :param limit: the most bytes it may have; the app's other routes keep their own.
    :raises ChatError: with status 413, when it has more; with 415, when it is compressed.
    """
    kept = request.environ
    if _BODY in kept or _CONTENT in kept:
        return  # the view is called again, by a host that retries
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


def declares_too_large(limit: int) -> bool:
    """Tell whether the body says of itself that it is larger than that."""
    return request.content_length is not None and request.content_length > limit


def too_large_error(limit: int) -> ChatError:
    """Return the error for a body that is larger than that; what has come of it is dropped."""
    _discard_body(limit + _DISCARDED)
    return ChatError(f"The request body is too large; at most {limit} bytes are taken.", status=413)


def parse_body() -> dict[str, Any]:
    """Return the JSON object in the body that was read, and keep it to choose the dialect by.

    :raises ChatError: when it is something else.
    """
    # Not in g: a test that has pushed an app context shares that one among its requests.
    kept = request.environ
    if _BODY not in kept:
        kept[_BODY] = parse_object(kept[_CONTENT])
        del kept[_CONTENT]
    body: dict[str, Any] = kept[_BODY]
    return body


def forget_body() -> None:
    """Let go of the request's body, which nobody needs while its answer is streamed."""
    for name in (_BODY, _CONTENT, _BEGINNING):
        request.environ.pop(name, None)


def known_object() -> dict[str, Any]:
    """Return the body, or as much of it as its first bytes hold where it was not parsed.

    {} when it is no object. Of a request that is refused no more is read, and parsed.
    """
    body: Any = request.environ.get(_BODY)
    with contextlib.suppress(ValueError):
        if body is None:
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


def unread() -> Callable[[], None] | None:
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
