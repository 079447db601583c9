"""A response body that is read straight from its socket."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from . import tcp
from .connection import Connection
from .gevent_wait import waiter_for, yield_now
from .http1 import Malformed, ResponseHead, body_reader, codings_of
from .watchdog import CancelToken

MAX_READ = 64 * 2**10  # bytes of one read
_MAX_ERROR = 64 * 2**10  # bytes of an error's body that are read: the SDK reads all it is given

# Compression is not requested, but some gateways compress all the same. Event streams shrink to
# a 50th or a 70th; what shrinks to a 1000th was made so that a few bytes cost much.
_MAX_DECODED = 64 * 2**10  # bytes at a time, as without compression
_MAX_EXPANSION = 100  # decoded bytes for each byte received
_FREE_EXPANSION = 2**20  # bytes that may be decoded in any case


class ResponseBody(httpx2.SyncByteStream):
    """The body of a response.

    :param first: body bytes that were read together with the head.
    :param timeout: the socket's present time-out in seconds; also how long the SDK waits for
        each piece of an error.
    :param keep: called with the connection when it can serve another request.
    """

    headers: httpx2.Headers

    def __init__(
        self,
        connection: Connection,
        head: ResponseHead,
        first: bytes,
        timeout: float | None,
        cancel: CancelToken,
        keep: Callable[[Connection], None],
    ) -> None:
        self._connection: Connection | None = connection
        self._recv = connection.sock.recv
        self._waiter = waiter_for(connection.sock)
        self._reader = body_reader(head)
        self._first = first
        self._timeout = timeout
        self._cancel = cancel
        reusable = head.keeps_alive and connection.reusable and not self._reader.until_close
        self._keep = keep if reusable else None
        self._decoder = _decoder_for(head)
        self._may_decode = _FREE_EXPANSION
        if self._reader.ended:
            self._reader.spare = first
            self._release()

    @property
    def ended(self) -> bool:
        """Whether the whole body has been read."""
        return self._reader.ended and not (self._decoder and self._decoder.unconsumed_tail)

    def read(self, timeout: float | None = None) -> bytes:
        """Read once; return the body bytes that came, which may be none.

        :param timeout: seconds.
        :raises TimeoutError: when nothing came in time; reading may go on.
        :raises OSError: when the connection broke.
        :raises httpx2.RemoteProtocolError: when the body is incomplete or malformed.
        :raises httpx2.DecodingError: when it is not compressed as the head says.
        """
        if self._decoder is not None:
            if tail := self._decoder.unconsumed_tail:
                yield_now()  # a few bytes received may take long to decode
                return self._decode(tail)
            piece = self._receive(timeout)
            self._may_decode += len(piece) * _MAX_EXPANSION
            return self._decode(piece)
        return self._receive(timeout)

    def _receive(self, timeout: float | None) -> bytes:
        data, reader = self._first, self._reader
        if data:
            self._first = b""
        elif reader.ended:
            return b""
        elif self._connection is None:
            raise httpx2.StreamClosed
        else:
            if timeout != self._timeout:
                self._connection.sock.settimeout(timeout)
                self._timeout = timeout
            if self._waiter is not None:
                self._waiter.wait(timeout)
            data = self._recv(MAX_READ)
        try:
            piece = reader.feed(data) if data else reader.finish()
        except Malformed as error:
            raise httpx2.RemoteProtocolError(str(error)) from error
        if reader.ended:
            self._release()
        return piece

    def _decode(self, piece: bytes) -> bytes:
        try:
            decoded: bytes = self._decoder.decompress(piece, _MAX_DECODED)
        except zlib.error as error:
            raise httpx2.DecodingError(str(error)) from error
        self._may_decode -= len(decoded)
        if self._may_decode < 0:
            raise httpx2.DecodingError("the body expands too much")
        return decoded

    def __iter__(self) -> Iterator[bytes]:
        """Give the SDK the beginning of an error's body.

        A failure here only ends it: the status, which says the most, is known already.
        """
        left = _MAX_ERROR
        with contextlib.suppress(httpx2.HTTPError, OSError):
            while left > 0 and not self.ended:
                piece = self.read(self._timeout)[:left]
                left -= len(piece)
                yield piece

    def close(self) -> None:
        """Release the connection, without waiting for the rest of the body."""
        self._release()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._waiter is not None:
            self._waiter.close()
        if self._keep is not None and self._reader.ended and not self._reader.spare:
            self._cancel.detach()
            # An interruption that came after the last byte has shut the connection down.
            if self._cancel.reason is None:
                self._keep(connection)
                return
        tcp.close(connection.sock, self._cancel)


def _decoder_for(head: ResponseHead) -> Any:
    """Return the decompressor for a body, or None; take the field out, so that httpx2 has none."""
    codings = codings_of(head, b"content-encoding")
    if head.by_name.pop(b"content-encoding", None) is None:
        return None
    head.fields = [field for field in head.fields if field[0].lower() != b"content-encoding"]
    if len(codings) == 1 and codings[0] in (b"gzip", b"x-gzip", b"deflate"):
        return zlib.decompressobj(47)
    # Of an error the status says enough.
    return _UnsupportedCoding() if codings and head.status == 200 else None


class _UnsupportedCoding:
    """Stands in for the decompressor of an unknown coding, and fails."""

    unconsumed_tail = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        raise zlib.error("an unsupported content coding")
