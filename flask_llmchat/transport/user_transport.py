"""Sends the requests of one user's SDK client through the connections of this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx2

from .response_body import ResponseBody
from .transport import Transport, TransportOptions, current_options, map_exceptions
from .watchdog import CancelToken


class UserTransport(httpx2.BaseTransport):
    """A transport for a client that the host calls itself.

    :param shared: what sends the requests. It stays open when the client is closed.
    :param options: what is added to each request, below the SDK.
    """

    def __init__(self, shared: Transport, options: TransportOptions) -> None:
        self._shared = shared
        self._options = options

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and wait for the head of the response."""
        # The SDK's own stands for no key: the real one is in a field of the provider's choice.
        request.headers.pop("Authorization", None)
        options = replace(self._options, cancel=CancelToken())
        before = current_options.set(options)
        try:
            response = self._shared.handle_request(request)
        finally:
            current_options.reset(before)
        body: ResponseBody = response.extensions["body"]
        timeout = request.extensions["timeout"]["read"]
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=_WholeBody(body, timeout)
        )


class _WholeBody(httpx2.SyncByteStream):
    """All of a body: of an error, :class:`ResponseBody` gives the SDK only the beginning."""

    def __init__(self, body: ResponseBody, timeout: float | None) -> None:
        self._body = body
        self._timeout = timeout

    def __iter__(self) -> Iterator[bytes]:
        with map_exceptions(httpx2.ReadTimeout, httpx2.ReadError):
            while not self._body.ended:
                yield self._body.read(self._timeout)

    def close(self) -> None:
        self._body.close()
