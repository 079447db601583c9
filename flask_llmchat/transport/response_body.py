"""A response body, read straight from its socket."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from .connection import Connection
from .gevent_wait import turn, waiter_for
from .http1 import BodyReader, Malformed, ResponseHead, UntilCloseReader, body_reader, codings_of
from .watchdog import CancelToken

_LONGEST_ERROR = 64 * 2**10
"""Bytes of an error's body that are read: the SDK reads all there is of it."""


MOST_READ = 64 * 2**10
"""Bytes of one read."""


# Compression is not asked for, but there are gateways that compress all the same. Event streams
# shrink to a 50th or a 70th; what shrinks to a 1000th was made so that a few bytes cost much.
_MOST_DECODED = 64 * 2**10  # of one read, as without compression


_MOST_GROWTH = 100


_FREE_GROWTH = 2**20  # bytes that are decoded in any case


def drop(connection: Connection, cancel: CancelToken | None) -> None:
    """Close a connection, which nothing else is to serve."""
    if cancel is not None:
        cancel.detach()  # first: once it is closed, its number may be another connection's
    connection.sock.close()


class ResponseBody(httpx2.SyncByteStream):
    """An answer's body.

    :param first: what came together with the head.
    :param wait: seconds that the SDK waits for each piece of an error.
    :param keep: what takes the connection when it can serve another request.
    """

    headers: httpx2.Headers

    def __init__(
        self,
        connection: Connection,
        head: ResponseHead,
        first: bytes,
        wait: float | None,
        cancel: CancelToken | None,
        keep: Callable[[Connection], None],
    ) -> None:
        self._connection: Connection | None = connection
        self._recv = connection.sock.recv
        self._ready = waiter_for(connection.sock)
        self._frame: BodyReader = body_reader(head)
        self._first = first
        self._wait = wait
        self._cancel = cancel
        ends = not isinstance(self._frame, UntilCloseReader)
        kept = head.keeps_alive and connection.can_be_kept and ends
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
            data = self._recv(MOST_READ)
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
            drop(connection, self._cancel)
            return
        if self._cancel is not None:
            self._cancel.detach()
        self._keep(connection)


def _take_decoder(head: ResponseHead) -> Any:
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
