"""HTTP under the SDK: its own transport, with a watch on every connection.

The watch of a chat has to know the provider's socket from the first byte that is sent until
the connection can serve another chat, and not a moment longer. So it is told where the
connection is written to, and where the body that came over it is closed.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

from .watch import Watch

sending: ContextVar[Watch | None] = ContextVar("flask_llmchat_sending", default=None)
"""The watch of the chat that is being sent here and now."""

_LONGEST_ERROR = 64 * 2**10
"""Bytes of an error's body that are read: the SDK reads all there is of it."""


class WatchedStream(httpcore2.NetworkStream):
    """A connection that tells the chat that writes to it."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream
        self._socket: socket.socket | None = stream.get_extra_info("socket")
        self.read = stream.read  # type: ignore[method-assign]  # read for every token

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write, after telling the chat's watch which connection it is."""
        if (watch := sending.get()) is not None:
            watch.attach(self._socket)
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """Go on over TLS."""
        return WatchedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection itself knows."""
        return self._stream.get_extra_info(info)


class WatchedBackend(httpcore2.NetworkBackend):
    """Makes connections, by another backend, and watches them."""

    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect, within ``timeout`` seconds."""
        stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return WatchedStream(stream)


class WatchedTransport(httpx2.HTTPTransport):
    """httpx2's own transport, over a backend of ours. It uses no proxy.

    :param backend: what connects.
    :param ssl_context: by default httpx2's own, of the environment's certificates.
    :raises RuntimeError: when this httpx2 is built so that the backend would not be asked.
    """

    def __init__(
        self,
        limits: httpx2.Limits,
        backend: httpcore2.NetworkBackend,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        context = ssl_context or httpx2.create_ssl_context()
        super().__init__(verify=context, limits=limits)
        # There is no public way to give a transport its backend, and where the backend is a
        # guard it must not get lost in an update. A subclass of the pool will not do either:
        # those that exist are proxies.
        if type(getattr(self, "_pool", None)) is not httpcore2.ConnectionPool:
            raise RuntimeError(
                f"httpx2 {httpx2.__version__} has no connection pool where flask-llmchat looks "
                "for it, so connections cannot be checked or watched. Use an older httpx2, or a "
                "newer flask-llmchat."
            )
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=WatchedBackend(backend),
        )


class _Body(httpx2.SyncByteStream):
    """A response's body, which lets go of the watch before its connection goes to the pool."""

    def __init__(self, body: httpx2.SyncByteStream, watch: Watch | None, most: int | None) -> None:
        self._body = body
        self._watch = watch
        self._most = most

    def __iter__(self) -> Iterator[bytes]:
        if self._most is None:
            yield from self._body
            return
        left = self._most
        # What came of an error tells enough, and its status tells the most.
        with contextlib.suppress(httpx2.HTTPError, OSError):
            for piece in self._body:
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return

    def close(self) -> None:
        if self._watch is not None:
            self._watch.detach()
        self._body.close()


def watch_body(response: httpx2.Response) -> None:
    """Take hold of a response's body; a response hook of the HTTP client."""
    failed = not response.is_success
    if isinstance(response.stream, httpx2.SyncByteStream):
        most = _LONGEST_ERROR if failed else None
        response.stream = _Body(response.stream, sending.get(), most)
    encoding = response.headers.get("content-encoding", "")
    if encoding and (failed or "," in encoding):
        # We asked for none. A few bytes can be a gigabyte once they are decoded.
        del response.headers["content-encoding"]
