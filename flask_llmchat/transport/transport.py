"""HTTP under the SDK: its requests go out, and answers come in, over sockets of our own.

A chat spends its life reading one body, a few bytes at a time. So the body is read straight
from its socket: one read of the network is one call here, and brings whatever is there.

The watch of a chat has to know that socket from the first byte that is sent until the
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

from .connection import Connect, Connection, Connector, Origin
from .http1 import Fields, HeadReader, Malformed, ResponseHead, write_head
from .pool import ConnectionPool
from .response_body import MOST_READ, ResponseBody, drop
from .tcp import connect
from .watchdog import TICK, CancelToken


@dataclass(frozen=True, slots=True)
class Sending:
    """What belongs to the request of one chat alone.

    The SDK and httpx2 log requests, with addresses and, some versions, headers. So what may be
    or hold a key is added here, below both of them, and taken out of what they see of the answer.

    :param fields: of the request's head, instead of those that the SDK wrote.
    :param query: what follows the ``?`` of the address.
    :param secrets: the keys.
    """

    cancel: CancelToken | None = None
    fields: Fields = field(default_factory=list, repr=False)
    query: bytes = field(default=b"", repr=False)
    secrets: tuple[bytes, ...] = field(default=(), repr=False)


current_token: ContextVar[Sending | None] = ContextVar("flask_llmchat_sending", default=None)
"""The request that is being sent here and now."""


_MOST_IDLE = 100


_SENT_AT_ONCE = 64 * 2**10


_PORTS = {"http": 80, "https": 443}


class Transport(httpx2.BaseTransport):
    """What an HTTP client's requests go through. It follows no redirect and keeps no cookie.

    TLS is httpx2's own, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` included.

    :param dial: what connects.
    :param most_idle: connections kept for further requests; of those in use there may be any
        number, for each is a chat that somebody reads.
    :param proxies: whether the environment's proxies are used.
    """

    def __init__(
        self, connect: Connect = connect, *, most_idle: int = _MOST_IDLE, proxies: bool = True
    ) -> None:
        self._opener = Connector(httpx2.create_ssl_context, connect, proxies=proxies)
        self._idle = ConnectionPool(most_idle)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._idle.close()

    def abandon(self) -> None:
        """Let go of them in a process that inherited them."""
        self._idle.abandon()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and wait for the head of its answer.

        Its ``extensions["body"]`` is the :class:`Body`, without what httpx2 puts around it.

        :raises httpx2.TransportError: when that fails.
        """
        timeouts, sent = request.extensions["timeout"], current_token.get() or Sending()
        cancel = sent.cancel
        connection = self._send(request, timeouts, sent)
        try:
            with _map_exceptions(httpx2.ReadTimeout, httpx2.ReadError):
                connection.sock.settimeout(timeouts["read"])
                head, first = self._receive_head(connection, cancel)
                body = ResponseBody(
                    connection, head, first, timeouts["read"], cancel, self._idle.keep
                )
        except BaseException:
            drop(connection, cancel)
            raise
        response = httpx2.Response(
            head.status,
            headers=_without(sent.secrets, head.fields),
            stream=body,
            extensions={"body": body},
        )
        # Or Python would look up the charset that the answer names, and keep it for ever.
        response.encoding = "utf-8"
        body.headers = response.headers
        return response

    def _receive_head(
        self, connection: Connection, cancel: CancelToken | None
    ) -> tuple[ResponseHead, bytes]:
        reader = HeadReader()
        try:
            while data := connection.early or connection.sock.recv(MOST_READ):
                connection.early = b""
                if found := reader.feed(data):
                    return found
            raise Malformed("the server hung up without an answer")
        except TimeoutError:
            raise
        except (OSError, Malformed):
            ended = cancel is not None and cancel.reason is not None
            if connection.idle_since and not reader.size and not ended:
                # Whoever was there is gone, and the others that wait most likely lead nowhere
                # either: whoever tries again is to be led to who is there now.
                self._idle.forget(connection.origin)
            raise

    def _send(
        self, request: httpx2.Request, timeouts: dict[str, float], sent: Sending
    ) -> Connection:
        url, cancel = request.url, sent.cancel
        if url.scheme not in _PORTS:
            raise httpx2.UnsupportedProtocol("only http: and https: are spoken")
        origin = Origin(url.scheme, url.raw_host.decode(), url.port or _PORTS[url.scheme])
        while True:
            kept = self._idle.take(origin)
            connection = kept or self._open(origin, timeouts["connect"], cancel)
            try:
                if _hand_over(request, connection, timeouts["write"], sent):
                    return connection
            except BaseException:
                drop(connection, cancel)
                raise
            if not kept or (cancel is not None and cancel.reason is not None):
                return connection  # it may have answered before it hung up
            # Closed while it was idle. Of a request whose end it never got no server can have
            # made a chat, so it may be sent again.
            drop(connection, cancel)

    def _open(self, origin: Origin, timeout: float, cancel: CancelToken | None) -> Connection:
        with _map_exceptions(httpx2.ConnectTimeout, httpx2.ConnectError):
            return self._opener.open(origin, timeout, cancel)


@contextlib.contextmanager
def _map_exceptions(
    timeout: type[httpx2.TransportError], failure: type[httpx2.TransportError]
) -> Iterator[None]:
    """Tell the network's errors as httpx2 would have told them."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except Malformed as error:
        raise httpx2.RemoteProtocolError(str(error)) from error
    except (OSError, ValueError, OverflowError, HTTPException, HTTPError) as error:
        raise failure(str(error)) from error


def _hand_over(
    request: httpx2.Request, connection: Connection, timeout: float, sent: Sending
) -> bool:
    """Send a request, and tell whether the connection took all of it."""
    with _map_exceptions(httpx2.WriteTimeout, httpx2.WriteError):
        if sent.cancel is not None:
            sent.cancel.attach(connection.sock)
        written = _written(request, connection, sent)
        try:
            _send_all(connection, written, timeout)
        except TimeoutError:
            raise
        except OSError:
            return False
        return True


def _send_all(connection: Connection, written: bytes, timeout: float) -> None:
    """Send a request, unless the answer comes first: a server may not read what is too long."""
    sock = connection.sock
    if len(written) <= _SENT_AT_ONCE or not connection.can_be_kept:
        sock.settimeout(timeout)
        sock.sendall(written)
        return
    left, until = memoryview(written), time.monotonic() + timeout
    while left:
        sock.settimeout(max(min(TICK, until - time.monotonic()), 0.001))
        try:
            left = left[sock.send(left[:_SENT_AT_ONCE]) :]
        except TimeoutError:
            if early := _receive_now(sock):
                connection.early, connection.can_be_kept = early, False
                return
            if time.monotonic() >= until:
                raise


def _receive_now(sock: Any) -> bytes:
    """Return what there is to read; b"" when there is nothing, or only of TLS's own."""
    sock.settimeout(0)
    try:
        received: bytes = sock.recv(MOST_READ)
    except (BlockingIOError, ssl.SSLWantReadError):
        return b""
    return received


def _without(secrets: tuple[bytes, ...], fields: Fields) -> Fields:
    """Return fields of an answer as they may be logged."""
    return [
        (name, b"[key]") if any(secret in value for secret in secrets) else (name, value)
        for name, value in fields
    ]


def _written(request: httpx2.Request, connection: Connection, sent: Sending) -> bytes:
    content, url = request.read(), request.url
    target = url.raw_path
    if sent.query:
        target += (b"&" if b"?" in target else b"?") + sent.query
    if connection.forwarded:
        target = b"%b://%b%b" % (url.raw_scheme, url.netloc, target)
    ours = {name.lower() for name, _ in sent.fields}
    theirs = [field for field in request.headers.raw if field[0].lower() not in ours]
    fields = [*theirs, *sent.fields, *connection.fields]
    return write_head(request.method, target, fields) + content
