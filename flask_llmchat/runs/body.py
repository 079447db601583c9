"""The streaming body: events in, bytes out, one ending."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from ..core.errors import ChatError, StreamAborted
from ..dialects.base import Encoder
from ..transport.runtime import Slot, current_runtime
from ..transport.watchdog import CancelToken
from .event_source import EventSource
from .recorder import ChatRecorder

logger = logging.getLogger("flask_llmchat")


class StreamingBody:
    """The body of a streaming response. It owns the event source, and closes it.

    It iterates over bytes, one item for whatever came in one read. It holds no request and no
    context. :meth:`start` comes first.

    :param cancel: the chat's; no longer watched once the body is closed.
    :param heartbeat: seconds without an event after which the encoder's heartbeat is written.
    :ivar slot: its slot among the chats that may run at once, released when it is closed.
    """

    def __init__(
        self,
        source: EventSource,
        encoder: Encoder,
        recorder: ChatRecorder,
        cancel: CancelToken,
        *,
        heartbeat: float | None = None,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._recorder = recorder
        self._cancel = cancel
        self._watchdog = current_runtime().watchdog
        self._heartbeat = heartbeat if encoder.heartbeat else None
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
            self._source.close()
            raise
        self._begun = True

    def __iter__(self) -> Iterator[bytes]:
        """Return itself: a body is read once."""
        return self

    def __next__(self) -> bytes:
        """Return the next bytes for the client."""
        if self._recorder.result is not None:
            raise StopIteration
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            if data := self._next(self._heartbeat):
                return data
        except ChatError as error:
            return self._break(error)
        except Exception:  # whatever failed, the client must not take the answer for complete
            logger.exception("chat %s failed", self._recorder.request_id)
            return self._break(ChatError.of("internal"))
        # Before the end is written: the next chat in a row finds this connection in the pool.
        self._source.close()
        if data := self._encoder.finish(self._recorder.finish_complete()):
            return data
        raise StopIteration

    def _next(self, timeout: float | None) -> bytes:
        """Return the next bytes that this dialect has for the client; b"" when there are none.

        :param timeout: seconds without an event after which that is the heartbeat.
        """
        while events := self._source.read(timeout):
            self._recorder.observe(events)
            if data := self._encoder.encode(events):
                return data
        return b"" if events is not None else self._encoder.heartbeat

    def _break(self, error: ChatError) -> bytes:
        self._source.close()
        self._recorder.finish_failed(error)
        if error.code == "cancelled":
            raise StopIteration  # the connection is shut
        if (data := self._encoder.fail(error)) is None:
            # The status is gone, so the server has to break the connection off.
            raise StreamAborted(
                f"chat {self._recorder.request_id} broke off ({error.code})"
            ) from None
        return data

    def close(self) -> None:
        """End it, at whatever point it is. The server always calls this."""
        try:
            self._source.close()
            if self._begun:  # otherwise another provider may be tried
                self._watchdog.remove(self._cancel)
                if self._recorder.result is None:
                    self._end_unread()
        finally:  # a receiver of the host's may raise what is no Exception
            if self.slot is not None:
                self.slot.release()

    def _end_unread(self) -> None:
        # A client that stops reading is cut off in the end; it has not left by itself.
        if error := self._source.interruption():
            self._recorder.finish_failed(error)
        else:
            self._recorder.finish_cancelled()

    def __del__(self) -> None:
        """Close a body that never reached a server, or a test client that closes none."""
        self.close()
