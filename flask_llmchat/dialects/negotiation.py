"""Content negotiation: which dialect reads a request, which encodes the response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .base import Dialect


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


def negotiate(
    dialects: Sequence[Dialect],
    path: str,
    body: dict[str, Any],
    best_mimetype: Callable[[tuple[str, ...]], str],
) -> Negotiated:
    """Choose the dialects of a request.

    :param path: what follows the provider in its path.
    :param body: its body; {} when that cannot be read.
    :param best_mimetype: returns the media type that its ``Accept`` prefers; by default the first.
    """
    there = [dialect for dialect in dialects if dialect.path == path]
    request = next((dialect for dialect in there if dialect.recognises(body)), there[-1])
    candidates = [request, *there]
    best = best_mimetype(tuple(dialect.mimetype for dialect in candidates))
    response = next(dialect for dialect in candidates if dialect.mimetype == best)
    # Bodies of any client are read by the default dialect: then errors have the response's format.
    return Negotiated(request, response, response if request is there[-1] else request)
