"""HTTP under the SDK: its requests go out, and answers come in, over sockets of our own.

A chat spends its life reading one body, a few bytes at a time. So the body is read straight
from its socket: one read of the network is one call here, and brings whatever is there.

The watch of a chat has to know that socket from the first byte that is sent until the
connection can serve another chat, and not a moment longer.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from http.client import HTTPException
from typing import Any

import httpx2
from urllib3.exceptions import HTTPError

from .connect import Connection, Dial, Opener, Origin
from .http1 import (
    Framing,
    Head,
    HeadReader,
    Malformed,
    UntilClosed,
    codings_of,
    framing,
    write_head,
)
from .pool import Idle
from .ready import ready, turn
from .tcp import dial
from .watch import Watch

sending: ContextVar[Watch | None] = ContextVar("flask_llmchat_sending", default=None)
"""The watch of the chat that is being sent here and now."""

_MOST_IDLE = 100

_LONGEST_ERROR = 64 * 2**10
"""Bytes of an error's body that are read: the SDK reads all there is of it."""

_MOST_READ = 64 * 2**10

# Compression is not asked for, but there are gateways that compress all the same. Event streams
# shrink to a 50th or a 70th; what shrinks to a 1000th was made so that a few bytes cost much.
_MOST_DECODED = 64 * 2**10  # of one read, as without compression
_MOST_GROWTH = 100
_FREE_GROWTH = 2**20  # bytes that are decoded in any case

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
        self, dial: Dial = dial, *, most_idle: int = _MOST_IDLE, proxies: bool = True
    ) -> None:
        self._opener = Opener(httpx2.create_ssl_context, dial, proxies=proxies)
        self._idle = Idle(most_idle)

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
        timeouts, watch = request.extensions["timeout"], sending.get()
        connection = self._send(request, timeouts, watch)
        try:
            with _told_as(httpx2.ReadTimeout, httpx2.ReadError):
                connection.sock.settimeout(timeouts["read"])
                head, first = self._receive_head(connection, watch)
                body = Body(connection, head, first, timeouts["read"], watch, self._idle.keep)
        except BaseException:
            _drop(connection, watch)
            raise
        response = httpx2.Response(
            head.status, headers=head.fields, stream=body, extensions={"body": body}
        )
        body.headers = response.headers
        return response

    def _receive_head(self, connection: Connection, watch: Watch | None) -> tuple[Head, bytes]:
        reader = HeadReader()
        try:
            while data := connection.sock.recv(_MOST_READ):
                if found := reader.feed(data):
                    return found
            raise Malformed("the server hung up without an answer")
        except TimeoutError:
            raise
        except (OSError, Malformed):
            ended = watch is not None and watch.reason is not None
            if connection.idle_since and not reader.size and not ended:
                # Whoever was there is gone, and the others that wait most likely lead nowhere
                # either: whoever tries again is to be led to who is there now.
                self._idle.forget(connection.origin)
            raise

    def _send(
        self, request: httpx2.Request, timeouts: dict[str, float], watch: Watch | None
    ) -> Connection:
        url = request.url
        if url.scheme not in _PORTS:
            raise httpx2.UnsupportedProtocol("only http: and https: are spoken")
        origin = Origin(url.scheme, url.raw_host.decode(), url.port or _PORTS[url.scheme])
        while True:
            kept = self._idle.take(origin)
            connection = kept or self._open(origin, timeouts["connect"], watch)
            try:
                if _hand_over(request, connection, timeouts["write"], watch):
                    return connection
            except BaseException:
                _drop(connection, watch)
                raise
            if not kept or (watch is not None and watch.reason is not None):
                return connection  # it may have answered before it hung up
            # Closed while it was idle. Of a request whose end it never got no server can have
            # made a chat, so it may be sent again.
            _drop(connection, watch)

    def _open(self, origin: Origin, timeout: float, watch: Watch | None) -> Connection:
        with _told_as(httpx2.ConnectTimeout, httpx2.ConnectError):
            return self._opener.open(origin, timeout, watch)


@contextlib.contextmanager
def _told_as(
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
    request: httpx2.Request, connection: Connection, timeout: float, watch: Watch | None
) -> bool:
    """Send a request, and tell whether the connection took all of it."""
    with _told_as(httpx2.WriteTimeout, httpx2.WriteError):
        if watch is not None:
            watch.attach(connection.sock)
        connection.sock.settimeout(timeout)
        written = _written(request, connection)
        try:
            connection.sock.sendall(written)
        except TimeoutError:
            raise
        except OSError:
            return False
        return True


def _written(request: httpx2.Request, connection: Connection) -> bytes:
    content, url = request.read(), request.url
    target = url.raw_path
    if connection.forwarded:
        target = b"%b://%b%b" % (url.raw_scheme, url.netloc, target)
    fields = [*request.headers.raw, *connection.fields]
    return write_head(request.method, target, fields) + content


def _drop(connection: Connection, watch: Watch | None) -> None:
    if watch is not None:
        watch.detach()  # first: once it is closed, its number may be another connection's
    connection.sock.close()


class Body(httpx2.SyncByteStream):
    """An answer's body.

    :param first: what came together with the head.
    :param wait: seconds that the SDK waits for each piece of an error.
    :param keep: what takes the connection when it can serve another request.
    """

    headers: httpx2.Headers

    def __init__(
        self,
        connection: Connection,
        head: Head,
        first: bytes,
        wait: float | None,
        watch: Watch | None,
        keep: Callable[[Connection], None],
    ) -> None:
        self._connection: Connection | None = connection
        self._recv = connection.sock.recv
        self._ready = ready(connection.sock)
        self._frame: Framing = framing(head)
        self._first = first
        self._wait = wait
        self._watch = watch
        kept = head.keeps_alive and not isinstance(self._frame, UntilClosed)
        self._keep = keep if kept else None
        self._decoder = _take_decoder(head)
        self._may_decode = _FREE_GROWTH
        if self._frame.ended:
            self._frame.spare = first
            self._let_go()

    @property
    def ended(self) -> bool:
        """Whether all of it was read."""
        return self._frame.ended and not (self._decoder and self._decoder.unconsumed_tail)

    def read(self, wait: float | None = None) -> bytes:
        """Read once; return what of it is the body's, which may be nothing as yet.

        :param wait: seconds.
        :raises TimeoutError: when nothing came; reading may go on.
        :raises OSError: when the connection broke.
        :raises httpx2.RemoteProtocolError: when the body broke off, or makes no sense.
        :raises httpx2.DecodingError: when it is not compressed in the way it says.
        """
        if self._decoder is not None:
            if tail := self._decoder.unconsumed_tail:
                turn()  # a little that was read can be very much
                return self._decode(tail)
            piece = self._receive(wait)
            self._may_decode += len(piece) * _MOST_GROWTH
            return self._decode(piece)
        return self._receive(wait)

    def _receive(self, wait: float | None) -> bytes:
        data, frame = self._first, self._frame
        if data:
            self._first = b""
        elif frame.ended:
            return b""
        elif self._connection is None:
            raise httpx2.StreamClosed
        else:
            if wait != self._wait:
                self._connection.sock.settimeout(wait)
                self._wait = wait
            if self._ready is not None:
                self._ready.wait(wait)
            data = self._recv(_MOST_READ)
        try:
            piece = frame.feed(data) if data else frame.finish()
        except Malformed as error:
            raise httpx2.RemoteProtocolError(str(error)) from error
        if frame.ended:
            self._let_go()
        return piece

    def _decode(self, piece: bytes) -> bytes:
        try:
            decoded: bytes = self._decoder.decompress(piece, _MOST_DECODED)
        except zlib.error as error:
            raise httpx2.DecodingError(str(error)) from error
        self._may_decode -= len(decoded)
        if self._may_decode < 0:
            raise httpx2.DecodingError("far more than was received")
        return decoded

    def __iter__(self) -> Iterator[bytes]:
        """Give the SDK as much of an error's body as tells enough.

        What fails here leaves the status, which tells the most.
        """
        left = _LONGEST_ERROR
        with contextlib.suppress(httpx2.HTTPError, OSError):
            while left > 0 and not self.ended:
                piece = self.read(self._wait)[:left]
                left -= len(piece)
                yield piece

    def close(self) -> None:
        """Let go of the connection: what is still to come is not waited for."""
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._ready is not None:
            self._ready.close()
        if self._keep is None or not self._frame.ended or self._frame.spare:
            _drop(connection, self._watch)
            return
        if self._watch is not None:
            self._watch.detach()
        self._keep(connection)


def _take_decoder(head: Head) -> Any:
    """Return what undoes a compression, which nobody else is to undo, though we ask for none."""
    codings = codings_of(head, b"content-encoding")
    if head.lowered.pop(b"content-encoding", None) is None:
        return None
    head.fields = [field for field in head.fields if field[0].lower() != b"content-encoding"]
    if len(codings) == 1 and codings[0] in (b"gzip", b"x-gzip", b"deflate"):
        return zlib.decompressobj(47)
    return _Unknown() if codings and head.status == 200 else None  # an error's status tells enough


class _Unknown:
    """Stands for what would undo a compression that we do not know."""

    unconsumed_tail = b""

    def decompress(self, data: bytes, most: int) -> bytes:
        raise zlib.error("a compression that was not asked for")
