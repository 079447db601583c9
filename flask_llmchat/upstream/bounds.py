"""Keeps an error's body from being read for ever: the SDK reads all that there is of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2

_LONGEST = 64 * 2**10
"""Bytes of an error's body that are read."""

_SECONDS = 10.0
"""Seconds after which the rest of it is not waited for."""


class BoundedBody(httpx2.SyncByteStream):
    """A body that ends when it has been read for long enough."""

    def __init__(self, body: httpx2.SyncByteStream) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        """Give the body's pieces, up to the bounds."""
        left, until = _LONGEST, time.monotonic() + _SECONDS
        for piece in self._body:
            yield piece[:left]
            left -= len(piece)
            if left <= 0 or time.monotonic() > until:
                return

    def close(self) -> None:
        """Close the body; its connection is dropped when something of it is left."""
        self._body.close()


def bound_error(response: httpx2.Response) -> None:
    """Bound a response's body when it is an error's; a response hook of the HTTP client."""
    if not response.is_success and isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = BoundedBody(response.stream)
