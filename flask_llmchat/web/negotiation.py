"""Content negotiation for the current request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from flask import request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ..dialects.base import Dialect
from ..dialects.negotiation import Negotiated, negotiate
from .body import body_beginning

_NEGOTIATED = "flask_llmchat.negotiated"


def negotiate_request(
    dialects: Sequence[Dialect], path: str, body: dict[str, Any] | None
) -> Negotiated:
    """Choose the dialects of this request, once.

    :param path: what follows the provider in the path of the dialects to choose from.
    :param body: the request's body. None for the earlier choice; where there is none, the beginning
        of the body decides: of a request that is refused no more is read.
    """
    kept = request.environ
    if body is None and _NEGOTIATED in kept:
        known: Negotiated = kept[_NEGOTIATED]
        return known
    if body is None:
        several = len([dialect for dialect in dialects if dialect.path == path]) > 1
        body = body_beginning() if several and request.method == "POST" else {}
    accept = request.headers.get("Accept", "")
    kept[_NEGOTIATED] = negotiated = negotiate(dialects, path, body, partial(best_mimetype, accept))
    return negotiated


def path_of_dialect(paths: Sequence[str], rest: str) -> str:
    """Return the path of the dialects that are negotiated for a path that has no route.

    :param paths: the paths of all dialects, the longest first.
    :param rest: what follows the provider, without its first slash.
    """
    rest = rest.rstrip("/")
    if not rest:
        return ""
    # Clients that add a path to a base URL look for other paths behind it, too.
    return next((path for path in paths if path and f"/{rest}".endswith(path)), paths[0])


@lru_cache(256)  # the same few headers come again and again
def best_mimetype(accept: str, mimetypes: tuple[str, ...]) -> str:
    """Return the media type that a client prefers: of equals the one it names, then the first.

    :param accept: the request's ``Accept`` header.
    :param mimetypes: the choice; the first is also for a client that accepts none of them.
    """
    # Werkzeug compares parameters, too: a client may name a charset, or not.
    wanted = [
        (name.partition(";")[0].strip(), quality)
        for name, quality in parse_accept_header(accept, MIMEAccept)
    ]
    return MIMEAccept(wanted).best_match(mimetypes, default=mimetypes[0])
