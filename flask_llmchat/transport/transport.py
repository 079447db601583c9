"""The HTTP transport under the SDK's client: it sends requests over sockets of our own.

A chat spends its life reading one body, a few bytes at a time. So the body is read straight
from its socket: one read of the network is one call here, and returns whatever has arrived.

A chat's cancel token has to hold that socket from the first byte that is sent until the
connection can serve another chat, and not a moment longer.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import httpx2
from urllib3.exceptions import HTTPError

from . import tcp
from .connection import Connect, Connection, Connector, Origin
from .http1 import Fields, HeadReader, Malformed, ResponseHead, write_head
from .pool import ConnectionPool
from .response_body import MAX_READ, ResponseBody
from .watchdog import TICK, CancelToken


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """The part of one chat's request that the SDK does not see.

    The SDK and httpx2 log requests, with addresses and, in some versions, headers. So whatever may
    be or hold a key is added here, below both of them, and removed from the response they see.

    :param cancel: may end the waiting.
    :param fields: header fields, which replace those of the SDK.
    :param query: what follows the ``?`` of the address.
    :param secrets: the keys.
    """

    cancel: CancelToken = field(default_factory=CancelToken)
    fields: Fields = field(default_factory=list, repr=False)
    query: bytes = field(default=b"", repr=False)
    secrets: tuple[bytes, ...] = field(default=(), repr=False)


current_options: ContextVar[TransportOptions | None] = ContextVar(
    "flask_llmchat_transport_options", default=None
)
"""The options of the request that is being sent in this context."""

_MAX_IDLE = 100
_SENT_AT_ONCE = 64 * 2**10
_PORTS = {"http": 80, "https": 443}


class Transport(httpx2.BaseTransport):
    """A transport for httpx2's client. It follows no redirect and keeps no cookie.

    TLS is set up by httpx2, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` included.

    :param connect: opens TCP connections.
    :param max_idle: connections kept for further requests. Those in use are not limited here:
        each is a running chat.
    :param proxies: whether to use the environment's proxies.
    """

    def __init__(
        self, connect: Connect = tcp.connect, *, max_idle: int = _MAX_IDLE, proxies: bool = True
    ) -> None:
        self._connector = Connector(httpx2.create_ssl_context, connect, proxies=proxies)
        self._pool = ConnectionPool(max_idle)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def abandon(self) -> None:
        """Drop the idle connections in a forked process that inherited them."""
        self._pool.abandon()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and wait for the head of the response.

        The response's ``extensions["body"]`` is the :class:`ResponseBody`, without httpx2's
        wrappers.

        :raises httpx2.TransportError: when that fails.
        """
        timeouts = request.extensions["timeout"]
        options = current_options.get() or TransportOptions()
        cancel = options.cancel
        connection = self._send(request, timeouts, options)
        try:
            with map_exceptions(httpx2.ReadTimeout, httpx2.ReadError):
                connection.sock.settimeout(timeouts["read"])
                head, first = self._receive_head(connection, cancel)
                body = ResponseBody(
                    connection, head, first, timeouts["read"], cancel, self._pool.keep
                )
        except BaseException:
            tcp.close(connection.sock, cancel)
            raise
        response = httpx2.Response(
            head.status,
            headers=_hide(options.secrets, head.fields),
            stream=body,
            extensions={"body": body},
        )
        # Or Python would look up the charset that the response names, and keep it for ever.
        response.encoding = "utf-8"
        body.headers = response.headers
        return response

    def _receive_head(
        self, connection: Connection, cancel: CancelToken
    ) -> tuple[ResponseHead, bytes]:
        reader = HeadReader()
        try:
            while data := connection.early or connection.sock.recv(MAX_READ):
                connection.early = b""
                if found := reader.feed(data):
                    return found
            raise Malformed("the server closed the connection without a response")
        except TimeoutError:
            raise
        except (OSError, Malformed):
            if connection.idle_since and not reader.size and cancel.reason is None:
                # The server behind this kept connection is gone, so the other idle ones most
                # likely lead nowhere either: a retry has to reach the server that is there now.
                self._pool.close_origin(connection.origin)
            raise

    def _send(
        self, request: httpx2.Request, timeouts: dict[str, float], options: TransportOptions
    ) -> Connection:
        url, cancel = request.url, options.cancel
        if url.scheme not in _PORTS:
            raise httpx2.UnsupportedProtocol("only http: and https: are supported")
        origin = Origin(url.scheme, url.raw_host.decode(), url.port or _PORTS[url.scheme])
        while True:
            kept = self._pool.take(origin)
            if kept is None:
                with map_exceptions(httpx2.ConnectTimeout, httpx2.ConnectError):
                    connection = self._connector.open(origin, timeouts["connect"], cancel)
            else:
                connection = kept
            try:
                if _send_on(connection, request, timeouts["write"], options):
                    return connection
            except BaseException:
                tcp.close(connection.sock, cancel)
                raise
            if not kept or cancel.reason is not None:
                return connection  # the server may have responded before it closed
            # The server closed it while it was idle. It cannot have run a request whose end it
            # never got, so the request may be sent again.
            tcp.close(connection.sock, cancel)


@contextlib.contextmanager
def map_exceptions(
    timeout: type[httpx2.TransportError], failure: type[httpx2.TransportError]
) -> Iterator[None]:
    """Raise httpx2's exceptions for those of the network."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except Malformed as error:
        raise httpx2.RemoteProtocolError(str(error)) from error
    except (OSError, ValueError, OverflowError, HTTPException, HTTPError) as error:
        raise failure(str(error)) from error


def _send_on(
    connection: Connection, request: httpx2.Request, timeout: float, options: TransportOptions
) -> bool:
    """Send a request; return whether the connection took all of it."""
    with map_exceptions(httpx2.WriteTimeout, httpx2.WriteError):
        options.cancel.attach(connection.sock)
        data = _encode(request, connection, options)
        try:
            _send_all(connection, data, timeout)
        except TimeoutError:
            raise
        except OSError:
            return False
        return True


def _send_all(connection: Connection, data: bytes, timeout: float) -> None:
    """Send a request, unless the response comes first: servers may stop reading long ones."""
    sock = connection.sock
    if len(data) <= _SENT_AT_ONCE or not connection.reusable:
        sock.settimeout(timeout)
        sock.sendall(data)
        return
    left, until = memoryview(data), time.monotonic() + timeout
    while left:
        sock.settimeout(max(min(TICK, until - time.monotonic()), 0.001))
        try:
            left = left[sock.send(left[:_SENT_AT_ONCE]) :]
        except TimeoutError:
            if early := _receive_now(sock):
                connection.early, connection.reusable = early, False
                return
            if time.monotonic() >= until:
                raise


def _receive_now(sock: Any) -> bytes:
    """Return what can be read without waiting; b"" when there is nothing, or only TLS's own."""
    sock.settimeout(0)
    try:
        received: bytes = sock.recv(MAX_READ)
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""
    return received


def _hide(secrets: tuple[bytes, ...], fields: Fields) -> Fields:
    """Return response fields as they may be logged."""
    shown = []
    for name, value in fields:
        for secret in secrets:
            if secret in value:
                value = b"[key]"
        shown.append((name, value))
    return shown


def _encode(request: httpx2.Request, connection: Connection, options: TransportOptions) -> bytes:
    content, url = request.read(), request.url
    target = url.raw_path
    if options.query:
        target += (b"&" if b"?" in target else b"?") + options.query
    if connection.forwarded:
        target = b"%b://%b%b" % (url.raw_scheme, url.netloc, target)
    ours = {name.lower() for name, _ in options.fields}
    theirs = [field for field in request.headers.raw if field[0].lower() not in ours]
    fields = [*theirs, *options.fields, *connection.proxy_fields]
    return write_head(request.method, target, fields) + content
