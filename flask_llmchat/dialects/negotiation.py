"""Content negotiation: which dialect request a request, which encodes the response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .base import Dialect


@dataclass(frozen=True, slots=True)
class Negotiated:
    """How one request is dealt with.

    :param request: the dialect that its body is in.
    :param response: the dialect of the answer; another one where ``Accept`` asks for that.
    :param error: the dialect of an error that comes instead of an answer.
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
    """Choose how to deal with a request.

    :param path: what follows the provider in its path.
    :param body: its body; {} when that cannot be read.
    :param best_mimetype: returns the media type that its ``Accept`` prefers; by default the first.
    """
    there = [dialect for dialect in dialects if dialect.path == path]
    request = next((dialect for dialect in there if dialect.recognises(body)), there[-1])
    candidates = [request, *there]
    best = best_mimetype(tuple(dialect.mimetype for dialect in candidates))
    response = next(dialect for dialect in candidates if dialect.mimetype == best)
    # The default form is anybody's: who asks for another one's answer is told errors its way.
    return Negotiated(request, response, response if request is there[-1] else request)
