"""Content negotiation for the present request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from flask import request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ..dialects.base import Dialect
from ..dialects.negotiation import Negotiated, negotiate
from .body import known_object

COMPLETIONS = "/chat/completions"
"""What follows the provider in the path of the dialect whose clients list models, too."""


def negotiate_request(dialects: Sequence[Dialect], paths: Sequence[str]) -> Negotiated:
    """Tell how to deal with this request, also with one that is refused unread.

    :param paths: what may follow a provider in a route, the longest first.
    """
    path = _dialect_path(paths)
    there = [dialect for dialect in dialects if dialect.path == path]
    body: dict[str, Any] = {}
    if request.method == "POST" and len(there) > 1:
        body = known_object()
    return negotiate(dialects, path, body, accept_quality(request.headers.get("Accept", "")))


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
def accept_quality(header: str) -> Callable[[str], tuple[float, bool]]:
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
