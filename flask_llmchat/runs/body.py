"""The streaming body: events in, bytes out, one ending."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from ..core.errors import ChatError, StreamAborted
from ..dialects.base import Encoder
from ..transport.runtime import Slot
from .recorder import ChatRecorder
from .response_stream import ResponseStream

logger = logging.getLogger("flask_llmchat")


class StreamingBody:
    """The body of a streaming response. It owns the provider's stream, and closes it.

    It iterates over bytes, one item for whatever came in one read. It holds no request and no
    context. :meth:`start` comes first.

    :param heartbeat: seconds without an event after which the encoder's heartbeat is written.
    :ivar place: the place it holds among the chats that may run at once.
    """

    def __init__(
        self,
        stream: ResponseStream,
        encoder: Encoder,
        record: ChatRecorder,
        heartbeat: float | None = None,
    ) -> None:
        self._stream = stream
        self._encoder = encoder
        self._record = record
        self._idle_timeout = heartbeat if encoder.heartbeat else None
        self.slot: Slot | None = None
        self._first = b""
        self._begun = False

    @property
    def mimetype(self) -> str:
        """The type of the body."""
        return self._encoder.mimetype

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers that the body asks for."""
        return self._encoder.headers

    def start(self) -> None:
        """Wait for the first bytes: until they are there, an error can still have a status.

        :raises ChatError: when there are none to come.
        """
        try:
            self._first = self._next(None)  # a heartbeat would be a byte already
        except BaseException:
            self._stream.close()
            raise
        self._begun = True

    def __iter__(self) -> Iterator[bytes]:
        """Return itself: a body is read once."""
        return self

    def __next__(self) -> bytes:
        """Return the next bytes for the client."""
        if self._record.finished:
            raise StopIteration
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            if data := self._next(self._idle_timeout):
                return data
        except ChatError as error:
            return self._break(error)
        except Exception:  # whoever's doing it is, the client is told, and told honestly
            logger.exception("chat %s failed", self._record.request_id)
            return self._break(ChatError.of("internal"))
        # Before the end is written: the next chat in a row finds this connection in the pool.
        self._stream.close()
        if data := self._encoder.finish(self._record.finish_complete()):
            return data
        raise StopIteration

    def _next(self, timeout: float | None) -> bytes:
        """Return the next bytes that this dialect has for the client; b"" when there are none.

        :param timeout: seconds without an event after which that is the heartbeat.
        """
        while events := self._stream.read(timeout):
            self._record.observe(events)
            if data := self._encoder.encode(events):
                return data
        return b"" if events is not None else self._encoder.heartbeat

    def _break(self, error: ChatError) -> bytes:
        self._stream.close()
        self._record.finish_failed(error)
        if error.code == "cancelled":
            raise StopIteration  # the connection is shut: there is nobody to tell
        if (data := self._encoder.fail(error)) is None:
            # The status is gone, so the server has to break the connection off.
            raise StreamAborted(
                f"chat {self._record.request_id} broke off ({error.code})"
            ) from None
        return data

    def close(self) -> None:
        """End it, at whatever point it is: called by the server, always."""
        try:
            self._stream.close()
            if (
                self._begun and not self._record.finished
            ):  # not begun, another provider may be asked
                self._end_unread()
        finally:  # a receiver of the host's may raise what is no Exception
            if self.slot is not None:
                self.slot.release()

    def _end_unread(self) -> None:
        # A reader who takes nothing is cut off in the end, and has not left of its own will.
        if error := self._stream.interruption():
            self._record.finish_failed(error)
        else:
            self._record.finish_cancelled()

    def __del__(self) -> None:
        """Close an answer that never reached a server, or a test client that closes none."""
        self.close()
