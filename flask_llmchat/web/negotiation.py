"""Content negotiation for the present request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
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
    return negotiate(
        dialects, path, body, partial(best_mimetype, request.headers.get("Accept", ""))
    )


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
def best_mimetype(accept: str, mimetypes: tuple[str, ...]) -> str:
    """Return the media type that a client prefers: of equals the one it names, then the first.

    :param accept: what it sends in ``Accept``.
    :param mimetypes: the choice; the first is also for a client that wants none of them.
    """
    # Werkzeug compares parameters, too: a client may name a charset, or not.
    wanted = [
        (name.partition(";")[0].strip(), quality)
        for name, quality in parse_accept_header(accept, MIMEAccept)
    ]
    return MIMEAccept(wanted).best_match(mimetypes, default=mimetypes[0])
