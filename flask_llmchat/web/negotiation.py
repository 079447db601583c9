"""Content negotiation: which dialect reads a request, which encodes its response, its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ..dialects.base import Dialect
from .body import body_beginning
from .state import AppState

_NEGOTIATED = "flask_llmchat.negotiated"


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The dialects of one request.

    :param request: reads the body.
    :param response: encodes the response; ``Accept`` may choose another one than ``request``.
    :param error: encodes an error that is sent in place of a response.
    """

    request: Dialect
    response: Dialect
    error: Dialect


def negotiate(state: AppState, body: dict[str, Any] | None = None) -> Negotiated:
    """Return the dialects of the current request.

    :param body: its body. None for the earlier choice; where there is none, the beginning of the
        body decides: of a request that is refused no more is read.
    """
    known: Negotiated | None = request.environ.get(_NEGOTIATED)
    if body is None and known:
        return known
    entry = state.current_route()
    if entry and entry.dialect:  # a dialect's own route
        return Negotiated(entry.dialect, entry.dialect, entry.dialect)
    path = entry.path if entry else ""
    if path is None:
        rest = (request.view_args or {}).get("rest", "").rstrip("/")
        # Clients that add a path to a base URL look for other paths behind it, too.
        ending = (path for path in state.paths if path and f"/{rest}".endswith(path))
        path = next(ending, state.paths[0]) if rest else ""
    dialects = [dialect for dialect in state.llmchat.dialects if dialect.path == path]
    if body is None:
        body = body_beginning() if len(dialects) > 1 and request.method == "POST" else {}
    chosen = choose(dialects, body, request.headers.get("Accept", ""))
    request.environ[_NEGOTIATED] = chosen
    return chosen


def choose(dialects: Sequence[Dialect], body: dict[str, Any], accept: str) -> Negotiated:
    """Choose among the dialects of one path; the last is the default.

    :param body: the body of a request; {} when that cannot be read.
    :param accept: its ``Accept`` header.
    """
    default = dialects[-1]
    reads = next((dialect for dialect in dialects if dialect.recognises(body)), default)
    candidates = [reads, *dialects]
    mimetypes = [dialect.mimetype for dialect in candidates]
    response = candidates[mimetypes.index(_best_mimetype(accept, tuple(mimetypes)))]
    # Bodies of any client are read by the default dialect: then errors have the response's format.
    return Negotiated(reads, response, response if reads is default else reads)


@lru_cache(256)  # the same few headers come again and again
def _best_mimetype(accept: str, mimetypes: tuple[str, ...]) -> str:
    """Return the media type that a client prefers: of equals the one it names, then the first.

    :param mimetypes: the choice; the first is also for a client that accepts none of them.
    """
    # Werkzeug compares parameters, too: a client may name a charset, or not.
    wanted = [
        (name.partition(";")[0].strip(), quality)
        for name, quality in parse_accept_header(accept, MIMEAccept)
    ]
    return MIMEAccept(wanted).best_match(mimetypes, default=mimetypes[0])
